//! Compactions while the disk has no room for them.
//!
//! ```text
//! a compaction finds no room
//!        ├─> narrower ones are tried at once, down to half of half of half …, and from
//!        │   then on what is no wider than what had room
//!        ├─> none has room: level 0 may outgrow its limit, since a flush needs far less
//!        │   room than a compaction, and writes need no more than flushes
//!        └─> all again after a second, then two, then every four
//! ```
//!
//! Each one that fails had all the room there was for a moment, so that is done seldom. With
//! `Maintenance::Manual` nobody tries again by himself: whoever asks for a
//! step has a wide one tried first, and level 0 outgrows its limit by one memtable for each
//! that failed.

use std::time::Duration;

use super::{Engine, Tree, picker_config};
use crate::compaction::{self, PlanKind};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Maintenance;
use crate::sync::Arc;

/// The most that a narrow compaction takes, in tables of full size.
const NARROW_TABLES_MAX: u64 = 16;
/// How soon wide compactions are tried again, at first and at most.
const WIDE_AGAIN_MIN: Duration = Duration::from_secs(1);
const WIDE_AGAIN_MAX: Duration = Duration::from_secs(4);

/// A compaction found no room, and none that is as wide has been done since.
#[derive(Debug)]
pub(super) struct Lack {
    error: Error,
    /// What a compaction may take; more was too much.
    bytes_max: u64,
    /// When wide ones are tried again, and how long that was put off.
    wide_at: Duration,
    put_off: Duration,
    /// Not even a narrow one had room.
    is_stuck: bool,
}

impl Tree {
    /// Whether level 0 may outgrow its limit.
    pub(super) fn lacks_room(&self) -> bool {
        self.lack.as_ref().is_some_and(|lack| lack.is_stuck)
    }
}

impl Engine {
    /// Does one compaction, if one is due, and on a disk without room for it a narrower
    /// one; says whether it did. Level 0 is due from so many tables on.
    pub(super) fn compact_in_room(&self, level0_tables: usize) -> Result<bool> {
        if self.is_wide_due() {
            match self.compact_step_from(level0_tables) {
                Err(error) if error.kind() == ErrorKind::DiskFull => self.note_lack(error),
                Ok(did) => {
                    self.forget_lack(did);
                    return Ok(did);
                }
                Err(error) => return Err(error),
            }
        }
        self.compact_narrowly(level0_tables)
    }

    fn is_wide_due(&self) -> bool {
        let tree = self.tree.lock();
        let is_put_off = |lack: &Lack| self.now() < lack.wide_at;
        self.options.maintenance == Maintenance::Manual
            || !tree.lack.as_ref().is_some_and(is_put_off)
    }

    fn note_lack(&self, error: Error) {
        let bytes_max = self.options.table_bytes.saturating_mul(NARROW_TABLES_MAX);
        let mut tree = self.tree.lock();
        let put_off = tree.lack.as_ref().map_or(WIDE_AGAIN_MIN, |lack| lack.put_off * 2);
        let put_off = put_off.min(WIDE_AGAIN_MAX);
        let is_stuck = tree.lacks_room();
        let wide_at = self.now() + put_off;
        tree.lack = Some(Lack { error, bytes_max, wide_at, put_off, is_stuck });
        drop(tree);
        self.give_room_to_writers();
    }

    /// A wide compaction was done, or none is due.
    fn forget_lack(&self, did: bool) {
        let mut tree = self.tree.lock();
        if did || tree.running.is_empty() && tree.paused == 0 {
            tree.lack = None;
        }
    }

    /// What a compaction wrote before it failed was in their way.
    fn give_room_to_writers(&self) {
        self.threads.wake_flush();
        self.threads.wake_prepare();
        self.tree_changed.notify_all();
    }

    /// Does the widest compaction that there is room for; ends in the error of the last
    /// one that failed if there is none.
    fn compact_narrowly(&self, level0_tables: usize) -> Result<bool> {
        let config = compaction::PickerConfig { level0_tables, ..picker_config(&self.options) };
        loop {
            let (plan, version) = {
                let mut tree = self.tree.lock();
                if tree.paused > 0 || self.check_open().is_err() {
                    return Ok(false);
                }
                let Tree { running, lack: Some(lack), .. } = &mut *tree else { return Ok(false) };
                let version = Arc::clone(&self.view.load().version);
                let plan = compaction::pick_narrow(&version, &config, running, lack.bytes_max);
                lack.is_stuck = plan.is_none() && running.is_empty();
                let Some(plan) = plan else {
                    let error = lack.error.clone();
                    drop(tree);
                    self.tree_changed.notify_all();
                    return Err(error);
                };
                running.push(plan.claim());
                (plan, version)
            };
            match self.run_claimed(&plan, &version) {
                Err(error)
                    if error.kind() == ErrorKind::DiskFull && plan.kind == PlanKind::Merge =>
                {
                    if let Some(lack) = &mut self.tree.lock().lack {
                        lack.bytes_max = lack.bytes_max.min(plan.bytes()) / 2;
                        lack.error = error;
                    }
                    self.give_room_to_writers();
                }
                done => return done.map(|_| true),
            }
        }
    }
}
