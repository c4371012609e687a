//! A script run on a recording disk, and what the disk owes after each mutation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::format::file_names::FileKind;
use olive_core::internals::format::wal_record::SEGMENT_HEADER_BYTES;
use olive_core::internals::version::Manifest;
use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::{CrashMode, OpKind, SimVfs};
use olive_core::{Durability, Options, WalIo};

use crate::sites::{Phase, Watch};
use crate::support::{Model, open_sim, tiny};
use crate::workloads::Op;
use crate::world::World;

/// How a database is set up for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setup {
    /// The log is stored through a mapping, not written.
    pub(crate) mapped: bool,
    /// Every write is synced.
    pub(crate) durable: bool,
    /// A step of maintenance follows each operation, and compactions are always due;
    /// or they never are.
    pub(crate) compacting: bool,
}

impl Setup {
    pub(crate) const ALL: [Setup; 8] = {
        let mut all = [Setup { mapped: false, durable: false, compacting: false }; 8];
        let mut at = 0;
        while at < 8 {
            all[at] = Setup { mapped: at & 1 == 0, durable: at & 2 != 0, compacting: at & 4 != 0 };
            at += 1;
        }
        all
    };

    pub(crate) fn options(self) -> Options {
        let durability = if self.durable { Durability::Sync } else { Durability::Buffered };
        let wal_io = if self.mapped { WalIo::Mapped } else { WalIo::Write };
        tiny()
            .durability(durability)
            .wal_io(wal_io)
            // Segments of both kinds in some scripts.
            .wal_mapped_record_bytes_max(if self.compacting { 150 } else { 8 << 10 })
            .level0_tables(if self.compacting { 1 } else { 64 })
            .level_base_bytes(if self.compacting { 2 << 10 } else { 1 << 30 })
            // Several memtables to a log segment, or several segments to a memtable.
            .memtable_bytes(if self.compacting { 2 << 10 } else { 16 << 10 })
    }

    /// As the line of counts calls it.
    pub(crate) fn name(self) -> &'static str {
        match (self.mapped, self.durable) {
            (true, false) => "mapped buffered",
            (true, true) => "mapped synced",
            (false, false) => "written buffered",
            (false, true) => "written synced",
        }
    }
}

/// Where a run begins: a disk, and the states that it may hold.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) disk: SimVfs,
    /// Of these, a power cut before open returns may leave any, unless the disk is
    /// durable; `found` and those behind it are what an open may find.
    pub(crate) states: Vec<Model>,
    pub(crate) found: usize,
    /// Whether a power cut takes nothing that an open finds.
    pub(crate) is_durable: bool,
}

impl Start {
    pub(crate) fn new(seed: u64) -> Start {
        let disk = SimVfs::new(seed);
        disk.set_tick(Duration::from_micros(20));
        Start { disk, states: vec![Model::default()], found: 0, is_durable: true }
    }
}

/// A folder that a checkpoint made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) path: String,
    /// The mutation after which it is durable.
    pub(crate) returned: u64,
    pub(crate) state: usize,
}

/// A run, to be cut off at any mutation.
pub(crate) struct Recording {
    pub(crate) setup: Setup,
    ops: Vec<Op>,
    pub(crate) start: Start,
    /// As the run left it, with the record.
    pub(crate) vfs: SimVfs,
    pub(crate) watch: Arc<Watch>,
    /// The model after each write; those of the start come first.
    pub(crate) states: Vec<Model>,
    /// (mutation, state): when that mutation was done, so many had begun.
    pub(crate) began: Vec<(u64, usize)>,
    /// So many were acknowledged.
    pub(crate) acknowledged: Vec<(u64, usize)>,
    /// So many had to survive a power cut.
    pub(crate) synced: Vec<(u64, usize)>,
    pub(crate) checkpoints: Vec<Made>,
}

impl Recording {
    /// Opens, runs `ops`, and closes.
    ///
    /// # Errors
    ///
    /// What went wrong without any crash.
    pub(crate) fn of(
        start: &Start,
        setup: Setup,
        ops: &[Op],
        watch: Watch,
    ) -> Result<Recording, String> {
        let vfs = start.disk.kill_now();
        vfs.record(true);
        let watch = Arc::new(watch);
        vfs.set_filter(Some(Arc::clone(&watch).filter()));
        let recording = Recording {
            setup,
            ops: ops.to_vec(),
            start: start.clone(),
            vfs,
            watch,
            states: start.states.clone(),
            began: vec![(0, start.states.len() - 1)],
            acknowledged: vec![(0, start.found)],
            synced: vec![(0, 0)],
            checkpoints: Vec::new(),
        };
        let mut world = World::open(recording)?;
        for op in ops {
            world.step(op).map_err(|wrong| format!("{op:?}: {wrong}"))?;
        }
        world.close()
    }

