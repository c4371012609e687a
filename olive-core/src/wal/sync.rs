//! Group commit: who waits while a sync runs shares the next one.
//!
//! ```text
//! wait(position):  until synced >= position:
//!                      someone syncs        sleep until that sync ends
//!                      nobody does          lead: take the sealed segments and the active
//!                                           file, note `appended`; sync them oldest first;
//!                                           synced = what was noted; wake all
//! ```
//!
//! Those who were woken by one sync come back with their next records a moment after the
//! next leader has begun, and would be half of the writers in every sync. So a leader
//! first gives way to them: see [`Pace`].
//!
//! `appended` is published after a record's bytes are in the page cache, so a sync
//! that begins later covers them. Segments are synced in order, so a synced record
//! never stands behind one that is not. A sync that failed is never tried again:
//! the system may have dropped the pages that it could not write.

use std::path::PathBuf;

use super::WalPosition;
use super::pace::Pace;
use crate::error::{Error, ErrorKind, Result};
use crate::format::wal_record::SEGMENT_HEADER_BYTES;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, EventCount, Mutex, Ordering, yield_now};
use crate::vfs::{SharedMap, Vfs, VfsFile};

/// Syncs the log, for everyone who waits at the same time at once.
#[derive(Debug)]
pub struct LogSync {
    /// Packed positions; `synced <= appended`.
    appended: AtomicU64,
    synced: AtomicU64,
    syncs: AtomicU64,
    /// The next sync is of the whole file: behind the end of the log, an append was taken
    /// back.
    whole: AtomicBool,
    /// Whether `State::poison` is set, for who does not hold the lock.
    is_poisoned: AtomicBool,
    /// Whether someone syncs.
    led: AtomicBool,
    /// Syncs that ended.
    done: EventCount,
    /// Who ever asked for a sync.
    asked: AtomicU64,
    /// How many the last one woke.
    woken: AtomicU32,
    /// What one leader leaves to the next.
    pace: Mutex<Pace>,
    state: Mutex<State>,
    clock: Arc<dyn Vfs>,
}

#[derive(Debug)]
struct State {
    /// Segments with an end mark that is not synced, oldest first.
    sealed: Vec<Sealed>,
    active: (Arc<dyn VfsFile>, PathBuf),
    poison: Option<Error>,
}

/// A segment that takes no more records.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) path: PathBuf,
    /// Behind its end mark.
    pub(super) end: WalPosition,
    /// Unmapping takes a while, so it is left to who syncs, not to who rotates; but it is
    /// done before the sync, which would protect page by page what is still mapped.
    pub(super) map: Option<Box<dyn SharedMap>>,
}

/// What one leader syncs.
struct Batch {
    sealed: Vec<Sealed>,
    active: (Arc<dyn VfsFile>, PathBuf),
    end: WalPosition,
}

/// How much of the active segment a sync writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it: the call that costs least where few bytes are new.
    File,
    /// What is before the end of the log. The pages behind it, which were made ready for
    /// stores, stay so, and are not written as the zeros that they are.
    UpToEnd,
}

impl LogSync {
    /// Of a log that is durable up to `start`, in the segment `active`; `clock` times syncs.
    pub(super) fn new(
        start: WalPosition,
        active: (Arc<dyn VfsFile>, PathBuf),
        clock: Arc<dyn Vfs>,
    ) -> LogSync {
        LogSync {
            appended: AtomicU64::new(start.pack()),
            synced: AtomicU64::new(start.pack()),
            syncs: AtomicU64::new(0),
            whole: AtomicBool::new(false),
            is_poisoned: AtomicBool::new(false),
            led: AtomicBool::new(false),
            done: EventCount::default(),
            asked: AtomicU64::new(0),
            woken: AtomicU32::new(0),
            pace: Mutex::new(Pace::new()),
            state: Mutex::new(State { sealed: Vec::new(), active, poison: None }),
            clock,
        }
    }

    /// Returns when the log is durable up to `position`. Callers share syncs; no
    /// lock is held across one. After a failed sync every call fails.
    ///
    /// # Errors
    ///
    /// `Poisoned`: a sync failed; what is on disk behind [`synced`](LogSync::synced)
    /// is not known. `InvalidArgument`: the log does not reach `position`.
    pub fn wait(&self, position: WalPosition) -> Result<()> {
        // Who waits for each write writes them by `pwrite`: no page is there for stores.
        self.wait_for(position, Extent::File)
    }

    fn wait_for(&self, position: WalPosition, extent: Extent) -> Result<()> {
        self.check()?;
        if self.synced() >= position {
            return Ok(());
        }
        if position > self.appended() {
            return Err(Error::invalid(format!(
                "a sync up to {position}, but the log ends at {}",
                self.appended()
            )));
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        loop {
            let ended = self.done.now();
            self.check()?;
            if self.synced() >= position {
                return Ok(());
            }
            // Whoever leads now counts its end after `ended` was taken, so that a wait for
            // that end is not too late.
            if self.led.swap(true, Ordering::Acquire) {
                self.done.wait(ended);
            } else {
                self.lead(extent);
            }
        }
    }

    /// Syncs all that was appended before the call; says up to where.
    ///
    /// # Errors
    ///
    /// As those of [`wait`](LogSync::wait).
    pub fn sync(&self) -> Result<WalPosition> {
        self.wait_for(self.appended(), Extent::UpToEnd)?;
        Ok(self.synced())
    }

    /// Up to where the log is durable.
    #[must_use]
    #[inline]
    pub fn synced(&self) -> WalPosition {
        WalPosition::unpack(self.synced.load(Ordering::Acquire))
    }

    /// Where the log ends: behind the last record of operations or end mark. Records
    /// that only promise do not count, so that an idle log is at rest.
    #[must_use]
    #[inline]
    pub fn appended(&self) -> WalPosition {
        WalPosition::unpack(self.appended.load(Ordering::Acquire))
    }

    /// Syncs done (group commits count once).
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Fails after a failed sync, or append that could not be taken back: nothing may be
    /// acknowledged.
    ///
    /// # Errors
    ///
    /// `Poisoned`, with the cause.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.is_poisoned.load(Ordering::Acquire) { Err(self.poison_cause()) } else { Ok(()) }
    }

