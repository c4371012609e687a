//! The trait that memtable, table and merge speak: a cursor over internal keys.

use crate::error::Result;
use crate::key::InternalKey;
use crate::value::Value;

/// A cursor over entries in the order of [`InternalKey`]: it stands on an entry,
/// or on none.
///
/// Every movement says whether it stands on an entry afterwards. Running off
/// either end leaves it on none; from there only a seek goes on. An error leaves
/// it on none, and is never an end: whoever sees one must stop.
pub trait InternalIter {
    /// Goes to the first entry.
    fn seek_to_first(&mut self) -> Result<bool>;
    /// Goes to the last entry.
    fn seek_to_last(&mut self) -> Result<bool>;
    /// Goes to the first entry at or behind `target`.
    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool>;
    /// Goes to the last entry before `target`.
    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool>;
    /// Goes one entry on. It must stand on one.
    fn next(&mut self) -> Result<bool>;
    /// Goes one entry back. It must stand on one.
    fn prev(&mut self) -> Result<bool>;
    /// Whether it stands on an entry.
    fn valid(&self) -> bool;
    /// The entry's key, until the next movement. It must stand on an entry.
    fn key(&self) -> InternalKey<'_>;
    /// The entry's value, until the next movement. It must stand on an entry.
    fn value(&self) -> &[u8];
    /// The entry's value as a handle that pins what it points into. It must stand
    /// on an entry.
    fn value_handle(&self) -> Value;
}
