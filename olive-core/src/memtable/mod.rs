//! The sorted in-memory table.
//!
//! ```text
//! MemtableWriter ── insert ──► Memtable { Tree { Arena } } ◄── get, MemtableIter
//!   one, `&mut`                                                    any number, no lock
//! ```
//!
//! An insert makes its entry reachable at once; whether a reader may show it is
//! decided by sequence number: the engine publishes one with Release after the
//! inserts, a reader loads it with Acquire before it searches, and then finds every
//! entry up to it. Entries above it may or may not be met.
//!
//! `arena.rs` owns the memory, `tree_nodes.rs` says how nodes lie in it, `tree.rs` searches
//! them (`window.rs`: by 8 bytes of each key), `hash_index.rs` leads a get past all of them.
//! `tree_insert.rs` is the writer (`tree_split.rs`: where a leaf is full), `tree_iter.rs`
//! what readers are given.
//! `run.rs` is for recovery: entries that are gathered, and sorted once.

#[expect(unsafe_code, reason = "owns raw memory")]
mod arena;
mod hash_index;
mod run;
#[cfg(test)]
mod tests;
#[cfg(all(test, olive_shuttle))]
mod tests_shuttle;
#[cfg(test)]
mod tests_threads;
#[expect(unsafe_code, reason = "nodes are placed in the arena's raw memory")]
mod tree;
#[expect(unsafe_code, reason = "writes nodes into the arena's raw memory")]
mod tree_insert;
#[expect(unsafe_code, reason = "reads nodes that it keeps alive")]
mod tree_iter;
mod tree_nodes;
#[expect(unsafe_code, reason = "writes nodes in the arena's raw memory")]
mod tree_split;
#[cfg(test)]
#[expect(unsafe_code, reason = "does the writer's steps one by one")]
mod tree_split_tests;
mod window;

use std::fmt;

use crate::error::Result;
use crate::sync::{Arc, AtomicUsize, Handles, Mutex, MutexGuard, Ordering};

use arena::Spare;
pub use run::{RunBuilder, SortedRun};
use tree::Tree;
pub use tree_insert::MemtableWriter;
pub use tree_iter::MemtableIter;

/// Bytes of all arenas that are alive, also those that only a value still holds; and the
/// memory of one that is not, kept for the next.
///
/// Arenas of 1 MiB and more are counted in steps of 64 KiB, rounded up.
#[derive(Clone)]
pub struct ArenaGauge(Arc<Gauge>);

struct Gauge {
    bytes: AtomicUsize,
    spare: Mutex<Spare>,
}

impl ArenaGauge {
    /// A gauge at zero.
    #[must_use]
    pub fn new() -> ArenaGauge {
        let (bytes, spare) = (AtomicUsize::new(0), Mutex::new(Spare::default()));
        ArenaGauge(Arc::new(Gauge { bytes, spare }))
    }

    /// Bytes taken in all arenas alive (bytes used, not reserved), with their hash indexes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory that are kept for a next arena.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        self.spare().bytes()
    }

    /// Gives back memory that is kept for a next arena; says whether there was any.
    pub fn release_spare(&self) -> bool {
        let mut spare = self.spare();
        let kept = match &mut *spare {
            Spare::Kept(_) => std::mem::take(&mut *spare),
            _ => return false,
        };
        drop(spare);
        // Unmapping takes a while: not under the lock.
        drop(kept);
        true
    }

    /// The same, and nothing is kept from now on.
    pub fn keep_none(&self) {
        let kept = std::mem::replace(&mut *self.spare(), Spare::Closed);
        drop(kept);
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.spare.lock()
    }

    fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for ArenaGauge {
    fn default() -> ArenaGauge {
        ArenaGauge::new()
    }
}

impl fmt::Debug for ArenaGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArenaGauge").field(&self.bytes()).finish()
    }
}

/// A sorted table in memory: one writer, and readers that never lock.
pub struct Memtable {
    tree: Arc<Tree>,
    /// What values hold: the arena, and not what else is here.
    handles: Handles<Arc<Tree>>,
}

impl Memtable {
    /// An empty one whose arena has room for `capacity_bytes` of entries and nodes.
    /// Memory is reserved at once and taken as it is touched.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a capacity near or past 32 GiB; `Io` where the system
    /// refuses the reservation.
    pub fn new(
        capacity_bytes: usize,
        gauge: &ArenaGauge,
    ) -> Result<(Arc<Memtable>, MemtableWriter)> {
        tree_insert::table_and_writer(capacity_bytes, gauge)
    }

    /// The most arena bytes that one entry can take: entries whose bounds add up to
    /// no more than what [`MemtableWriter::fits`] said can all be inserted.
    #[must_use]
    pub fn entry_bytes_max(scoped_len: usize, value_len: usize) -> usize {
        tree_insert::entry_bytes_max(scoped_len, value_len)
    }

    /// The same of `entries` together, whose keys and values have `bytes` in sum.
    #[must_use]
    pub fn entries_bytes_max(entries: usize, bytes: usize) -> usize {
        tree_insert::entries_bytes_max(entries, bytes)
    }

    /// Brings the memory into place that inserts will need next, here and in the memtable
    /// that follows, so that the writer does not wait for it. For a thread beside it.
    pub fn populate_ahead(&self) {
        self.tree.arena.populate_ahead();
    }

    /// Whether there is something for [`populate_ahead`](Self::populate_ahead) to do.
    #[must_use]
    pub fn lacks_memory_ahead(&self) -> bool {
        self.tree.arena.lacks_memory_ahead()
    }

    /// Whether memory that is kept for the next memtable will be used soon.
    #[must_use]
    pub fn wants_spare(&self) -> bool {
        self.tree.arena.wants_spare()
    }

    /// Arena bytes taken.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.tree.arena.used_bytes()
    }

    /// The memory it takes: what [`bytes_used`](Self::bytes_used) says, and its hash index.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.tree.arena.memory_bytes()
    }

    /// Arena bytes there are.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.tree.arena.capacity_bytes()
    }

    /// Entries inserted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len.load(Ordering::Acquire)
    }

    /// Whether nothing was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memtable")
            .field("entries", &self.len())
            .field("bytes_used", &self.bytes_used())
            .field("capacity_bytes", &self.capacity_bytes())
            .finish()
    }
}