    /// The same run once more, watched in another way.
    pub(crate) fn again(&self, watch: Watch) -> Result<Recording, String> {
        Recording::of(&self.start, self.setup, &self.ops, watch)
    }

    /// Segments that the run created, and of these, those that were reserved and not zeroed.
    pub(crate) fn segments(&self) -> (u64, u64) {
        let mut zeroed = BTreeMap::new();
        for entry in self.vfs.trace() {
            if entry.path.extension().is_none_or(|ending| ending != "wal") {
                continue;
            }
            let is_zeroed = entry.kind == OpKind::Write
                && entry.range.start == 0
                && entry.range.end > SEGMENT_HEADER_BYTES as u64;
            if entry.kind == OpKind::Create {
                zeroed.insert(entry.path, false);
            } else if is_zeroed && let Some(zeroed) = zeroed.get_mut(&entry.path) {
                *zeroed = true;
            }
        }
        let reserved = zeroed.values().filter(|zeroed| !**zeroed).count();
        (zeroed.len() as u64, reserved as u64)
    }

    pub(crate) fn mutations(&self) -> u64 {
        self.vfs.mutations()
    }

    /// Which state the disk may hold after mutation `at`.
    pub(crate) fn allowed(&self, at: u64, power_cut: bool) -> std::ops::RangeInclusive<usize> {
        let count = |list: &[(u64, usize)]| {
            let until = list.partition_point(|(mutation, _)| *mutation <= at);
            list[..until].last().map_or(0, |(_, count)| *count)
        };
        let floor = if power_cut { count(&self.synced) } else { count(&self.acknowledged) };
        floor..=count(&self.began).max(floor)
    }

    /// Where a run begins that comes after this one was killed at mutation `at`.
    pub(crate) fn killed_at(&self, at: u64) -> Start {
        let synced = *self.allowed(at, true).start();
        let in_cache = self.allowed(at, false);
        Start {
            disk: self.vfs.kill_at(at),
            states: self.states[synced..=*in_cache.end()].to_vec(),
            found: in_cache.start() - synced,
            is_durable: false,
        }
    }

    /// Where a run begins that comes after the power was cut right after mutation `at`.
    pub(crate) fn cut_at(&self, at: u64, mode: CrashMode) -> Start {
        let states = self.states[self.allowed(at, true)].to_vec();
        Start { disk: self.vfs.crash_at(at, mode), states, found: 0, is_durable: true }
    }

    /// The mutation after which the first open returned.
    pub(crate) fn opened_at(&self) -> u64 {
        self.synced[1].0
    }
}

/// Opens the database, with the watch told that an open is under way.
pub(crate) fn open(recording: &Recording, phase: Phase) -> Result<olive_core::Db, String> {
    recording.watch.set_phase(phase);
    let db = open_sim(recording.setup.options(), &recording.vfs)
        .map_err(|error| format!("open is refused: {error}"))?;
    recording.watch.set_phase(Phase::Running);
    Ok(db)
}

/// Files in a database's folder that nothing needs: no edit, no log in force.
pub(crate) fn leftovers(vfs: &SimVfs, dir: &str) -> Result<Vec<String>, String> {
    let dir = std::path::Path::new(dir);
    let manifest = Manifest::read(vfs, dir).map_err(|e| e.to_string())?.ok_or("no CURRENT")?;
    let state = &manifest.state;
    let needed = |name: &str| match FileKind::of(name) {
        Some(FileKind::Table(number)) => state.added.iter().any(|(_, t)| t.number == number),
        Some(FileKind::Segment(number)) => {
            state.clean_segment.is_none() && state.oldest_segment.is_some_and(|o| number >= o)
        }
        Some(FileKind::Manifest(number)) => number == manifest.number,
        Some(FileKind::Current | FileKind::Lock) => true,
        Some(FileKind::CurrentTmp | FileKind::CheckpointTmp) | None => false,
    };
    let mut names = vfs.list(dir).map_err(|e| e.to_string())?;
    names.retain(|name| !needed(name));
    Ok(names)
}
