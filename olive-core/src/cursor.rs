//! Walking over entries: [`Cursor`] lends, [`Iter`] gives.

use std::fmt;

use crate::engine::Scan;
use crate::error::Result;
use crate::handle::EngineHandle;
use crate::key::{KeyspaceId, ScopedKey};
use crate::value::{Key, Value};

/// A position among the entries of one moment: it stands on an entry, or on none,
/// and lends the entry's key and value without an allocation or a copy of the
/// value.
///
/// Every movement says whether it stands on an entry afterwards. It goes on
/// showing the moment at which it was made, whatever is written meanwhile. It does not keep
/// the database open: once that is closed, or its last handle dropped, movements fail with
/// `Closed`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// db.put("a", "1")?;
/// db.put("c", "3")?;
/// let mut cursor = db.cursor()?;
/// assert!(cursor.seek("b")?);
/// assert_eq!((cursor.key(), cursor.value()), (&b"c"[..], &b"3"[..]));
/// assert!(cursor.prev()?);
/// assert_eq!(cursor.key(), b"a");
/// assert!(!cursor.prev()?);
/// # Ok::<(), olive_core::Error>(())
/// ```
pub struct Cursor {
    engine: EngineHandle,
    keyspace: KeyspaceId,
    id_len: usize,
    scan: Scan,
}

impl Cursor {
    pub(crate) fn new(engine: EngineHandle, keyspace: KeyspaceId, scan: Scan) -> Cursor {
        Cursor { engine, keyspace, id_len: keyspace.encoded().1, scan }
    }

    /// Goes to the first entry whose key is at or behind `key`.
    ///
    /// # Errors
    ///
    /// `Closed`, and what reading a table can end in: `Corruption`, `Io`.
    pub fn seek(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().seek(&ScopedKey::new(self.keyspace, key.as_ref()))
    }

    /// Goes to the last entry whose key is at or before `key`.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub fn seek_for_prev(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().seek_for_prev(&ScopedKey::new(self.keyspace, key.as_ref()))
    }

    /// Goes to the first entry.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub fn seek_to_first(&mut self) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().seek_to_first()
    }

    /// Goes to the last entry.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub fn seek_to_last(&mut self) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().seek_to_last()
    }

    /// Goes to the next entry; from none it goes nowhere.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it lends: an iterator cannot")]
    pub fn next(&mut self) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().next()
    }

    /// Goes to the entry before; from none it goes nowhere.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        self.engine.check_open()?;
        self.scan.iter_mut().prev()
    }

    /// Whether it stands on an entry.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.scan.iter().valid()
    }

    /// The entry's key.
    ///
    /// # Panics
    ///
    /// Where it stands on none: see [`valid`](Self::valid).
    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.scan.iter().scoped()[self.id_len..]
    }

    /// The entry's value, in place.
    ///
    /// # Panics
    ///
    /// Where it stands on none: see [`valid`](Self::valid).
    #[must_use]
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.scan.iter().value()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.engine.give_back(&mut self.scan);
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("valid", &self.valid()).finish_non_exhaustive()
    }
}

/// The entries of a range, from both ends: owned keys, and values that pin what
/// they point into.
///
/// It shows the moment at which it was made. It ends after an error. It does not keep the
/// database open: once that is closed, or its last handle dropped, the next entry is the error
/// `Closed`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// for key in ["a", "b", "c"] {
///     db.put(key, key.to_uppercase())?;
/// }
/// let keys: Result<Vec<_>, _> = db.range("a".."c")?.rev().map(|e| e.map(|(k, _)| k)).collect();
/// assert_eq!(keys?, ["b", "a"].map(str::as_bytes));
/// # Ok::<(), olive_core::Error>(())
/// ```
pub struct Iter {
    engine: EngineHandle,
    id_len: usize,
    front: Walk,
    /// Made when the back is first asked for.
    back: Option<Walk>,
    done: bool,
}

struct Walk {
    scan: Scan,
    started: bool,
}

impl Walk {
    fn step(&mut self, forward: bool) -> Result<bool> {
        let iter = self.scan.iter_mut();
        match (std::mem::replace(&mut self.started, true), forward) {
            (false, true) => iter.seek_to_first(),
            (false, false) => iter.seek_to_last(),
            (true, true) => iter.next(),
            (true, false) => iter.prev(),
        }
    }

    /// The scoped key it stands on, if it has begun and stands on one.
    fn at(&self) -> Option<&[u8]> {
        (self.started && self.scan.iter().valid()).then(|| self.scan.iter().scoped())
    }
}

impl Iter {
    pub(crate) fn new(engine: EngineHandle, keyspace: KeyspaceId, scan: Scan) -> Iter {
        let done = scan.iter().bounds().is_empty();
        let front = Walk { scan, started: false };
        Iter { engine, id_len: keyspace.encoded().1, front, back: None, done }
    }

    fn step(&mut self, forward: bool) -> Option<Result<(Key, Value)>> {
        if self.done {
            return None;
        }
        let item = self.entry(forward).transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }

    fn entry(&mut self, forward: bool) -> Result<Option<(Key, Value)>> {
        self.engine.check_open()?;
        let (walk, other) = if forward {
            (&mut self.front, self.back.as_ref())
        } else {
            let front = &self.front;
            let back =
                self.back.get_or_insert_with(|| Walk { scan: front.scan.again(), started: false });
            (back, Some(front))
        };
        if !walk.step(forward)? {
            return Ok(None);
        }
        let scoped = walk.scan.iter().scoped();
        let met = other
            .and_then(Walk::at)
            .is_some_and(|at| if forward { scoped >= at } else { scoped <= at });
        if met {
            return Ok(None);
        }
        Ok(Some((Key::copied(&scoped[self.id_len..]), walk.scan.iter().value_handle())))
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        if let Some(back) = &mut self.back {
            self.engine.give_back(&mut back.scan);
        }
        self.engine.give_back(&mut self.front.scan);
    }
}

impl Iterator for Iter {
    type Item = Result<(Key, Value)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl std::iter::FusedIterator for Iter {}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("done", &self.done).finish_non_exhaustive()
    }
}
