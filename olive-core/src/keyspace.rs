//! [`Keyspace`]: an ordered map of its own within a database.

use std::fmt;

use crate::batch::WriteBatch;
use crate::cursor::{Cursor, Iter};
use crate::engine::{Engine, KeyspaceState, Scan, bounds_of, bounds_of_prefix};
use crate::error::Result;
use crate::handle::Handle;
use crate::iter::Bounds;
use crate::key::{KeyspaceId, Kind};
use crate::options::WriteOptions;
use crate::range::KeyRange;
use crate::reader::by_own_methods;
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::value::Value;

/// A keyspace: the same calls as [`Db`](crate::Db), on a map of its own.
///
/// Cheap to clone; it keeps the database open. Once the keyspace is dropped, every
/// call fails with `InvalidArgument`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// let users = db.keyspace("users")?;
/// let emails = db.keyspace("emails")?;
/// let mut batch = olive_core::WriteBatch::new();
/// batch.put_in(&users, "1", "Ada").put_in(&emails, "ada@example.org", "1");
/// db.write(&batch)?;
/// assert_eq!(users.get("1")?.unwrap(), b"Ada");
/// assert_eq!(emails.iter()?.count(), 1);
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Keyspace {
    handle: Arc<Handle>,
    state: Arc<KeyspaceState>,
}

impl Keyspace {
    pub(crate) fn new(handle: Arc<Handle>, state: Arc<KeyspaceState>) -> Keyspace {
        Keyspace { handle, state }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The engine, if the keyspace was not dropped.
    #[inline]
    fn engine(&self) -> Result<&Arc<Engine>> {
        self.handle.engine.check_open()?;
        self.state.check()?;
        Ok(&self.handle.engine)
    }

    /// The answer, unless the keyspace was dropped while it was looked for: then its
    /// entries may have gone.
    #[inline]
    fn if_still_there<T>(&self, found: Result<T>) -> Result<T> {
        self.state.check()?;
        found
    }

    fn scan(&self, bounds: Bounds) -> Result<Scan> {
        self.if_still_there(self.engine()?.scan(None, bounds))
    }

    fn id(&self) -> KeyspaceId {
        self.state.id
    }

    /// Puts `value` under `key`.
    ///
    /// # Errors
    ///
    /// As [`Db::put`](crate::Db::put).
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(key, value, &WriteOptions::default())
    }

    /// [`put`](Self::put) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`Db::put_with`](crate::Db::put_with).
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &WriteOptions,
    ) -> Result<()> {
        self.engine()?.write_one(self.id(), Kind::Put, key.as_ref(), value.as_ref(), options)
    }

    /// Deletes `key`; it need not be there.
    ///
    /// # Errors
    ///
    /// As [`Db::put`](crate::Db::put).
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.delete_with(key, &WriteOptions::default())
    }

    /// [`delete`](Self::delete) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`Db::put_with`](crate::Db::put_with).
    pub fn delete_with(&self, key: impl AsRef<[u8]>, options: &WriteOptions) -> Result<()> {
        self.engine()?.write_one(self.id(), Kind::Delete, key.as_ref(), &[], options)
    }

    /// Writes a batch: all of it, or nothing. Its plain `put` and `delete` are on the
    /// database's default keyspace; those with `_in` on the one that they name.
    ///
    /// # Errors
    ///
    /// As [`Db::write`](crate::Db::write).
    pub fn write(&self, batch: &WriteBatch) -> Result<()> {
        self.write_with(batch, &WriteOptions::default())
    }

    /// [`write`](Self::write) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`Db::write_with`](crate::Db::write_with).
    pub fn write_with(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        self.engine()?.write_batch(batch, options)
    }

    /// The value of `key`, in place.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let found = self.engine()?.get(self.id(), None, key.as_ref(), |hit| hit.into_value());
        self.if_still_there(found)
    }

    /// Lets `read` see the value of `key`, for who needs no handle.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get_with<T>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let found = self.engine()?.get(self.id(), None, key.as_ref(), |hit| read(hit.bytes()));
        self.if_still_there(found)
    }

    /// The values of many keys, all as of one moment, in the order of the keys.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        let found = self.engine()?.multi_get(self.id(), None, keys);
        self.if_still_there(found)
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
        let found = self.engine()?.multi_get_with(self.id(), None, keys, |i, hit| {
            read(i, hit.as_ref().map(|hit| hit.bytes()));
        });
        self.if_still_there(found)
    }

    /// Whether `key` has a value.
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
        let scan = self.scan(bounds_of(self.id(), range.start(), range.end()))?;
        Ok(Iter::new(self.handle.engine_handle(), self.id(), scan))
    }

    /// The entries whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Iter> {
        let scan = self.scan(bounds_of_prefix(self.id(), prefix.as_ref()))?;
        Ok(Iter::new(self.handle.engine_handle(), self.id(), scan))
    }

    /// A cursor over all entries; it stands on none yet.
    ///
    /// # Errors
    ///
    /// `Closed`, or the keyspace was dropped.
    pub fn cursor(&self) -> Result<Cursor> {
        let scan = self.scan(bounds_of(self.id(), (..).start(), (..).end()))?;
        Ok(Cursor::new(self.handle.engine_handle(), self.id(), scan))
    }

    /// This keyspace as it is now, to be read again and again. The snapshot is one of
    /// the whole database: see [`Snapshot::keyspace`].
    ///
    /// # Errors
    ///
    /// `Closed`, or the keyspace was dropped.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.engine()?;
        self.if_still_there(Snapshot::new(self.handle.engine_handle(), Some(self.id())))
    }

    /// Flushes, and compacts the entries of a range down to one level.
    ///
    /// # Errors
    ///
    /// As [`Db::compact_range`](crate::Db::compact_range).
    pub fn compact_range(&self, range: impl KeyRange) -> Result<()> {
        self.engine()?.compact_range(&bounds_of(self.id(), range.start(), range.end()))
    }

    /// About how many bytes of tables the entries of a range take.
    ///
    /// # Errors
    ///
    /// As [`Db::approximate_size`](crate::Db::approximate_size).
    pub fn approximate_size(&self, range: impl KeyRange) -> Result<u64> {
        self.engine()?.approximate_size(&bounds_of(self.id(), range.start(), range.end()))
    }
}

impl WriteBatch {
    /// Puts `value` under `key` in `keyspace`.
    pub fn put_in(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> &mut Self {
        let owner = keyspace.handle.engine.instance();
        self.push_in(owner, keyspace.id(), Kind::Put, key.as_ref(), value.as_ref())
    }

    /// Deletes `key` in `keyspace`; it need not be there.
    pub fn delete_in(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> &mut Self {
        let owner = keyspace.handle.engine.instance();
        self.push_in(owner, keyspace.id(), Kind::Delete, key.as_ref(), &[])
    }
}

by_own_methods!(Keyspace);

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.state.name).finish_non_exhaustive()
    }
}
