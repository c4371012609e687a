//! From a folder to a recovered tree: tables checked for, the log replayed.
//!
//! For writing, the log's operations are gathered, sorted and written to new tables
//! of level 0, which no manifest names yet. For reading only, they stay in memory.

use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::folder::remove_orphans;
use super::numbers::{FileNumbers, first_of_open};
use super::open::empty_state;
use super::{arena_bytes, flushed_table_bytes, read_options, writer_options};
use crate::batch::Ops;
use crate::compaction::{self, JobContext, Readers};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::{DatabaseId, TableMeta, VersionEdit};
use crate::format::file_names::{FILE_NUMBER_MAX, FileKind};
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::memtable::{ArenaGauge, Memtable, RunBuilder};
use crate::options::{Maintenance, Options, RecoveryProgress};
use crate::sync::{Arc, Mutex};
use crate::table::Table;
use crate::version::{Manifest, ManifestState, Source, Version};
use crate::vfs::Vfs;
use crate::wal::{self, Record, ReplayPlan};

/// What was found, made whole.
pub(super) struct Recovered {
    pub(super) manifest: ManifestState,
    pub(super) version: Version,
    pub(super) last_seq: SeqNo,
    /// The first number that recovery gave to a file of its own.
    pub(super) first_new: u64,
    /// Above every number that is in use.
    pub(super) next_file: u64,
    /// What was cut off or skipped.
    pub(super) dropped: Vec<String>,
}

/// A database that is being created.
pub(super) fn nothing(vfs: &Arc<dyn Vfs>, _dir: &Path) -> Result<Recovered> {
    let id = u128::from(vfs.random()) << 64 | u128::from(vfs.random());
    Ok(Recovered {
        manifest: empty_state(DatabaseId(id)),
        version: Version::default(),
        last_seq: SeqNo::ZERO,
        first_new: 1,
        next_file: 1,
        dropped: Vec::new(),
    })
}

/// Refuses file numbers that no writer gives: sums with them would overflow.
fn check_numbers(dir: &Path, manifest: &ManifestState) -> Result<()> {
    let state = &manifest.state;
    let named = [state.oldest_segment, state.clean_segment, state.sealed_segment];
    let tables = state.added.iter().map(|(_, meta)| meta.number);
    let next = state.next_file.map(|next| next.saturating_sub(1));
    match named.into_iter().chain([next]).flatten().chain(tables).max() {
        Some(number) if number > FILE_NUMBER_MAX => {
            let path = dir.join(FileKind::Manifest(manifest.number).name());
            let what = format!("it names file {number}: numbers go up to {FILE_NUMBER_MAX}");
            Err(Error::corruption(&path, 0, what))
        }
        _ => Ok(()),
    }
}

/// Recovers what `manifest` and the log say; what was in the log is in new,
/// synced tables afterwards, whose names the folder's next sync makes durable.
pub(super) fn recover(
    options: &Options,
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: ManifestState,
) -> Result<Recovered> {
    check_numbers(dir, &manifest)?;
    let found = Folder::list(&**vfs, dir)?;
    let first_new = first_of_open(dir, &manifest, found.highest)?;
    let version = tree_of(options, vfs, dir, &manifest)?;
    let numbers = FileNumbers::opening(dir, first_new);
    let next_number = || numbers.take();
    let context = JobContext {
        vfs,
        dir,
        tables: writer_options(options),
        table_bytes: flushed_table_bytes(options),
        oldest_tombstone_ms: None,
        next_number: &next_number,
        cancelled: &|| false,
    };
    let write = |run: RunBuilder| {
        let sources = vec![Source::Sorted(run.sort())];
        compaction::run(&context, sources, Readers::default(), &mut |_| true, &[])
    };
    let mut replay = |sink: &mut dyn FnMut(Record<'_>) -> Result<()>| {
        replay(options, &**vfs, dir, &manifest, &found, sink)
    };
    let written = match options.maintenance {
        Maintenance::Manual => gather_and_write(options, &mut replay, &write),
        Maintenance::Threads => gather_while_writing(options, &mut replay, &write),
    };
    let (replayed, added) = written.inspect_err(|_| {
        // Refused: leave the folder as it was found.
        remove_orphans(&**vfs, dir, &|kind| kind.number().is_none_or(|n| n < first_new));
    })?;
    let edit = VersionEdit {
        added: added.into_iter().map(|meta| (0, meta)).collect(),
        ..VersionEdit::default()
    };
    let version = version
        .apply(&edit, &mut |meta| {
            Table::new(Arc::clone(vfs), dir, meta.clone(), read_options(options))
        })
        .map_err(|what| Error::new(ErrorKind::Corruption, what))?;
    Ok(finish(manifest, version, replayed, first_new, numbers.next()))
}

