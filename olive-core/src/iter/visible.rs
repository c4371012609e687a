//! What a snapshot sees of a run of internal keys: the newest version of each
//! key at or below its sequence number, unless that is a tombstone.
//!
//! ```text
//! forward    the inner iterator stands on the entry that is shown
//! backward   versions of a key come oldest first, so the entry that is shown is
//!            known only when the inner iterator has left its key: it is kept in
//!            `kept_key` and `kept_value`, and the inner iterator stands before it;
//!            where there is one version only it stands on that, as forward
//! ```
//!
//! Versions that are not shown are stepped over, but of a key that has many of them only
//! the first: a search leads behind the others. So it does behind a [`Gap`] that others
//! found; and a walk forward over many entries of which none was shown says where that was.

mod backward;
mod forward;

use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::iter::gap::{Found, Gap};
use crate::key::{InternalKey, SeqNo};
use crate::sync::Arc;
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

/// How many entries in a row that are not shown, or versions of one key, are stepped over
/// before a search is made, which costs some ten steps.
const HIDDEN_STEPS: u32 = 32;

/// From so many entries on, one behind the other and none of them shown, they are counted;
/// but for those that are too new, which no flush takes away.
const PASSED_MIN: u32 = if cfg!(olive_shuttle) { 2 } else { 64 };

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
    /// Plain steps that the inner iterator has promised.
    plain: usize,
    /// As [`HIDDEN_STEPS`], forward: less, the more keys had many versions.
    hidden_steps_max: u32,
    /// Entries in long runs of which none was shown.
    passed: u64,
    /// Ranges that are known to show nothing.
    gaps: Option<Arc<Vec<Gap>>>,
    /// Up to which number they must have begun.
    gaps_seq: SeqNo,
    /// Of the last long run of entries that were not shown, the first key that is known to
    /// belong to it.
    run_start: Vec<u8>,
    /// The longest run that was found, and its entries.
    found: Option<(u32, Found)>,
    /// How often a longer one was found.
    runs: u32,
    /// Forward: the key whose older versions are skipped. Backward: the key shown.
    kept_key: Vec<u8>,
    kept_value: Vec<u8>,
    /// Instead of `kept_value`, for large values.
    kept_handle: Option<Value>,
    /// A key that a search is for: of `seek_for_prev`, or with many versions.
    scratch: Vec<u8>,
}

impl<I: InternalIter> Visible<I> {
    /// Stands on no entry.
    #[must_use]
    pub fn new(mut inner: I, seq: SeqNo, bounds: Bounds) -> Visible<I> {
        inner.expect_end(bounds.end.as_deref());
        Visible {
            inner,
            seq,
            bounds,
            at: At::Nowhere,
            plain: 0,
            hidden_steps_max: HIDDEN_STEPS,
            passed: 0,
            gaps: None,
            gaps_seq: SeqNo::ZERO,
            run_start: Vec::new(),
            found: None,
            runs: 0,
            kept_key: Vec::new(),
            kept_value: Vec::new(),
            kept_handle: None,
            scratch: Vec::new(),
        }
    }

    /// Begins anew, at another number and within other bounds; stands on no entry.
    pub fn begin(&mut self, seq: SeqNo, bounds: Bounds) {
        self.inner.expect_end(bounds.end.as_deref());
        self.leave();
        self.seq = seq;
        self.bounds = bounds;
        self.hidden_steps_max = HIDDEN_STEPS;
        self.gaps = None;
        self.found = None;
    }

    /// Makes ranges known that show nothing: they were asked for behind the number that is
    /// walked at. What is walked shows the moment of `seen`, or of a later number.
    pub fn know(&mut self, gaps: Option<Arc<Vec<Gap>>>, seen: SeqNo) {
        self.gaps = gaps;
        self.gaps_seq = seen;
    }

