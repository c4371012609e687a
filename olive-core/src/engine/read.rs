//! The read path, top to bottom: pin a view, load the published sequence number,
//! look into memtables, level 0 newest first, then one table a level.

use std::ops::Bound;

use super::Engine;
use super::counters::Count;
use super::view::{View, ViewIter};
use crate::error::{Error, Result};
use crate::iter::{Bounds, Visible};
use crate::key::{KEY_BYTES_MAX, KeyspaceId, ScopedKey, SeqNo, Tag};
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::table::{Found, Table, filter_hash};
use crate::value::Value;
use crate::version::LEVELS;

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

/// What a table lookup cost, for the counters.
#[derive(Default)]
struct Cost {
    probes: u64,
    useful: u64,
    tables: u64,
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

    /// Finds many keys in one view; the answers are in the order of the keys.
    pub(crate) fn multi_get<K: AsRef<[u8]>>(
        &self,
        keyspace: KeyspaceId,
        seq: Option<SeqNo>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        let view = self.view.load();
        self.check_open()?;
        let seq = seq.unwrap_or_else(|| self.published());
        keys.into_iter()
            .map(|key| self.get_in(&view, keyspace, seq, key.as_ref(), |hit| hit.into_value()))
            .collect()
    }

    fn get_in<T>(
        &self,
        view: &View,
        keyspace: KeyspaceId,
        seq: SeqNo,
        key: &[u8],
        take: impl FnOnce(Hit<'_>) -> T,
    ) -> Result<Option<T>> {
        if key.len() > KEY_BYTES_MAX {
            let text = format!("a key of {} bytes is over the limit of {KEY_BYTES_MAX}", key.len());
            return Err(Error::invalid(text));
        }
        let scoped = ScopedKey::new(keyspace, key);
        for memtable in view.memtables() {
            if let Some((tag, value)) = memtable.get(&scoped, seq) {
                self.count_get(&Cost::default(), shown(tag, key.len() + value.len()));
                if tag.is_delete() {
                    return Ok(None);
                }
                let copy = self.pins_too_much(view);
                let scoped = &*scoped;
                return Ok(Some(take(Hit::Memtable { memtable, scoped, seq, value, copy })));
            }
        }
        let mut cost = Cost::default();
        let found = find_in_tables(view, &scoped, seq, &mut cost);
        let read = match &found {
            Ok(Some(found)) => shown(found.tag, key.len() + found.bytes().len()),
            _ => None,
        };
        self.count_get(&cost, read);
        match found? {
            Some(found) if !found.tag.is_delete() => Ok(Some(take(Hit::Table(found)))),
            _ => Ok(None),
        }
    }

    #[inline]
    fn count_get(&self, cost: &Cost, read_bytes: Option<u64>) {
        self.counters.add(&[
            (Count::Gets, 1),
            (Count::GetHits, u64::from(read_bytes.is_some())),
            (Count::ReadBytes, read_bytes.unwrap_or(0)),
            (Count::GetTables, cost.tables),
            (Count::FilterProbes, cost.probes),
            (Count::FilterUseful, cost.useful),
        ]);
    }

    /// Memory of memtables that are in no view any more but held by values.
    pub(super) fn pinned_bytes(&self, view: &View) -> usize {
        let in_view: usize = view.memtables().map(|memtable| memtable.bytes_used()).sum();
        self.gauge.bytes().saturating_sub(in_view)
    }

    fn pins_too_much(&self, view: &View) -> bool {
        let budget = self.options.memtable_bytes * self.options.memtables_max;
        self.pinned_bytes(view) > budget / 4
    }

    /// An iterator over `bounds` as of `seq` (`None`: now).
    pub(crate) fn scan(&self, seq: Option<SeqNo>, bounds: Bounds) -> Result<Scan> {
        let view = self.view.load_full();
        self.check_open()?;
        let seq = seq.unwrap_or_else(|| self.published());
        Ok(Scan { iter: Visible::new(view.merged(), seq, bounds), view, seq })
    }
}

#[inline]
fn shown(tag: Tag, bytes: usize) -> Option<u64> {
    (!tag.is_delete()).then_some(bytes as u64)
}

/// The newest version of `scoped` in the tree. The filter lines of the tables that
/// may have it are asked for before the first is looked at.
#[inline]
fn find_in_tables<'a>(
    view: &'a View,
    scoped: &[u8],
    seq: SeqNo,
    cost: &mut Cost,
) -> Result<Option<Found<'a>>> {
    let version = &*view.version;
    let hash = filter_hash(scoped);
    let level0 = version.level(0);
    let mut deeper: [Option<&Arc<Table>>; LEVELS] = [None; LEVELS];
    for table in level0 {
        table.prefetch_filter(hash);
    }
    for (level, slot) in deeper.iter_mut().enumerate().skip(1) {
        if let Some(table) = version.find(level, scoped) {
            table.prefetch_filter(hash);
            *slot = Some(table);
        }
    }
    let in_level0 = level0.iter().filter(|table| {
        let meta = table.meta();
        meta.smallest.as_slice() <= scoped && scoped <= meta.largest.as_slice()
    });
    for table in in_level0.chain(deeper.iter().flatten().copied()) {
        cost.probes += 1;
        if !table.may_contain(hash)? {
            cost.useful += 1;
            continue;
        }
        cost.tables += 1;
        if let Some(found) = table.get(scoped, seq)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A walk over what one moment shows; it holds that moment's view.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) iter: Visible<ViewIter>,
    view: Arc<View>,
    seq: SeqNo,
}

impl Scan {
    /// Another walk over the same moment and bounds.
    pub(crate) fn again(&self) -> Scan {
        Scan {
            iter: Visible::new(self.view.merged(), self.seq, self.iter.bounds().clone()),
            view: Arc::clone(&self.view),
            seq: self.seq,
        }
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
