//! Version edits: what changes from one version of the tree to the next. How they
//! stand in a manifest is in [`manifest_line`](super::manifest_line).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::key::{KeyspaceId, SeqNo};

/// Levels of the tree.
pub const LEVELS: usize = 7;

/// A random number that a database gets when it is created, and carries in every
/// log segment and manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DatabaseId(pub u128);

/// What a manifest says of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableMeta {
    /// Number of its file.
    pub number: u64,
    /// Random; also written in the table, so that a foreign or swapped file is found.
    pub id: u128,
    /// Length of its file, in bytes.
    pub bytes: u64,
    /// The smallest scoped key in it.
    pub smallest: Vec<u8>,
    /// The largest scoped key in it.
    pub largest: Vec<u8>,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// The smallest sequence number in it.
    pub seq_min: SeqNo,
    /// The largest sequence number in it.
    pub seq_max: SeqNo,
}

impl TableMeta {
    /// Whether `smallest..=largest` (scoped) and the table's keys have one in common.
    #[must_use]
    #[inline]
    pub fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.smallest.as_slice() <= largest && self.largest.as_slice() >= smallest
    }

    /// What no writer would say of a table: why it is refused.
    pub fn check(&self) -> Result<(), String> {
        let table = self.number;
        if self.entries == 0 {
            return Err(format!("table {table} has no entries"));
        }
        if self.entries > SeqNo::MAX.0 {
            let (entries, max) = (self.entries, SeqNo::MAX);
            return Err(format!("table {table} has {entries} entries, there are {max} numbers"));
        }
        if self.tombstones > self.entries {
            let (tombstones, entries) = (self.tombstones, self.entries);
            return Err(format!("table {table} has {tombstones} tombstones in {entries} entries"));
        }
        if self.smallest > self.largest {
            return Err(format!("table {table} has its smallest key behind its largest"));
        }
        for key in [&self.smallest, &self.largest] {
            if KeyspaceId::split(key).is_none() {
                return Err(format!("table {table} has a bound without a keyspace id"));
            }
        }
        if self.seq_min > self.seq_max || self.seq_max > SeqNo::MAX {
            let (min, max) = (self.seq_min, self.seq_max);
            return Err(format!("table {table} has the sequence numbers {min} to {max}"));
        }
        Ok(())
    }
}

/// Fields of a manifest that this version does not know: kept, and written again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown {
    /// Of the header.
    pub header: Map<String, Value>,
    /// Of edits; the last one of a name holds.
    pub edit: Map<String, Value>,
    /// Of added tables, by table number.
    pub tables: BTreeMap<u64, Map<String, Value>>,
}

impl Unknown {
    /// Takes in those of a later `edit`; a table that goes takes its own with it.
    pub fn fold(&mut self, edit: &VersionEdit) {
        if !self.tables.is_empty() {
            for (_, number) in &edit.removed {
                if !edit.added.iter().any(|(_, table)| table.number == *number) {
                    self.tables.remove(number);
                }
            }
        }
        let later = &edit.unknown;
        self.header.extend(later.header.clone());
        self.edit.extend(later.edit.clone());
        self.tables.extend(later.tables.clone());
    }
}

/// What changes from one version of the tree to the next. A field that is `None`
/// or empty changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VersionEdit {
    /// Tables that come, with their level.
    pub added: Vec<(usize, TableMeta)>,
    /// Tables that go: level and number.
    pub removed: Vec<(usize, u64)>,
    /// The oldest log segment that holds writes no table has.
    pub oldest_segment: Option<u64>,
    /// Every write up to this one is in a table.
    pub flushed_seq: Option<SeqNo>,
    /// The last sequence number given, as far as this line knows.
    pub last_seq: Option<SeqNo>,
    /// The next free file number.
    pub next_file: Option<u64>,
    /// The clean mark: the database was closed, all writes are in tables, and no
    /// segment above this one was ever used.
    pub clean_segment: Option<u64>,
    /// A checkpoint: the log ends with this segment, whatever its end mark announces.
    pub sealed_segment: Option<u64>,
    /// What a newer version wrote and this one does not know.
    pub unknown: Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_writer_would_say_of_a_table_is_refused() {
        let good = TableMeta {
            number: 7,
            id: 1,
            bytes: 100,
            smallest: b"\x01a".to_vec(),
            largest: b"\x01b".to_vec(),
            entries: 3,
            tombstones: 3,
            seq_min: SeqNo(1),
            seq_max: SeqNo(3),
        };
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut TableMeta);
        let changes: [(&str, Change); 7] = [
            ("no entries", |meta| (meta.entries, meta.tombstones) = (0, 0)),
            ("18446744073709551615 entries", |meta| meta.entries = u64::MAX),
            ("4 tombstones in 3 entries", |meta| meta.tombstones = 4),
            ("its smallest key behind its largest", |meta| meta.smallest = b"\x01c".to_vec()),
            ("a bound without a keyspace id", |meta| meta.smallest = Vec::new()),
            ("the sequence numbers 4 to 3", |meta| meta.seq_min = SeqNo(4)),
            ("the sequence numbers 1 to", |meta| meta.seq_max = SeqNo(SeqNo::MAX.0 + 1)),
        ];
        for (what, change) in changes {
            let mut meta = good.clone();
            change(&mut meta);
            let error = meta.check().expect_err(what);
            assert!(error.contains("table 7 has ") && error.contains(what), "{error}");
        }
    }
}
