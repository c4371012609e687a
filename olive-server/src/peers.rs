//! [`Peers`]: all connections, their deadlines, and the thread that keeps them.
//!
//! ```text
//! connection   sets its deadline, blocks in read or write, sets the next one
//! keeper       every 50 ms: ticks the clock; whose deadline has passed is woken by
//!              shutting its socket: for reading, where it shall still say why
//! ```
//!
//! So a connection needs no system call to be patient: a deadline is one store, and the
//! clock one load.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pace::Pace;

/// How exact deadlines are.
const TICK: Duration = Duration::from_millis(50);
/// How long the input of a closed connection is discarded.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How many refused connections are closed in order at the same time.
const REFUSED_MAX: usize = 256;

/// One connection, as all others see it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) addr: SocketAddr,
    pub(crate) stream: TcpStream,
    /// In ms since the start of the clock.
    deadline: AtomicU64,
    /// Whether nothing can be said any more when the deadline passes.
    mute: AtomicBool,
    expired: AtomicBool,
}

impl Peer {
    /// The connection is woken from its next read with an end of input when the clock
    /// shows that time.
    pub(crate) fn read_until(&self, at_ms: u64) {
        self.mute.store(false, Ordering::Relaxed);
        self.deadline.store(at_ms, Ordering::Relaxed);
    }

    /// The connection is cut when the clock shows that time.
    pub(crate) fn cut_at(&self, at_ms: u64) {
        self.mute.store(true, Ordering::Relaxed);
        self.deadline.store(at_ms, Ordering::Relaxed);
    }

    pub(crate) fn no_deadline(&self) {
        self.deadline.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether there is a deadline that has not passed yet.
    pub(crate) fn is_timed(&self) -> bool {
        self.deadline.load(Ordering::Relaxed) != u64::MAX
    }

    /// Whether a deadline has passed.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    fn check(&self, now_ms: u64) {
        if self.deadline.load(Ordering::Relaxed) <= now_ms {
            self.no_deadline();
            self.expired.store(true, Ordering::Relaxed);
            let mute = self.mute.load(Ordering::Relaxed);
            // A socket that is gone needs no waking.
            let _ = self.stream.shutdown(if mute { Shutdown::Both } else { Shutdown::Read });
        }
    }
}

/// A connection that was refused before it began.
#[derive(Debug)]
struct Refused {
    stream: TcpStream,
    until_ms: u64,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Peers {
    started: Instant,
    now_ms: AtomicU64,
    next_id: AtomicU64,
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, Arc<Peer>>>,
    refused: Mutex<VecDeque<Refused>>,
    pub(crate) pace: Pace,
    left: Condvar,
}

/// Keeps a connection in the list until it is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    peers: Arc<Peers>,
    pub(crate) peer: Arc<Peer>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        open.remove(&self.peer.id);
        if open.is_empty() {
            self.peers.left.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    pub(crate) fn new() -> Arc<Peers> {
        Arc::new(Peers {
            started: Instant::now(),
            now_ms: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            refused: Mutex::default(),
            pace: Pace::default(),
            left: Condvar::new(),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        lock(&self.open)
    }

    /// The clock: at most a tick late.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn count(&self) -> usize {
        self.open().len()
    }

    /// How many there have been.
    pub(crate) fn count_ever(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Adds a connection, unless there are `max` already: then it comes back.
    pub(crate) fn add(
        self: &Arc<Self>,
        stream: TcpStream,
        addr: SocketAddr,
        max: usize,
    ) -> Result<Listed, TcpStream> {
        let mut open = self.open();
        if open.len() >= max {
            return Err(stream);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let peer = Arc::new(Peer {
            id,
            addr,
            stream,
            deadline: AtomicU64::new(u64::MAX),
            mute: AtomicBool::new(false),
            expired: AtomicBool::new(false),
        });
        open.insert(id, Arc::clone(&peer));
        drop(open);
        Ok(Listed { peers: Arc::clone(self), peer })
    }

    /// Closes a connection that never began, after `text` has been sent: what the client
    /// says is discarded for a while, or a reset would swallow the text.
    pub(crate) fn refuse(&self, mut stream: TcpStream, text: &[u8]) {
        use std::io::Write;
        let sent = stream
            .set_nonblocking(true)
            .and_then(|()| stream.write_all(text))
            .and_then(|()| stream.shutdown(Shutdown::Write));
        let mut refused = lock(&self.refused);
        if sent.is_ok() && refused.len() < REFUSED_MAX {
            let until_ms = self.now_ms() + LINGER.as_millis() as u64;
            refused.push_back(Refused { stream, until_ms });
        }
    }

    /// Wakes all that read: each answers what it has whole, and closes.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for peer in self.open().values() {
            let _ = peer.stream.shutdown(Shutdown::Read);
        }
    }

    /// Waits until all are gone; those that are not by then are cut. Says how many.
    pub(crate) fn wait(&self, patience: Duration) -> usize {
        let open = self.wait_until_empty(patience);
        for peer in open.values() {
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
        let cut = open.len();
        drop(open);
        drop(self.wait_until_empty(Duration::from_millis(if cut > 0 { 300 } else { 0 })));
        cut
    }

    fn wait_until_empty(&self, patience: Duration) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        let waited = self.left.wait_timeout_while(self.open(), patience, |open| !open.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What the keeper does until `ended`.
    pub(crate) fn keep(&self, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(TICK);
            let now_ms = self.started.elapsed().as_millis() as u64;
            self.now_ms.store(now_ms, Ordering::Relaxed);
            self.pace.tick();
            self.open().values().for_each(|peer| peer.check(now_ms));
            lock(&self.refused).retain_mut(|refused| !refused.is_over(now_ms));
        }
    }
}

impl Refused {
    /// Discards some input; says whether that was all, or enough.
    fn is_over(&mut self, now_ms: u64) -> bool {
        if self.until_ms <= now_ms {
            return true;
        }
        let mut discarded = [0; 4_096];
        for _ in 0..16 {
            match self.stream.read(&mut discarded) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}
