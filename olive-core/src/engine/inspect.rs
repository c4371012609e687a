//! What the engine tells of itself: statistics, health, verification, sizes.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::counters::Count;
use super::stall::Cause;
use super::{Engine, picker_config};
use crate::compaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::file_names::FileKind;
use crate::iter::Bounds;
use crate::stats::{Health, LevelStats, Report, Stats};
use crate::sync::{AtomicU64, Ordering};
use crate::version::{LEVELS, Manifest, Version};

impl Engine {
    /// Sizes now, and counts since open.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.check_open()?;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            gets: self.counters.sum(Count::Gets),
            get_hits: self.counters.sum(Count::GetHits),
            get_tables: self.counters.sum(Count::GetTables),
            read_bytes: self.counters.sum(Count::ReadBytes),
            filter_probes: self.counters.sum(Count::FilterProbes),
            filter_useful: self.counters.sum(Count::FilterUseful),
            flushes: load(&self.work.flushes),
            flushed_bytes: load(&self.work.flushed_bytes),
            compactions: load(&self.work.compactions),
            compacted_bytes: load(&self.work.compacted_bytes),
            compaction_read_bytes: load(&self.work.compaction_read_bytes),
            trivial_moves: load(&self.work.trivial_moves),
            snapshots: self.snapshots.count(),
            oldest_snapshot: self.snapshots.list().first().map(|seq| seq.0),
            last_sequence: self.published().0,
            wal_syncs: self.log.as_ref().map_or(0, |log| log.syncs()),
            stalls: self.stalls.stats(),
            ..Stats::default()
        };
        if let Some(commit) = self.commit.lock().as_ref() {
            stats.put_ops = commit.put_ops;
            stats.put_bytes = commit.put_bytes;
            stats.wal_written_bytes = commit.wal_written_bytes;
        }
        let view = {
            let tree = self.tree.lock();
            let segments = tree.segments.iter().chain(&tree.spare_segment);
            stats.wal_bytes = segments.map(|&(_, len)| len).sum();
            stats.obsolete_bytes = tree.obsolete.iter().map(|table| table.meta().bytes).sum();
            stats.compactions_running = tree.running.len() as u64;
            stats.background_errors = tree.background_errors;
            stats.last_background_error = tree.last_background_error.clone();
            self.view.load_full()
        };
        stats.memtable_bytes = view.memtable.memory_bytes() as u64;
        stats.immutable_bytes = view.immutables.iter().map(|m| m.memory_bytes() as u64).sum();
        stats.pinned_bytes = self.pinned_bytes(&view) as u64;
        stats.spare_bytes = self.gauge.spare_bytes() as u64;
        self.fill_levels(&mut stats, &view.version);
        let written = stats.wal_written_bytes + stats.flushed_bytes + stats.compacted_bytes;
        stats.write_amplification = ratio(written, stats.put_bytes);
        stats.read_amplification = ratio(stats.get_tables, stats.gets);
        Ok(stats)
    }

    fn fill_levels(&self, stats: &mut Stats, version: &Version) {
        let config = picker_config(&self.options);
        let targets = compaction::level_targets(version, &config);
        let scores = compaction::scores(version, &config);
        for level in 0..LEVELS {
            stats.levels.push(LevelStats {
                level,
                tables: version.level(level).len() as u64,
                bytes: version.level_bytes(level),
                target_bytes: targets[level],
                score: scores[level],
            });
        }
        stats.index_bytes = version.tables().map(|(_, table)| table.memory_bytes() as u64).sum();
        stats.table_bytes = stats.levels.iter().map(|level| level.bytes).sum();
        let last = stats.levels.iter().rev().map(|level| level.bytes).find(|&bytes| bytes > 0);
        stats.space_amplification = ratio(stats.table_bytes, last.unwrap_or(0));
    }

    /// Whether the database can do its work.
    pub(crate) fn health(&self) -> Result<Health> {
        self.check_open()?;
        let poisoned = self.check_poison().err().map(|error| error.to_string());
        let failing = self.tree.lock().failing.clone();
        // Writes go on without compactions.
        let is_full = failing.iter().any(|(work, (error, _))| {
            error.kind() == ErrorKind::DiskFull && *work != Cause::Level0.awaited()
        });
        Ok(Health {
            writable: !self.read_only && poisoned.is_none() && !is_full,
            poisoned,
            background_error: failing.iter().next().map(|(what, (e, _))| format!("{what}: {e}")),
            recovery_dropped: self.recovery_dropped.clone(),
        })
    }

    /// Reads every table and the manifest, and checks them.
    pub(crate) fn verify(&self) -> Result<Report> {
        let mut report = Report::default();
        let version = self.view.load_full();
        self.check_open()?;
        let mut named = None;
        match Manifest::read(&*self.vfs, &self.dir) {
            Ok(Some(now)) => {
                let tables = now.state.added.iter().map(|(_, meta)| meta.number);
                named = Some(tables.collect::<HashSet<_>>());
            }
            Ok(None) => report.damage.push(format!("{}: no CURRENT", self.dir.display())),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                report.damage.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
        for (_, table) in version.version.tables() {
            self.check_open()?;
            let number = table.meta().number;
            let is_left_behind = self.read_only
                && named.as_ref().is_some_and(|named| !named.contains(&number))
                && !self.exists(&self.dir.join(FileKind::Table(number).name()))?;
            // Its writer has compacted it and deleted it: what is held of it has no name.
            if !is_left_behind {
                table.verify(&mut report)?;
            }
        }
        Ok(report)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        match self.vfs.metadata(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", path, e)),
        }
    }

    /// About how many bytes of tables lie in the bounds.
    pub(crate) fn approximate_size(&self, bounds: &Bounds) -> Result<u64> {
        let view = self.view.load_full();
        self.check_open()?;
        if bounds.is_empty() {
            return Ok(0);
        }
        let mut bytes = 0;
        for (_, table) in view.version.tables() {
            let meta = table.meta();
            let is_behind = |end: &Vec<u8>| meta.smallest >= *end;
            if meta.largest < bounds.start || bounds.end.as_ref().is_some_and(is_behind) {
                continue;
            }
            let from = table.offset_within_block(&bounds.start)?;
            let to = match &bounds.end {
                Some(end) => table.offset_within_block(end)?,
                None => meta.bytes,
            };
            bytes += to.saturating_sub(from);
        }
        Ok(bytes)
    }
}

fn ratio(above: u64, below: u64) -> f64 {
    if below == 0 { 0.0 } else { above as f64 / below as f64 }
}
