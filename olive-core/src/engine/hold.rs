//! How a writer is held back: what it owes is paid in short waits, and where there is
//! no room it waits until there may be, or its deadline has passed.

use std::time::Duration;

use super::payments::Payments;
use super::stall::{self, Cause, Debts};
use super::{Engine, Tree, picker_config};
use crate::compaction;
use crate::error::{Error, ErrorKind, Result};
use crate::key::SeqNo;
use crate::options::{Maintenance, WriteOptions};
use crate::stats::{StallStats, nanoseconds};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// How long a writer waits before it looks for itself whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After so many failures in a row of the work that it waits for, a write fails too.
const FAILURES_MAX: u32 = 4;
/// While a memtable fills, the price is looked at so often, or each so many bytes.
const PRICES_A_MEMTABLE: usize = 16;
const PRICE_STEP_BYTES_MAX: usize = 1 << 20;

/// What happened to writers that were held back, and the price of a write now.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    /// Nanoseconds that a small write owes; 0: nothing is owed.
    price_ns: AtomicU64,
    price_cause: AtomicU64,
    pub(super) payments: Payments,
    counts: [AtomicU64; Cause::ALL.len()],
    times_ns: [AtomicU64; Cause::ALL.len()],
    /// Whether the sync thread knows that there is something to sync.
    pub(super) dirty: AtomicBool,
}

impl Stalls {
    /// Of a database whose last write is `seq`.
    pub(super) fn new(seq: SeqNo) -> Stalls {
        Stalls { payments: Payments::new(seq), ..Stalls::default() }
    }

