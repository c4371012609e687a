//! The background path as steps, each done by a thread or by hand: flush or pick,
//! job, sync, one manifest edit, install, delete what nothing holds.

use std::time::Duration;

use super::{Engine, Immutable, flushed_table_bytes, picker_config, writer_options};
use crate::compaction::{self, Claim, JobContext, OlderTables, PickerConfig, Plan, PlanKind};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::{TableMeta, VersionEdit};
use crate::format::file_names::FileKind;
use crate::iter::Bounds;
use crate::key::SeqNo;
use crate::stats::{Progress, nanoseconds};
use crate::sync::{Arc, Ordering};
use crate::table::Table;
use crate::version::{LEVELS, Source, Version};

/// One step of `compact_range` takes about this many tables at the most.
const RANGE_PLAN_TABLES: u64 = 16;

impl Engine {
    /// One step of whatever is due: flush, log, compaction, collection.
    pub(crate) fn maintain(&self) -> Result<Progress> {
        self.check_writable()?;
        match self.write_step() {
            Ok(Progress::Idle) => {}
            // What a compaction gives back may be enough.
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                return if self.compact_step()? { Ok(Progress::Compacted) } else { Err(error) };
            }
            done => return done,
        }
        if self.compact_step()? {
            return Ok(Progress::Compacted);
        }
        if self.collect() {
            return Ok(Progress::Collected);
        }
        self.gauge.release_spare();
        self.release_spare_segment();
        Ok(Progress::Idle)
    }

    /// One step of what writes wait for: flush, log.
    fn write_step(&self) -> Result<Progress> {
        self.rotate_if_wished()?;
        if self.flush_step()? { Ok(Progress::Flushed) } else { self.sync_step() }
    }

    /// Flushes the oldest memtable that waits; says whether there was one.
    pub(super) fn flush_step(&self) -> Result<bool> {
        let _one_at_a_time = self.flushing.lock();
        let Some(oldest) = self.tree.lock().immutables.front().cloned() else { return Ok(false) };
        self.check_poison()?;
        let Immutable { memtable, last_seq, next_segment } = oldest;
        let source = Source::Memtable(memtable.iter());
        drop(memtable);
        let metas = self.run_job(
            vec![source],
            None,
            &mut |_| true,
            (flushed_table_bytes(&self.options), &[]),
            &|| false,
        )?;
        let bytes: u64 = metas.iter().map(|meta| meta.bytes).sum();
        let edit = VersionEdit {
            added: metas.into_iter().map(|meta| (0, meta)).collect(),
            oldest_segment: Some(next_segment),
            flushed_seq: Some(last_seq),
            last_seq: Some(last_seq),
            ..VersionEdit::default()
        };
        self.install(edit, |tree| drop(tree.immutables.pop_front()))?;
        self.work.flushes.fetch_add(1, Ordering::Relaxed);
        self.work.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(log) = &self.log {
            log.forget_before(next_segment);
        }
        self.unlink_segments_before(next_segment);
        self.threads.wake_compaction();
        Ok(true)
    }

    /// Flushes all that was written before the call.
    pub(crate) fn flush(&self) -> Result<()> {
        self.check_writable()?;
        loop {
            let mut guard = self.commit.lock();
            let Some(commit) = guard.as_mut() else { return Err(self.closed_error()) };
            if commit.memtable.table().is_empty() || self.rotate_memtable(commit, 0)?.is_none() {
                break;
            }
            drop(guard);
            let flushed = self.flush_step()?;
            if !self.compact_step_if_stuck()? && !flushed {
                // Others are at it.
                let tree = self.tree.lock();
                drop(self.tree_changed.wait_timeout(tree, Duration::from_millis(1)));
            }
        }
        let last = self.published();
        loop {
            let waits = self.tree.lock().immutables.front().is_some_and(|i| i.last_seq <= last);
            if !waits {
                // Whoever asks for it wants the folder to be as small as it can be.
                self.release_spare_segment();
                // A close that failed to flush has none waiting either.
                return self.check_open();
            }
            self.flush_step()?;
        }
    }

    /// Where level 0 is at its limit and nobody else compacts, do it here.
    fn compact_step_if_stuck(&self) -> Result<bool> {
        let limit = super::stall::Debts::level0_hard_limit(self.options.level0_tables as u64);
        let is_stuck = self.view.load().version.level(0).len() as u64 >= limit;
        if !is_stuck {
            return Ok(false);
        }
        match self.compact_step() {
            // A flush may go on: level 0 may outgrow its limit now.
            Err(error) if error.kind() == ErrorKind::DiskFull => Ok(false),
            done => done,
        }
    }

    /// Syncs all that was written before the call.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check_writable()?;
        if let Some(log) = &self.log {
            log.sync().map_err(|error| self.note_poison(error))?;
        }
        Ok(())
    }

    /// Syncs the log if that is due, promises what was synced, prepares a segment.
    fn sync_step(&self) -> Result<Progress> {
        let progress = self.sync_if_due()?;
        let prepared = self.log.is_some() && self.prepare_segment()?;
        Ok(if prepared && progress == Progress::Idle { Progress::Prepared } else { progress })
    }

    /// Syncs the log if that is due, and promises what was synced.
    pub(super) fn sync_if_due(&self) -> Result<Progress> {
        let Some(log) = &self.log else { return Ok(Progress::Idle) };
        let mut progress = Progress::Idle;
        let now = nanoseconds(self.now());
        let last = self.last_sync_ns.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= nanoseconds(self.options.sync_interval);
        if due && log.appended() > log.synced() {
            self.last_sync_ns.store(now, Ordering::Relaxed);
            log.sync().map_err(|error| self.note_poison(error))?;
            progress = Progress::Synced;
        }
        if let Some(commit) = self.commit.lock().as_mut()
            && commit.log.append_promise().map_err(|error| self.note_poison(error))?
            && progress == Progress::Idle
        {
            progress = Progress::Prepared;
        }
        if log.appended() <= log.synced() {
            self.stalls.dirty.store(false, Ordering::SeqCst);
            if log.appended() > log.synced() {
                self.stalls.dirty.store(true, Ordering::SeqCst);
            }
        }
        Ok(progress)
    }

    /// Does one compaction, if one is due, as the disk has room; says whether it did.
    pub(super) fn compact_step(&self) -> Result<bool> {
        self.compact_in_room(self.options.level0_tables)
    }

    /// Does the most urgent compaction, level 0 from so many tables on.
    pub(super) fn compact_step_from(&self, level0_tables: usize) -> Result<bool> {
        self.check_poison()?;
        if self.drop_whole_tables()? {
            return Ok(true);
        }
        let config = PickerConfig { level0_tables, ..picker_config(&self.options) };
        // One that is taken from here on is newer: it keeps no tombstone from going.
        let oldest_reader = self.snapshots.list().first().copied().unwrap_or(SeqNo::MAX);
        let plan = {
            let mut tree = self.tree.lock();
            if tree.paused > 0 || self.check_open().is_err() {
                return Ok(false);
            }
            let version = Arc::clone(&self.view.load().version);
            let running = &tree.running;
            let plan = compaction::pick(&version, &config, running)
                .or_else(|| compaction::pick_ripe(&version, &config, running, oldest_reader));
            if let Some(plan) = &plan {
                tree.running.push(plan.claim());
            }
            (plan, version)
        };
        match plan {
            (Some(plan), version) => self.run_claimed(&plan, &version).map(|_| true),
            (None, _) => self.shrink_step(),
        }
    }

    /// Runs a plan whose claim is among the running ones, and ends the claim.
    pub(super) fn run_claimed(&self, plan: &Plan, version: &Arc<Version>) -> Result<Vec<u64>> {
        let _claimed = Claimed { engine: self, claim: plan.claim() };
        self.run_plan(plan, version)
    }

    /// Compacts what lies in the bounds down to one level.
    pub(crate) fn compact_range(&self, bounds: &Bounds) -> Result<()> {
        self.flush()?;
        let Some(end) = bounds.end.as_ref().filter(|_| !bounds.is_empty()) else { return Ok(()) };
        let last = self.published();
        let _alone = self.pause_compactions();
        let bytes_max = self.options.table_bytes * RANGE_PLAN_TABLES;
        for level in 0..LEVELS {
            loop {
                self.check_writable()?;
                let version = Arc::clone(&self.view.load().version);
                let Some(plan) = Plan::for_range(&version, level, &bounds.start, end, bytes_max)
                else {
                    break;
                };
                // Writers go on: what they flush meanwhile is not this call's work.
                if level == 0 && plan.inputs.iter().all(|table| table.meta().seq_min > last) {
                    break;
                }
                self.run_plan(&plan, &version)?;
            }
        }
        self.rewrite_last_level(&bounds.start, end)?;
        self.collect();
        Ok(())
    }

    /// Writes the last level's tables in the range anew where they hold something
    /// that may go now: it was kept for a snapshot.
    fn rewrite_last_level(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut from = start.to_vec();
        loop {
            self.check_writable()?;
            let version = Arc::clone(&self.view.load().version);
            let Some(last) = (1..LEVELS).rev().find(|&l| version.level_bytes(l) > 0) else {
                return Ok(());
            };
            let may_shrink = |table: &&Arc<Table>| {
                let meta = table.meta();
                meta.tombstones > 0 || meta.seq_max > SeqNo::ZERO
            };
            let Some(table) = version.run(last, &from, end).iter().find(may_shrink) else {
                return Ok(());
            };
            let (smallest, largest) = (&table.meta().smallest, &table.meta().largest);
            let Some(plan) = Plan::rewrite(&version, last, smallest, largest, 0) else {
                return Ok(());
            };
            from.clone_from(largest);
            from.push(0);
            self.run_plan(&plan, &version)?;
        }
    }

    /// Waits until no compaction runs, and lets none begin until the guard is dropped:
    /// no other `compact_range` either.
    fn pause_compactions(&self) -> Paused<'_> {
        let mut tree = self.tree.lock();
        tree.paused += 1;
        while tree.is_ranging || !tree.running.is_empty() {
            tree = self.tree_changed.wait(tree);
        }
        tree.is_ranging = true;
        Paused(self)
    }

    /// Does what the plan says; gives the numbers of the tables that came of it.
    fn run_plan(&self, plan: &Plan, version: &Arc<Version>) -> Result<Vec<u64>> {
        let mut edit = VersionEdit::default();
        let removed = |level: usize, tables: &[Arc<Table>]| {
            tables.iter().map(|table| (level, table.meta().number)).collect::<Vec<_>>()
        };
        edit.removed = removed(plan.input_level, &plan.inputs);
        if plan.kind == PlanKind::Move {
            let moved = plan.inputs.iter().map(|t| (plan.output_level, t.meta().clone()));
            edit.added = moved.collect();
            self.work.trivial_moves.fetch_add(plan.inputs.len() as u64, Ordering::Relaxed);
        } else {
            edit.removed.extend(removed(plan.output_level, &plan.next));
            let mut older = OlderTables::new(version, plan);
            // Tables of level 0 become one: cut again, they would be as many as before,
            // and merged again, for ever.
            let cuts = match plan.output_level {
                0 => (u64::MAX, &[][..]),
                _ => (self.options.table_bytes, &plan.grandparents[..]),
            };
            let metas = self.run_job(
                sources(plan),
                oldest_tombstone_ms(plan)?,
                // Level 0 is in the order of sequence numbers: they stay as they are.
                &mut |scoped| plan.output_level == 0 || older.may_contain_older(scoped),
                cuts,
                &|| self.threads.are_stopping(),
            )?;
            let read: u64 = plan.inputs.iter().chain(&plan.next).map(|t| t.meta().bytes).sum();
            let written: u64 = metas.iter().map(|meta| meta.bytes).sum();
            self.work.compaction_read_bytes.fetch_add(read, Ordering::Relaxed);
            self.work.compacted_bytes.fetch_add(written, Ordering::Relaxed);
            edit.added = metas.into_iter().map(|meta| (plan.output_level, meta)).collect();
        }
        let outputs = edit.added.iter().map(|(_, meta)| meta.number).collect();
        self.install(edit, |_| ())?;
        self.work.compactions.fetch_add(1, Ordering::Relaxed);
        self.collect();
        Ok(outputs)
    }

    /// Writes the tables of a job and makes their names durable. They are cut at
    /// `table_bytes`, and by the grandparents beside it.
    fn run_job(
        &self,
        sources: Vec<Source>,
        oldest_tombstone_ms: Option<u64>,
        may_be_older: &mut dyn FnMut(&[u8]) -> bool,
        (table_bytes, grandparents): (u64, &[Arc<Table>]),
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<TableMeta>> {
        let next_number = || self.next_number();
        let context = JobContext {
            vfs: &self.vfs,
            dir: &self.dir,
            tables: writer_options(&self.options),
            table_bytes,
            oldest_tombstone_ms,
            next_number: &next_number,
            cancelled,
        };
        let metas =
            compaction::run(&context, sources, self.readers()?, may_be_older, grandparents)?;
        if let Err(e) = self.vfs.sync_dir(&self.dir) {
            let error = Error::io("sync the folder", &self.dir, e);
            self.poison(error.clone());
            return Err(error.wrap(ErrorKind::Poisoned, "a job's tables may not be durable"));
        }
        Ok(metas)
    }

    /// Unlinks what is out of the tree and held by nobody; says whether there was any.
    pub(super) fn collect(&self) -> bool {
        if self.check_poison().is_err() {
            return false;
        }
        let mut unheld = Vec::new();
        {
            let mut tree = self.tree.lock();
            tree.obsolete.retain(|table| {
                let held = !table.is_unheld();
                if !held {
                    unheld.push(table.meta().number);
                }
                held
            });
        }
        for &number in &unheld {
            self.unlink(FileKind::Table(number));
        }
        !unheld.is_empty()
    }

    /// Removes a file that nothing needs; one that stays is an orphan, which the next
    /// open removes.
    pub(super) fn unlink(&self, kind: FileKind) {
        let path = self.dir.join(kind.name());
        if let Err(error) = self.vfs.unlink(&path) {
            log::warn!("cannot unlink {}: {error}", path.display());
        }
    }
}

