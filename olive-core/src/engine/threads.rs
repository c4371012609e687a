//! The background threads: who they are, how they are woken, how they end.
//!
//! ```text
//! olive-flush      memtables to tables; never waits behind a compaction
//! olive-sync       syncs the log, writes promises, brings the memtable's next memory in
//! olive-prepare    prepares segments; never waits behind a sync
//! olive-compact-n  compactions
//! ```
//!
//! Each sleeps on a channel of its own with room for one wake.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Engine;
use super::stall::LOG_SEGMENT;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Maintenance;
use crate::stats::nanoseconds;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};
use crate::vfs::Patience;

/// How long a thread waits after an error before it tries again, at first.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// And at most.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How soon after a sync its promise is on disk, and how often a thread with
/// nothing to wait for looks whether there is something to collect.
const PROMISE_WITHIN: Duration = Duration::from_millis(8);
const IDLE: Duration = Duration::from_secs(1);
/// The sync thread does not look more often.
const SYNC_TURN_MIN: Duration = Duration::from_millis(1);
/// Once nothing was written for so long, the processor and the disk are free: level 0 is
/// compacted from fewer tables on, so that reads to come look into fewer.
const AT_REST: Duration = Duration::from_millis(50);
const LEVEL0_TABLES_AT_REST: usize = 2;

/// Since when nothing was written.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The last sequence number that was seen.
    seq: AtomicU64,
    since_ns: AtomicU64,
}

impl Rest {
    /// From `now` on, behind `seq`.
    pub(super) fn new(seq: u64, now: Duration) -> Rest {
        Rest { seq: AtomicU64::new(seq), since_ns: AtomicU64::new(nanoseconds(now)) }
    }
}

/// What a thread sleeps on.
#[derive(Debug)]
struct Bell {
    ring: SyncSender<()>,
    sleeper: Mutex<Option<Receiver<()>>>,
}

impl Bell {
    fn new() -> Bell {
        let (ring, sleeper) = sync_channel(1);
        Bell { ring, sleeper: Mutex::new(Some(sleeper)) }
    }

    /// Wakes the sleeper, now or when it next wants to sleep.
    fn ring(&self) {
        // Full: a wake is waiting already. Disconnected: the thread has ended.
        let _ = self.ring.try_send(());
    }
}

/// The threads of one engine.
#[derive(Debug)]
pub(super) struct Threads {
    flush: Bell,
    sync: Bell,
    prepare: Bell,
    compaction: Vec<Bell>,
    stopping: AtomicBool,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Threads that were not started yet.
    pub(super) fn new(compaction_threads: usize) -> Threads {
        Threads {
            flush: Bell::new(),
            sync: Bell::new(),
            prepare: Bell::new(),
            compaction: (0..compaction_threads).map(|_| Bell::new()).collect(),
            stopping: AtomicBool::new(false),
            handles: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn wake_flush(&self) {
        self.flush.ring();
    }

    pub(super) fn wake_sync(&self) {
        self.sync.ring();
    }

    pub(super) fn wake_prepare(&self) {
        self.prepare.ring();
    }

    pub(super) fn wake_compaction(&self) {
        for bell in &self.compaction {
            bell.ring();
        }
    }

    /// Whether running jobs should end early.
    pub(super) fn are_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends all threads and waits for them.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.flush.ring();
        self.sync.ring();
        self.prepare.ring();
        self.wake_compaction();
        for handle in std::mem::take(&mut *self.handles.lock()) {
            if handle.join().is_err() {
                log::error!("a background thread panicked");
            }
        }
    }
}

impl Engine {
    /// Starts the threads, if the options ask for them.
    pub(super) fn start_threads(self: &Arc<Self>) -> Result<()> {
        if self.read_only || self.options.maintenance == Maintenance::Manual {
            return Ok(());
        }
        self.spawn("olive-flush".to_owned(), Patience::Short, &self.threads.flush, |engine| {
            engine.retried("flush", |engine| engine.flush_all_waiting().map(|()| true))
        })?;
        self.spawn(
            "olive-sync".to_owned(),
            Patience::Short,
            &self.threads.sync,
            Engine::sync_turn,
        )?;
        self.spawn("olive-prepare".to_owned(), Patience::Short, &self.threads.prepare, |engine| {
            engine.retried(LOG_SEGMENT, |engine| engine.prepare_segment().map(|_| true))
        })?;
        for (number, bell) in self.threads.compaction.iter().enumerate() {
            self.spawn(format!("olive-compact-{number}"), Patience::Long, bell, |engine| {
                let wait = engine.retried("compaction", Engine::compact_all);
                if engine.may_gather_soon() { wait.min(AT_REST) } else { wait }
            })?;
        }
        self.threads.wake_compaction();
        self.threads.wake_sync();
        self.threads.wake_prepare();
        Ok(())
    }

