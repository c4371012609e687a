//! What the database must answer: a versioned map.
//!
//! Writes are numbered from 1; a batch is one write, as is making or dropping a
//! keyspace. What was visible after write `k` can be asked for every `k`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

pub(super) type Bytes = Arc<[u8]>;
/// A keyspace as made once: one made again by the same name is another.
pub(super) type Space = u32;
pub(super) const DEFAULT: Space = 0;
/// All keyspaces by name with their entries; the default one has no name.
pub(super) type Dump = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

#[derive(Debug, Clone)]
pub(super) enum Change {
    Entry(Space, Vec<u8>, Option<Bytes>),
    Name(String, Option<Space>),
}

type Versions<T> = Vec<(usize, Option<T>)>;

#[derive(Debug, Default)]
pub(super) struct Reference {
    writes: usize,
    entries: BTreeMap<Space, BTreeMap<Vec<u8>, Versions<Bytes>>>,
    names: BTreeMap<String, Versions<Space>>,
    spaces: Space,
}

impl Reference {
    /// The number of the last write.
    pub(super) fn now(&self) -> usize {
        self.writes
    }

    pub(super) fn new_space(&mut self) -> Space {
        self.spaces += 1;
        self.spaces
    }

    pub(super) fn write(&mut self, changes: Vec<Change>) {
        self.writes += 1;
        let at = self.writes;
        for change in changes {
            match change {
                Change::Entry(space, key, value) => {
                    let versions = self.entries.entry(space).or_default().entry(key).or_default();
                    versions.push((at, value));
                }
                Change::Name(name, space) => {
                    self.names.entry(name).or_default().push((at, space));
                }
            }
        }
    }

    /// Forgets every write past `k`.
    pub(super) fn cut(&mut self, k: usize) {
        self.writes = k;
        let all = self.entries.values_mut().flat_map(BTreeMap::values_mut);
        all.for_each(|versions| versions.retain(|(at, _)| *at <= k));
        self.names.values_mut().for_each(|versions| versions.retain(|(at, _)| *at <= k));
    }

    pub(super) fn get(&self, space: Space, key: &[u8], k: usize) -> Option<&Bytes> {
        as_of(self.entries.get(&space)?.get(key)?, k)
    }

    pub(super) fn space(&self, name: &str, k: usize) -> Option<Space> {
        as_of(self.names.get(name)?, k).copied()
    }

    /// Whether a keyspace of this name was ever made.
    pub(super) fn was_named(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|versions| !versions.is_empty())
    }

    /// How often a keyspace was made or dropped.
    pub(super) fn names_changed(&self) -> usize {
        self.names.values().map(Vec::len).sum()
    }

    pub(super) fn names(&self, k: usize) -> impl Iterator<Item = (&str, Space)> {
        self.names
            .iter()
            .filter_map(move |(name, versions)| Some((name.as_str(), *as_of(versions, k)?)))
    }

    pub(super) fn entries(
        &self,
        space: Space,
        k: usize,
    ) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Bytes)> {
        self.entries
            .get(&space)
            .into_iter()
            .flatten()
            .filter_map(move |(key, versions)| Some((key, as_of(versions, k)?)))
    }

    /// The entries of a range as of `k`.
    pub(super) fn range(
        &self,
        space: Space,
        k: usize,
        start: &Bound<Vec<u8>>,
        end: &Bound<Vec<u8>>,
    ) -> Vec<(Vec<u8>, Bytes)> {
        let within = |key: &Vec<u8>| {
            (match start {
                Bound::Included(start) => key >= start,
                Bound::Excluded(start) => key > start,
                Bound::Unbounded => true,
            }) && (match end {
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
                Bound::Unbounded => true,
            })
        };
        let owned = |(key, value): (&Vec<u8>, &Bytes)| (key.clone(), Arc::clone(value));
        self.entries(space, k).filter(|(key, _)| within(key)).map(owned).collect()
    }

    /// Where `found` is not what there was after write `k`.
    pub(super) fn difference(&self, k: usize, found: &Dump) -> Option<String> {
        let names: Vec<&str> = self.names(k).map(|(name, _)| name).collect();
        let found_names: Vec<&String> = found.keys().filter(|name| !name.is_empty()).collect();
        if names != found_names {
            return Some(format!("keyspaces {names:?} expected, found {found_names:?}"));
        }
        for (name, space) in self.names(k).chain([("", DEFAULT)]) {
            let mut entries = found[name].iter();
            for (key, value) in self.entries(space, k) {
                match entries.next() {
                    Some((k, v)) if k == key && v[..] == value[..] => {}
                    other => {
                        return Some(format!(
                            "in {name:?}: expected {}, found {}",
                            show(key, value),
                            other.map_or("nothing more".to_owned(), |(k, v)| show(k, v)),
                        ));
                    }
                }
            }
            if let Some((key, value)) = entries.next() {
                return Some(format!("in {name:?}: {} more than expected", show(key, value)));
            }
        }
        None
    }
}

fn as_of<T>(versions: &Versions<T>, k: usize) -> Option<&T> {
    versions[..versions.partition_point(|(at, _)| *at <= k)].last()?.1.as_ref()
}

/// An entry in short.
pub(super) fn show(key: &[u8], value: &[u8]) -> String {
    format!("{} = {}", key.escape_ascii(), show_value(value))
}

pub(super) fn show_value(value: &[u8]) -> String {
    format!("{:02x?} ({} bytes)", &value[..value.len().min(4)], value.len())
}