/// A claim that is among the running ones until this is dropped.
pub(super) struct Claimed<'a> {
    pub(super) engine: &'a Engine,
    pub(super) claim: Claim,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut tree = self.engine.tree.lock();
        if let Some(place) = tree.running.iter().position(|running| *running == self.claim) {
            tree.running.swap_remove(place);
        }
        drop(tree);
        self.engine.tree_changed.notify_all();
    }
}

/// Lets compactions begin again when it is dropped.
struct Paused<'a>(&'a Engine);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let mut tree = self.0.tree.lock();
        tree.paused -= 1;
        tree.is_ranging = false;
        drop(tree);
        self.0.tree_changed.notify_all();
        self.0.threads.wake_compaction();
    }
}

fn oldest_tombstone_ms(plan: &Plan) -> Result<Option<u64>> {
    let mut oldest = None;
    for table in plan.tables().filter(|table| table.meta().tombstones > 0) {
        oldest = oldest.into_iter().chain(table.properties()?.oldest_tombstone_ms).min();
    }
    Ok(oldest)
}

fn sources(plan: &Plan) -> Vec<Source> {
    let mut sources = Vec::new();
    if plan.input_level == 0 {
        sources.extend(plan.inputs.iter().map(|table| Source::scan(vec![Arc::clone(table)])));
    } else if !plan.inputs.is_empty() {
        sources.push(Source::scan(plan.inputs.clone()));
    }
    if !plan.next.is_empty() {
        sources.push(Source::scan(plan.next.clone()));
    }
    sources
}