    /// The ranges that were made known.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Vec<Gap>>> {
        self.gaps.clone()
    }

    /// The longest run of entries of which none was shown, since this was last asked.
    pub fn take_found(&mut self) -> Option<Found> {
        self.found.take().map(|(_, found)| found)
    }

    /// Stands on no entry any more, and lets go of what only that one needed.
    pub fn rest(&mut self) {
        self.leave();
        self.kept_handle = None;
        self.gaps = None;
        self.found = None;
        for buffer in
            [&mut self.kept_key, &mut self.kept_value, &mut self.scratch, &mut self.run_start]
        {
            if buffer.capacity() > KEPT_COPY_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
        self.inner.rest();
    }

    /// How many entries were walked over in long runs of deleted keys and hidden versions,
    /// since this was last asked.
    pub fn take_passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
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
                self.leave();
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
        let mut successor = std::mem::take(&mut self.scratch);
        successor.clear();
        successor.extend_from_slice(scoped);
        successor.push(0);
        let found = self.seek_before_inner(&successor);
        self.scratch = successor;
        found
    }

    /// Goes to the next visible entry. It must stand on one.
    #[inline]
    #[cfg_attr(
        feature = "internals",
        expect(clippy::should_implement_trait, reason = "it lends: an iterator cannot")
    )]
    pub fn next(&mut self) -> Result<bool> {
        if self.plain == 0 && self.at == At::Inner {
            self.plain = self.inner.plain_ahead(self.seq);
        }
        if self.plain == 0 {
            return self.next_by_search();
        }
        self.plain -= 1;
        match self.inner.stride() {
            Ok(_) => Ok(true),
            Err(error) => {
                self.leave();
                Err(error)
            }
        }
    }

    fn next_by_search(&mut self) -> Result<bool> {
        match self.at {
            At::Nowhere => Ok(false),
            At::Inner => {
                let skipping = self.keep_key_unless_next_differs();
                self.at = At::Nowhere;
                let more = self.inner.next()?;
                self.find_forward(more, skipping)
            }
            At::Kept => {
                // The inner iterator stands before the kept key, or on none.
                self.at = At::Nowhere;
                let target = InternalKey::seek(&self.kept_key, SeqNo::ZERO);
                let more = self.inner.seek(target)?;
                self.find_forward(more, true)
            }
        }
    }

    /// Goes to the visible entry before. It must stand on one.
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        match self.at {
            At::Nowhere => return Ok(false),
            At::Inner if self.inner.prev_differs() => {
                self.leave();
                self.inner.prev()?;
            }
            At::Inner => {
                self.kept_key.clear();
                self.kept_key.extend_from_slice(self.inner.key().scoped);
                self.leave();
                self.leave_kept_key_backward(0)?;
            }
            At::Kept => self.at = At::Nowhere,
        }
        self.find_backward()
    }

    fn leave(&mut self) {
        self.at = At::Nowhere;
        self.plain = 0;
    }

    fn seek_inner(&mut self, scoped: &[u8]) -> Result<bool> {
        self.leave();
        let more = match &self.gaps {
            None => self.inner.seek(InternalKey::seek(scoped, self.seq))?,
            Some(gaps) => {
                let behind = behind_gap(gaps, scoped, self.gaps_seq).unwrap_or(scoped);
                self.inner.seek(InternalKey::seek(behind, self.seq))?
            }
        };
        let runs = self.runs;
        let shown = self.find_forward(more, false)?;
        if self.runs != runs
            && let Some((_, found)) = &mut self.found
        {
            // Nothing is shown from where the search led to.
            found.start.clear();
            found.start.extend_from_slice(scoped);
        }
        Ok(shown)
    }

    fn seek_before_inner(&mut self, scoped: &[u8]) -> Result<bool> {
        self.leave();
        self.inner.seek_before(InternalKey::seek(scoped, SeqNo::MAX))?;
        self.find_backward()
    }

    #[inline]
    fn count_passed(&mut self, passed: u32) {
        if passed >= PASSED_MIN {
            self.passed += u64::from(passed);
        }
    }
}

/// Where the gap ends that `scoped` lies in, if it lies in one.
fn behind_gap<'g>(gaps: &'g [Gap], scoped: &[u8], seq: SeqNo) -> Option<&'g [u8]> {
    let gap = gaps.iter().find(|gap| gap.hides(scoped, seq))?;
    gap.note_use();
    Some(&gap.end)
}

#[cfg(test)]
#[path = "visible_tests.rs"]
mod tests;
