//! What the database tells of itself: plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One level of the tree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LevelStats {
    /// 0 is the newest.
    pub level: usize,
    /// How many tables it has.
    pub tables: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// What it may hold before it is compacted, in bytes; 0 where it has no target.
    pub target_bytes: u64,
    /// Its need of compaction; from 1 on it is compacted.
    pub score: f64,
}

/// How often and how long writers were held back, by cause.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StallStats {
    /// What writers waited for: "memtables", "level 0", "compaction debt", or "log segment".
    pub cause: String,
    /// How many waits.
    pub count: u64,
    /// Their total time, in nanoseconds.
    pub time_ns: u64,
}

/// Counters and sizes of an open database; counters start at open.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// db.put("k", "v")?;
/// let stats = db.stats()?;
/// assert_eq!(stats.put_bytes, 2);
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// The levels, 0 first.
    pub levels: Vec<LevelStats>,
    /// Memory of the memtable that takes writes, its hash index included, in bytes.
    pub memtable_bytes: u64,
    /// Memory of the memtables that wait for their flush, in bytes.
    pub immutable_bytes: u64,
    /// Memory of flushed memtables that values, iterators or snapshots still hold.
    pub pinned_bytes: u64,
    /// Memory that no memtable uses and that is kept for the next one, in bytes.
    pub spare_bytes: u64,
    /// Bytes of the log segments on disk, reserved ranges included.
    pub wal_bytes: u64,
    /// Bytes of all live tables.
    pub table_bytes: u64,
    /// Memory of the indexes and filters of the tables that were used since open.
    pub index_bytes: u64,
    /// Bytes of tables that are no longer part of the tree but still held.
    pub obsolete_bytes: u64,
    /// Keys and values taken in writes, in bytes.
    pub put_bytes: u64,
    /// Operations taken in writes.
    pub put_ops: u64,
    /// Bytes appended to the log.
    pub wal_written_bytes: u64,
    /// Bytes of tables that flushes wrote.
    pub flushed_bytes: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Bytes of tables that compactions wrote.
    pub compacted_bytes: u64,
    /// Bytes of tables that compactions read.
    pub compaction_read_bytes: u64,
    /// Compactions done; moves without rewriting included.
    pub compactions: u64,
    /// Tables moved to the next level without rewriting.
    pub trivial_moves: u64,
    /// Compactions under way now.
    pub compactions_running: u64,
    /// Point reads asked for.
    pub gets: u64,
    /// Point reads that found a value.
    pub get_hits: u64,
    /// Tables that point reads looked into, past their filter.
    pub get_tables: u64,
    /// Bytes of keys and values that point reads found.
    pub read_bytes: u64,
    /// (Log + flushed + compacted bytes) over bytes put; 0 before the first put.
    pub write_amplification: f64,
    /// Tables looked into over point reads; 0 before the first read.
    pub read_amplification: f64,
    /// Bytes of all levels over bytes of the last one: from 1 on, and 0 where there are no tables.
    pub space_amplification: f64,
    /// How often a filter was asked.
    pub filter_probes: u64,
    /// How often it spared a look into its table.
    pub filter_useful: u64,
    /// Waits of writers, by cause.
    pub stalls: Vec<StallStats>,
    /// Open snapshots.
    pub snapshots: u64,
    /// The sequence number of the oldest one.
    pub oldest_snapshot: Option<u64>,
    /// The sequence number of the last write.
    pub last_sequence: u64,
    /// Syncs of the log.
    pub wal_syncs: u64,
    /// Errors of background work since open.
    pub background_errors: u64,
    /// The text of the last one.
    pub last_background_error: Option<String>,
}

/// Whether the database can do its work.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// assert!(db.health()?.writable);
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether a write would be taken now.
    pub writable: bool,
    /// Why the writer side is poisoned, if it is.
    pub poisoned: Option<String>,
    /// Why background work waits, if it does: a full disk, say.
    pub background_error: Option<String>,
    /// What recovery cut off or skipped when this handle was opened.
    pub recovery_dropped: Vec<String>,
}

/// What `verify` read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Tables checked.
    pub tables: u64,
    /// Data blocks checked.
    pub blocks: u64,
    /// Entries read.
    pub entries: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong: a text for each damaged file, naming offset, expected and found.
    pub damage: Vec<String>,
}

impl Report {
    /// Whether nothing was found damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }
}

/// What one step of maintenance did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A memtable became a table.
    Flushed,
    /// One compaction was done.
    Compacted,
    /// The log was synced.
    Synced,
    /// A log segment was prepared, or a promise written.
    Prepared,
    /// Files that nothing holds any more were unlinked.
    Collected,
    /// There is nothing to do.
    Idle,
}

/// Keeps a total of durations, in nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