    /// A thread that does `turn` whenever it is woken, or when the time that the
    /// last turn named has passed.
    #[expect(clippy::disallowed_methods, reason = "the engine's threads begin here")]
    fn spawn(
        self: &Arc<Self>,
        name: String,
        patience: Patience,
        bell: &Bell,
        turn: impl Fn(&Engine) -> Duration + Send + 'static,
    ) -> Result<()> {
        let Some(sleeper) = bell.sleeper.lock().take() else { return Ok(()) };
        let engine = Arc::clone(self);
        let handle = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                engine.vfs.lower_thread_priority(patience);
                let mut wait = Duration::ZERO;
                loop {
                    let woken = sleeper.recv_timeout(wait);
                    let gone = matches!(woken, Err(RecvTimeoutError::Disconnected));
                    if gone || engine.threads.are_stopping() {
                        return;
                    }
                    // A panic must not leave writers waiting for work that nobody does.
                    match catch_unwind(AssertUnwindSafe(|| turn(&engine))) {
                        Ok(next) => wait = next,
                        Err(_) => {
                            let text = format!("the thread {name} panicked");
                            engine.poison(Error::new(ErrorKind::Poisoned, text));
                            return;
                        }
                    }
                }
            })
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread: {e}")))?;
        self.threads.handles.lock().push(handle);
        Ok(())
    }

    /// Does `work`, which says whether that shows that it can be done; notes an error, and
    /// says when to try again.
    fn retried(&self, what: &'static str, work: fn(&Engine) -> Result<bool>) -> Duration {
        let error = match work(self) {
            Ok(shown) => {
                if shown {
                    self.note_background_ok(what);
                }
                return IDLE;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Closed || self.check_poison().is_err() {
            return IDLE;
        }
        log::warn!("{}: {what}: {error}", self.dir.display());
        let failures = self.note_background_error(what, error);
        RETRY_MIN.saturating_mul(1 << failures.min(5)).min(RETRY_MAX)
    }

    fn note_background_ok(&self, work: &'static str) {
        if self.tree.lock().failing.remove(work).is_some() {
            self.tree_changed.notify_all();
        }
    }

    /// Keeps the error for `health` and for writers that wait; says how often in a
    /// row it happened.
    fn note_background_error(&self, work: &'static str, error: Error) -> u32 {
        let mut tree = self.tree.lock();
        tree.background_errors += 1;
        tree.last_background_error = Some(error.to_string());
        let failures = tree.failing.get(work).map_or(1, |(_, before)| before + 1);
        tree.failing.insert(work, (error, failures));
        drop(tree);
        self.tree_changed.notify_all();
        failures
    }

    fn flush_all_waiting(&self) -> Result<()> {
        self.rotate_if_wished()?;
        let mut flushed = false;
        while !self.threads.are_stopping() && self.flush_step()? {
            flushed = true;
        }
        if !flushed {
            // Nothing was flushed for a while.
            self.release_spare_segment();
            if !self.view.load().memtable.wants_spare() {
                // And nothing will be soon.
                self.gauge.release_spare();
            }
        }
        Ok(())
    }

    /// Says whether any was done, or none is wanted: where others are at it, that says nothing
    /// of theirs.
    fn compact_all(&self) -> Result<bool> {
        let mut done = false;
        loop {
            let level0_tables = match self.is_at_rest() {
                true => self.options.level0_tables.min(LEVEL0_TABLES_AT_REST),
                false => self.options.level0_tables,
            };
            if self.threads.are_stopping() || !self.compact_in_room(level0_tables)? {
                break;
            }
            done = true;
        }
        self.collect();
        Ok(done || self.tree.lock().running.is_empty())
    }

    /// Whether nothing was written for a while, as far as those who ask can see.
    fn is_at_rest(&self) -> bool {
        let (last, now) = (self.published().0, nanoseconds(self.now()));
        if self.rest.seq.load(Ordering::Relaxed) != last {
            self.rest.seq.store(last, Ordering::Relaxed);
            self.rest.since_ns.store(now, Ordering::Relaxed);
        }
        now.saturating_sub(self.rest.since_ns.load(Ordering::Relaxed)) >= nanoseconds(AT_REST)
    }

    /// Whether level 0 has tables for which a rest is waited for.
    fn may_gather_soon(&self) -> bool {
        let tables = self.view.load().version.level(0).len();
        tables >= LEVEL0_TABLES_AT_REST && !self.is_at_rest()
    }

    /// One turn of the sync thread; says when the next is due.
    fn sync_turn(&self) -> Duration {
        self.view.load().memtable.populate_ahead();
        match self.sync_if_due() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Closed => {}
            Err(error) => {
                if self.check_poison().is_ok() {
                    log::warn!("{}: log: {error}", self.dir.display());
                    self.note_background_error("log", error);
                    return RETRY_MIN;
                }
                return IDLE;
            }
        }
        self.note_background_ok("log");
        let last = Duration::from_nanos(self.last_sync_ns.load(Ordering::Relaxed));
        let since = self.now().saturating_sub(last);
        let dirty = self.stalls.dirty.load(Ordering::Acquire);
        next_sync_turn(dirty, since, self.options.sync_interval)
    }
}

