//! Ranges of keys that are known to show nothing.

use crate::key::SeqNo;
use crate::sync::{Arc, AtomicBool, Ordering};

/// A range of scoped keys, `start` included and `end` not, that shows nothing at `seq`, nor
/// at any later number that was published when the gap was asked for.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The first key that belongs to it.
    pub start: Vec<u8>,
    /// The first key behind it.
    pub end: Vec<u8>,
    /// From which number on.
    pub seq: SeqNo,
    /// Whether it has spared anybody a walk; all who know the gap share this.
    pub used: Arc<AtomicBool>,
}

impl Gap {
    /// Whether no key lies in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether `scoped` lies in it, for who reads as of `seq` or later.
    #[inline]
    #[must_use]
    pub fn hides(&self, scoped: &[u8], seq: SeqNo) -> bool {
        self.seq <= seq && *self.start <= *scoped && *scoped < *self.end
    }

    /// Notes that it was of use.
    pub fn note_use(&self) {
        // Readers at once: a line that all of them write would cost them more.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

/// A range that a walk has found to show nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The first key that belongs to it.
    pub start: Vec<u8>,
    /// The first key behind it.
    pub end: Vec<u8>,
}
