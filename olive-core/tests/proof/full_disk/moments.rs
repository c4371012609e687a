//! No room at a moment of its own: during a flush, a compaction, an open, a close.

use std::sync::Arc;

use olive_core::internals::open_on;
use olive_core::{Db, Error, ErrorKind, Maintenance, Options, Result};

use super::disk::Disk;
use super::writers::{Checked, Writer, check, with_room};
use crate::support::DIR;
use crate::tally::Tally;

/// The part of the disk that is written before the room goes.
const WRITTEN_PART: u64 = 8;

/// What a moment works with.
pub(super) struct Scene<'a> {
    pub(super) disk: &'a Disk,
    pub(super) options: &'a Options,
    pub(super) seed: u64,
    /// Bytes of room that are left.
    pub(super) left: u64,
    pub(super) tally: &'a Tally,
}

impl Scene<'_> {
    /// All four moments.
    pub(super) fn all(&self) -> Checked {
        type Moment = for<'a> fn(&Scene<'a>, &mut Writer) -> Checked;
        let moments: [(&str, Moment); 4] = [
            ("full in a flush", |scene, writer| scene.flush(writer)),
            ("in a compaction", |scene, writer| scene.compaction(writer)),
            ("in an open", |scene, writer| scene.open(writer)),
            ("in a close", |scene, writer| scene.close(writer)),
        ];
        for (name, moment) in moments {
            self.disk.clear();
            let mut writer = Writer::new(0, self.seed);
            moment(self, &mut writer)
                .map_err(|what| format!("{name}, {} bytes left: {what}", self.left))?;
            self.tally.add(name, 1);
        }
        Ok(())
    }

    fn flush(&self, writer: &mut Writer) -> Checked {
        let db = self.begin(writer, self.options)?;
        self.disk.fill(self.left);
        self.note(db.flush(), "a flush")?;
        check(&db, std::slice::from_ref(writer))?;
        self.check_killed(writer)?;
        self.disk.free();
        with_room("a flush", || db.flush())?;
        check(&db, std::slice::from_ref(writer))?;
        self.reopen(db, writer)
    }

    fn compaction(&self, writer: &mut Writer) -> Checked {
        let db = self.begin(writer, self.options)?;
        with_room("a flush", || db.flush())?;
        self.disk.fill(self.left);
        self.note(db.compact_range(..), "a compaction")?;
        check(&db, std::slice::from_ref(writer))?;
        self.check_killed(writer)?;
        self.disk.free();
        with_room("a compaction", || db.compact_range(..))?;
        check(&db, std::slice::from_ref(writer))?;
        self.reopen(db, writer)
    }

    /// Killed on a full disk, and opened on one.
    fn open(&self, writer: &mut Writer) -> Checked {
        // Without threads, the folder can be copied.
        let db = self.begin(writer, &self.options.clone().maintenance(Maintenance::Manual))?;
        self.disk.fill(self.left);
        writer.fill(&db, self.value_bytes_max())?;
        let killed = self.disk.copy();
        self.disk.free();
        self.note(db.close(), "a close")?;
        drop(db);
        self.disk.restore(&killed);
        self.disk.fill(self.left);
        let opened = self.disk.open(self.options.clone());
        let how = if opened.is_ok() { "opened without room" } else { "opens refused" };
        self.tally.add(how, 1);
        match opened {
            Ok(db) => {
                check(&db, std::slice::from_ref(writer))?;
                self.note(db.close(), "a close")?;
            }
            Err(error) => drop(self.note(Err(error), "an open")?),
        }
        self.disk.free();
        let db = self.disk.open(self.options.clone()).map_err(told("an open with room"))?;
        self.reopen(db, writer)
    }

    fn close(&self, writer: &mut Writer) -> Checked {
        let db = self.begin(writer, self.options)?;
        self.disk.fill(self.left);
        self.note(db.close(), "a close")?;
        drop(db);
        self.check_killed(writer)?;
        self.disk.free();
        let db = self.disk.open(self.options.clone()).map_err(told("an open with room"))?;
        self.reopen(db, writer)
    }

    fn value_bytes_max(&self) -> u64 {
        self.disk.bytes() / 1024
    }

    /// A database with tables, and with writes that no table has.
    fn begin(&self, writer: &mut Writer, options: &Options) -> Checked<Db> {
        let db = self.disk.open(options.clone()).map_err(told("a new database"))?;
        let value_bytes = self.value_bytes_max() / 2;
        for _ in 0..3 {
            let times = self.disk.bytes() / WRITTEN_PART / 3 / value_bytes;
            writer.resume(&db, times, self.value_bytes_max())?;
            with_room("a flush", || db.flush())?;
        }
        writer.resume(&db, 60, self.value_bytes_max())?;
        Ok(db)
    }

    /// It was done, or refused for want of room.
    fn note(&self, outcome: Result<()>, what: &str) -> Checked {
        match outcome {
            Ok(()) => self.tally.add("done without room", 1),
            Err(error) if error.kind() == ErrorKind::DiskFull => self.tally.add("refused", 1),
            Err(error) => return Err(format!("{what}: {error:?}")),
        }
        Ok(())
    }

    /// Killed now, where that can be had.
    fn check_killed(&self, writer: &Writer) -> Checked {
        let Some(vfs) = self.disk.killed() else { return Ok(()) };
        let options = self.options.clone().maintenance(Maintenance::Manual);
        let db = open_on(options, Arc::new(vfs), DIR).map_err(told("killed"))?;
        check(&db, std::slice::from_ref(writer)).map_err(|what| format!("killed: {what}"))?;
        self.tally.add("killed", 1);
        Ok(())
    }

    /// With room: right, and right once more; and nothing is left over.
    fn reopen(&self, db: Db, writer: &Writer) -> Checked {
        check(&db, std::slice::from_ref(writer))?;
        db.close().map_err(told("a close with room"))?;
        drop(db);
        let options = self.options.clone().maintenance(Maintenance::Manual);
        let db = self.disk.open(options).map_err(told("a reopen with room"))?;
        check(&db, std::slice::from_ref(writer))?;
        let levels = db.stats().map_err(told("statistics"))?.levels;
        let live: u64 = levels.iter().map(|level| level.tables).sum();
        let found = self.disk.tables() as u64;
        if found != live {
            return Err(format!("{found} tables stand in the folder, {live} are live"));
        }
        db.close().map_err(told("a last close"))
    }
}

fn told(what: &'static str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error:?}")
}
