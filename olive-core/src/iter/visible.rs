//! What a snapshot sees of a run of internal keys: the newest version of each
//! key at or below its sequence number, unless that is a tombstone.
//!
//! ```text
//! forward    the inner iterator stands on the entry that is shown
//! backward   versions of a key come oldest first, so the entry that is shown is
//!            known only when the inner iterator has left its key: it is kept in
//!            `kept_key` and `kept_value`, and the inner iterator stands before it
//! ```

use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo};
use crate::value::Value;

/// A range of scoped keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first key that belongs to it.
    pub start: Vec<u8>,
    /// The first key behind it; `None`: no end.
    pub end: Option<Vec<u8>>,
}

impl Bounds {
    /// Whether no key can lie in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// On no entry.
    Nowhere,
    /// On the inner iterator's entry.
    Inner,
    /// On the kept entry; the inner iterator stands before its key, or on none.
    Kept,
}

/// The largest value that stepping backward copies into its buffer; a larger one
/// is kept by a handle.
const KEPT_COPY_BYTES_MAX: usize = 4096;

/// Shows the entries that are visible at a sequence number, within bounds.
#[derive(Debug)]
pub struct Visible<I> {
    inner: I,
    seq: SeqNo,
    bounds: Bounds,
    at: At,
    /// Forward: the key whose older versions are skipped. Backward: the key shown.
    kept_key: Vec<u8>,
    kept_value: Vec<u8>,
    /// Instead of `kept_value`, for large values.
    kept_handle: Option<Value>,
    /// Scratch for `seek_for_prev`.
    successor: Vec<u8>,
}

impl<I: InternalIter> Visible<I> {
    /// Stands on no entry.
    #[must_use]
    pub fn new(inner: I, seq: SeqNo, bounds: Bounds) -> Visible<I> {
        Visible {
            inner,
            seq,
            bounds,
            at: At::Nowhere,
            kept_key: Vec::new(),
            kept_value: Vec::new(),
            kept_handle: None,
            successor: Vec::new(),
        }
    }

