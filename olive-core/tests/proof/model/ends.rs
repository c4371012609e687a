//! Ends and beginnings: close, kill, power cut, open, copies.

use std::sync::Arc;

use olive_core::ErrorKind;
use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::{CrashMode, Fill, SimVfs};
use olive_core::internals::{open_on, open_read_only_on};

use super::ops::Cut;
use super::reads::dump;
use super::world::{Handle, NAMES, Outcome, World, ensure, text};

impl Cut {
    fn event(self) -> &'static str {
        match self {
            Cut::Kill => "kill",
            Cut::Synced => "power cut: only what was synced",
            Cut::Everything => "power cut: everything",
            Cut::Random(_) => "power cut: sectors at random",
            Cut::Torn(_) => "power cut: torn",
            Cut::TailZeros | Cut::TailGarbage(_) => "power cut: a filled tail",
            Cut::SpoiledZeros | Cut::SpoiledGarbage(_) => "power cut: spoiled writes",
        }
    }

    /// The disk after mutation `number`.
    fn at(self, sim: &SimVfs, number: u64) -> SimVfs {
        let mode = match self {
            Cut::Kill => return sim.kill_at(number),
            Cut::Synced => CrashMode::Synced,
            Cut::Everything => CrashMode::Everything,
            Cut::Random(seed) => CrashMode::Random { seed },
            Cut::Torn(bytes) => CrashMode::Torn { bytes: u64::from(bytes) },
            Cut::TailZeros => CrashMode::Tail(Fill::Zeros),
            Cut::TailGarbage(seed) => CrashMode::Tail(Fill::Garbage { seed }),
            Cut::SpoiledZeros => CrashMode::Spoiled(Fill::Zeros),
            Cut::SpoiledGarbage(seed) => CrashMode::Spoiled(Fill::Garbage { seed }),
        };
        sim.crash_at(number, mode)
    }

    /// Whether what was written but not synced survives.
    fn keeps_written(self) -> bool {
        matches!(self, Cut::Kill | Cut::Everything | Cut::Torn(_))
    }
}

impl World {
    /// Closes and opens again.
    pub(super) fn reopen(&mut self, by_drop: bool) -> Outcome {
        self.count("reopen");
        self.close(by_drop)?;
        self.open()?;
        self.recovered(self.reference.now(), self.reference.now())
    }

    fn close(&mut self, by_drop: bool) -> Outcome {
        self.handles.clear();
        let db = self.db.take().ok_or("closed twice")?;
        if by_drop {
            drop(db);
        } else {
            db.close().map_err(|error| format!("close: {error:?}"))?;
            let error = db.get("a").err().ok_or("a closed database was read")?;
            ensure!(error.kind() == ErrorKind::Closed, "{error:?}");
        }
        self.check_values()?;
        self.let_go()
    }

    /// Everything that was held belongs to a closed database.
    fn let_go(&mut self) -> Outcome {
        let mut results = Vec::new();
        results.extend(self.snapshots.drain(..).map(|held| held.snapshot.get("a").err()));
        results.extend(self.cursors.drain(..).map(|mut held| held.cursor.seek("a").err()));
        for mut held in self.iters.drain(..) {
            match held.iter.next() {
                // It had come to its end before.
                None => {}
                Some(step) => results.push(step.err()),
            }
        }
        for error in results {
            let kind = error.ok_or("something went on after close")?.kind();
            ensure!(kind == ErrorKind::Closed, "{kind:?} after close");
        }
        Ok(())
    }

    /// What was found after an open must be what some write from `least` to `most`
    /// left; the reference goes on from there.
    fn recovered(&mut self, least: usize, most: usize) -> Outcome {
        let k = self.find(self.db(), least, most)?;
        self.no_orphans()?;
        self.reference.cut(k);
        self.marks.clear();
        self.now_synced();
        self.handles.clear();
        for name in NAMES {
            if let Some(space) = self.reference.space(name, k) {
                let keyspace = self.db().keyspace(name).map_err(text)?;
                self.hold_handle(Handle { keyspace, name, space });
            }
        }
        Ok(())
    }

    /// After an open no file stands in the folder that the database does not use.
    fn no_orphans(&self) -> Outcome {
        if self.set.threads {
            return Ok(());
        }
        let names = self.vfs.list(&self.path).map_err(text)?;
        let ending = |end: &str| names.iter().filter(|name| name.ends_with(end)).count() as u64;
        let levels = self.db().stats().map_err(text)?.levels;
        let tables: u64 = levels.iter().map(|level| level.tables).sum();
        ensure!(ending(".sst") == tables, "{tables} tables are used, in the folder: {names:?}");
        ensure!(ending(".tmp") == 0, "left over: {names:?}");
        Ok(())
    }