/// Replays into a sink.
type Replay<'a> = dyn FnMut(&mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<wal::Replayed> + 'a;
/// Writes what was gathered to tables.
type Write<'a> = dyn Fn(RunBuilder) -> Result<Vec<TableMeta>> + Sync + 'a;

fn gather_and_write(
    options: &Options,
    replay: &mut Replay<'_>,
    write: &Write<'_>,
) -> Result<(wal::Replayed, Vec<TableMeta>)> {
    let mut gather = Gather::new(options);
    let mut added = Vec::new();
    let replayed = replay(&mut |record| {
        if let Some(full) = gather.push(record) {
            added.extend(write(full)?);
        }
        Ok(())
    })?;
    if !gather.run.is_empty() {
        added.extend(write(gather.run)?);
    }
    Ok((replayed, added))
}

/// The same with threads that sort and write tables while more is gathered. There are
/// two, since one waits for the disk half of its time.
fn gather_while_writing(
    options: &Options,
    replay: &mut Replay<'_>,
    write: &Write<'_>,
) -> Result<(wal::Replayed, Vec<TableMeta>)> {
    const WRITERS: usize = 2;
    let (full, runs) = sync_channel::<RunBuilder>(0);
    let runs = Mutex::new(runs);
    let written: Mutex<Result<Vec<TableMeta>>> = Mutex::new(Ok(Vec::new()));
    let write_all = || {
        loop {
            let Ok(run) = runs.lock().recv() else { return };
            // After an error the rest is taken and dropped: nobody waits for a taker.
            if written.lock().is_err() {
                continue;
            }
            let metas = write(run);
            match (&mut *written.lock(), metas) {
                (Ok(all), Ok(metas)) => all.extend(metas),
                (so_far, Err(error)) => *so_far = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
    };
    let replayed = std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(write_all);
        }
        let mut gather = Gather::new(options);
        let ended = |_| Error::new(ErrorKind::Io, "the threads that write tables have ended");
        let replayed = replay(&mut |record| {
            let Some(run) = gather.push(record) else { return Ok(()) };
            // Not held while the run is handed over: a taker wants it first.
            let failed = written.lock().as_ref().err().cloned();
            match failed {
                Some(error) => Err(error),
                None => full.send(run).map_err(ended),
            }
        });
        let last = gather.run;
        if replayed.is_ok() && !last.is_empty() {
            full.send(last).map_err(ended)?;
        }
        drop(full);
        replayed
    });
    let added = std::mem::replace(&mut *written.lock(), Ok(Vec::new()))?;
    Ok((replayed?, added))
}