/// When the sync thread is to look again: while there is something to sync, or to promise, when
/// that is due.
fn next_sync_turn(dirty: bool, since_sync: Duration, interval: Duration) -> Duration {
    if dirty {
        let left = interval.saturating_sub(since_sync);
        PROMISE_WITHIN.min(left.max(SYNC_TURN_MIN))
    } else {
        IDLE.min(interval)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::compaction::Claim;
    use crate::options::Options;
    use crate::vfs::sim::SimVfs;

    #[test]
    fn a_failure_is_not_forgotten_by_who_finds_others_at_it() {
        let options = Options::default().maintenance(Maintenance::Manual);
        let engine = Engine::open(options, Arc::new(SimVfs::new(1)), Path::new("/db")).unwrap();
        let compact = || {
            engine.retried("compaction", Engine::compact_all);
            engine.tree.lock().failing.contains_key("compaction")
        };
        engine.note_background_error("compaction", Error::new(ErrorKind::Corruption, "a block"));
        engine.tree.lock().running.push(Claim::of(&[(0, 7)]));
        assert!(compact(), "others are at it");
        engine.tree.lock().running.clear();
        assert!(!compact(), "nothing is to be done");
        engine.close().unwrap();
    }

    #[test]
    fn a_sync_is_looked_for_when_it_is_due_and_a_promise_soon() {
        let ms = Duration::from_millis;
        assert_eq!(next_sync_turn(true, ms(0), ms(1)), ms(1));
        assert_eq!(next_sync_turn(true, ms(95), ms(100)), ms(5));
        assert_eq!(next_sync_turn(true, ms(10), ms(100)), PROMISE_WITHIN);
        assert_eq!(next_sync_turn(true, ms(200), ms(100)), SYNC_TURN_MIN, "it failed, or begins");
        assert_eq!(next_sync_turn(false, ms(0), ms(100)), ms(100));
        assert_eq!(next_sync_turn(false, ms(0), ms(10_000)), IDLE);
    }
}