    /// The range that it is bound to.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether it stands on an entry.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.at != At::Nowhere
    }

    /// The scoped key of the entry.
    ///
    /// # Panics
    ///
    /// Where it stands on none.
    #[must_use]
    #[inline]
    pub fn scoped(&self) -> &[u8] {
        match self.at {
            At::Inner => self.inner.key().scoped,
            At::Kept => &self.kept_key,
            At::Nowhere => panic!("the cursor stands on no entry"),
        }
    }

    /// The value of the entry.
    ///
    /// # Panics
    ///
    /// Where it stands on none.
    #[must_use]
    #[inline]
    pub fn value(&self) -> &[u8] {
        match self.at {
            At::Inner => self.inner.value(),
            At::Kept => match &self.kept_handle {
                Some(handle) => handle,
                None => &self.kept_value,
            },
            At::Nowhere => panic!("the cursor stands on no entry"),
        }
    }

    /// The value of the entry as a handle.
    ///
    /// # Panics
    ///
    /// Where it stands on none.
    #[must_use]
    pub fn value_handle(&self) -> Value {
        match self.at {
            At::Inner => self.inner.value_handle(),
            At::Kept => match &self.kept_handle {
                Some(handle) => handle.clone(),
                None => Value::copied(&self.kept_value),
            },
            At::Nowhere => panic!("the cursor stands on no entry"),
        }
    }

    /// Goes to the first visible entry.
    pub fn seek_to_first(&mut self) -> Result<bool> {
        let start = std::mem::take(&mut self.bounds.start);
        let found = self.seek_inner(&start);
        self.bounds.start = start;
        found
    }

    /// Goes to the last visible entry.
    pub fn seek_to_last(&mut self) -> Result<bool> {
        match self.bounds.end.take() {
            Some(end) => {
                let found = self.seek_before_inner(&end);
                self.bounds.end = Some(end);
                found
            }
            None => {
                self.at = At::Nowhere;
                self.inner.seek_to_last()?;
                self.find_backward()
            }
        }
    }

    /// Goes to the first visible entry whose key is at or behind `scoped`.
    pub fn seek(&mut self, scoped: &[u8]) -> Result<bool> {
        if *scoped <= *self.bounds.start {
            return self.seek_to_first();
        }
        self.seek_inner(scoped)
    }

    /// Goes to the last visible entry whose key is at or before `scoped`.
    pub fn seek_for_prev(&mut self, scoped: &[u8]) -> Result<bool> {
        if self.bounds.end.as_ref().is_some_and(|end| **end <= *scoped) {
            return self.seek_to_last();
        }
        // Behind every version of `scoped`: its shortest successor.
        let mut successor = std::mem::take(&mut self.successor);
        successor.clear();
        successor.extend_from_slice(scoped);
        successor.push(0);
        let found = self.seek_before_inner(&successor);
        self.successor = successor;
        found
    }

    /// Goes to the next visible entry. It must stand on one.
    #[inline]
    #[cfg_attr(
        feature = "internals",
        expect(clippy::should_implement_trait, reason = "it lends: an iterator cannot")
    )]
    pub fn next(&mut self) -> Result<bool> {
        match self.at {
            At::Nowhere => return Ok(false),
            At::Inner => {
                self.kept_key.clear();
                self.kept_key.extend_from_slice(self.inner.key().scoped);
                self.at = At::Nowhere;
                self.inner.next()?;
            }
            At::Kept => {
                // The inner iterator stands before the kept key, or on none.
                self.at = At::Nowhere;
                let target = InternalKey::seek(&self.kept_key, SeqNo::ZERO);
                self.inner.seek(target)?;
            }
        }
        self.find_forward(true)
    }

    /// Goes to the visible entry before. It must stand on one.
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        match self.at {
            At::Nowhere => return Ok(false),
            At::Inner => {
                self.kept_key.clear();
                self.kept_key.extend_from_slice(self.inner.key().scoped);
                self.at = At::Nowhere;
                while self.inner.prev()? && self.inner.key().scoped == self.kept_key.as_slice() {}
            }
            At::Kept => self.at = At::Nowhere,
        }
        self.find_backward()
    }

    fn seek_inner(&mut self, scoped: &[u8]) -> Result<bool> {
        self.at = At::Nowhere;
        self.inner.seek(InternalKey::seek(scoped, self.seq))?;
        self.find_forward(false)
    }

    fn seek_before_inner(&mut self, scoped: &[u8]) -> Result<bool> {
        self.at = At::Nowhere;
        self.inner.seek_before(InternalKey::seek(scoped, SeqNo::MAX))?;
        self.find_backward()
    }

    /// From the inner iterator's entry on, the first that is shown; `skipping`: not
    /// one of `kept_key`.
    #[inline]
    fn find_forward(&mut self, mut skipping: bool) -> Result<bool> {
        while self.inner.valid() {
            let key = self.inner.key();
            // Before all else: hidden entries behind the end are not walked.
            if self.bounds.end.as_ref().is_some_and(|end| key.scoped >= end.as_slice()) {
                return Ok(false);
            }
            let hidden =
                key.tag.seq() > self.seq || (skipping && key.scoped == self.kept_key.as_slice());
            if !hidden {
                if !key.tag.is_delete() {
                    self.at = At::Inner;
                    return Ok(true);
                }
                self.kept_key.clear();
                self.kept_key.extend_from_slice(key.scoped);
                skipping = true;
            }
            self.inner.next()?;
        }
        Ok(false)
    }

    /// From the inner iterator's entry back, the first key that is shown; keeps it.
    fn find_backward(&mut self) -> Result<bool> {
        while self.inner.valid() {
            let key = self.inner.key();
            if *key.scoped < *self.bounds.start {
                return Ok(false);
            }
            self.kept_key.clear();
            self.kept_key.extend_from_slice(key.scoped);
            let mut shown = false;
            // Oldest first: the last version at or below the snapshot decides.
            loop {
                let key = self.inner.key();
                if key.tag.seq() <= self.seq {
                    shown = !key.tag.is_delete();
                    if shown {
                        self.keep_value();
                    }
                }
                if !self.inner.prev()? || self.inner.key().scoped != self.kept_key.as_slice() {
                    break;
                }
            }
            if shown {
                self.at = At::Kept;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keep_value(&mut self) {
        let value = self.inner.value();
        if value.len() <= KEPT_COPY_BYTES_MAX {
            self.kept_handle = None;
            self.kept_value.clear();
            self.kept_value.extend_from_slice(value);
        } else {
            self.kept_handle = Some(self.inner.value_handle());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::merge::tests::{VecIter, random};
    use super::*;
    use crate::key::{Kind, Tag};

    #[test]
    fn what_is_shown_is_what_a_map_would_hold() {
        for seed in 0..300 {
            let mut state = seed;
            let mut entries = Vec::new();
            let seq_shown = SeqNo(random(&mut state) % 80);
            let mut map = BTreeMap::new();
            for seq in 1..80 {
                let key = vec![1, (random(&mut state) % 12) as u8];
                let kind =
                    if random(&mut state).is_multiple_of(3) { Kind::Delete } else { Kind::Put };
                let len = if random(&mut state).is_multiple_of(9) { 5000 } else { 3 };
                let value = if kind == Kind::Put { vec![seq as u8; len] } else { vec![] };
                if SeqNo(seq) <= seq_shown {
                    match kind {
                        Kind::Put => map.insert(key.clone(), value.clone()),
                        Kind::Delete => map.remove(&key),
                    };
                }
                entries.push((key, Tag::new(SeqNo(seq), kind), value));
            }
            let start = vec![1, (random(&mut state) % 12) as u8];
            let end = vec![1, (random(&mut state) % 14) as u8];
            let bounds = Bounds { start: start.clone(), end: Some(end.clone()) };
            let shown: Vec<_> = map
                .iter()
                .filter(|(key, _)| **key >= start && **key < end)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let mut it = Visible::new(VecIter::new(entries), seq_shown, bounds);
            let mut at: Option<usize> = None;
            for step in 0..200 {
                let target = vec![1, (random(&mut state) % 14) as u8];
                let found = match random(&mut state) % 10 {
                    0 => {
                        at = Some(0);
                        it.seek_to_first()
                    }
                    1 => {
                        at = shown.len().checked_sub(1);
                        it.seek_to_last()
                    }
                    2 => {
                        at = Some(shown.partition_point(|(k, _)| *k < target));
                        it.seek(&target)
                    }
                    3 => {
                        at = shown.partition_point(|(k, _)| *k <= target).checked_sub(1);
                        it.seek_for_prev(&target)
                    }
                    4..7 if at.is_some() => {
                        at = at.map(|at| at + 1);
                        it.next()
                    }
                    7.. if at.is_some() => {
                        at = at.and_then(|at| at.checked_sub(1));
                        it.prev()
                    }
                    _ => continue,
                };
                at = at.filter(|&at| at < shown.len());
                assert_eq!(found.unwrap(), at.is_some(), "seed {seed} step {step}");
                assert_eq!(it.valid(), at.is_some());
                if let Some(at) = at {
                    assert_eq!(it.scoped(), shown[at].0, "seed {seed} step {step}");
                    assert_eq!(it.value(), shown[at].1);
                    assert_eq!(it.value_handle(), shown[at].1);
                }
            }
        }
    }
}