/// Reads the database as it is, the log into memtables (oldest first). A writer that
/// goes on meanwhile can make it look damaged (a file was removed, the log was read
/// while it grew), so it starts over until the same is found wrong twice.
pub(super) fn read_only(
    options: &Options,
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    gauge: &ArenaGauge,
) -> Result<(Recovered, Vec<Arc<Memtable>>)> {
    const TRIES_MAX: usize = 100;
    let mut last_wrong = String::new();
    let mut tries = 0;
    loop {
        let read = Manifest::read(&**vfs, dir).and_then(|manifest| match manifest {
            Some(manifest) => read_as_it_is(options, vfs, dir, manifest, gauge),
            None => Err(Error::invalid(format!("there is no database in {}", dir.display()))),
        });
        let error = match read {
            Ok(recovered) => return Ok(recovered),
            Err(error) => error,
        };
        tries += 1;
        let wrong = error.to_string();
        if wrong == last_wrong || tries == TRIES_MAX {
            return Err(error);
        }
        last_wrong = wrong;
    }
}

fn read_as_it_is(
    options: &Options,
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: ManifestState,
    gauge: &ArenaGauge,
) -> Result<(Recovered, Vec<Arc<Memtable>>)> {
    check_numbers(dir, &manifest)?;
    let version = tree_of(options, vfs, dir, &manifest)?;
    for (_, table) in version.tables() {
        table.load()?;
    }
    // As late as can be: a writer may add segments.
    let found = Folder::list(&**vfs, dir)?;
    let mut gather = Gather::new(options);
    let mut memtables = Vec::new();
    let replayed = replay(options, &**vfs, dir, &manifest, &found, &mut |record| {
        if let Some(full) = gather.push(record) {
            memtables.push(in_memory(full, gauge)?);
        }
        Ok(())
    })?;
    if !gather.run.is_empty() {
        memtables.push(in_memory(gather.run, gauge)?);
    }
    // For the manifest of a checkpoint, which has the tables and nothing else of the folder.
    let last_table = version.tables().map(|(_, table)| table.meta().number).max().unwrap_or(0);
    let next_file = manifest.state.next_file.unwrap_or(1).max(last_table + 1);
    Ok((finish(manifest, version, replayed, next_file, next_file), memtables))
}

/// A memtable of what was gathered.
fn in_memory(run: RunBuilder, gauge: &ArenaGauge) -> Result<Arc<Memtable>> {
    let mut run = run.sort();
    let mut bytes = 0;
    let mut more = run.seek_to_first()?;
    while more {
        bytes += Memtable::entry_bytes_max(run.key().scoped.len(), run.value().len());
        more = run.next()?;
    }
    let (memtable, mut writer) = Memtable::new(arena_bytes(1 << 10, bytes), gauge)?;
    more = run.seek_to_first()?;
    while more {
        writer.insert(run.key(), run.value());
        more = run.next()?;
    }
    Ok(memtable)
}

fn finish(
    manifest: ManifestState,
    version: Version,
    replayed: wal::Replayed,
    first_new: u64,
    next_file: u64,
) -> Recovered {
    let in_tables = version.tables().map(|(_, table)| table.meta().seq_max).max();
    let last_seq = [in_tables, manifest.state.last_seq, Some(replayed.last)];
    let mut dropped = replayed.dropped;
    dropped.extend(manifest.dropped.clone());
    Recovered {
        last_seq: last_seq.into_iter().flatten().max().unwrap_or(SeqNo::ZERO),
        manifest,
        version,
        first_new,
        next_file,
        dropped,
    }
}

/// The tree that the manifest describes; each table is there, with its length.
fn tree_of(
    options: &Options,
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &ManifestState,
) -> Result<Version> {
    for (_, meta) in &manifest.state.added {
        let path = dir.join(FileKind::Table(meta.number).name());
        let len = match vfs.metadata(&path) {
            Ok(metadata) => metadata.len,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::corruption(
                    &path,
                    0,
                    "the manifest names it, but it is missing",
                ));
            }
            Err(e) => return Err(Error::io("look at", &path, e)),
        };
        if len != meta.bytes {
            let what = format!("{} bytes expected, {len} found", meta.bytes);
            return Err(Error::corruption(&path, len.min(meta.bytes), what));
        }
    }
    let edit = VersionEdit { added: manifest.state.added.clone(), ..VersionEdit::default() };
    Version::default()
        .apply(&edit, &mut |meta| {
            Table::new(Arc::clone(vfs), dir, meta.clone(), read_options(options))
        })
        .map_err(|what| {
            Error::corruption(&dir.join(FileKind::Manifest(manifest.number).name()), 0, what)
        })
}

