//! Keyspaces: their names are data, in keyspace 0.
//!
//! ```text
//! key                 value
//! 00                  the next id, 8 bytes big-endian
//! 01 name             id, 8 bytes big-endian
//! 02 id (8 bytes)     nothing: the keyspace was dropped
//! ```
//!
//! Creating and dropping are ordinary batches, so the log orders them with all
//! other writes. Ids are never used again.

use std::collections::BTreeMap;

use super::write::CatalogChange;
use super::{Engine, Hit, bounds_of};
use crate::batch::WriteBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyspaceId, Kind, SeqNo};
use crate::options::WriteOptions;
use crate::sync::{Arc, AtomicBool, Ordering};

/// The longest name of a keyspace, in bytes.
const NAME_BYTES_MAX: usize = 65_534;
const NEXT_ID: &[u8] = &[0];
const BY_NAME: u8 = 1;
const DROPPED: u8 = 2;

/// One keyspace, shared by its handles.
#[derive(Debug)]
pub(crate) struct KeyspaceState {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    dropped: AtomicBool,
}

impl KeyspaceState {
    /// A handle's state for `id`, as it was found.
    pub(crate) fn new(id: KeyspaceId, name: &str) -> Arc<KeyspaceState> {
        Arc::new(KeyspaceState { id, name: name.to_owned(), dropped: AtomicBool::new(false) })
    }

    pub(super) fn note_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Fails once the keyspace is dropped.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) {
            return Err(Error::invalid(format!("the keyspace \"{}\" was dropped", self.name)));
        }
        Ok(())
    }
}

/// What the catalog says now.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    live: BTreeMap<String, Arc<KeyspaceState>>,
    next_id: u64,
}

impl Engine {
    /// The keyspace of this name, created if it is missing.
    pub(crate) fn keyspace(&self, name: &str) -> Result<Arc<KeyspaceState>> {
        self.check_open()?;
        check_name(name)?;
        let mut catalog = self.catalog.lock();
        if let Some(state) = catalog.live.get(name) {
            return Ok(Arc::clone(state));
        }
        self.check_writable()?;
        let id = KeyspaceId(catalog.next_id);
        if id > KeyspaceId::MAX {
            return Err(Error::new(ErrorKind::Unsupported, "all 2^56 keyspace ids are used"));
        }
        let mut batch = WriteBatch::new();
        let next = (id.0 + 1).to_be_bytes();
        batch.push(KeyspaceId::CATALOG, Kind::Put, NEXT_ID, &next);
        batch.push(KeyspaceId::CATALOG, Kind::Put, &name_key(name), &id.0.to_be_bytes());
        self.write_batch_with(&batch, &WriteOptions::default(), CatalogChange::Create(id))?;
        catalog.next_id = id.0 + 1;
        let state = KeyspaceState::new(id, name);
        catalog.live.insert(name.to_owned(), Arc::clone(&state));
        Ok(state)
    }

    /// Drops the keyspace of this name; says whether there was one.
    pub(crate) fn drop_keyspace(&self, name: &str) -> Result<bool> {
        self.check_writable()?;
        check_name(name)?;
        let mut catalog = self.catalog.lock();
        let Some(state) = catalog.live.get(name).cloned() else { return Ok(false) };
        let mut batch = WriteBatch::new();
        let mut dropped_key = vec![DROPPED];
        dropped_key.extend_from_slice(&state.id.0.to_be_bytes());
        batch.push(KeyspaceId::CATALOG, Kind::Delete, &name_key(name), &[]);
        batch.push(KeyspaceId::CATALOG, Kind::Put, &dropped_key, &[]);
        let change = CatalogChange::Drop(Arc::clone(&state));
        let at = self.write_batch_with(&batch, &WriteOptions::default(), change)?;
        catalog.live.remove(name);
        self.dropped.lock().insert(state.id, at);
        drop(catalog);
        self.threads.wake_compaction();
        Ok(true)
    }

    /// The names of all keyspaces but the default one, in order.
    pub(crate) fn keyspaces(&self) -> Result<Vec<String>> {
        self.check_open()?;
        Ok(self.catalog.lock().live.keys().cloned().collect())
    }

    /// The keyspace that had this name as of `seq`.
    pub(crate) fn keyspace_as_of(&self, name: &str, seq: SeqNo) -> Result<Option<KeyspaceId>> {
        check_name(name)?;
        let id = self.get(KeyspaceId::CATALOG, Some(seq), &name_key(name), |hit: Hit<'_>| {
            number(hit.bytes())
        })?;
        id.map(|id| id.and_then(named_id).ok_or_else(|| self.bad_catalog("an id"))).transpose()
    }

    /// Reads the catalog from the tree: once, at open.
    pub(super) fn load_catalog(&self) -> Result<()> {
        let mut catalog = Catalog { next_id: KeyspaceId::DEFAULT.0 + 1, ..Catalog::default() };
        let all =
            bounds_of(KeyspaceId::CATALOG, std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        let mut scan = self.scan(None, all)?;
        let mut found = scan.iter_mut().seek_to_first()?;
        while found {
            let key = KeyspaceId::split(scan.iter().scoped()).map_or(&[][..], |(_, key)| key);
            let value = scan.iter().value();
            match key.split_first() {
                Some((&0, [])) => {
                    catalog.next_id = number(value).ok_or_else(|| self.bad_catalog("next id"))?;
                }
                Some((&BY_NAME, name)) => {
                    let name = std::str::from_utf8(name).map_err(|_| self.bad_catalog("a name"))?;
                    let id = number(value).and_then(named_id);
                    let id = id.ok_or_else(|| self.bad_catalog("an id"))?;
                    let state = KeyspaceState::new(id, name);
                    catalog.live.insert(name.to_owned(), state);
                }
                Some((&DROPPED, id)) => {
                    let id = number(id).and_then(named_id);
                    let id = id.ok_or_else(|| self.bad_catalog("a dropped id"))?;
                    // No snapshot is older than this open.
                    self.dropped.lock().insert(id, SeqNo::ZERO);
                }
                _ => return Err(self.bad_catalog("an entry of unknown sort")),
            }
            found = scan.iter_mut().next()?;
        }
        if let Some(commit) = self.commit.lock().as_mut() {
            commit.live = catalog.live.values().map(|state| state.id).collect();
        }
        *self.catalog.lock() = catalog;
        Ok(())
    }

    fn bad_catalog(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Corruption,
            format!("the catalog of keyspaces of {} is damaged: {what}", self.dir.display()),
        )
    }
}

/// The id of a keyspace that has a name, or had one: not the catalog's, nor the default one's.
fn named_id(number: u64) -> Option<KeyspaceId> {
    (number > KeyspaceId::DEFAULT.0 && number <= KeyspaceId::MAX.0).then_some(KeyspaceId(number))
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text =
            format!("a keyspace's name has 1 to {NAME_BYTES_MAX} bytes, this one {}", name.len());
        return Err(Error::invalid(text));
    }
    Ok(())
}

fn name_key(name: &str) -> Vec<u8> {
    let mut key = vec![BY_NAME];
    key.extend_from_slice(name.as_bytes());
    key
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_names_are_none_that_the_engine_needs_or_cannot_write() {
        for number in [0, 1, KeyspaceId::MAX.0 + 1, u64::MAX] {
            assert_eq!(named_id(number), None, "{number}");
        }
        for number in [2, KeyspaceId::MAX.0] {
            assert_eq!(named_id(number), Some(KeyspaceId(number)));
        }
    }
}
