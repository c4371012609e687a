//! The read path, top to bottom: pin a view, load the published sequence number,
//! look into memtables, level 0 newest first, then one table a level.

use std::ops::Bound;

use super::Engine;
use super::counters::Count;
use super::view::{View, ViewIter, ViewWalk};
use crate::error::{Error, Result};
use crate::iter::{Bounds, Visible};
use crate::key::{KEY_BYTES_MAX, KeyspaceId, ScopedKey, SeqNo, Tag};
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::table::{Found, Table, filter_hash};
use crate::value::Value;
use crate::version::{LEVELS, Level0, Version};

/// Where a point read found its value.
pub(crate) enum Hit<'a> {
    Memtable {
        memtable: &'a Arc<Memtable>,
        scoped: &'a [u8],
        seq: SeqNo,
        value: &'a [u8],
        /// Too much memory is pinned already.
        copy: bool,
    },
    Table(Found<'a>),
}

/// A memtable's value up to this size is copied: a handle would cost an allocation
/// as well, and hold the whole arena.
const COPY_BYTES_MAX: usize = 512;

impl Hit<'_> {
    /// The value in place.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Hit::Memtable { value, .. } => value,
            Hit::Table(found) => found.bytes(),
        }
    }

    /// The value as a handle.
    #[inline]
    pub(crate) fn into_value(self) -> Value {
        match self {
            Hit::Table(found) => found.into_value(),
            Hit::Memtable { memtable, scoped, seq, value, copy } => {
                let pinned = (!copy && value.len() > COPY_BYTES_MAX)
                    .then(|| memtable.get_value(scoped, seq, false))
                    .flatten();
                pinned.map_or_else(|| Value::copied(value), |(_, value)| value)
            }
        }
    }
}

/// What gets cost and gave, for the counters.
#[derive(Default)]
pub(super) struct Cost {
    hits: u64,
    read_bytes: u64,
    probes: u64,
    useful: u64,
    tables: u64,
}

impl Cost {
    /// Something was found.
    #[inline]
    pub(super) fn read(&mut self, tag: Tag, bytes: usize) {
        if !tag.is_delete() {
            self.hits += 1;
            self.read_bytes += bytes as u64;
        }
    }
}

#[inline]
pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        let text = format!("a key of {} bytes is over the limit of {KEY_BYTES_MAX}", key.len());
        return Err(Error::invalid(text));
    }
    Ok(())
}

