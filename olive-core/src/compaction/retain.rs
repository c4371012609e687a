//! Which versions of a key a flush or compaction keeps.
//!
//! Live snapshots cut the sequence numbers into intervals; a reader at a snapshot
//! sees, of the versions in an interval, the newest at most:
//!
//! ```text
//! snapshots        s1        s2
//!            ------|---------|--------->  sequence numbers
//! interval     0        1         2
//! ```
//!
//! A version goes when a newer one of its key lies in the same interval. A
//! tombstone in interval 0 goes, too, when nothing older of its key can be left
//! anywhere: everybody sees nothing with it or without it. And a put in interval 0
//! under which nothing is left gets sequence number 0, which says the same to
//! every reader and costs no room in a table.

use std::collections::BTreeMap;

use crate::key::{InternalKey, KeyspaceId, Kind, SeqNo, Tag};

/// What readers there are, at the time that a job begins.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    /// Sequence numbers of live snapshots, ascending, each once.
    pub snapshots: Vec<SeqNo>,
    /// Keyspaces that were dropped, with the sequence number of that.
    pub dropped: BTreeMap<KeyspaceId, SeqNo>,
}

impl Readers {
    /// Whether nobody can read `keyspace` any more.
    #[must_use]
    pub fn is_gone(&self, keyspace: KeyspaceId) -> bool {
        let oldest = self.snapshots.first();
        self.dropped.get(&keyspace).is_some_and(|at| oldest.is_none_or(|oldest| at <= oldest))
    }
}

/// Decides entry by entry, in the order of internal keys.
#[derive(Debug)]
pub(super) struct Retention {
    readers: Readers,
    key: Vec<u8>,
    /// Of the newest version of `key` seen so far that is at or below it.
    interval: usize,
    /// Whether `key` holds the scoped key of the entry before.
    started: bool,
    keyspace: KeyspaceId,
    keyspace_is_gone: bool,
}

impl Retention {
    /// For one job.
    #[must_use]
    pub(super) fn new(readers: Readers) -> Retention {
        Retention {
            readers,
            key: Vec::new(),
            interval: 0,
            started: false,
            keyspace: KeyspaceId::CATALOG,
            keyspace_is_gone: false,
        }
    }

    /// The tag under which the entry is kept, or `None` if it goes. `may_be_older`
    /// is asked whether an older version of the key can be outside of the job.
    #[inline]
    pub(super) fn keep(
        &mut self,
        key: InternalKey<'_>,
        may_be_older: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Tag> {
        let snapshots = &self.readers.snapshots;
        let interval = if snapshots.is_empty() {
            0
        } else {
            snapshots.partition_point(|&snapshot| snapshot < key.tag.seq())
        };
        let same_key = self.started && key.scoped == self.key.as_slice();
        if same_key {
            if interval == self.interval {
                return None;
            }
        } else {
            self.start_key(key.scoped);
        }
        self.interval = interval;
        if self.keyspace_is_gone {
            return None;
        }
        if interval > 0 || may_be_older(key.scoped) {
            return Some(key.tag);
        }
        if key.tag.is_delete() {
            return None;
        }
        match Kind::from_number(key.tag.kind_number()) {
            Ok(Kind::Put) => Some(Tag::new(SeqNo::ZERO, Kind::Put)),
            _ => Some(key.tag),
        }
    }

    /// Whether the entry is another version of the key that was decided last.
    #[inline]
    #[must_use]
    pub(super) fn is_same_key(&self, scoped: &[u8]) -> bool {
        self.started && self.key == scoped
    }

    fn start_key(&mut self, scoped: &[u8]) {
        self.started = true;
        self.key.clear();
        self.key.extend_from_slice(scoped);
        if self.readers.dropped.is_empty() {
            return;
        }
        if let Some((keyspace, _)) = KeyspaceId::split(scoped)
            && keyspace != self.keyspace
        {
            self.keyspace = keyspace;
            self.keyspace_is_gone = self.readers.is_gone(keyspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(snapshots: &[u64], entries: &[(u64, Kind)], older: bool) -> Vec<(u64, Kind)> {
        let snapshots = snapshots.iter().map(|&s| SeqNo(s)).collect();
        let mut retention = Retention::new(Readers { snapshots, dropped: BTreeMap::new() });
        entries
            .iter()
            .filter_map(|&(seq, kind)| {
                let tag = Tag::new(SeqNo(seq), kind);
                retention.keep(InternalKey::new(b"\x01k", tag), |_| older)
            })
            .map(|tag| (tag.seq().0, Kind::from_number(tag.kind_number()).unwrap()))
            .collect()
    }

    use Kind::{Delete, Put};

    #[test]
    fn without_snapshots_only_the_newest_is_kept() {
        assert_eq!(kept(&[], &[(9, Put), (5, Put), (2, Delete)], true), [(9, Put)]);
        assert_eq!(kept(&[], &[(9, Put), (5, Put)], false), [(0, Put)]);
    }

    #[test]
    fn each_snapshot_keeps_what_it_sees() {
        let entries = [(9, Put), (7, Put), (5, Put), (3, Put)];
        assert_eq!(kept(&[6], &entries, true), [(9, Put), (5, Put)]);
        assert_eq!(kept(&[6], &entries, false), [(9, Put), (0, Put)]);
        assert_eq!(kept(&[3, 5, 8], &entries, true), [(9, Put), (7, Put), (5, Put), (3, Put)]);
        assert_eq!(kept(&[7], &entries, true), [(9, Put), (7, Put)]);
    }

    #[test]
    fn a_tombstone_goes_only_when_nothing_older_is_left() {
        assert_eq!(kept(&[], &[(9, Delete), (5, Put)], true), [(9, Delete)]);
        assert_eq!(kept(&[], &[(9, Delete), (5, Put)], false), []);
        // The snapshot at 6 sees the put: the tombstone must still hide it from others.
        assert_eq!(kept(&[6], &[(9, Delete), (5, Put)], false), [(9, Delete), (0, Put)]);
    }

    #[test]
    fn a_dropped_keyspace_goes_once_no_snapshot_is_older() {
        let dropped = BTreeMap::from([(KeyspaceId(2), SeqNo(10))]);
        let entry = InternalKey::new(b"\x02k", Tag::new(SeqNo(5), Put));
        let other = InternalKey::new(b"\x03k", Tag::new(SeqNo(6), Put));
        for (snapshots, goes) in [(vec![], true), (vec![SeqNo(9)], false), (vec![SeqNo(10)], true)]
        {
            let mut retention = Retention::new(Readers { snapshots, dropped: dropped.clone() });
            assert_eq!(retention.keep(entry, |_| true).is_none(), goes);
            assert!(retention.keep(other, |_| true).is_some());
        }
    }
}