    /// Says that the log now ends at `end`, and all before it is in the page cache.
    #[inline]
    pub(super) fn publish(&self, end: WalPosition) {
        self.appended.store(end.pack(), Ordering::Release);
    }

    /// Takes over a segment that got its end mark; the log goes on in `active`, which
    /// is durable up to `start`.
    pub(super) fn rotate(
        &self,
        sealed: Sealed,
        active: (Arc<dyn VfsFile>, PathBuf),
        start: WalPosition,
    ) {
        let mut state = self.state.lock();
        state.sealed.push(sealed);
        state.active = active;
        // Under the lock: a leader must not note a position of the new segment and
        // sync the file of the old one.
        self.publish(start);
    }

    /// Spares itself the syncs of segments before `oldest`: all that they hold is durable
    /// elsewhere, and the manifest that is on disk says that it needs none of them.
    pub fn forget_before(&self, oldest: u64) {
        let mut state = self.state.lock();
        let needed = state.sealed.partition_point(|sealed| sealed.end.segment < oldest);
        let forgotten: Vec<Sealed> = state.sealed.drain(..needed).collect();
        drop(state);
        // Unmapping takes a while: not under the lock.
        drop(forgotten);
    }

    /// Behind the end of the log are zeros to be synced as well.
    #[cold]
    pub(super) fn sync_whole(&self) {
        self.whole.store(true, Ordering::Release);
    }

    /// Refuses everything from now on; the first cause stays. Says what everyone gets.
    #[cold]
    pub(super) fn poison(&self, cause: &Error) -> Error {
        let mut state = self.state.lock();
        let error = state.poison.get_or_insert_with(|| {
            cause.wrap(
                ErrorKind::Poisoned,
                "the log takes no more writes, and the outcome of those that were not \
                 acknowledged is unknown, until the database is opened again",
            )
        });
        let error = error.clone();
        self.is_poisoned.store(true, Ordering::Release);
        self.done.advance();
        error
    }

    #[cold]
    fn poison_cause(&self) -> Error {
        let state = self.state.lock();
        state
            .poison
            .clone()
            .unwrap_or_else(|| Error::new(ErrorKind::Poisoned, "the log takes no more writes"))
    }

    /// Lets other threads run until those who were woken wait again, or for a while.
    fn give_way(&self, pace: &Pace) {
        let woken = self.woken.load(Ordering::Relaxed);
        let start = self.clock.monotonic();
        let mut yields = 0;
        while self.done.waiters() < woken
            && pace.waits(yields, || self.clock.monotonic().saturating_sub(start))
        {
            yield_now();
            yields += 1;
        }
    }

    /// Syncs what is appended, publishes the outcome, and wakes all. By who has set `led`.
    fn lead(&self, extent: Extent) {
        let led = Led { log: self };
        // Nobody else takes this lock: there is one leader.
        let mut pace = self.pace.lock();
        if self.woken.load(Ordering::Relaxed) > 0 {
            self.give_way(&pace);
        }
        let mut batch = {
            let mut state = self.state.lock();
            Batch {
                sealed: std::mem::take(&mut state.sealed),
                active: state.active.clone(),
                end: self.appended(),
            }
        };
        for sealed in &mut batch.sealed {
            drop(sealed.map.take());
        }
        let start = self.clock.monotonic();
        let outcome = self.sync_batch(&batch, extent);
        pace.note(self.asked.load(Ordering::Relaxed), start, self.clock.monotonic());
        drop(pace);
        if let Err(error) = &outcome {
            self.poison(error);
        } else {
            self.synced.store(batch.end.pack(), Ordering::Release);
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
        drop(led);
    }

    fn sync_batch(&self, batch: &Batch, extent: Extent) -> Result<()> {
        for sealed in &batch.sealed {
            sealed.file.sync().map_err(|e| Error::io("sync", &sealed.path, e))?;
            // Who waited for this segment only is woken with the others, but a
            // promise can use it at once.
            self.synced.fetch_max(sealed.end.pack(), Ordering::Release);
        }
        let (file, path) = &batch.active;
        if batch.end.offset > SEGMENT_HEADER_BYTES as u64 {
            let whole = self.whole.swap(false, Ordering::Acquire) || extent == Extent::File;
            let synced = if whole { file.sync() } else { file.sync_to(batch.end.offset) };
            synced.map_err(|e| Error::io("sync", path, e))?;
        }
        Ok(())
    }
}

/// Gives up the lead, also when a sync panics: then nobody would ever wake.
struct Led<'a> {
    log: &'a LogSync,
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log.poison(&Error::new(ErrorKind::Io, "a sync of the log panicked"));
        }
        self.log.led.store(false, Ordering::Release);
        let woken = self.log.done.advance();
        self.log.woken.store(woken, Ordering::Relaxed);
    }
}
