//! A database and its reference, side by side: writes and upkeep. What is read is
//! in `reads.rs`; closing, crashing and copying in `ends.rs`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::internals::vfs::{OsVfs, Vfs};
use olive_core::{
    Db, Durability, ErrorKind, Keyspace, Progress, Result, Value, WriteBatch, WriteOptions,
};

use super::ops::{How, Op, Script, key_bytes, numbered, value};
use super::reads::{HeldCursor, HeldIter, HeldSnapshot};
use super::reference::{Change, DEFAULT, Reference, Space};
use super::sets::{Disk, Keyspaces, OptionSet, SETS, SYNC_INTERVAL};

/// `Err`: what the database did wrong.
pub(super) type Outcome<T = ()> = std::result::Result<T, String>;

macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}
pub(super) use ensure;

/// How often each kind of event came.
pub(super) type Events = BTreeMap<&'static str, u64>;

pub(super) const NAMES: [&str; 5] = ["a", "b", "a\0", "users", "\u{10FFFF}"];
/// So many handles of keyspaces, snapshots, cursors, iterators are held at most.
const HELD_MAX: usize = 7;
/// More steps of maintenance in a row than any script gives work for.
const STEPS_MAX: usize = 20_000;
/// A keyspace's handle, perhaps of one that was dropped.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) keyspace: Keyspace,
    pub(super) name: &'static str,
    pub(super) space: Space,
}

/// What had been acknowledged when the disk had seen so many mutations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) mutations: u64,
    pub(super) written: usize,
    pub(super) synced: usize,
}

pub(super) struct World {
    pub(super) set: &'static OptionSet,
    pub(super) sim: Option<SimVfs>,
    pub(super) vfs: Arc<dyn Vfs>,
    /// The folder of all folders.
    pub(super) root: PathBuf,
    pub(super) path: PathBuf,
    pub(super) db: Option<Db>,
    pub(super) reference: Reference,
    pub(super) handles: Vec<Handle>,
    pub(super) snapshots: Vec<HeldSnapshot>,
    pub(super) cursors: Vec<HeldCursor>,
    pub(super) iters: Vec<HeldIter>,
    pub(super) values: Vec<(Value, Vec<u8>)>,
    /// The last write that a power cut must leave.
    pub(super) synced: usize,
    pub(super) marks: Vec<Mark>,
    pub(super) folders: u32,
    /// Flushes and compactions that are known to have been done.
    pub(super) flushes: u64,
    pub(super) compactions: u64,
    pub(super) events: Events,
    _dir: Option<tempfile::TempDir>,
}

/// Runs a script; says what came, or what went wrong and where.
pub(super) fn run(script: &Script) -> Outcome<Events> {
    let set = &SETS[script.set];
    let mut world = World::new(set).map_err(|error| format!("at the first open: {error}"))?;
    for (number, op) in script.ops.iter().enumerate() {
        world.apply(op).map_err(|wrong| format!("[{}] op {number}, {op:?}: {wrong}", set.name))?;
    }
    world.end().map_err(|wrong| format!("[{}] at the end: {wrong}", set.name))?;
    Ok(world.events)
}

/// As [`run`], with a panic as one more thing that went wrong.
pub(super) fn run_caught(script: &Script) -> Outcome<Events> {
    let run = std::panic::AssertUnwindSafe(|| run(script));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("[{}] panic: {}", SETS[script.set].name, text.unwrap_or("?")))
    })
}

impl World {
    fn new(set: &'static OptionSet) -> Outcome<World> {
        let (dir, sim) = match set.disk {
            Disk::Real => (Some(tempfile::tempdir().map_err(text)?), None),
            Disk::Simulated => (None, Some(SimVfs::new(7))),
        };
        let root = dir.as_ref().map_or(PathBuf::from("/"), |dir| dir.path().to_path_buf());
        let vfs: Arc<dyn Vfs> = match &sim {
            Some(sim) => Arc::new(sim.clone()),
            None => Arc::new(OsVfs::default()),
        };
        let mut world = World {
            set,
            sim,
            vfs,
            path: root.join("db"),
            root,
            db: None,
            reference: Reference::default(),
            handles: Vec::new(),
            snapshots: Vec::new(),
            cursors: Vec::new(),
            iters: Vec::new(),
            values: Vec::new(),
            synced: 0,
            marks: Vec::new(),
            folders: 0,
            flushes: 0,
            compactions: 0,
            events: Events::new(),
            _dir: dir,
        };
        world.open()?;
        if set.keyspaces == Keyspaces::All {
            NAMES.into_iter().try_for_each(|name| world.keyspace(name))?;
        }
        Ok(world)
    }

