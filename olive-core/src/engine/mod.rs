//! The engine: state, and the lock order that keeps it whole.
//!
//! ```text
//! path         file              what it does
//! open         open.rs           folder -> recovered tree -> engine; close
//! write        write.rs          batch -> log -> memtable -> published -> synced
//! read         read.rs           view -> memtables -> tables -> value
//! background   maintenance.rs    flush, compact, sync, prepare, collect; threads
//! ```
//!
//! **Lock order.** A lock is taken only while locks above it, or none, are held:
//!
//! ```text
//! 1  catalog       names and ids of keyspaces
//! 2  flushing      one flush at a time; held across its disk work
//! 3  commit        log writer, memtable writer, next sequence number; never across a
//!                  sync, but to create a segment that nobody has prepared
//! 4  manifest      held across the append and sync of an edit, and its install
//! 5  tree          what waits, runs and is obsolete; installs views; never across disk work
//! 6  snapshots, dropped keyspaces
//! ```
//!
//! The log's own locks come last, and those of kept walks (`spares.rs`), of which each
//! is one thread's: cursors take it, gets take none. A view is pinned through `view`, and
//! the published sequence number is loaded *after* it, since a view that is newer than the
//! number could have lost the version that the number sees.

mod catalog;
mod checkpoint;
mod counters;
mod dropped;
mod folder;
mod gaps;
mod hold;
mod inspect;
mod install;
mod maintenance;
mod multi_get;
mod narrow;
mod numbers;
mod open;
mod passed;
mod payments;
mod read;
mod recovery;
mod segments;
mod snapshots;
mod spares;
mod stall;
mod threads;
mod view;
mod write;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::compaction::{Claim, PickerConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::{DatabaseId, TableMeta};
use crate::key::{KeyspaceId, SeqNo};
use crate::memtable::{ArenaGauge, Memtable};
use crate::options::{Options, WalIo};
use crate::sync::{
    Arc, ArcSwap, AtomicBool, AtomicU64, Condvar, Mutex, OnceLock, Ordering, OwnLines,
};
use crate::table::{Table, TableReadOptions, TableWriterOptions};
use crate::vfs::{LockGuard, Vfs};
use crate::wal::{LogSync, Segment};

use catalog::Catalog;
pub(crate) use catalog::KeyspaceState;
use counters::Counters;
use gaps::Gaps;
use hold::Stalls;
use install::Records;
use narrow::Lack;
use numbers::FileNumbers;
use passed::Passed;
pub(crate) use read::{Hit, Scan, bounds_of, bounds_of_prefix};
pub(crate) use snapshots::HeldSeq;
use snapshots::Snapshots;
use spares::Spares;
use threads::{Rest, Threads};
use view::View;
use write::Commit;

/// One open database.
pub(crate) struct Engine {
    options: Options,
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    database: DatabaseId,
    /// Tells this open database from all others of the process.
    instance: u64,
    read_only: bool,
    wal_io: WalIo,
    closed: AtomicBool,
    /// The failed sync after which nothing may be written.
    poison: OnceLock<Error>,
    /// What recovery cut off or skipped.
    recovery_dropped: Vec<String>,

    view: ArcSwap<View>,
    spares: Spares,
    passed: Passed,
    gaps: Arc<Gaps>,
    /// The last sequence number that readers may see.
    published: OwnLines<AtomicU64>,
    /// `None`: read-only, or closed.
    commit: OwnLines<Mutex<Option<Commit>>>,
    /// `None`: read-only.
    log: Option<Arc<LogSync>>,
    /// Held while a memtable becomes tables.
    flushing: Mutex<()>,
    /// `None`: read-only, or closed.
    manifest: Mutex<Option<Records>>,
    tree: Mutex<Tree>,
    /// Something in `tree` changed that a writer, or `compact_range`, may wait for.
    tree_changed: Condvar,
    catalog: Mutex<Catalog>,
    /// Keyspaces that were dropped, with the sequence number of that; what they held
    /// may still be in tables.
    dropped: Mutex<BTreeMap<KeyspaceId, SeqNo>>,
    /// The last sequence number of a drop that is known to be durable.
    drops_synced: AtomicU64,
    /// Tables in which little of dropped keyspaces was found, and how many of these there
    /// were then: see `dropped.rs`.
    shrunk: Mutex<HashMap<u64, usize>>,
    snapshots: Snapshots,
    numbers: FileNumbers,

