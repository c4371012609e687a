//! [`Server`]: from open to close.
//!
//! ```text
//! start    bind, open the database, accept
//! stop     accept no more, wake all connections: each answers what it has whole
//! wait     for them, 2.5 s; then sync, then flush and close, 4.5 s after the stop at
//!          most: what is not flushed by then is in the log
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use olive_client::protocol::{ErrorKind, Response};

use crate::buffer::{INPUT_BASE_BYTES, OUTPUT_BASE_BYTES};
use crate::config::Config;
use crate::connection;
use crate::group::GROUP_BYTES_MAX;
use crate::peers::Peers;
use crate::shared::Shared;
use crate::workers::Workers;

/// How long connections may take to end.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How long a stop may take altogether.
const STOP_MAX: Duration = Duration::from_millis(4_500);

/// A server that accepts connections, in threads of its own.
///
/// It ends by [`stop`](Stopper::stop) and [`wait`](Server::wait).
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stopper: Stopper,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    keeping: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

/// Stops a server, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    listener: Arc<TcpListener>,
    peers: Arc<Peers>,
    asked: Arc<OnceLock<Instant>>,
}

impl Stopper {
    /// Accepts no more connections, and lets each there is answer what it has received
    /// whole. Returns at once: [`Server::wait`] waits.
    pub fn stop(&self) {
        self.asked.get_or_init(Instant::now);
        self.peers.stop();
        // It may have been shut already.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
    }
}

impl Server {
    /// Binds, opens the database, and begins to accept.
    ///
    /// # Errors
    ///
    /// The address is taken or is not one of this machine; the database cannot be
    /// opened.
    pub fn start(config: Config) -> Result<Server> {
        let listen = config.listen.clone();
        let listener = TcpListener::bind(&listen[..])
            .with_context(|| format!("cannot listen on {listen:?}"))?;
        let addr = listener.local_addr()?;
        let db = config
            .engine()
            .open(&config.data)
            .with_context(|| format!("cannot open the database {}", config.data.display()))?;
        let peers = Peers::new();
        let shared = Arc::new(Shared::new(db, config, Arc::clone(&peers)));
        let ended = Arc::new(AtomicBool::new(false));
        let stopper = Stopper {
            listener: Arc::new(listener),
            peers: Arc::clone(&peers),
            asked: Arc::default(),
        };
        let keeping = {
            let (peers, ended) = (Arc::clone(&peers), Arc::clone(&ended));
            Builder::new().name("keeper".to_owned()).spawn(move || peers.keep(&ended))?
        };
        let accepting = {
            let (listener, shared) = (Arc::clone(&stopper.listener), Arc::clone(&shared));
            Builder::new().name("accept".to_owned()).spawn(move || accept(&listener, &shared))?
        };
        Ok(Server { addr, stopper, shared, accepting, keeping, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until it was stopped and everything has ended, 4.5 s after the stop at
    /// most.
    ///
    /// # Errors
    ///
    /// The last sync or flush failed.
    pub fn wait(self) -> Result<()> {
        // Its thread does not panic, and if it did, the rest is still to be done.
        let _ = self.accepting.join();
        let asked = *self.stopper.asked.get_or_init(Instant::now);
        self.stopper.peers.stop();
        let cut = self.stopper.peers.wait(PATIENCE);
        if cut > 0 {
            log::warn!("{cut} connections did not end by themselves and were cut");
        }
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.keeping.join();
        close(&self.shared, STOP_MAX.saturating_sub(asked.elapsed()))
    }
}

/// Syncs, then closes; a flush that takes too long is left to the next start.
fn close(shared: &Arc<Shared>, patience: Duration) -> Result<()> {
    let db = shared.db.clone();
    let (tell, told) = mpsc::channel();
    let closing = Builder::new().name("close".to_owned()).spawn(move || {
        let synced = db.sync();
        let _ = tell.send(synced);
        let _ = tell.send(db.close());
    });
    closing.context("cannot start the thread that closes")?;
    let deadline = Instant::now() + patience;
    for doing in ["sync", "flush and close"] {
        match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(done) => done.with_context(|| format!("cannot {doing} the database"))?,
            Err(_) => {
                log::warn!("to {doing} takes too long: the log has it all for the next start");
                return Ok(());
            }
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let workers = Arc::default();
    loop {
        let accepted = listener.accept();
        if shared.peers.is_stopping() {
            return;
        }
        match accepted {
            Ok((stream, addr)) => begin(stream, addr, shared, &workers),
            Err(error) => {
                shared
                    .refusals
                    .say(shared.peers.now_ms(), || format!("cannot accept a connection: {error}"));
                // Without a free file descriptor the next call fails at once as well.
                if !is_of_the_peer(&error) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }
}

/// Whether only the connection that was about to come is concerned.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn begin(stream: TcpStream, addr: SocketAddr, shared: &Arc<Shared>, workers: &Arc<Workers>) {
    let refuse = |stream: TcpStream, text: &str| {
        shared.count_refused();
        shared.refusals.say(shared.peers.now_ms(), || format!("{addr}: refused, {text}"));
        let mut line = Vec::new();
        Response::Error { kind: ErrorKind::Busy, text }.write_to(&mut line);
        shared.peers.refuse(stream, &line);
    };
    // Answers are written in one piece, so there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let max = shared.config.connections_max;
    let listed = match shared.peers.add(stream, addr, max) {
        Ok(listed) => listed,
        Err(stream) => return refuse(stream, &format!("there are {max} connections already")),
    };
    // A group keeps room for writes and for keys to read.
    let base_bytes = INPUT_BASE_BYTES + OUTPUT_BASE_BYTES + 2 * GROUP_BYTES_MAX;
    let Some(charge) = shared.budget.take(base_bytes) else {
        if let Ok(stream) = listed.peer.stream.try_clone() {
            drop(listed);
            refuse(stream, "the buffers of all connections are full");
        }
        return;
    };
    let peer = Arc::clone(&listed.peer);
    let of_thread = Arc::clone(shared);
    let begun = workers.begin(move || {
        let _charge = charge;
        connection::thread(&of_thread, &listed);
    });
    if let Err(error) = begun {
        // The closure, and with it the list's entry, is gone.
        if let Ok(stream) = peer.stream.try_clone() {
            refuse(stream, &format!("there is no thread for it: {error}"));
        }
    } else if shared.peers.is_stopping() {
        // It may have come after all others were woken.
        shared.peers.stop();
    }
}
