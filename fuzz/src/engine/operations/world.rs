//! The database, its disk and its model, side by side.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::vfs::sim::{CrashMode, SimVfs};
use olive_core::internals::{open_on, open_read_only_on};
use olive_core::{
    Db, Durability, Error, ErrorKind, Options, Progress, Result, Snapshot, WriteBatch, WriteOptions,
};

use super::model::{Model, State};
use super::script::Op;
use super::view::{NAMES, dump, snapshot_spaces, whole};

const DIR: &str = "/db";
const SNAPSHOTS_MAX: usize = 3;
/// More steps of maintenance in a row than any script gives work for.
const STEPS_MAX: usize = 20_000;

pub(super) struct World {
    options: Options,
    disk: SimVfs,
    /// `None`: an open failed, or the power is gone.
    db: Option<Db>,
    model: Model,
    snapshots: Vec<(Snapshot, Arc<State>)>,
    /// Whether calls are made to fail, now and at any time since the database was opened.
    failing: bool,
    faulty: bool,
    full: bool,
    durable: bool,
    copies: u32,
}

impl World {
    pub(super) fn new(options: Options) -> World {
        let durable = format!("{options:?}").contains("durability: Sync");
        let mut world = World {
            options,
            disk: SimVfs::new(1),
            db: None,
            model: Model::new(),
            snapshots: Vec::new(),
            failing: false,
            faulty: false,
            full: false,
            durable,
            copies: 0,
        };
        world.open();
        world.model.opened();
        world.mark();
        world
    }

    /// Opens on a disk where nothing fails.
    fn open(&mut self) {
        self.heal();
        self.disk.record(true);
        let vfs = Arc::new(self.disk.clone());
        let db = open_on(self.options.clone(), vfs, DIR);
        self.db = Some(db.expect("an open on a disk where nothing fails"));
        self.faulty = false;
    }

    fn mark(&mut self) {
        self.model.mark(self.disk.mutations());
    }

    fn heal(&mut self) {
        self.disk.set_faults(Vec::new());
        self.disk.set_capacity(None);
        (self.failing, self.full) = (false, false);
    }

    /// Fails if `error` is one that nothing was done to bring about.
    fn excused(&self, what: &str, error: &Error) {
        let kind = error.kind();
        assert_ne!(kind, ErrorKind::Corruption, "{what}: {error:?}");
        let excused = self.faulty || (self.full && kind == ErrorKind::DiskFull);
        assert!(excused, "{what}, with nothing to cause it: {error:?}");
    }

