//! [`Group`]: small requests of one kind that came together are executed together.
//!
//! ```text
//! PUT a … PUT b … DELETE c … GET a … GET b … PUT d      one read brought them
//! └──────── one batch ────────┘└ one look-up ┘
//! ```
//!
//! A client that pipelines has no answer to any of them yet. So its writes may well share
//! one log record, and where writes are synced, one sync; if that batch fails, each of
//! them has failed. Its reads may be as of one moment, and wait for memory side by side;
//! and figures that are asked for many times at once are gathered once. Order is kept: what
//! is of another kind, or of none, comes behind them.

use olive_client::protocol::Command;
use olive_core::WriteBatch;

use crate::connection::{Stop, Writer};
use crate::execute::{get_together, stats_together};
use crate::shared::Shared;

/// The most that a group of writes holds, in bytes as the engine encodes them, and one
/// of reads in bytes of keys.
pub(crate) const GROUP_BYTES_MAX: usize = 16 << 10;
/// The most reads of a group: as many as the engine looks up side by side.
pub(crate) const READS_MAX: usize = 16;
/// Larger ones gain nothing by being copied into a group.
const MEMBER_BYTES_MAX: usize = 4 << 10;
/// What the engine's encoding takes beside key and value, at most.
const OVERHEAD_BYTES: usize = 32;

/// It has writes, or reads, or STATS, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Group {
    batch: WriteBatch,
    keys: Vec<u8>,
    /// Where each key ends in `keys`.
    ends: Vec<usize>,
    /// How often STATS was asked for.
    stats: usize,
}

impl Group {
    /// Takes a small write, a read, or STATS, if nothing of another kind is in the group;
    /// `more` says whether anything has come behind it, without which the first is better
    /// executed alone.
    pub(crate) fn take(&mut self, command: &Command<'_>, more: bool) -> bool {
        match *command {
            Command::Stats => self.take_stats(more),
            _ if self.stats > 0 => false,
            Command::Put { key, value } => self.take_write(key, Some(value), more),
            Command::Delete { key } => self.take_write(key, None, more),
            Command::Get { key } => self.take_read(key, more),
            _ => false,
        }
    }

    fn take_write(&mut self, key: &[u8], value: Option<&[u8]>, more: bool) -> bool {
        let bytes = key.len() + value.map_or(0, <[u8]>::len) + OVERHEAD_BYTES;
        let fits = self.ends.is_empty() && self.batch.encoded_bytes() + bytes <= GROUP_BYTES_MAX;
        if !fits || bytes > MEMBER_BYTES_MAX || (self.batch.is_empty() && !more) {
            return false;
        }
        match value {
            Some(value) => self.batch.put(key, value),
            None => self.batch.delete(key),
        };
        true
    }

    fn take_read(&mut self, key: &[u8], more: bool) -> bool {
        let fits = self.batch.is_empty()
            && self.ends.len() < READS_MAX
            && self.keys.len() + key.len() <= GROUP_BYTES_MAX;
        if !fits || key.len() > MEMBER_BYTES_MAX || (self.ends.is_empty() && !more) {
            return false;
        }
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        true
    }

    fn take_stats(&mut self, more: bool) -> bool {
        let fits = self.batch.is_empty() && self.ends.is_empty();
        let taken = fits && (self.stats > 0 || more);
        self.stats += usize::from(taken);
        taken
    }

    /// Executes what was taken, and answers each.
    ///
    /// # Errors
    ///
    /// Only what ends the connection: that a write or a read failed is an answer.
    pub(crate) fn execute(&mut self, shared: &Shared, writer: &mut Writer<'_>) -> Result<(), Stop> {
        if !self.batch.is_empty() {
            return self.write(shared, writer);
        }
        if !self.ends.is_empty() {
            return self.read(shared, writer);
        }
        match std::mem::take(&mut self.stats) {
            0 => Ok(()),
            times => stats_together(shared, writer, times),
        }
    }

    fn write(&mut self, shared: &Shared, writer: &mut Writer<'_>) -> Result<(), Stop> {
        let written = shared.db.write_with(&self.batch, &shared.write_options);
        let writes = self.batch.len();
        self.batch.clear();
        match written.map_err(Stop::from) {
            Ok(()) => (0..writes).try_for_each(|_| writer.put_short(b"OK\n")),
            Err(Stop::Refused(refusal)) => (0..writes).try_for_each(|_| writer.refuse(&refusal)),
            Err(lost) => Err(lost),
        }
    }

