//! The simulated disk: deterministic, in memory, and as forgetful as a real one.
//!
//! ```text
//! SimVfs ──► State ──► Disk      names and bytes, current and durable (disk.rs,
//!              │                 content.rs)
//!              │ └───► Journal   every mutation, to be done again (crash.rs,
//!              │                 image.rs), or in another order (alter.rs)
//!              └─────► Faults    which calls fail (faults.rs)
//! ```
//!
//! Each mutation (a name, a write, each store through a mapping, a reservation,
//! a sync) has a number. What the disk may hold when the power goes right after
//! any of them is a [crash image](SimVfs::crash_at): a disk of its own, to open
//! a database on. A run is reproducible from the seed and the calls.

mod alter;
mod calls;
mod content;
mod crash;
mod disk;
mod faults;
mod file;
mod image;
mod raw;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

pub use alter::Move;
pub use crash::{CrashMode, Fill};
pub use faults::{Effect, Fault};
pub use trace::{Action, Filter, OpKind, TraceEntry, errno};

use crash::Journal;
use disk::{Disk, Node, NodeId, Op};
use faults::Faults;
use trace::AskFilter;

use crate::sync::{Arc, Mutex, MutexGuard};

/// A simulated file system, clock and source of randomness.
///
/// A clone is another handle of the same disk. The root folder `/` exists;
/// relative paths begin there.
#[derive(Debug, Clone)]
pub struct SimVfs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    mutations: u64,
    journal: Option<Journal>,
    /// Handles and mappings of each open file.
    open: BTreeMap<NodeId, u64>,
    locked: BTreeSet<NodeId>,
    faults: Faults,
    filter: Option<AskFilter>,
    settings: Settings,
    now: Duration,
    random: u64,
}

/// What a copy of the disk keeps.
#[derive(Debug, Clone)]
struct Settings {
    capacity_bytes: Option<u64>,
    honours_reservation: bool,
    failed_sync_cleans: bool,
    tick: Duration,
}

impl Default for SimVfs {
    fn default() -> SimVfs {
        SimVfs::new(0)
    }
}

impl SimVfs {
    /// An empty disk; `seed` decides what [`Vfs::random`](crate::vfs::Vfs::random)
    /// gives.
    #[must_use]
    pub fn new(seed: u64) -> SimVfs {
        let settings = Settings {
            capacity_bytes: None,
            honours_reservation: true,
            failed_sync_cleans: true,
            tick: Duration::ZERO,
        };
        SimVfs::of_disk(Disk::new(), seed, settings)
    }

    fn of_disk(disk: Disk, seed: u64, settings: Settings) -> SimVfs {
        let state = State {
            disk,
            mutations: 0,
            journal: None,
            open: BTreeMap::new(),
            locked: BTreeSet::new(),
            faults: Faults::default(),
            filter: None,
            settings,
            now: Duration::ZERO,
            random: seed,
        };
        SimVfs { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Mutations so far.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.state().mutations
    }

    /// Calls so far that could have failed.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().faults.calls()
    }

    /// Calls of one kind so far.
    #[must_use]
    pub fn calls_of(&self, kind: OpKind) -> u64 {
        self.state().faults.calls_of(kind)
    }

    /// Lets calls go wrong from now on, in place of what was set before. Each
    /// fault counts on its own.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.state().faults.plan(faults);
    }

    /// Asks `filter` about every mutation before it is done. It must not call
    /// this disk.
    pub fn set_filter(&self, filter: Option<Filter>) {
        self.state().filter = filter.map(AskFilter);
    }

    /// Leaves out the mutations of these numbers; takes the filter's place.
    pub fn set_ignored(&self, numbers: impl IntoIterator<Item = u64>) {
        let numbers: BTreeSet<u64> = numbers.into_iter().collect();
        self.set_filter(Some(Arc::new(move |entry| {
            if numbers.contains(&entry.number) { Action::Skip } else { Action::Do }
        })));
    }

    /// Limits the lengths of all files together. A write past it is short, then
    /// ENOSPC, as is a reservation; a store into what was reserved succeeds.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().settings.capacity_bytes = bytes;
    }

    /// Sets what [`Vfs::honours_reservation`](crate::vfs::Vfs::honours_reservation)
    /// says; true at first.
    pub fn set_honours_reservation(&self, honours: bool) {
        self.state().settings.honours_reservation = honours;
    }

    /// Whether a sync that fails leaves its pages clean, as on Linux, so that a
    /// later sync succeeds without making them durable; true at first.
    pub fn set_failed_sync_cleans(&self, cleans: bool) {
        self.state().settings.failed_sync_cleans = cleans;
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.state().now += by;
    }

    /// Moves both clocks on by `tick` at each call; zero at first.
    pub fn set_tick(&self, tick: Duration) {
        self.state().settings.tick = tick;
    }
}

impl State {
    /// Counts a call; `Ok(true)`: it is to be short.
    fn call(&mut self, kind: OpKind) -> io::Result<bool> {
        self.tick();
        self.faults.call(kind)
    }

    /// Moves the clocks on by what a call takes.
    fn tick(&mut self) -> Duration {
        self.now += self.settings.tick;
        self.now
    }

    /// Does a checked mutation, if the filter lets it.
    fn mutate(&mut self, mut entry: TraceEntry, mut op: Op) -> io::Result<()> {
        if let Some(filter) = &self.filter {
            match filter.0(&entry) {
                Action::Skip if entry.kind != OpKind::Create => {
                    entry.skipped = true;
                    op = Op::Nothing;
                }
                Action::Fail(number) if entry.kind != OpKind::Store => {
                    return Err(errno::error(number));
                }
                _ => {}
            }
        }
        self.commit(entry, op);
        Ok(())
    }

    fn commit(&mut self, entry: TraceEntry, op: Op) {
        self.mutations = entry.number;
        self.disk.apply(&op);
        if op.syncs_dir() {
            self.disk.let_go(|node| self.open.contains_key(&node));
        }
        if let Some(journal) = &mut self.journal {
            journal.push(entry, op);
        }
    }

    /// The entry that the next mutation will have.
    fn entry(&self, kind: OpKind, path: &Path, range: Range<u64>) -> TraceEntry {
        let number = self.mutations + 1;
        TraceEntry { number, kind, path: path.to_path_buf(), to: None, range, skipped: false }
    }

    /// Bytes that can still be given out.
    fn room_bytes(&self) -> u64 {
        let Some(capacity) = self.settings.capacity_bytes else { return u64::MAX };
        let named: BTreeSet<NodeId> = self
            .disk
            .nodes
            .values()
            .filter_map(|node| match node {
                Node::Dir(dir) => Some(dir.current.values().copied()),
                Node::File(_) => None,
            })
            .flatten()
            .collect();
        let used: u64 = self
            .disk
            .nodes
            .iter()
            .filter(|(id, _)| named.contains(id) || self.open.contains_key(id))
            .map(|(_, node)| match node {
                Node::File(file) => file.current.len() as u64,
                Node::Dir(_) => 0,
            })
            .sum();
        capacity.saturating_sub(used)
    }

    fn close(&mut self, node: NodeId) {
        if let Some(handles) = self.open.get_mut(&node) {
            *handles -= 1;
            if *handles == 0 {
                self.open.remove(&node);
            }
        }
    }
}

/// The next of a sequence of numbers that look random (splitmix64).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