    /// The last write from `least` to `most` whose state `db` shows.
    fn find(&self, db: &olive_core::Db, least: usize, most: usize) -> Outcome<usize> {
        let found = dump(db)?;
        let same = |k: &usize| self.reference.difference(*k, &found).is_none();
        (least..=most).rev().find(same).ok_or_else(|| match (0..least).rev().find(same) {
            Some(k) => format!("the state of write {k}, where {least} to {most} were to be found"),
            None => {
                let against = |k: usize| {
                    let wrong = self.reference.difference(k, &found).unwrap_or_default();
                    format!("\n  against {k}: {wrong}")
                };
                let all: String = (least..=most).rev().take(8).map(against).collect();
                format!("the state of no write from 0 to {most}, at least {least}:{all}")
            }
        })
    }

    pub(super) fn crash(&mut self, cut: Cut, back: u8, again: Option<(u8, Cut)>) -> Outcome {
        let Some(sim) = self.sim.clone() else { return self.reopen(true) };
        self.count(cut.event());
        let first = self.marks[0].mutations;
        let number = sim.mutations().saturating_sub(u64::from(back)).max(first);
        let whole = if let Cut::Torn(_) = cut { number.saturating_sub(1) } else { number };
        let reached = self.marks.partition_point(|mark| mark.mutations <= whole);
        let before = self.marks[reached.saturating_sub(1)];
        let least = if cut.keeps_written() { before.written } else { before.synced };
        let begun = self.marks.partition_point(|mark| mark.mutations <= number);
        let most = self.marks.get(begun).map_or(self.reference.now(), |mark| mark.written);
        let image = cut.at(&sim, number);
        self.snapshots.clear();
        self.cursors.clear();
        self.iters.clear();
        self.handles.clear();
        drop(self.db.take());
        self.check_values()?;
        match again {
            None => self.go_on(image, least, most),
            Some((part, second)) => {
                self.count("crash within recovery");
                let what = "the recovery to be cut short";
                let (db, number, k) = self
                    .recover_once(&image, part, least, most)
                    .map_err(|wrong| format!("{what}: {wrong}"))?;
                let next = second.at(&image, number);
                drop(db);
                let durable = cut != Cut::Kill || second.keeps_written();
                let least = if durable { k } else { before.synced };
                self.go_on(next, least, k)
            }
        }
    }

    /// Opens `image`; gives a mutation of that open by its part of 255, and the
    /// write up to which it found.
    fn recover_once(
        &self,
        image: &SimVfs,
        part: u8,
        least: usize,
        most: usize,
    ) -> Outcome<(olive_core::Db, u64, usize)> {
        image.record(true);
        let db = open_on(self.set.options(), Arc::new(image.clone()), &self.path)
            .map_err(|error| format!("open: {error:?}"))?;
        let number = image.mutations() * u64::from(part) / 255;
        let k = self.find(&db, least, most)?;
        Ok((db, number, k))
    }

    fn go_on(&mut self, sim: SimVfs, least: usize, most: usize) -> Outcome {
        self.vfs = Arc::new(sim.clone());
        self.sim = Some(sim);
        self.open()?;
        self.recovered(least, most)
    }

    pub(super) fn read_only(&mut self) -> Outcome {
        self.count("read-only open");
        let hash = self.sim.as_ref().map(SimVfs::image_hash);
        let db = open_read_only_on(self.set.options(), Arc::clone(&self.vfs), &self.path)
            .map_err(|error| format!("read-only open: {error:?}"))?;
        let now = self.reference.now();
        self.find(&db, now, now).map_err(|wrong| format!("read-only: {wrong}"))?;
        let error = db.put("a", "b").err().ok_or("a read-only database was written")?;
        ensure!(error.kind() == ErrorKind::ReadOnly, "{error:?}");
        db.close().map_err(|error| format!("close of the read-only one: {error:?}"))?;
        if !self.set.threads {
            let after = self.sim.as_ref().map(SimVfs::image_hash);
            ensure!(hash == after, "a read-only open wrote something");
        }
        Ok(())
    }

    /// Copies the database; then opens the copy as a power cut would leave it, or
    /// goes on in it.
    pub(super) fn checkpoint(&mut self, go_on: bool) -> Outcome {
        self.count("checkpoint");
        self.folders += 1;
        let path = self.root.join(format!("copy-{}", self.folders));
        self.db().checkpoint(&path).map_err(|error| format!("checkpoint: {error:?}"))?;
        let now = self.reference.now();
        if go_on {
            self.close(false)?;
            self.path = path;
            self.open()?;
            return self.recovered(now, now);
        }
        let vfs: Arc<dyn Vfs> = match &self.sim {
            Some(sim) => Arc::new(sim.crash_now(CrashMode::Synced)),
            None => Arc::clone(&self.vfs),
        };
        let db = open_on(self.set.options(), vfs, &path)
            .map_err(|error| format!("open of the checkpoint: {error:?}"))?;
        self.find(&db, now, now).map_err(|wrong| format!("the checkpoint: {wrong}"))?;
        db.put("a", "b").and_then(|()| db.close()).map_err(text)
    }
}