    /// Opens what the path names; all that is there is durable then.
    pub(super) fn open(&mut self) -> Outcome {
        if let Some(sim) = &self.sim {
            sim.record(true);
        }
        let db = open_on(self.set.options(), Arc::clone(&self.vfs), &self.path);
        self.db = Some(db.map_err(|error| format!("open: {error:?}"))?);
        self.synced = self.reference.now();
        self.marks.clear();
        self.mark();
        Ok(())
    }

    pub(super) fn db(&self) -> &Db {
        self.db.as_ref().expect("open between operations")
    }

    pub(super) fn count(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }

    fn apply(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Put { space, key, len, how } => {
                self.count("put");
                self.put(*space, &key_bytes(*key), Some(*len), *how)
            }
            Op::Delete { space, key, how } => {
                self.count("delete");
                self.put(*space, &key_bytes(*key), None, *how)
            }
            Op::Batch { ops, how } => self.batch(ops, *how),
            Op::Fill { space, first, count, len } => {
                self.count("run of puts");
                (0..*count).try_for_each(|i| {
                    self.put(*space, &numbered(first.wrapping_add(i)), Some(*len), How::Plain)
                })
            }
            Op::Erase { space, first, count } => {
                self.count("run of deletes");
                (0..*count).try_for_each(|i| {
                    self.put(*space, &numbered(first.wrapping_add(i)), None, How::Plain)
                })
            }
            Op::Keyspace { .. } if self.set.keyspaces == Keyspaces::None => Ok(()),
            Op::Keyspace { name } => self.keyspace(NAMES[usize::from(*name)]),
            Op::DropKeyspace { name } => self.drop_keyspace(NAMES[usize::from(*name)]),
            Op::Flush => {
                self.count("flush asked for");
                self.flushes += 1;
                self.db().flush().map_err(text)
            }
            Op::Compact { space, start, end } => self.compact(*space, start, end),
            Op::Maintain { steps } => (0..*steps).try_for_each(|_| self.maintain().map(|_| ())),
            Op::Sync => {
                self.count("sync");
                self.db().sync().map_err(text)?;
                self.now_synced();
                Ok(())
            }
            Op::Advance { ms } => {
                self.advance(Duration::from_millis(u64::from(*ms)));
                Ok(())
            }
            Op::Rest => self.rest(),
            Op::Reopen { by_drop } => self.reopen(*by_drop),
            Op::Crash { cut, back, again } => self.crash(*cut, *back, *again),
            Op::ReadOnly => self.read_only(),
            Op::Checkpoint { go_on } => self.checkpoint(*go_on),
            Op::Verify => self.verify(),
            Op::Compare => self.compare(),
            Op::Settle => self.settle(),
            read => self.read(read),
        }
    }

    fn end(&mut self) -> Outcome {
        self.compare()?;
        self.verify()?;
        self.reopen(false)?;
        self.db().close().map_err(text)
    }

    /// The handle that a script's number for a space means; `None`: the default one.
    pub(super) fn handle(&self, space: u8) -> Option<Handle> {
        let index = usize::from(space.checked_sub(1)?) % self.handles.len().max(1);
        self.handles.get(index).cloned()
    }

    pub(super) fn is_live(&self, handle: &Handle) -> bool {
        self.reference.space(handle.name, self.reference.now()) == Some(handle.space)
    }

    fn put(&mut self, space: u8, key: &[u8], len: Option<u32>, how: How) -> Outcome {
        let handle = self.handle(space);
        let value = len.map(|len| value(self.reference.now() + 1, len));
        let options = options(how);
        let result = match (&handle, &value) {
            (None, Some(value)) => self.db().put_with(key, value, &options),
            (None, None) => self.db().delete_with(key, &options),
            (Some(handle), Some(value)) => handle.keyspace.put_with(key, value, &options),
            (Some(handle), None) => handle.keyspace.delete_with(key, &options),
        };
        let live = handle.as_ref().is_none_or(|handle| self.is_live(handle));
        let space = handle.map_or(DEFAULT, |handle| handle.space);
        let change = Change::Entry(space, key.to_vec(), value.map(Into::into));
        self.wrote(result, live, how, vec![change])
    }

    fn batch(&mut self, ops: &[(u8, u16, Option<u32>)], how: How) -> Outcome {
        let mut batch = WriteBatch::new();
        let mut changes = Vec::new();
        let mut live = true;
        for (space, key, len) in ops {
            let key = key_bytes(*key);
            let handle = self.handle(*space);
            let write = (self.reference.now() + 1) ^ (changes.len() << 24);
            let value = len.map(|len| value(write, len));
            match (&handle, &value) {
                (None, Some(value)) => batch.put(&key, value),
                (None, None) => batch.delete(&key),
                (Some(handle), Some(value)) => batch.put_in(&handle.keyspace, &key, value),
                (Some(handle), None) => batch.delete_in(&handle.keyspace, &key),
            };
            live &= handle.as_ref().is_none_or(|handle| self.is_live(handle));
            let space = handle.map_or(DEFAULT, |handle| handle.space);
            changes.push(Change::Entry(space, key, value.map(Into::into)));
        }
        let spaces = changes.iter().filter_map(|change| match change {
            Change::Entry(space, ..) => Some(space),
            Change::Name(..) => None,
        });
        let across = spaces.collect::<std::collections::BTreeSet<_>>().len() > 1;
        self.count(if across { "batch across keyspaces" } else { "batch" });
        let result = self.db().write_with(&batch, &options(how));
        self.wrote(result, live, how, changes)
    }

    /// Judges what a write said, and takes it over into the reference.
    fn wrote(&mut self, result: Result<()>, live: bool, how: How, changes: Vec<Change>) -> Outcome {
        match result {
            Ok(()) => ensure!(live, "a write to a dropped keyspace was taken"),
            Err(error) if error.kind() == ErrorKind::InvalidArgument && !live => {
                self.count("write to a dropped keyspace");
                return Ok(());
            }
            Err(error)
                if error.kind() == ErrorKind::Stalled && matches!(how, How::DeadlineMs(_)) =>
            {
                self.count("write past its deadline");
                return Ok(());
            }
            Err(error) => return Err(format!("write: {error:?}")),
        }
        // An empty batch is no write: it promises nothing, a sync neither.
        if !changes.is_empty() {
            self.reference.write(changes);
            self.acknowledged(how);
        }
        Ok(())
    }

    fn acknowledged(&mut self, how: How) {
        if how == How::Durable || (self.set.durable && how != How::Buffered) {
            self.synced = self.reference.now();
        }
        self.mark();
    }

    pub(super) fn now_synced(&mut self) {
        self.synced = self.reference.now();
        self.mark();
    }

    fn mark(&mut self) {
        if let Some(sim) = &self.sim {
            let (written, synced) = (self.reference.now(), self.synced);
            self.marks.push(Mark { mutations: sim.mutations(), written, synced });
        }
    }

    fn keyspace(&mut self, name: &'static str) -> Outcome {
        let keyspace = self.db().keyspace(name).map_err(text)?;
        let space = match self.reference.space(name, self.reference.now()) {
            Some(space) => space,
            None => {
                let made_before = self.reference.was_named(name);
                self.count(if made_before { "keyspace made again" } else { "keyspace made" });
                let space = self.reference.new_space();
                self.reference.write(vec![Change::Name(name.to_owned(), Some(space))]);
                self.acknowledged(How::Plain);
                space
            }
        };
        self.hold_handle(Handle { keyspace, name, space });
        Ok(())
    }

    pub(super) fn hold_handle(&mut self, handle: Handle) {
        if self.handles.len() == HELD_MAX {
            self.handles.remove(0);
        }
        self.handles.push(handle);
    }

    fn drop_keyspace(&mut self, name: &'static str) -> Outcome {
        let dropped = self.db().drop_keyspace(name).map_err(text)?;
        let was_there = self.reference.space(name, self.reference.now()).is_some();
        ensure!(dropped == was_there, "drop_keyspace({name:?}) said {dropped}");
        if dropped {
            self.count("keyspace dropped");
            // One handle that fails is enough.
            let gone = self.handles.iter().rposition(|handle| handle.name == name);
            let gone = gone.map(|index| self.handles.remove(index));
            let now = self.reference.now();
            let live = |handle: &Handle| {
                handle.name != name && self.reference.space(handle.name, now) == Some(handle.space)
            };
            self.handles.retain(live);
            self.handles.extend(gone);
            self.reference.write(vec![Change::Name(name.to_owned(), None)]);
            self.acknowledged(How::Plain);
        }
        let names: Vec<&str> =
            self.reference.names(self.reference.now()).map(|(name, _)| name).collect();
        let found = self.db().keyspaces().map_err(text)?;
        ensure!(names == found, "keyspaces are {names:?}, said {found:?}");
        Ok(())
    }

    fn compact(&mut self, space: u8, start: &Bound<u16>, end: &Bound<u16>) -> Outcome {
        let whole = (start, end) == (&Bound::Unbounded, &Bound::Unbounded);
        self.count(if whole { "compaction of all" } else { "compaction of a range" });
        let range = (start.map(key_bytes), end.map(key_bytes));
        match self.handle(space) {
            None => self.db().compact_range(range).map_err(text)?,
            Some(handle) => match handle.keyspace.compact_range(range) {
                Ok(()) => ensure!(self.is_live(&handle), "compacted a dropped keyspace"),
                Err(error) => ensure!(
                    error.kind() == ErrorKind::InvalidArgument && !self.is_live(&handle),
                    "compact_range: {error:?}"
                ),
            },
        }
        self.flushes += 1;
        self.compactions += 1;
        Ok(())
    }

    /// With nothing held, what a compaction of everything leaves is what is there.
    fn settle(&mut self) -> Outcome {
        self.count("settled");
        self.snapshots.clear();
        self.cursors.clear();
        self.iters.clear();
        self.db().compact_range(..).map_err(text)?;
        let now = self.reference.now();
        for (name, _) in self.reference.names(now) {
            let keyspace = self.db().keyspace(name).map_err(text)?;
            keyspace.compact_range(..).map_err(text)?;
        }
        (self.flushes, self.compactions) = (self.flushes + 1, self.compactions + 1);
        let entries = self.db().verify().map_err(text)?.entries;
        let spaces = self.reference.names(now).map(|(_, space)| space).chain([DEFAULT]);
        let live: usize = spaces.map(|space| self.reference.entries(space, now).count()).sum();
        ensure!(entries >= live as u64, "{live} entries live, {entries} in tables");
        // What was in a dropped keyspace may go later.
        if self.reference.names_changed() == self.reference.names(now).count() {
            let catalog = 2 * self.reference.names_changed();
            ensure!(
                entries <= (live + catalog) as u64,
                "{live} entries live and {catalog} in the catalog, {entries} in tables"
            );
        }
        Ok(())
    }

    fn maintain(&mut self) -> Outcome<Progress> {
        let progress = self.db().maintain().map_err(text)?;
        match progress {
            Progress::Flushed => self.flushes += 1,
            Progress::Compacted => self.compactions += 1,
            _ => {}
        }
        self.count(match progress {
            Progress::Flushed => "step: flushed",
            Progress::Compacted => "step: compacted",
            Progress::Synced => "step: synced",
            Progress::Prepared => "step: prepared",
            Progress::Collected => "step: collected",
            _ => "step: idle",
        });
        Ok(progress)
    }

    fn advance(&mut self, by: Duration) {
        self.count("clock moved on");
        if let Some(sim) = &self.sim {
            sim.advance(by);
        }
    }

    /// After the sync interval and all work that is due, a power cut takes nothing.
    fn rest(&mut self) -> Outcome {
        self.count("rest");
        self.advance(SYNC_INTERVAL + Duration::from_millis(100));
        let mut steps = 0;
        while self.maintain()? != Progress::Idle {
            steps += 1;
            ensure!(steps < STEPS_MAX, "maintenance does not come to rest");
        }
        if self.sim.is_some() && !self.set.threads {
            self.now_synced();
        }
        Ok(())
    }

    fn verify(&mut self) -> Outcome {
        self.count("verify");
        let report = self.db().verify().map_err(text)?;
        ensure!(report.is_clean(), "verify: {:?}", report.damage);
        let health = self.db().health().map_err(text)?;
        ensure!(
            health.writable && health.poisoned.is_none() && health.background_error.is_none(),
            "{health:?}"
        );
        let stats = self.db().stats().map_err(text)?;
        ensure!(stats.background_errors == 0, "{:?}", stats.last_background_error);
        self.db().approximate_size(..).map_err(text)?;
        Ok(())
    }
}

fn options(how: How) -> WriteOptions {
    let options = WriteOptions::default();
    match how {
        How::Plain => options,
        How::Durable => options.durability(Durability::Sync),
        How::Buffered => options.durability(Durability::Buffered),
        How::DeadlineMs(ms) => options.deadline(Duration::from_millis(u64::from(ms))),
    }
}

pub(super) fn text(error: impl Display) -> String {
    error.to_string()
}