/// The files of ours in the folder.
struct Folder {
    /// Ascending.
    segments: Vec<u64>,
    /// The one with the highest number.
    highest: Option<FileKind>,
}

impl Folder {
    fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Folder> {
        let names = vfs.list(dir).map_err(|e| Error::io("list", dir, e))?;
        let kinds: Vec<FileKind> = names.iter().filter_map(|name| FileKind::of(name)).collect();
        let mut segments: Vec<u64> = kinds
            .iter()
            .filter_map(|kind| match kind {
                FileKind::Segment(number) => Some(*number),
                _ => None,
            })
            .collect();
        segments.sort_unstable();
        let highest = kinds.into_iter().max_by_key(|kind| kind.number());
        Ok(Folder { segments, highest })
    }
}

/// Gives every record that no table has to `sink`.
fn replay(
    options: &Options,
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &ManifestState,
    found: &Folder,
    sink: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<wal::Replayed> {
    let state = &manifest.state;
    let flushed = state.flushed_seq.unwrap_or(SeqNo::ZERO);
    let nothing = wal::Replayed { last: flushed, ..wal::Replayed::default() };
    let (oldest, found) = match state.clean_segment {
        // A later segment voids the clean mark.
        Some(clean) => {
            let from = found.segments.partition_point(|&number| number <= clean);
            match found.segments.get(from) {
                Some(&first)
                    if wal::has_records(vfs, &dir.join(FileKind::Segment(first).name()))? =>
                {
                    (first, &found.segments[from..])
                }
                _ => return Ok(nothing),
            }
        }
        None => match state.oldest_segment {
            Some(oldest) => (oldest, &found.segments[..]),
            None => return Ok(nothing),
        },
    };
    let mut progress = RecoveryProgress::default();
    let listener = options.recovery_listener.clone();
    let plan = ReplayPlan {
        dir,
        database: manifest.database,
        oldest,
        found,
        sealed: state.sealed_segment,
        flushed,
        mode: options.recovery_mode,
    };
    let replayed = wal::replay(
        vfs,
        &plan,
        &mut |read, total| {
            progress.bytes_read = read;
            progress.bytes_total = total;
            if let Some(listener) = &listener {
                listener(&progress);
            }
        },
        sink,
    )?;
    progress.bytes_read = replayed.bytes;
    progress.bytes_total = progress.bytes_total.max(replayed.bytes);
    progress.records = replayed.records;
    progress.dropped.clone_from(&replayed.dropped);
    progress.done = true;
    for dropped in &replayed.dropped {
        log::warn!("{}: recovery left out {dropped}", dir.display());
    }
    if let Some(listener) = &listener {
        listener(&progress);
    }
    Ok(replayed)
}

/// Gathers replayed operations up to the size of a memtable.
struct Gather {
    bytes_max: usize,
    run: RunBuilder,
}

impl Gather {
    fn new(options: &Options) -> Gather {
        Gather { bytes_max: options.memtable_bytes, run: RunBuilder::default() }
    }

    /// Takes a record; gives what was gathered before where that is enough.
    fn push(&mut self, record: Record<'_>) -> Option<RunBuilder> {
        let full =
            (self.run.memory_bytes() >= self.bytes_max).then(|| std::mem::take(&mut self.run));
        // Replay has checked that the operations decode.
        for (index, op) in Ops::new(record.payload).flatten().enumerate() {
            let tag = Tag::new(SeqNo(record.first.0 + index as u64), op.kind);
            self.run.push(InternalKey::new(op.scoped, tag), op.value);
        }
        full
    }
}