impl Engine {
    /// Finds `key` as of `seq` (`None`: now), and gives `take` what it found.
    #[inline]
    pub(crate) fn get<T>(
        &self,
        keyspace: KeyspaceId,
        seq: Option<SeqNo>,
        key: &[u8],
        take: impl FnOnce(Hit<'_>) -> T,
    ) -> Result<Option<T>> {
        let view = self.view.load();
        // After the view is pinned: close leaves an empty one behind.
        self.check_open()?;
        let seq = seq.unwrap_or_else(|| self.published());
        self.get_in(&view, keyspace, seq, key, take)
    }

    fn get_in<T>(
        &self,
        view: &View,
        keyspace: KeyspaceId,
        seq: SeqNo,
        key: &[u8],
        take: impl FnOnce(Hit<'_>) -> T,
    ) -> Result<Option<T>> {
        check_key(key)?;
        let scoped = ScopedKey::new(keyspace, key);
        let hash = filter_hash(&scoped);
        for memtable in view.memtables_for(seq) {
            memtable.prefetch_index(hash);
        }
        for memtable in view.memtables_for(seq) {
            if let Some((tag, value)) = memtable.get_hashed(&scoped, hash, seq) {
                let mut cost = Cost::default();
                cost.read(tag, key.len() + value.len());
                self.count_gets(1, &cost);
                if tag.is_delete() {
                    return Ok(None);
                }
                let copy = self.pins_too_much(view);
                let scoped = &*scoped;
                return Ok(Some(take(Hit::Memtable { memtable, scoped, seq, value, copy })));
            }
        }
        let mut cost = Cost::default();
        let found = find_in_tables(view, &scoped, hash, seq, &mut cost);
        if let Ok(Some(found)) = &found {
            cost.read(found.tag, key.len() + found.bytes().len());
        }
        self.count_gets(1, &cost);
        match found? {
            Some(found) if !found.tag.is_delete() => Ok(Some(take(Hit::Table(found)))),
            _ => Ok(None),
        }
    }

    #[inline]
    pub(super) fn count_gets(&self, gets: u64, cost: &Cost) {
        self.counters.add(&[
            (Count::Gets, gets),
            (Count::GetHits, cost.hits),
            (Count::ReadBytes, cost.read_bytes),
            (Count::GetTables, cost.tables),
            (Count::FilterProbes, cost.probes),
            (Count::FilterUseful, cost.useful),
        ]);
    }

    /// Memory of memtables that are in no view any more but held by values.
    pub(super) fn pinned_bytes(&self, view: &View) -> usize {
        let in_view: usize = view.memtables().map(|memtable| memtable.memory_bytes()).sum();
        self.gauge.bytes().saturating_sub(in_view)
    }

    pub(super) fn pins_too_much(&self, view: &View) -> bool {
        let budget = self.options.memtable_bytes * self.options.memtables_max;
        self.pinned_bytes(view) > budget / 4
    }

    /// An iterator over `bounds` as of `seq` (`None`: now).
    pub(crate) fn scan(&self, seq: Option<SeqNo>, bounds: Bounds) -> Result<Scan> {
        let seen = seq.unwrap_or_else(|| self.published());
        let view = self.view.load();
        self.check_open()?;
        let seq = seq.unwrap_or_else(|| self.published());
        let gaps = self.gaps.load();
        let mut walk = match self.spares.take(&view) {
            Some(mut walk) => {
                (walk.seq, walk.seen) = (seq, seen);
                walk.iter.begin(seq, bounds);
                walk
            }
            None => {
                let view = Arc::clone(&view);
                Box::new(ViewWalk {
                    iter: Visible::new(view.merged(), seq, bounds),
                    view,
                    seq,
                    seen,
                })
            }
        };
        walk.iter.know(gaps, seen);
        Ok(Scan(Some(walk)))
    }

    /// Keeps a walk that has ended, to be begun again. Nothing may be asked of `scan` any
    /// more.
    pub(crate) fn give_back(&self, scan: &mut Scan) {
        if let Some(mut walk) = scan.0.take() {
            let passed = walk.iter.take_passed();
            if passed > 0 {
                self.note_passed(passed);
            }
            if let Some(found) = walk.iter.take_found() {
                self.note_gap(found, walk.seq, walk.seen);
            }
            self.spares.put(walk, &self.view);
        }
    }
}

/// The newest version of `scoped` in the tree.
#[inline]
fn find_in_tables<'a>(
    view: &'a View,
    scoped: &[u8],
    hash: u64,
    seq: SeqNo,
    cost: &mut Cost,
) -> Result<Option<Found<'a>>> {
    let mut candidates = Candidates::new(&view.version, scoped, hash);
    while let Some(table) = candidates.next(scoped, cost)? {
        if let Some(found) = table.get(scoped, seq)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The tables that may have a key, newest first.
pub(super) struct Candidates<'a> {
    hash: u64,
    /// Those of level 0 that are left.
    level0: Level0<'a>,
    /// One of each deeper level that may have the key, and how many were given.
    deeper: [Option<&'a Arc<Table>>; LEVELS],
    given: usize,
}

impl<'a> Candidates<'a> {
    /// Asks for the filter lines of all of them before the first is looked at.
    #[inline]
    pub(super) fn new(version: &'a Version, scoped: &[u8], hash: u64) -> Candidates<'a> {
        let level0 = version.level0_for(scoped);
        for table in level0.tables() {
            table.prefetch_filter(hash);
        }
        let mut deeper = [None; LEVELS];
        let mut found = 0;
        for level in version.deeper() {
            if let Some(table) = version.find(level, scoped) {
                table.prefetch_filter(hash);
                deeper[found] = Some(table);
                found += 1;
            }
        }
        Candidates { hash, level0, deeper, given: 0 }
    }

    /// The next one whose filter lets the key through.
    #[inline]
    pub(super) fn next(&mut self, scoped: &[u8], cost: &mut Cost) -> Result<Option<&'a Table>> {
        while let Some(table) = self.level0.next(scoped) {
            if asked(table, self.hash, cost)? {
                return Ok(Some(table));
            }
        }
        while let Some(Some(table)) = self.deeper.get(self.given) {
            self.given += 1;
            if asked(table, self.hash, cost)? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }
}

/// Whether the table's filter lets the key through.
#[inline]
fn asked(table: &Table, hash: u64, cost: &mut Cost) -> Result<bool> {
    cost.probes += 1;
    let through = table.may_contain(hash)?;
    cost.tables += u64::from(through);
    cost.useful += u64::from(!through);
    Ok(through)
}

/// A walk over what one moment shows; `None`: it was given back.
#[derive(Debug)]
pub(crate) struct Scan(Option<Box<ViewWalk>>);

impl Scan {
    #[inline]
    fn walk(&self) -> &ViewWalk {
        self.0.as_ref().expect("a walk is given back last")
    }

    /// What walks.
    #[inline]
    pub(crate) fn iter(&self) -> &Visible<ViewIter> {
        &self.walk().iter
    }

    /// What walks.
    #[inline]
    pub(crate) fn iter_mut(&mut self) -> &mut Visible<ViewIter> {
        &mut self.0.as_mut().expect("a walk is given back last").iter
    }

    /// Another walk over the same moment and bounds.
    pub(crate) fn again(&self) -> Scan {
        let ViewWalk { iter: walked, view, seq, seen } = self.walk();
        let (view, seq, seen) = (Arc::clone(view), *seq, *seen);
        let mut iter = Visible::new(view.merged(), seq, walked.bounds().clone());
        iter.know(walked.known(), seen);
        Scan(Some(Box::new(ViewWalk { iter, view, seq, seen })))
    }
}

/// The scoped keys of a range of user keys. A start behind its end is an empty
/// range; nothing reaches out of the keyspace.
pub(crate) fn bounds_of(keyspace: KeyspaceId, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Bounds {
    let scoped = |key: &[u8], successor: bool| {
        let mut bytes = Vec::with_capacity(key.len() + 9);
        keyspace.encode_into(&mut bytes);
        bytes.extend_from_slice(key);
        if successor {
            bytes.push(0);
        }
        bytes
    };
    Bounds {
        start: match start {
            Bound::Included(key) => scoped(key, false),
            Bound::Excluded(key) => scoped(key, true),
            Bound::Unbounded => scoped(b"", false),
        },
        end: Some(match end {
            Bound::Included(key) => scoped(key, true),
            Bound::Excluded(key) => scoped(key, false),
            Bound::Unbounded => keyspace.end(),
        }),
    }
}

/// The scoped keys that begin with `prefix`.
pub(crate) fn bounds_of_prefix(keyspace: KeyspaceId, prefix: &[u8]) -> Bounds {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xFF) {
        end.pop();
    }
    let start = Bound::Included(prefix);
    match end.last_mut() {
        Some(last) => {
            *last += 1;
            bounds_of(keyspace, start, Bound::Excluded(&end))
        }
        None => bounds_of(keyspace, start, Bound::Unbounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_highest_bytes_ends_with_its_keyspace() {
        let bounds = bounds_of_prefix(KeyspaceId(5), &[0xFF, 0xFF]);
        assert_eq!(bounds.start, [5, 0xFF, 0xFF]);
        assert_eq!(bounds.end.unwrap(), [6]);
        let bounds = bounds_of_prefix(KeyspaceId(5), &[1, 0xFF]);
        assert_eq!((bounds.start, bounds.end.unwrap()), (vec![5, 1, 0xFF], vec![5, 2]));
        assert_eq!(bounds_of_prefix(KeyspaceId(247), b"").end.unwrap(), [0xF8, 0xF8]);
    }

    #[test]
    fn a_range_whose_start_is_behind_its_end_is_empty() {
        let key = |k: &'static [u8]| k;
        let id = KeyspaceId::DEFAULT;
        assert!(bounds_of(id, Bound::Included(key(b"b")), Bound::Excluded(key(b"a"))).is_empty());
        assert!(bounds_of(id, Bound::Excluded(key(b"a")), Bound::Excluded(key(b"a"))).is_empty());
        assert!(!bounds_of(id, Bound::Included(key(b"a")), Bound::Included(key(b"a"))).is_empty());
        assert!(!bounds_of(id, Bound::Unbounded, Bound::Unbounded).is_empty());
    }
}
