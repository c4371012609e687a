//! What all connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use olive_client::protocol::{ErrorKind, PAGE_BYTES_MAX, Refusal, SCAN_LIMIT_MAX, VERSION};
use olive_core::{Db, Health, Stats, WriteOptions};
use serde::Serialize;

use crate::budget::Budget;
use crate::complaints::Complaints;
use crate::config::Config;
use crate::peers::Peers;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) config: Config,
    pub(crate) budget: Arc<Budget>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) write_options: WriteOptions,
    /// The answer to HELLO.
    pub(crate) hello: String,
    /// What clients did wrong, and what the database could not do.
    pub(crate) refusals: Complaints,
    failures: Complaints,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    pub(crate) fn new(db: Db, config: Config, peers: Arc<Peers>) -> Shared {
        let limits = config.limits;
        let hello = format!(
            "version={VERSION}\nserver={}\nline_bytes_max={}\nkey_bytes_max={}\nvalue_bytes_max={}\n\
             body_bytes_max={}\nreply_bytes_max={}\nscan_limit_max={SCAN_LIMIT_MAX}\n\
             page_bytes_max={PAGE_BYTES_MAX}\nfeatures=bverbs,mget,batch,scan,rscan,stats\n",
            env!("CARGO_PKG_VERSION"),
            limits.line_bytes_max,
            limits.key_bytes_max,
            limits.value_bytes_max,
            limits.body_bytes_max,
            config.reply_bytes_max,
        );
        Shared {
            db,
            budget: Budget::new(config.buffer_bytes_max),
            write_options: WriteOptions::default().deadline(config.write_deadline),
            peers,
            hello,
            config,
            refusals: Complaints::default(),
            failures: Complaints::default(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_requests(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs why a request got an ERROR.
    pub(crate) fn log_refusal(&self, addr: SocketAddr, refusal: &Refusal) {
        let Refusal { kind, ref text, closes } = *refusal;
        let by_the_client = matches!(
            kind,
            ErrorKind::Protocol | ErrorKind::Auth | ErrorKind::TooLarge | ErrorKind::Busy
        );
        let complaints = if by_the_client { &self.refusals } else { &self.failures };
        if !by_the_client || closes {
            complaints.say(self.peers.now_ms(), || {
                let then = if closes { " and was closed" } else { "" };
                format!("{addr}: got ERROR {kind} {text}{then}")
            });
        }
    }

    /// How long so many bytes may take on their way.
    pub(crate) fn transfer_ms(&self, bytes: usize) -> u64 {
        let per_mib = self.config.request_timeout_per_mib.as_millis() as u64;
        let more = (bytes as u64).saturating_mul(per_mib) >> 20;
        self.config.request_timeout.as_millis() as u64 + more
    }

    /// The answer to STATS.
    pub(crate) fn stats(&self) -> olive_core::Result<String> {
        let told = Told {
            server: ServerStats {
                version: env!("CARGO_PKG_VERSION"),
                uptime_s: self.peers.uptime().as_secs(),
                connections: self.peers.count(),
                connections_max: self.config.connections_max,
                connections_ever: self.peers.count_ever(),
                connections_refused: self.refused.load(Ordering::Relaxed),
                requests: self.requests.load(Ordering::Relaxed),
                buffer_bytes: self.budget.used(),
                buffer_bytes_max: self.budget.limit(),
            },
            database: self.db.stats()?,
            health: self.db.health()?,
        };
        // Plain numbers and texts, which JSON can always say.
        Ok(serde_json::to_string(&told).unwrap_or_default())
    }
}

/// STATS, in the order in which it is written.
#[derive(Serialize)]
struct Told {
    server: ServerStats,
    database: Stats,
    health: Health,
}

#[derive(Serialize)]
struct ServerStats {
    version: &'static str,
    uptime_s: u64,
    connections: usize,
    connections_max: usize,
    connections_ever: u64,
    connections_refused: u64,
    requests: u64,
    buffer_bytes: usize,
    buffer_bytes_max: usize,
}
