//! How the space of dropped keyspaces comes back.
//!
//! ```text
//! a table of nothing else              an edit takes it out, without reading it
//! a table of which they are an eighth  is compacted, when nothing more urgent is due
//! the rest                             goes with the compactions that come by
//! ```

use super::Engine;
use super::maintenance::Claimed;
use crate::compaction::{Claim, Plan, Readers};
use crate::error::Result;
use crate::format::edit::VersionEdit;
use crate::key::KeyspaceId;
use crate::sync::{Arc, Ordering};
use crate::table::Table;
use crate::version::{LEVELS, Version};

/// A table is written anew if at least one part in this many of it is gone.
const GONE_PARTS: u64 = 8;
/// After so many tables looked at, the list of them is begun anew.
const LOOKED_AT_MAX: usize = 100_000;

impl Engine {
    /// What a job must keep. Dropped keyspaces are listed before snapshots: a
    /// snapshot that is registered later sees the drop. And a drop counts only once it
    /// is durable: a power cut that undid it must find the keyspace's entries.
    pub(super) fn readers(&self) -> Result<Readers> {
        let dropped = self.dropped.lock().clone();
        let last = dropped.values().map(|at| at.0).max().unwrap_or(0);
        if last > self.drops_synced.load(Ordering::Acquire) {
            // Not `sync`: close gets here as well.
            if let Some(log) = &self.log {
                log.sync().map_err(|error| self.note_poison(error))?;
            }
            self.drops_synced.fetch_max(last, Ordering::AcqRel);
        }
        Ok(Readers { dropped, snapshots: self.snapshots.list() })
    }

    /// Takes tables out that hold nothing but dropped keyspaces.
    pub(super) fn drop_whole_tables(&self) -> Result<bool> {
        let readers = self.readers()?;
        if readers.dropped.is_empty() {
            return Ok(false);
        }
        let gone = Gone::of(&readers);
        let (running, removed) = {
            let mut tree = self.tree.lock();
            if tree.paused > 0 || self.check_open().is_err() {
                return Ok(false);
            }
            let view = self.view.load();
            let busy = |number: u64| tree.running.iter().any(|job| job.has(number));
            let removed: Vec<(usize, u64)> = view
                .version
                .tables()
                .filter(|(_, table)| gone.has_all_of(table) && !busy(table.meta().number))
                .map(|(level, table)| (level, table.meta().number))
                .collect();
            if removed.is_empty() {
                return Ok(false);
            }
            let running = Claim::of(&removed);
            tree.running.push(running.clone());
            (running, removed)
        };
        let _claimed = Claimed { engine: self, claim: running };
        self.install(VersionEdit { removed, ..VersionEdit::default() }, |_| ())?;
        self.work.compactions.fetch_add(1, Ordering::Relaxed);
        self.collect();
        Ok(true)
    }

    /// Compacts one table that holds a good part of dropped keyspaces, if there is one;
    /// says whether it did.
    pub(super) fn shrink_step(&self) -> Result<bool> {
        let gone = Gone::of(&self.readers()?);
        if gone.keyspaces == 0 {
            return Ok(false);
        }
        for level in 0..LEVELS {
            let version = Arc::clone(&self.view.load().version);
            let Some(table) = self.shrinkable(&version, level, &gone)? else { continue };
            if let Some((plan, version)) = self.claim_shrinking(level, &table) {
                let outputs = self.run_claimed(&plan, &version)?;
                // Offsets are those of blocks: they could seem to have some left.
                let looked_at = outputs.iter().map(|&number| (number, gone.keyspaces));
                self.shrunk.lock().extend(looked_at);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A table of `level` of which dropped keyspaces take a good part. Each table is looked
    /// at once for as long as no more of them are gone, since what it holds does not change.
    fn shrinkable(
        &self,
        version: &Version,
        level: usize,
        gone: &Gone,
    ) -> Result<Option<Arc<Table>>> {
        for table in version.level(level) {
            let number = table.meta().number;
            if self.shrunk.lock().get(&number) == Some(&gone.keyspaces) {
                continue;
            }
            let mut bytes = 0;
            for (start, end) in gone.within(table) {
                bytes += table.offset_of(end)?.saturating_sub(table.offset_of(start)?);
            }
            if bytes >= table.meta().bytes / GONE_PARTS && bytes > 0 {
                return Ok(Some(Arc::clone(table)));
            }
            let mut looked_at = self.shrunk.lock();
            if looked_at.len() >= LOOKED_AT_MAX {
                looked_at.clear();
            }
            looked_at.insert(number, gone.keyspaces);
        }
        Ok(None)
    }

    /// The plan that compacts `table`, claimed, unless it is gone or others are at it.
    fn claim_shrinking(&self, level: usize, table: &Table) -> Option<(Plan, Arc<Version>)> {
        let mut tree = self.tree.lock();
        if tree.paused > 0 || self.check_open().is_err() {
            return None;
        }
        let version = Arc::clone(&self.view.load().version);
        let meta = table.meta();
        let plan = match level {
            0 => Plan::for_range(&version, 0, &meta.smallest, &meta.largest, u64::MAX),
            _ => Plan::rewrite(&version, level, &meta.smallest, &meta.largest, 0),
        }?;
        let is_mine = plan.inputs.iter().any(|input| input.meta().number == meta.number);
        if !is_mine || tree.running.iter().any(|claim| claim.collides(&plan)) {
            return None;
        }
        tree.running.push(plan.claim());
        Some((plan, version))
    }
}

/// What nobody can read any more.
struct Gone {
    /// How many keyspaces.
    keyspaces: usize,
    /// Their scoped keys, from the first on and up to the first that is not theirs, in
    /// order. Keyspaces whose numbers follow one another are one range.
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Gone {
    fn of(readers: &Readers) -> Gone {
        let mut gone = Gone { keyspaces: 0, ranges: Vec::new() };
        for &keyspace in readers.dropped.keys().filter(|&&id| readers.is_gone(id)) {
            let (start, end) = scoped(keyspace);
            gone.keyspaces += 1;
            match gone.ranges.last_mut() {
                Some((_, last)) if *last == start => *last = end,
                _ => gone.ranges.push((start, end)),
            }
        }
        gone
    }

    /// The ranges of which `table` may have keys.
    fn within(&self, table: &Table) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
        let meta = table.meta();
        let from = self.ranges.partition_point(|(_, end)| *end <= meta.smallest);
        self.ranges[from..].iter().take_while(|(start, _)| *start <= meta.largest)
    }

    fn has_all_of(&self, table: &Table) -> bool {
        let meta = table.meta();
        let range = self.within(table).next();
        range.is_some_and(|(start, end)| *start <= meta.smallest && meta.largest < *end)
    }
}

/// The first scoped key that `keyspace` can have, and the first behind all of them.
fn scoped(keyspace: KeyspaceId) -> (Vec<u8>, Vec<u8>) {
    let mut start = Vec::new();
    keyspace.encode_into(&mut start);
    (start, keyspace.end())
}
