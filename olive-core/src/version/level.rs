//! One level of a version: its tables, and the search for the one that may have a key.
//!
//! ```text
//! prefix     what the bounds of all tables begin with        "user0000"
//! largest    heads of the largest keys behind it, ascending  [.. .. .. ..]  8 bytes each
//! smallest   heads of the smallest keys behind it            [.. .. .. ..]
//! tables     the tables themselves                           [->  ->  ->  ->]
//! ```
//!
//! In level 0 the tables lie newest first, and so do the heads.
//!
//! A search compares the prefix once, then 8-byte numbers that lie side by side;
//! it follows a pointer to a table's own bounds only where the heads are equal.

use std::cmp::Ordering;

use crate::sync::Arc;
use crate::table::Table;

/// The tables of one level, in its order, with what a search needs.
#[derive(Debug, Default)]
pub(super) struct Level {
    tables: Vec<Arc<Table>>,
    numbers: Vec<u64>,
    bytes: u64,
    tombstones: u64,
    prefix: Vec<u8>,
    smallest: Vec<u64>,
    largest: Vec<u64>,
}

impl Level {
    /// Level 0: `tables` come in any order, and lie newest first.
    pub(super) fn by_age(mut tables: Vec<Arc<Table>>) -> Level {
        tables.sort_by_key(|t| std::cmp::Reverse((t.meta().seq_max, t.meta().number)));
        Level::of(tables)
    }

    /// A deeper level: `tables` are in key order and disjoint.
    pub(super) fn by_key(tables: Vec<Arc<Table>>) -> Level {
        Level::of(tables)
    }

    fn of(tables: Vec<Arc<Table>>) -> Level {
        let metas = tables.iter().map(|t| t.meta());
        let low = metas.clone().map(|m| m.smallest.as_slice()).min().unwrap_or_default();
        let high = metas.clone().map(|m| m.largest.as_slice()).max().unwrap_or_default();
        // All bounds lie between these two, so they begin with what these share.
        let shared = low.iter().zip(high).take_while(|(a, b)| a == b).count();
        Level {
            numbers: metas.clone().map(|m| m.number).collect(),
            bytes: metas.clone().map(|m| m.bytes).fold(0, u64::saturating_add),
            tombstones: metas.clone().map(|m| m.tombstones).fold(0, u64::saturating_add),
            prefix: low.iter().take(shared).copied().collect(),
            smallest: metas.clone().map(|m| head(&m.smallest, shared)).collect(),
            largest: metas.map(|m| head(&m.largest, shared)).collect(),
            tables,
        }
    }

    pub(super) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The tables' numbers, in the order of the tables.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn tombstones(&self) -> u64 {
        self.tombstones
    }

    /// The head of a key behind the prefix; none of one that is in no table.
    #[inline]
    fn head_of(&self, scoped: &[u8]) -> Option<u64> {
        Some(head(scoped.strip_prefix(self.prefix.as_slice())?, 0))
    }

    /// The tables that may have `scoped`, in the order of the level.
    #[inline]
    pub(super) fn for_key(&self, scoped: &[u8]) -> Level0<'_> {
        let head = self.head_of(scoped);
        Level0 { level: self, head: head.unwrap_or(0), at: head.map_or(self.tables.len(), |_| 0) }
    }

    /// The table that may have `scoped`, in a level in key order.
    #[inline]
    pub(super) fn find(&self, scoped: &[u8]) -> Option<&Arc<Table>> {
        let key_head = self.head_of(scoped)?;
        let mut at = self.largest.partition_point(|&h| h < key_head);
        let mut smallest = *self.smallest.get(at)?;
        if self.largest[at] == key_head {
            at += self.ties(at, key_head, |t| t.meta().largest.as_slice() < scoped);
            smallest = *self.smallest.get(at)?;
        }
        let table = &self.tables[at];
        match smallest.cmp(&key_head) {
            Ordering::Less => Some(table),
            Ordering::Equal if table.meta().smallest.as_slice() <= scoped => Some(table),
            _ => None,
        }
    }

    /// The first table whose largest key is not before `scoped`: its place.
    pub(super) fn first_not_before(&self, scoped: &[u8]) -> usize {
        let shared = self.prefix.len();
        match scoped[..shared.min(scoped.len())].cmp(&self.prefix) {
            Ordering::Less => 0,
            Ordering::Greater => self.tables.len(),
            Ordering::Equal => {
                let key_head = head(scoped, shared);
                let at = self.largest.partition_point(|&h| h < key_head);
                at + self.ties(at, key_head, |t| t.meta().largest.as_slice() < scoped)
            }
        }
    }

    /// The first table whose smallest key is behind `scoped`: its place.
    pub(super) fn first_behind(&self, scoped: &[u8]) -> usize {
        self.tables.partition_point(|t| t.meta().smallest.as_slice() <= scoped)
    }

    /// Of the tables from `at` whose largest key has the head `key_head`: how many
    /// are `before`.
    #[cold]
    fn ties(&self, at: usize, key_head: u64, before: impl Fn(&Table) -> bool) -> usize {
        let count = self.largest[at..].partition_point(|&h| h == key_head);
        self.tables[at..at + count].partition_point(|t| before(t))
    }
}

/// The tables of level 0 that may have one key, newest first.
#[derive(Debug)]
pub struct Level0<'a> {
    level: &'a Level,
    /// The key's, behind the level's prefix.
    head: u64,
    at: usize,
}

impl<'a> Level0<'a> {
    /// Those that are left, with some whose bounds keep the key out.
    #[inline]
    #[must_use]
    pub fn tables(&self) -> &'a [Arc<Table>] {
        self.level.tables.get(self.at..).unwrap_or_default()
    }

    /// The next one; `scoped` is the key.
    #[inline]
    pub fn next(&mut self, scoped: &[u8]) -> Option<&'a Arc<Table>> {
        loop {
            let (at, level) = (self.at, self.level);
            let (table, head) = (level.tables.get(at)?, self.head);
            self.at += 1;
            let (smallest, largest) = (level.smallest[at], level.largest[at]);
            if (smallest < head && head < largest)
                || (smallest <= head && head <= largest && is_between_bounds(table, scoped))
            {
                return Some(table);
            }
        }
    }
}

/// Where heads are equal the keys decide.
fn is_between_bounds(table: &Table, scoped: &[u8]) -> bool {
    table.meta().overlaps(scoped, scoped)
}

/// The 8 bytes of `key` behind its first `from`, as a number that orders as they
/// do; a shorter key is filled with zeros.
#[inline]
fn head(key: &[u8], from: usize) -> u64 {
    let rest = key.get(from..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}