    gauge: ArenaGauge,
    counters: Counters,
    work: WorkCounters,
    stalls: Stalls,
    /// When the log was last synced in the background, in nanoseconds of the clock.
    last_sync_ns: AtomicU64,
    rest: Rest,
    threads: Threads,
    /// Held for the life of the handle.
    lock: Mutex<Option<Box<dyn LockGuard>>>,
}

/// What maintenance works on.
#[derive(Debug, Default)]
struct Tree {
    /// Memtables that wait for their flush, oldest first.
    immutables: VecDeque<Immutable>,
    /// The next log segment, ready; it follows `active_segment`.
    prepared: Option<Segment>,
    /// Somebody creates it: a writer that needs one waits for that.
    preparing: bool,
    active_segment: u64,
    /// Length of the segment to be prepared next.
    segment_bytes: u64,
    /// Mean length of the records in the last segment that is full and has any.
    record_bytes: u64,
    /// Numbers and lengths of the log segments that stand in the folder.
    segments: VecDeque<(u64, u64)>,
    /// One that nothing needs any more, to become the next one.
    spare_segment: Option<(u64, u64)>,
    /// Compactions under way.
    running: Vec<Claim>,
    /// Background compactions wait while this is above zero.
    paused: usize,
    /// Compactions find no room on the disk.
    lack: Option<Lack>,
    /// A `compact_range` has the tree for itself.
    is_ranging: bool,
    /// Tables out of the tree that somebody may still hold.
    obsolete: Vec<Arc<Table>>,
    /// Background work that fails: which, why, and how often in a row.
    failing: BTreeMap<&'static str, (Error, u32)>,
    background_errors: u64,
    last_background_error: Option<String>,
}

/// A full memtable, and where the log goes on behind it.
#[derive(Debug, Clone)]
struct Immutable {
    memtable: Arc<Memtable>,
    last_seq: SeqNo,
    /// The segment in which the next memtable's records begin.
    next_segment: u64,
}

/// Totals of background work.
#[derive(Debug, Default)]
struct WorkCounters {
    flushes: AtomicU64,
    flushed_bytes: AtomicU64,
    compactions: AtomicU64,
    compacted_bytes: AtomicU64,
    compaction_read_bytes: AtomicU64,
    trivial_moves: AtomicU64,
}

impl Engine {
    /// Fails once the database is closed.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed_error());
        }
        Ok(())
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("the database {} is closed", self.dir.display()))
    }

    /// Fails where nothing may be written: closed, read-only or poisoned.
    #[inline]
    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            let text = format!("the database {} is open for reading only", self.dir.display());
            return Err(Error::new(ErrorKind::ReadOnly, text));
        }
        self.check_poison()
    }

    #[inline]
    fn check_poison(&self) -> Result<()> {
        let of_log = self.log.as_ref().map_or(Ok(()), |log| log.check());
        match (self.poison.get(), of_log) {
            (None, Ok(())) => Ok(()),
            (Some(cause), _) => Err(stopped(cause)),
            (None, Err(cause)) => Err(stopped(&cause)),
        }
    }

    /// Stops the writer side for good; reads go on.
    fn poison(&self, cause: Error) {
        log::error!("{}: writes stop: {cause}", self.dir.display());
        let _ = self.poison.set(cause);
        self.tree_changed.notify_all();
    }

    /// Poisons the writer side if `error` says that a sync failed.
    fn note_poison(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Poisoned {
            self.poison(error.clone());
        }
        error
    }

    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// The number that a read of the latest state may see. Pin the view first.
    #[inline]
    fn published(&self) -> SeqNo {
        SeqNo(self.published.load(Ordering::Acquire))
    }

    /// Registers a snapshot of now.
    pub(crate) fn register_snapshot(&self) -> HeldSeq {
        self.snapshots.register(|| self.published())
    }

    /// One holder of the snapshot less.
    pub(crate) fn release_snapshot(&self, held: HeldSeq) {
        self.snapshots.release(held);
    }

    fn next_number(&self) -> Result<u64> {
        self.numbers.take()
    }

    fn now(&self) -> Duration {
        self.vfs.monotonic()
    }

    /// The handle of a table that a manifest or a job describes.
    fn table(&self, meta: &TableMeta) -> Arc<Table> {
        Table::new(Arc::clone(&self.vfs), &self.dir, meta.clone(), read_options(&self.options))
    }
}

fn read_options(options: &Options) -> TableReadOptions {
    TableReadOptions { io: options.table_io, checksum_policy: options.checksum_policy }
}

fn writer_options(options: &Options) -> TableWriterOptions {
    TableWriterOptions {
        block_bytes: options.block_bytes,
        filter_bits_per_key: options.filter_bits_per_key,
    }
}

fn picker_config(options: &Options) -> PickerConfig {
    PickerConfig {
        level0_tables: options.level0_tables,
        level0_tables_due: options.level0_tables,
        level_base_bytes: options.level_base_bytes,
        level_multiplier: options.level_multiplier,
        table_bytes: options.table_bytes,
    }
}

/// At how many bytes a flush begins another table. Level 0 is counted in tables: what a
/// memtable holds is one, however small those of the other levels are to be.
fn flushed_table_bytes(options: &Options) -> u64 {
    options.table_bytes.max(options.memtable_bytes as u64)
}

#[cold]
fn stopped(cause: &Error) -> Error {
    cause.wrap(ErrorKind::Poisoned, "writes stopped until the database is opened again")
}

/// Arena bytes to reserve for a memtable that is full at `memtable_bytes` and must
/// take an entry, or batch, of `entry_bytes` at once.
fn arena_bytes(memtable_bytes: usize, entry_bytes: usize) -> usize {
    memtable_bytes.max(entry_bytes) + (64 << 10).min(memtable_bytes)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("dir", &self.dir).finish_non_exhaustive()
    }
}
