//! Opening and closing, top to bottom.
//!
//! ```text
//! open    folder -> lock -> CURRENT -> manifest -> tables there? -> log replayed
//!         into new tables -> new segment -> new manifest, CURRENT switched
//!         -> orphans unlinked -> threads
//! close   threads end -> memtables flushed -> clean mark -> segments unlinked
//! ```
//!
//! A manifest or log that is found is never appended to, and until CURRENT is
//! switched nothing is deleted: what was read may exist only in the page cache.

use std::path::Path;
use std::time::Duration;

use super::counters::Counters;
use super::folder::{
    Place, absolute, create_folders, keep_name, look, remove_orphans, remove_unfinished, take_lock,
};
use super::gaps::Watches;
use super::hold::{Stalls, price_step};
use super::install::Records;
use super::recovery::{self, Recovered};
use super::threads::{Rest, Threads};
use super::view::View;
use super::write::Commit;
use super::{Engine, Tree, WorkCounters, arena_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::{DatabaseId, VersionEdit};
use crate::format::file_names::FileKind;
use crate::memtable::{ArenaGauge, Memtable};
use crate::options::{Durability, Options, WalIo};
use crate::sync::{
    Arc, ArcSwap, AtomicBool, AtomicU64, Condvar, Mutex, OnceLock, Ordering, OwnLines,
};
use crate::version::{Manifest, ManifestState, Version};
use crate::vfs::{LockGuard, Vfs};
use crate::wal::{LogWriter, Segment};

/// Length of a database's first log segment, in bytes; later ones are shorter only if
/// the options say so.
pub(super) const FIRST_SEGMENT_BYTES: u64 = 64 << 10;
/// The second one, which is prepared at once, is so many times as long: with both, an empty
/// database takes less than 1 MiB, and who writes at once does not wait at each step.
const SECOND_TIMES: u64 = 8;

impl Engine {
    /// Opens the database in `dir`, or creates it where the options allow that.
    pub(crate) fn open(options: Options, vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Arc<Engine>> {
        options.check()?;
        let dir = &*absolute(&*vfs, dir)?;
        let found = look(&*vfs, dir)?;
        if matches!(found, Place::Missing | Place::Empty) && !options.create_if_missing {
            let text = format!("there is no database in {}", dir.display());
            return Err(Error::invalid(text));
        }
        match found {
            Place::Missing => create_folders(&*vfs, dir)?,
            Place::Empty => keep_name(&*vfs, dir)?,
            Place::Database => {}
        }
        let lock = take_lock(&*vfs, dir)?;
        // Somebody may have been here between the look and the lock.
        let manifest = Manifest::read(&*vfs, dir)?;
        if manifest.is_none() {
            remove_unfinished(&*vfs, dir)?;
        }
        let gauge = ArenaGauge::new();
        let recovered = match manifest {
            Some(manifest) => recovery::recover(&options, &vfs, dir, manifest)?,
            None => recovery::nothing(&vfs, dir)?,
        };
        let engine = take_over(options, vfs, dir, recovered, lock, &gauge)?;
        engine.load_catalog()?;
        if let Err(error) = engine.start_threads() {
            // Those that run hold the engine: end them.
            let _ = engine.close();
            return Err(error);
        }
        Ok(engine)
    }

    /// Opens the database in `dir` without writing anything.
    pub(crate) fn open_read_only(
        options: Options,
        vfs: Arc<dyn Vfs>,
        dir: &Path,
    ) -> Result<Arc<Engine>> {
        options.check()?;
        let dir = &*absolute(&*vfs, dir)?;
        if !matches!(look(&*vfs, dir)?, Place::Database) {
            let text = format!("there is no database in {}", dir.display());
            return Err(Error::invalid(text));
        }
        let gauge = ArenaGauge::new();
        let (recovered, memtables) = recovery::read_only(&options, &vfs, dir, &gauge)?;
        let memtable = Memtable::new(arena_bytes(1 << 10, 0), &gauge)?.0;
        let view = View {
            memtable,
            after: recovered.last_seq,
            immutables: memtables.into_iter().rev().collect(),
            version: Arc::new(recovered.version),
        };
        let parts = Parts {
            database: recovered.manifest.database,
            read_only: true,
            published: recovered.last_seq.0,
            next_file: recovered.next_file,
            dropped: recovered.dropped,
            view,
            commit: None,
            records: None,
            segment: None,
            lock: None,
            gauge,
        };
        let engine = assemble(options, vfs, dir, parts);
        engine.load_catalog()?;
        Ok(engine)
    }

    /// Ends the database for all handles: flushes, marks the manifest as clean, and
    /// gives the lock back. A second call does nothing, but waits for the first.
    pub(crate) fn close(&self) -> Result<()> {
        let mut lock = self.lock.lock();
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.threads.stop();
        self.tree_changed.notify_all();
        let commit = self.commit.lock().take();
        self.wait_for_work();
        let result = commit.map_or(Ok(()), |commit| self.shut(commit));
        // A caller's flush writes into the folder: the lock goes after it.
        let _flushing = self.flushing.lock();
        *self.manifest.lock() = None;
        self.tree.lock().prepared = None;
        self.forget_view();
        self.gauge.keep_none();
        *lock = None;
        result
    }

    /// Waits for what callers' threads do in the folder; nothing new begins.
    fn wait_for_work(&self) {
        let mut tree = self.tree.lock();
        while tree.preparing || tree.paused > 0 || !tree.running.is_empty() {
            tree = self.tree_changed.wait_timeout(tree, Duration::from_millis(10));
        }
    }

    fn shut(&self, commit: Commit) -> Result<()> {
        self.check_in_doubt(&commit)?;
        let last = commit.next_seq - 1;
        if !commit.memtable.table().is_empty() {
            self.tree.lock().immutables.push_back(super::Immutable {
                memtable: Arc::clone(commit.memtable.table()),
                last_seq: crate::key::SeqNo(last),
                next_segment: commit.log.segment(),
            });
        }
        let flushed = loop {
            match self.flush_step() {
                Ok(true) => {}
                other => break other,
            }
        };
        if let Err(error) = flushed {
            // The log has it all: make that durable, at least.
            if let Some(log) = &self.log {
                log.sync()?;
            }
            return Err(error);
        }
        self.mark_clean()?;
        self.release_spare_segment();
        self.collect();
        Ok(())
    }

    fn mark_clean(&self) -> Result<()> {
        let mut guard = self.manifest.lock();
        let Some(records) = guard.as_mut() else { return Ok(()) };
        let highest = self.tree.lock().segments.iter().map(|&(number, _)| number).max();
        let edit = VersionEdit {
            last_seq: Some(self.published()),
            next_file: Some(self.numbers.next()),
            clean_segment: highest,
            ..VersionEdit::default()
        };
        if records.manifest.retired() {
            let version = Arc::clone(&self.view.load().version);
            self.write_manifest(records, &version, highest)?;
        } else {
            records.manifest.append(&edit)?;
        }
        self.unlink_segments_before(u64::MAX);
        Ok(())
    }

    /// Lets go of memtables and tables; who still reads holds what it reads.
    fn forget_view(&self) {
        let mut tree = self.tree.lock();
        tree.immutables.clear();
        tree.obsolete.clear();
        let view = self.view.load_full();
        self.view.store(Arc::new(View {
            memtable: Arc::clone(&view.memtable),
            after: view.after,
            immutables: Vec::new(),
            version: Arc::new(Version::default()),
        }));
        drop(tree);
        self.spares.clear();
    }
}

/// Makes the recovered state durable under new names, and the engine on it.
fn take_over(
    options: Options,
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    recovered: Recovered,
    lock: Box<dyn LockGuard>,
    gauge: &ArenaGauge,
) -> Result<Arc<Engine>> {
    let first_new = recovered.first_new;
    match switch_over(&options, &vfs, dir, recovered, gauge) {
        Ok(parts) => Ok(assemble(options, vfs, dir, Parts { lock: Some(lock), ..parts })),
        Err(error) => {
            if error.kind() != ErrorKind::Poisoned {
                // CURRENT names the manifest that was found: nothing that is new is needed.
                remove_orphans(&*vfs, dir, &|kind| kind.number().is_none_or(|n| n < first_new));
            }
            Err(error)
        }
    }
}

/// Switches CURRENT to a manifest of the recovered state. Whatever can fail comes
/// before that, or is `Poisoned`: after it, the files that were found are gone.
fn switch_over(
    options: &Options,
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    recovered: Recovered,
    gauge: &ArenaGauge,
) -> Result<Parts> {
    let database = recovered.manifest.database;
    let segment_number = recovered.next_file;
    let manifest_number = segment_number + 1;
    let segment_bytes = FIRST_SEGMENT_BYTES.min(options.wal_segment_bytes_max);
    let (memtable, writer) = Memtable::new(arena_bytes(options.memtable_bytes, 0), gauge)?;
    let io = wal_io(options, &**vfs, dir).into();
    // The new manifest's folder sync makes all names durable, the segment's and those of
    // the tables that the log went into, before CURRENT is switched to it.
    let segment =
        Segment::create_unnamed(vfs, dir, database, segment_number, 0, segment_bytes, io)?;
    let state = VersionEdit {
        added: recovered.version.tables().map(|(level, t)| (level, t.meta().clone())).collect(),
        oldest_segment: Some(segment_number),
        flushed_seq: Some(recovered.last_seq),
        last_seq: Some(recovered.last_seq),
        next_file: Some(manifest_number + 1),
        unknown: recovered.manifest.state.unknown.clone(),
        ..VersionEdit::default()
    };
    let manifest = Manifest::create(vfs, dir, manifest_number, database, &state)?;
    let kept = |kind: FileKind| match kind {
        FileKind::Table(number) => state.added.iter().any(|(_, meta)| meta.number == number),
        FileKind::Segment(number) => number == segment_number,
        FileKind::Manifest(number) => number == manifest_number,
        FileKind::Current | FileKind::Lock => true,
        FileKind::CurrentTmp | FileKind::CheckpointTmp => false,
    };
    remove_orphans(&**vfs, dir, &kept);
    let (log, sync) = LogWriter::new(segment, Arc::clone(vfs));
    let records = Records {
        whole_bytes: manifest.bytes(),
        manifest,
        oldest_segment: segment_number,
        flushed_seq: recovered.last_seq,
        doubtful: Vec::new(),
    };
    let commit = Commit {
        log,
        memtable: writer,
        next_seq: recovered.last_seq.0 + 1,
        live: std::collections::BTreeSet::new(),
        priced_at: price_step(options.memtable_bytes),
        put_ops: 0,
        put_bytes: 0,
        wal_written_bytes: 0,
        in_doubt: false,
        watches: Watches::new(),
        payload: Vec::new(),
    };
    Ok(Parts {
        database,
        read_only: false,
        published: recovered.last_seq.0,
        next_file: manifest_number + 1,
        dropped: recovered.dropped,
        view: View {
            memtable,
            after: recovered.last_seq,
            immutables: Vec::new(),
            version: Arc::new(recovered.version),
        },
        commit: Some((commit, sync)),
        records: Some(records),
        segment: Some((segment_number, segment_bytes)),
        lock: None,
        gauge: gauge.clone(),
    })
}

fn wal_io(options: &Options, vfs: &dyn Vfs, dir: &Path) -> WalIo {
    options.wal_io.unwrap_or_else(|| match options.durability {
        // A sync protects each page that is mapped, and few records would be stored.
        Durability::Sync => WalIo::Write,
        Durability::Buffered if vfs.honours_reservation(dir) => WalIo::Mapped,
        Durability::Buffered => WalIo::Write,
    })
}

/// What an engine is made of.
struct Parts {
    database: DatabaseId,
    read_only: bool,
    published: u64,
    next_file: u64,
    dropped: Vec<String>,
    view: View,
    commit: Option<(Commit, Arc<crate::wal::LogSync>)>,
    records: Option<Records>,
    /// Number and length of the first segment.
    segment: Option<(u64, u64)>,
    lock: Option<Box<dyn LockGuard>>,
    gauge: ArenaGauge,
}

fn assemble(options: Options, vfs: Arc<dyn Vfs>, dir: &Path, parts: Parts) -> Arc<Engine> {
    static INSTANCES: AtomicU64 = AtomicU64::new(1);
    let (commit, log) = match parts.commit {
        Some((commit, log)) => (Some(commit), Some(log)),
        None => (None, None),
    };
    let gaps = commit.as_ref().map_or_else(|| Watches::new().gaps(), |c| c.watches.gaps());
    let (active_segment, segment_bytes) = parts.segment.unwrap_or_default();
    let tree = Tree {
        segments: parts.segment.into_iter().collect(),
        active_segment,
        segment_bytes: (segment_bytes * SECOND_TIMES).min(options.wal_segment_bytes_max),
        ..Tree::default()
    };
    Arc::new(Engine {
        threads: Threads::new(options.compaction_threads),
        wal_io: wal_io(&options, &*vfs, dir),
        rest: Rest::new(parts.published, vfs.monotonic()),
        vfs,
        dir: dir.to_path_buf(),
        database: parts.database,
        instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
        read_only: parts.read_only,
        closed: AtomicBool::new(false),
        poison: OnceLock::new(),
        recovery_dropped: parts.dropped,
        view: ArcSwap::from_pointee(parts.view),
        spares: super::Spares::new(),
        passed: super::Passed::default(),
        gaps,
        published: OwnLines(AtomicU64::new(parts.published)),
        commit: OwnLines(Mutex::new(commit)),
        log,
        flushing: Mutex::new(()),
        manifest: Mutex::new(parts.records),
        tree: Mutex::new(tree),
        tree_changed: Condvar::new(),
        catalog: Mutex::default(),
        dropped: Mutex::default(),
        drops_synced: AtomicU64::new(0),
        shrunk: Mutex::default(),
        snapshots: super::Snapshots::default(),
        numbers: super::FileNumbers::running(dir, parts.next_file),
        gauge: parts.gauge,
        counters: Counters::new(),
        work: WorkCounters::default(),
        stalls: Stalls::new(crate::key::SeqNo(parts.published)),
        last_sync_ns: AtomicU64::new(0),
        lock: Mutex::new(parts.lock),
        options,
    })
}

/// A state before anything was written.
pub(super) fn empty_state(database: DatabaseId) -> ManifestState {
    ManifestState { database, ..ManifestState::default() }
}
