//! [`Reader`]: what can be read from, by one name.

use crate::cursor::{Cursor, Iter};
use crate::error::Result;
use crate::range::KeyRange;
use crate::value::Value;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Everything that entries are read from: [`Db`](crate::Db),
/// [`Keyspace`](crate::Keyspace) and [`Snapshot`](crate::Snapshot).
///
/// ```
/// use olive_core::{Db, Reader, Result};
///
/// fn count(reader: &impl Reader) -> Result<usize> {
///     Ok(reader.iter()?.count())
/// }
/// # let dir = tempfile::tempdir().unwrap();
/// let db = Db::open(dir.path().join("db"))?;
/// db.put("k", "v")?;
/// let before = db.snapshot()?;
/// db.delete("k")?;
/// assert_eq!((count(&before)?, count(&db)?), (1, 0));
/// # Ok::<(), olive_core::Error>(())
/// ```
pub trait Reader: sealed::Sealed {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>>;

    /// The values of many keys as of one moment.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>>;

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool>;

    /// All entries in key order.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    fn iter(&self) -> Result<Iter> {
        self.range(..)
    }

    /// The entries of a range of keys.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    fn range(&self, range: impl KeyRange) -> Result<Iter>;

    /// The entries whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Db::iter`](crate::Db::iter).
    fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Iter>;

    /// A cursor over all entries.
    ///
    /// # Errors
    ///
    /// As [`Db::cursor`](crate::Db::cursor).
    fn cursor(&self) -> Result<Cursor>;
}

/// Implements [`Reader`] by the type's own methods of the same names.
macro_rules! by_own_methods {
    ($type:ty) => {
        impl $crate::reader::sealed::Sealed for $type {}

        impl $crate::Reader for $type {
            fn get(&self, key: impl AsRef<[u8]>) -> $crate::Result<Option<$crate::Value>> {
                self.get(key)
            }

            fn multi_get<K: AsRef<[u8]>>(
                &self,
                keys: impl IntoIterator<Item = K>,
            ) -> $crate::Result<Vec<Option<$crate::Value>>> {
                self.multi_get(keys)
            }

            fn contains_key(&self, key: impl AsRef<[u8]>) -> $crate::Result<bool> {
                self.contains_key(key)
            }

            fn range(&self, range: impl $crate::KeyRange) -> $crate::Result<$crate::Iter> {
                self.range(range)
            }

            fn prefix(&self, prefix: impl AsRef<[u8]>) -> $crate::Result<$crate::Iter> {
                self.prefix(prefix)
            }

            fn cursor(&self) -> $crate::Result<$crate::Cursor> {
                self.cursor()
            }
        }
    };
}

pub(crate) use by_own_methods;
