//! How the space of dropped keyspaces comes back.
//!
//! ```text
//! a table of nothing else            an edit takes it out, without reading it
//! a table of which it is an eighth   is written anew, when nothing more urgent is due
//! the rest                           goes with the compactions that come by
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
        let is_gone = |table: &Table| {
            let first = KeyspaceId::split(&table.meta().smallest);
            let last = KeyspaceId::split(&table.meta().largest);
            match (first, last) {
                (Some((first, _)), Some((last, _))) => first == last && readers.is_gone(first),
                _ => false,
            }
        };
        let (running, removed) = {
            let mut tree = self.tree.lock();
            if tree.paused > 0 || self.check_open().is_err() {
                return Ok(false);
            }
            let view = self.view.load();
            let busy = |number: u64| tree.running.iter().any(|job| job.has(number));
            let gone: Vec<(usize, u64)> = view
                .version
                .tables()
                .filter(|(_, table)| is_gone(table) && !busy(table.meta().number))
                .map(|(level, table)| (level, table.meta().number))
                .collect();
            if gone.is_empty() {
                return Ok(false);
            }
            let running = Claim::of(&gone);
            tree.running.push(running.clone());
            (running, gone)
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
        let readers = self.readers()?;
        let gone = || readers.dropped.keys().copied().filter(|&id| readers.is_gone(id));
        for keyspace in gone() {
            let (start, end) = scoped(keyspace);
            for level in 0..LEVELS {
                let version = Arc::clone(&self.view.load().version);
                let Some(table) = self.shrinkable(&version, level, keyspace, &start, &end)? else {
                    continue;
                };
                if let Some((plan, version)) = self.claim_shrinking(level, &table) {
                    let outputs = self.run_claimed(&plan, &version)?;
                    // Offsets are those of blocks: they could seem to have some left of
                    // each keyspace that the job left out, not of this one alone.
                    let (smallest, largest) = plan.range();
                    let left_out: Vec<KeyspaceId> = gone()
                        .filter(|&id| {
                            let (start, end) = scoped(id);
                            start.as_slice() <= largest && end.as_slice() > smallest
                        })
                        .collect();
                    let pairs = outputs.iter().flat_map(|&n| left_out.iter().map(move |&k| (n, k)));
                    self.shrunk.lock().extend(pairs);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A table of `level` of which `keyspace` takes a good part. Each table is looked at
    /// once a keyspace, since what it holds does not change.
    fn shrinkable(
        &self,
        version: &Version,
        level: usize,
        keyspace: KeyspaceId,
        start: &[u8],
        end: &[u8],
    ) -> Result<Option<Arc<Table>>> {
        for table in version.overlapping(level, start, end) {
            let key = (table.meta().number, keyspace);
            if self.shrunk.lock().contains(&key) {
                continue;
            }
            let gone = table.offset_of(end)?.saturating_sub(table.offset_of(start)?);
            if gone >= table.meta().bytes / GONE_PARTS && gone > 0 {
                return Ok(Some(Arc::clone(table)));
            }
            let mut looked_at = self.shrunk.lock();
            if looked_at.len() >= LOOKED_AT_MAX {
                looked_at.clear();
            }
            looked_at.insert(key);
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

/// The first scoped key that `keyspace` can have, and the first behind all of them.
fn scoped(keyspace: KeyspaceId) -> (Vec<u8>, Vec<u8>) {
    let mut start = Vec::new();
    keyspace.encode_into(&mut start);
    (start, keyspace.end())
}