    pub(super) fn note(&self, cause: Cause, time: Duration) {
        self.counts[cause as usize].fetch_add(1, Ordering::Relaxed);
        self.times_ns[cause as usize].fetch_add(nanoseconds(time), Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Vec<StallStats> {
        let stats = |cause: Cause| StallStats {
            cause: cause.name().to_owned(),
            count: self.counts[cause as usize].load(Ordering::Relaxed),
            time_ns: self.times_ns[cause as usize].load(Ordering::Relaxed),
        };
        Cause::ALL.into_iter().map(stats).filter(|stall| stall.count > 0).collect()
    }
}

/// When a write gives up.
pub(super) struct Deadline {
    at: Option<Duration>,
}

impl Engine {
    /// Lets a write wait until there may be room, or fails at its deadline: at once, where
    /// that has passed.
    pub(super) fn wait_for_room(&self, cause: Cause, deadline: &Deadline) -> Result<()> {
        let began = self.now();
        let result = match self.options.maintenance {
            Maintenance::Manual => {
                deadline.check(self, cause).and_then(|()| self.make_room_by_hand(cause))
            }
            Maintenance::Threads => self.wait_for_threads(cause, deadline),
        };
        self.stalls.note(cause, self.now().saturating_sub(began));
        result?;
        deadline.check(self, cause)
    }

    fn make_room_by_hand(&self, cause: Cause) -> Result<()> {
        let done = match cause {
            Cause::Level0 => match self.compact_step() {
                // Level 0 may outgrow its limit now.
                Err(error) if error.kind() == ErrorKind::DiskFull => true,
                done => done?,
            },
            Cause::Memtables => self.flush_step()?,
            _ => false,
        };
        if !done {
            // Another thread is at it.
            let tree = self.tree.lock();
            drop(self.tree_changed.wait_timeout(tree, Duration::from_millis(1)));
        }
        Ok(())
    }

    fn wait_for_threads(&self, cause: Cause, deadline: &Deadline) -> Result<()> {
        let tree = self.tree.lock();
        let work = cause.awaited();
        if let Some((error, failures)) = tree.failing.get(work) {
            let is_full = error.kind() == ErrorKind::DiskFull;
            // A full disk is told at once, but where a compaction may be what fills it, and
            // give its room back; what may pass is given some time. Level 0 may outgrow
            // its limit while compactions find no room.
            let is_told = (is_full && tree.running.is_empty()) || *failures >= FAILURES_MAX;
            if is_told && !(is_full && cause == Cause::Level0) {
                let text = format!("the write waits for a {work} that fails, nothing was written");
                return Err(error.wrap(error.kind(), text));
            }
        }
        let still_full = match cause {
            Cause::Memtables => tree.immutables.len() + 1 >= self.options.memtables_max,
            Cause::Level0 => !tree.lacks_room(),
            Cause::LogSegment => tree.preparing,
            _ => true,
        };
        if still_full {
            deadline.check(self, cause)?;
            let left = deadline.left(self).unwrap_or(LOOK_AGAIN);
            drop(self.tree_changed.wait_timeout(tree, left.min(LOOK_AGAIN)));
        }
        self.check_writable()
    }

    /// Adds what the write owes, and pays where enough has added up.
    #[inline]
    pub(super) fn pace(&self, bytes: u64, deadline: &Deadline) -> Result<()> {
        let price = self.stalls.price_ns.load(Ordering::Relaxed);
        if price == 0 {
            return Ok(());
        }
        let owes = stall::owed_ns(price, bytes);
        if !self.stalls.payments.owe(owes) || self.options.maintenance == Maintenance::Manual {
            return Ok(());
        }
        self.pay(deadline).inspect_err(|_| self.stalls.payments.forgive(owes))
    }

    /// Waits for a payment, if one is due; one that the deadline cuts short stays due.
    #[cold]
    fn pay(&self, deadline: &Deadline) -> Result<()> {
        let payments = &self.stalls.payments;
        let Some(pay_ns) = payments.take(self.published()) else { return Ok(()) };
        let pay = Duration::from_nanos(pay_ns);
        let began = self.now();
        let tree = self.tree.lock();
        drop(self.tree_changed.wait_briefly(tree, deadline.left(self).unwrap_or(pay).min(pay)));
        let waited = self.now().saturating_sub(began);
        let cause = Cause::ALL[self.stalls.price_cause.load(Ordering::Relaxed) as usize];
        self.stalls.note(cause, waited);
        let in_time = deadline.check(self, cause);
        // Where others have the processors, it may be long until a sleeper has one again.
        payments.waited(pay_ns, nanoseconds(waited), in_time.is_err());
        in_time
    }

    /// Sets the price anew where the active memtable has `used` bytes; says at how many
    /// that is due again.
    #[cold]
    pub(super) fn reprice(&self, used: usize) -> usize {
        self.update_price(&self.tree.lock());
        used + price_step(self.options.memtable_bytes)
    }

    /// Sets the price of a write by the debts as they are.
    pub(super) fn update_price(&self, tree: &Tree) {
        let view = self.view.load();
        let config = picker_config(&self.options);
        let (segment_used_bytes, segment_bytes) = self.segment_without_next(tree);
        let debts = Debts {
            held_bytes: view.memtables().map(|memtable| memtable.bytes_used() as u64).sum(),
            memtable_bytes: self.options.memtable_bytes as u64,
            memtables_max: self.options.memtables_max as u64,
            level0_tables: view.version.level(0).len() as u64,
            level0_trigger: self.options.level0_tables as u64,
            compaction_bytes: compaction::debt(&view.version, &config),
            level_base_bytes: self.options.level_base_bytes,
            segment_used_bytes,
            segment_bytes,
        };
        let (price, cause) = debts.price_ns();
        self.stalls.price_cause.store(cause as u64, Ordering::Relaxed);
        self.stalls.price_ns.store(price, Ordering::Relaxed);
    }

    /// What is used of the log's segment, and its length, while the next one is being
    /// prepared; else nothing.
    fn segment_without_next(&self, tree: &Tree) -> (u64, u64) {
        let is_awaited = tree.preparing && tree.prepared.is_none();
        let Some(log) = self.log.as_ref().filter(|_| is_awaited) else { return (0, 0) };
        let end = log.appended();
        let active = tree.segments.iter().find(|(number, _)| *number == end.segment);
        active.map_or((0, 0), |&(_, len)| (end.offset, len))
    }
}

/// Bytes of a memtable after which the price is due again.
pub(super) fn price_step(memtable_bytes: usize) -> usize {
    (memtable_bytes / PRICES_A_MEMTABLE).clamp(1, PRICE_STEP_BYTES_MAX)
}

impl Deadline {
    /// Of a write that begins now; one too far off to be told is none.
    pub(super) fn of(engine: &Engine, options: &WriteOptions) -> Deadline {
        Deadline { at: options.deadline.and_then(|wait| engine.now().checked_add(wait)) }
    }

    fn left(&self, engine: &Engine) -> Option<Duration> {
        self.at.map(|at| at.saturating_sub(engine.now()))
    }

    /// Fails if it has passed; `cause` is what the write waited for.
    #[inline]
    pub(super) fn check(&self, engine: &Engine, cause: Cause) -> Result<()> {
        match self.left(engine) {
            Some(left) if left.is_zero() => Err(Error::new(
                ErrorKind::Stalled,
                format!(
                    "the write's deadline passed, nothing was written; cause: {}",
                    cause.name()
                ),
            )),
            _ => Ok(()),
        }
    }
}