    fn done<T>(&self, what: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.excused(what, &error)).ok()
    }

    pub(super) fn apply(&mut self, op: Op) {
        if self.db.is_none() {
            self.open();
            let found = self.found().expect("a read on a disk where nothing fails");
            let now = self.disk.mutations();
            self.model.recovered(found, now, now, true);
            self.mark();
        }
        let db = self.db.clone().expect("it was just opened");
        match op {
            Op::Write { changes, durable } => self.write(&db, &changes, durable),
            Op::DropSpace => self.drop_space(&db),
            Op::Flush => drop(self.done("flush", db.flush())),
            Op::Compact => drop(self.done("compact_range", db.compact_range(..))),
            Op::Maintain(steps) => (0..steps).for_each(|_| _ = self.maintain(&db)),
            Op::Sync => {
                if self.done("sync", db.sync()).is_some() {
                    self.model.now_synced();
                }
            }
            Op::Advance(ms) => self.disk.advance(Duration::from_millis(u64::from(ms) * 10)),
            Op::Snapshot => {
                if self.snapshots.len() < SNAPSHOTS_MAX
                    && let Some(snapshot) = self.done("snapshot", db.snapshot())
                    && let Some(seen) = self.done("a read", dump(&snapshot_spaces(&snapshot)))
                {
                    assert!(self.model.is_now(&seen), "{seen:?}\n{:?}", self.model.now());
                    self.snapshots.push((snapshot, Arc::new(seen)));
                }
            }
            Op::Release => drop(self.snapshots.pop()),
            Op::Compare => self.compare(),
            Op::Checkpoint => self.checkpoint(&db),
            Op::Fault(fault) => {
                (self.failing, self.faulty) = (true, true);
                self.disk.set_faults(vec![fault]);
            }
            Op::Heal => self.resume(&db),
            Op::Room(bytes) => self.fill_up(bytes),
            Op::Reopen => self.reopen(db),
            Op::ReadOnly => self.read_only(),
            Op::Crash { mode, back } => self.crash(db, mode, back),
        }
        if self.db.is_some() {
            self.mark();
        }
    }

    pub(super) fn end(&mut self) {
        self.apply(Op::Heal);
        self.apply(Op::Compare);
        self.apply(Op::Reopen);
        self.apply(Op::Compare);
        let db = self.db.take().expect("open on a disk where nothing fails");
        let report = db.verify().expect("a verify");
        assert!(report.is_clean(), "{:?}", report.damage);
        db.put("the last", "one").expect("a put");
        db.close().expect("a close");
    }

    fn write(&mut self, db: &Db, changes: &[(u8, u8, Option<usize>)], durable: bool) {
        let mut batch = WriteBatch::new();
        let mut next = State::clone(self.model.now());
        for (at, (space, key, len)) in changes.iter().enumerate() {
            let name = NAMES[usize::from(*space)];
            let keyspace = match space {
                0 => None,
                _ => match self.keyspace(db, *space, name) {
                    Some(keyspace) => Some(keyspace),
                    None => return,
                },
            };
            next.entry(*space).or_insert_with(|| self.model.now()[space].clone());
            let key = key_bytes(*key);
            let value = len.map(|len| vec![(len + at) as u8 ^ key.len() as u8; len]);
            match (&keyspace, &value) {
                (None, Some(value)) => batch.put(&key, value),
                (None, None) => batch.delete(&key),
                (Some(keyspace), Some(value)) => batch.put_in(keyspace, &key, value),
                (Some(keyspace), None) => batch.delete_in(keyspace, &key),
            };
            let entries = next.get_mut(space).expect("a space that is there");
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        let how = WriteOptions::default();
        let how = if durable { how.durability(Durability::Sync) } else { how };
        let result = db.write_with(&batch, &how);
        self.wrote("write", db, result, next, durable || self.durable);
    }

    /// The handle of a space, which is made if it is not there.
    fn keyspace(&mut self, db: &Db, space: u8, name: &str) -> Option<olive_core::Keyspace> {
        let mut next = State::clone(self.model.now());
        let is_there = next.contains_key(&space);
        next.entry(space).or_default();
        match db.keyspace(name) {
            Ok(keyspace) => {
                if !is_there {
                    self.wrote("keyspace", db, Ok(()), next, self.durable);
                }
                Some(keyspace)
            }
            Err(error) => {
                if is_there {
                    self.excused("keyspace", &error);
                } else {
                    self.wrote("keyspace", db, Err(error), next, false);
                }
                None
            }
        }
    }

    fn drop_space(&mut self, db: &Db) {
        let mut next = State::clone(self.model.now());
        let Some((space, _)) = next.pop_last().filter(|(space, _)| *space > 0) else { return };
        match db.drop_keyspace(NAMES[usize::from(space)]) {
            Ok(was_there) => {
                assert!(was_there, "a keyspace is gone");
                self.wrote("drop_keyspace", db, Ok(()), next, self.durable);
            }
            Err(error) => self.wrote("drop_keyspace", db, Err(error), next, false),
        }
    }

    /// Takes the outcome of a write that leads to `next`.
    fn wrote(&mut self, what: &str, db: &Db, result: Result<()>, next: State, synced: bool) {
        match result {
            Ok(()) => {
                self.model.wrote(next);
                if synced {
                    self.model.now_synced();
                }
            }
            Err(error) => {
                self.excused(what, &error);
                // That the disk is full says that nothing was written, unless the call
                // that took it back was one that was made to fail.
                if self.faulty || error.kind() != ErrorKind::DiskFull {
                    self.model.may_have_written(next);
                }
                let health = self.done("health", db.health());
                let poisoned = health.is_some_and(|health| health.poisoned.is_some());
                assert!(self.faulty || !poisoned, "{what} poisons: {error:?}");
            }
        }
    }

    fn maintain(&mut self, db: &Db) -> Option<Progress> {
        let progress = self.done("maintain", db.maintain());
        if progress == Some(Progress::Synced) {
            self.model.now_synced();
        }
        progress
    }

    /// Takes faults and limits away. A disk that was only full is written again.
    fn resume(&mut self, db: &Db) {
        let was_full = self.full;
        self.heal();
        if was_full && !self.faulty {
            let mut steps = 0;
            while self.maintain(db) != Some(Progress::Idle) {
                steps += 1;
                assert!(steps < STEPS_MAX, "maintenance does not come to rest");
            }
            self.write(db, &[(0, 1, Some(1))], false);
            assert!(db.health().expect("health").writable);
        }
    }

    fn fill_up(&mut self, bytes: u64) {
        let used: u64 =
            self.disk.paths().iter().map(|path| self.disk.read_raw(path).len() as u64).sum();
        self.full = true;
        self.disk.set_capacity(Some(used + bytes));
    }

    /// All that the open database shows.
    fn found(&self) -> Result<State> {
        let db = self.db.as_ref().expect("an open database");
        whole(db)
    }

    fn compare(&mut self) {
        if let Some(found) = self.done("a read", self.found()) {
            assert!(self.model.is_now(&found), "{found:?}\n{:?}", self.model.now());
        }
        for (snapshot, seen) in &self.snapshots {
            if let Some(found) = self.done("a read", dump(&snapshot_spaces(snapshot))) {
                assert_eq!(found, **seen, "what a snapshot sees has changed");
            }
        }
    }

    fn reopen(&mut self, db: Db) {
        self.snapshots.clear();
        let closed = self.done("close", db.close());
        if closed.is_some() {
            self.model.now_synced();
            self.mark();
        }
        drop((self.db.take(), db));
        let vfs = Arc::new(self.disk.clone());
        // With the faults that are set; a failed one is tried again without them.
        if let Some(db) = self.done("open", open_on(self.options.clone(), vfs, DIR)) {
            self.db = Some(db);
            match self.done("a read", self.found()) {
                Some(found) => {
                    let now = self.disk.mutations();
                    self.model.recovered(found, now, now, true);
                    self.disk.record(true);
                    self.faulty = self.failing;
                }
                None => self.db = None,
            }
        }
    }

    fn read_only(&mut self) {
        let before = self.disk.image_hash();
        let vfs = Arc::new(self.disk.clone());
        let opened = open_read_only_on(self.options.clone(), vfs, DIR);
        let result = opened.and_then(|db| whole(&db));
        if let Some(found) = self.done("a read-only open", result) {
            assert!(self.model.is_now(&found), "{found:?}\n{:?}", self.model.now());
        }
        assert_eq!(self.disk.image_hash(), before, "a read-only open wrote something");
    }

    fn checkpoint(&mut self, db: &Db) {
        self.copies += 1;
        let path = format!("/copy-{}", self.copies);
        if self.done("checkpoint", db.checkpoint(&path)).is_none() {
            return;
        }
        let image = self.disk.crash_now(CrashMode::Synced);
        image.set_capacity(None);
        let copy = open_on(self.options.clone(), Arc::new(image), Path::new(&path));
        let found = copy.and_then(|db| whole(&db)).expect("the checkpoint opens and reads");
        assert!(self.model.is_now(&found), "{found:?}\n{:?}", self.model.now());
    }

    fn crash(&mut self, db: Db, mode: Option<CrashMode>, back: u64) {
        let last = self.disk.mutations();
        let number = last.saturating_sub(back).max(self.model.first_mutation());
        let image = match mode {
            None => self.disk.kill_at(number),
            Some(mode) => self.disk.crash_at(number, mode),
        };
        let torn = matches!(mode, Some(CrashMode::Torn { .. }));
        let kept = matches!(mode, None | Some(CrashMode::Everything | CrashMode::Torn { .. }));
        let whole = if torn { number.saturating_sub(1) } else { number };
        self.snapshots.clear();
        drop((self.db.take(), db));
        self.disk = image;
        self.open();
        let found = self.found().expect("a read on a disk where nothing fails");
        self.model.recovered(found, number, whole, kept);
    }
}

/// 64 keys, some of them long, with what they share at the front.
fn key_bytes(key: u8) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        1..16 => vec![0xFF; usize::from(key)],
        16..32 => format!("shared/{}/{key}", "x".repeat(usize::from(key) * 4)).into_bytes(),
        _ => format!("k{key}").into_bytes(),
    }
}
