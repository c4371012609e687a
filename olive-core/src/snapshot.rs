//! [`Snapshot`]: the database as it was at one moment.

use std::fmt;

use crate::cursor::{Cursor, Iter};
use crate::engine::{HeldSeq, bounds_of, bounds_of_prefix};
use crate::error::Result;
use crate::handle::EngineHandle;
use crate::key::{KeyspaceId, SeqNo};
use crate::range::KeyRange;
use crate::reader::by_own_methods;
use crate::sync::Arc;
use crate::value::Value;

/// The database as it was when the snapshot was taken, for as long as it is held.
///
/// It costs nothing to take. While it is held, compactions keep what it sees. It
/// does not keep the database open: after close its calls fail with `Closed`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// db.put("k", "old")?;
/// let before = db.snapshot()?;
/// db.put("k", "new")?;
/// assert_eq!(before.get("k")?.unwrap(), b"old");
/// assert_eq!(db.get("k")?.unwrap(), b"new");
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    registered: Arc<Registered>,
    keyspace: KeyspaceId,
}

/// Holds the sequence number until the last clone is dropped.
struct Registered {
    engine: EngineHandle,
    held: HeldSeq,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.engine.release_snapshot(self.held);
    }
}

impl Snapshot {
    pub(crate) fn new(engine: EngineHandle, keyspace: Option<KeyspaceId>) -> Result<Snapshot> {
        engine.check_open()?;
        let held = engine.register_snapshot();
        let keyspace = keyspace.unwrap_or(KeyspaceId::DEFAULT);
        Ok(Snapshot { registered: Arc::new(Registered { engine, held }), keyspace })
    }

    fn engine(&self) -> &EngineHandle {
        &self.registered.engine
    }

    fn seq(&self) -> Option<SeqNo> {
        Some(self.registered.held.seq)
    }

    /// The number of the last write that it sees.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.registered.held.seq.0
    }

    /// The keyspace `name` as of this snapshot, also if it was dropped since; `None`
    /// if there was none then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.keyspace("users")?.put("1", "Ada")?;
    /// let before = db.snapshot()?;
    /// db.drop_keyspace("users")?;
    /// let users = before.keyspace("users")?.unwrap();
    /// assert_eq!(users.get("1")?.unwrap(), b"Ada");
    /// assert!(before.keyspace("others")?.is_none());
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn keyspace(&self, name: &str) -> Result<Option<Snapshot>> {
        let id = self.engine().keyspace_as_of(name, self.registered.held.seq)?;
        Ok(id.map(|keyspace| Snapshot { registered: Arc::clone(&self.registered), keyspace }))
    }

    /// The value that `key` had, in place.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().get(self.keyspace, self.seq(), key.as_ref(), |hit| hit.into_value())
    }

    /// Lets `read` see the value that `key` had, for who needs no handle.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get_with<T>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.engine().get(self.keyspace, self.seq(), key.as_ref(), |hit| read(hit.bytes()))
    }

    /// The values that many keys had, in the order of the keys.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        self.engine().multi_get(self.keyspace, self.seq(), keys)
    }

    /// Lets `read` see the values of many keys, all as of one moment, for who needs no
    /// handles: it is called for each key in order, with its place and its value if it
    /// has one. The keys are looked up side by side, which takes less time than one after
    /// the other.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get); `read` was called for the keys before the one that failed.
    pub fn multi_get_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut read: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.engine().multi_get_with(self.keyspace, self.seq(), keys, |i, hit| {
            read(i, hit.as_ref().map(|hit| hit.bytes()));
        })
    }

    /// Whether `key` had a value.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get_with(key, |_| ())?.is_some())
    }

    /// All entries in key order, from both ends.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    pub fn iter(&self) -> Result<Iter> {
        self.range(..)
    }

    /// The entries of a range of keys.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    pub fn range(&self, range: impl KeyRange) -> Result<Iter> {
        let bounds = bounds_of(self.keyspace, range.start(), range.end());
        let scan = self.engine().scan(self.seq(), bounds)?;
        Ok(Iter::new(Arc::clone(self.engine()), self.keyspace, scan))
    }

    /// The entries whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Iter> {
        let bounds = bounds_of_prefix(self.keyspace, prefix.as_ref());
        let scan = self.engine().scan(self.seq(), bounds)?;
        Ok(Iter::new(Arc::clone(self.engine()), self.keyspace, scan))
    }

    /// A cursor over all entries; it stands on none yet.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn cursor(&self) -> Result<Cursor> {
        let bounds = bounds_of(self.keyspace, (..).start(), (..).end());
        let scan = self.engine().scan(self.seq(), bounds)?;
        Ok(Cursor::new(Arc::clone(self.engine()), self.keyspace, scan))
    }
}

by_own_methods!(Snapshot);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.sequence()).finish_non_exhaustive()
    }
}
