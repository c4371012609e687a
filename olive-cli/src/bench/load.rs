//! One workload from its connections to its end.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use olive_client::Error;

use crate::failure::{Failure, Result};
use crate::session::Session;

use super::lane::{Lane, Quota, Shared};
use super::loader::Loader;
use super::plan::{Extent, Plan, Work};
use super::supply::Supply;
use super::tally::Tally;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// What came of a workload.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) tally: Tally,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

impl Outcome {
    pub(super) fn failure(&self) -> Option<String> {
        Some(format!("{}: {}", self.name, self.tally.failure()?))
    }

    /// Answers that are no errors, a second.
    pub(super) fn rate(&self) -> f64 {
        let good = self.tally.answered() - self.tally.error_count();
        good as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

pub(super) fn run(plan: &Plan, work: &Work, session: &Session) -> Result<Outcome> {
    let addrs = resolve(session.addr())?;
    let mut lanes = Vec::with_capacity(plan.threads);
    for thread in 0..plan.threads {
        let count = share(plan.connections as u64, plan.threads, thread);
        let connected = (0..count).map(|_| connect(&addrs, plan, work, session));
        lanes.push(connected.collect::<Result<Vec<Lane>>>()?);
    }
    // Made before the clock starts, since all of them read the keys' law.
    let supplies: Vec<Supply> =
        (0..plan.threads).map(|thread| Supply::new(plan, work, thread)).collect();
    let began = Instant::now();
    let mut loaders = Vec::with_capacity(plan.threads);
    for (thread, (lanes, supply)) in lanes.into_iter().zip(supplies).enumerate() {
        let quota = match work.extent {
            Extent::Requests(all) => {
                Quota { requests: share(all, plan.threads, thread), until: None }
            }
            Extent::Time(time) => Quota { requests: u64::MAX, until: Some(began + time) },
        };
        let tally = Tally::new(began);
        let shared = Shared { supply, quota, tally, depth: work.depth, verify: plan.verify };
        loaders.push(Loader::new(lanes, shared, session.timeout()).map_err(failed)?);
    }
    let tally = drive(loaders, work, began)?;
    let elapsed = tally.ended.saturating_duration_since(began);
    Ok(Outcome { name: work.name.clone(), tally, elapsed })
}

/// Runs the loaders to their ends, each on a thread of its own, and shows how far they are.
fn drive(loaders: Vec<Loader>, work: &Work, began: Instant) -> Result<Tally> {
    let counters: Vec<AtomicU64> = loaders.iter().map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let (give, ends) = channel();
        let mut threads = Vec::new();
        for (loader, counter) in loaders.into_iter().zip(&counters) {
            let give = give.clone();
            let thread = thread::Builder::new().name("bench".to_owned());
            let handle = thread.spawn_scoped(scope, move || {
                let outcome = loader.run(counter);
                // Dropped at the end, also by a panic.
                drop(give);
                outcome
            });
            threads.push(handle.map_err(failed)?);
        }
        drop(give);
        show_progress(work, began, &counters, &ends);
        let mut all = Tally::new(began);
        for thread in threads {
            let tally = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.add(tally.map_err(failed)?);
        }
        Ok(all)
    })
}

/// Moves a bar on standard error, if that is a terminal, until all threads have ended.
fn show_progress(work: &Work, began: Instant, counters: &[AtomicU64], ends: &Receiver<()>) {
    let length = match work.extent {
        Extent::Requests(all) => all,
        Extent::Time(time) => time.as_millis() as u64,
    };
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{prefix:8} {wide_bar} {percent:>3} % {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(work.name.clone());
    let mut before = (began, 0);
    while ends.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        if bar.is_hidden() {
            continue;
        }
        let now = (Instant::now(), counters.iter().map(|c| c.load(Ordering::Relaxed)).sum::<u64>());
        let rate = (now.1 - before.1) as f64 / (now.0 - before.0).as_secs_f64();
        bar.set_message(format!("{rate:.0} requests/s"));
        bar.set_position(match work.extent {
            Extent::Requests(_) => now.1,
            Extent::Time(_) => began.elapsed().as_millis() as u64,
        });
        before = now;
    }
    bar.finish_and_clear();
}

/// The part of `all` that is one thread's.
fn share(all: u64, threads: usize, thread: usize) -> u64 {
    all / threads as u64 + u64::from((thread as u64) < all % threads as u64)
}

fn resolve(addr: &str) -> Result<Vec<SocketAddr>> {
    let found = addr.to_socket_addrs();
    found.map(Vec::from_iter).map_err(|error| no_connection(addr, error.to_string()))
}

fn connect(addrs: &[SocketAddr], plan: &Plan, work: &Work, session: &Session) -> Result<Lane> {
    // A header of an answer is short.
    let batch_bytes = work.depth.saturating_mul(plan.value_bytes + 32);
    let mut causes = Vec::new();
    for addr in addrs {
        match Lane::connect(addr, session.token(), session.timeout(), batch_bytes) {
            Ok(lane) => return Ok(lane),
            Err(Error::Disconnected { cause }) => causes.push(format!("{addr}: {cause}")),
            // It is there, and does not want to.
            Err(error) => return Err(error.into()),
        }
    }
    Err(no_connection(session.addr(), causes.join(", ")))
}

fn no_connection(addr: &str, cause: String) -> Failure {
    Error::Connect { addr: addr.to_owned(), cause }.into()
}

fn failed(error: std::io::Error) -> Failure {
    Failure::trouble(format!("the system refuses what bench needs: {error}"))
}