    fn read(&mut self, shared: &Shared, writer: &mut Writer<'_>) -> Result<(), Stop> {
        let mut keys = [&[][..]; READS_MAX];
        let mut start = 0;
        for (key, &end) in keys.iter_mut().zip(&self.ends) {
            *key = &self.keys[start..end];
            start = end;
        }
        let answered = get_together(shared, writer, &keys[..self.ends.len()]);
        self.keys.clear();
        self.ends.clear();
        answered
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::layer::Layer;
    use crate::peers::Peers;

    #[test]
    fn only_small_writes_that_came_together_are_taken() {
        let mut group = Group::default();
        let put = Command::Put { key: b"k", value: b"v" };
        assert!(!group.take(&put, false), "nothing came behind it");
        assert!(group.take(&put, true));
        assert!(group.take(&Command::Delete { key: b"k" }, false));
        assert!(!group.take(&Command::Get { key: b"k" }, true), "of another kind");
        assert!(!group.take(&Command::Stats, true), "of another kind");
        assert!(!group.take(&Command::Put { key: b"k", value: &[0; MEMBER_BYTES_MAX] }, true));
        let mut taken = 2;
        while group.take(&Command::Put { key: b"k", value: &[0; 1_000] }, true) {
            taken += 1;
        }
        assert_eq!(group.batch.len(), taken);
        assert!(group.batch.encoded_bytes() <= GROUP_BYTES_MAX && taken > 14);
    }

    #[test]
    fn reads_and_figures_are_taken_by_themselves() {
        let get = Command::Get { key: b"k" };
        let put = Command::Put { key: b"k", value: b"v" };
        let mut reads = Group::default();
        assert!(!reads.take(&get, false), "nothing came behind it");
        for _ in 0..READS_MAX {
            assert!(reads.take(&get, true));
        }
        assert!(!reads.take(&get, true), "as many as go together");
        let mut large = Group::default();
        let get_large = Command::Get { key: &[7; MEMBER_BYTES_MAX] };
        let taken = (0..READS_MAX).take_while(|_| large.take(&get_large, true)).count();
        assert_eq!(taken, GROUP_BYTES_MAX / MEMBER_BYTES_MAX, "bytes of keys have a limit too");
        assert!(!reads.take(&put, true) && !reads.take(&Command::Stats, true));
        let mut figures = Group::default();
        assert!(!figures.take(&Command::Stats, false), "nothing came behind it");
        assert!(figures.take(&Command::Stats, true) && figures.take(&Command::Stats, false));
        assert!(!figures.take(&put, true) && !figures.take(&get, true));
        assert!(!figures.take(&Command::Ping, true));
    }

    #[test]
    fn each_write_is_answered_and_each_has_failed_where_the_batch_has() {
        let dir = tempfile::tempdir().unwrap();
        let db = olive_core::Db::open(dir.path().join("db")).unwrap();
        let config = Config::resolve(Layer::default()).unwrap();
        let peers = Peers::new();
        let shared = Shared::new(db.clone(), config, Arc::clone(&peers));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listed = peers.add(TcpStream::connect(addr).unwrap(), addr, 1).unwrap();
        let mut writer = Writer::new(&shared, &listed.peer).unwrap();
        let mut group = Group::default();
        let mut fill = |writer: &mut Writer<'_>| {
            assert!(group.take(&Command::Put { key: b"k", value: b"v" }, true));
            assert!(group.take(&Command::Delete { key: b"k" }, true));
            assert!(group.take(&Command::Put { key: b"l", value: b"w" }, true));
            group.execute(&shared, writer).unwrap();
            assert!(group.batch.is_empty());
        };
        fill(&mut writer);
        assert_eq!(writer.output.bytes(), b"OK\nOK\nOK\n");
        assert!(db.get("k").unwrap().is_none() && db.get("l").unwrap().unwrap() == b"w");
        db.close().unwrap();
        fill(&mut writer);
        let answers = String::from_utf8_lossy(&writer.output.bytes()[9..]).into_owned();
        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.len(), 3, "{answers}");
        assert!(lines.iter().all(|line| line.starts_with("ERROR internal ")), "{answers}");
    }
}
