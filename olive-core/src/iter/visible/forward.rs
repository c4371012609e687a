//! Forward: steps over what is not shown, up to the first entry that is.

use super::{At, HIDDEN_STEPS, PASSED_MIN, Visible, behind_gap};
use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::iter::gap::Found;
use crate::key::{InternalKey, SeqNo};

/// As [`HIDDEN_STEPS`], where keys before had many versions.
const HIDDEN_STEPS_MIN: u32 = 8;

impl<I: InternalIter> Visible<I> {
    /// Keeps the current key if older versions of it may come next; whether they may.
    #[inline]
    pub(super) fn keep_key_unless_next_differs(&mut self) -> bool {
        if self.inner.next_differs() {
            return false;
        }
        self.kept_key.clear();
        self.kept_key.extend_from_slice(self.inner.key().scoped);
        true
    }

    /// From the inner iterator's entry on, if it stands on one (`more`), the first that is
    /// shown; `skipping`: not one of `kept_key`.
    #[inline]
    pub(super) fn find_forward(&mut self, mut more: bool, mut skipping: bool) -> Result<bool> {
        let mut hidden_steps = 0;
        let mut passed = 0;
        let mut has_start = false;
        while more {
            // Before all else: hidden entries behind the end are not walked.
            if !self.inner.is_short_of_end() && self.is_past_end() {
                break;
            }
            let tag = self.inner.tag();
            let hidden = tag.seq() > self.seq
                || (skipping && self.inner.key().scoped == self.kept_key.as_slice());
            if !hidden && !tag.is_delete() {
                self.at = At::Inner;
                self.end_run(passed);
                return Ok(true);
            }
            if tag.seq() <= self.seq {
                passed += 1;
                if passed % PASSED_MIN == 0
                    && let Some(found) = self.cross_gap(&mut has_start)?
                {
                    more = found;
                    continue;
                }
            }
            if hidden {
                hidden_steps += 1;
                if hidden_steps >= self.hidden_steps_max / 2
                    && self.are_of_one_key(&mut hidden_steps)
                {
                    more = self.seek_behind_hidden(skipping)?;
                    continue;
                }
            } else {
                skipping = self.keep_key_unless_next_differs();
                hidden_steps = 0;
            }
            more = self.inner.next()?;
        }
        self.end_run(passed);
        Ok(false)
    }

    /// Amid a run of entries that are not shown: on behind a gap, if the current key lies in
    /// one that is known; whether there is an entry then.
    #[cold]
    fn cross_gap(&mut self, has_start: &mut bool) -> Result<Option<bool>> {
        let key = self.inner.key().scoped;
        let gaps = self.gaps.as_deref().map_or(&[][..], |gaps| gaps);
        let behind = behind_gap(gaps, key, self.gaps_seq);
        if !std::mem::replace(has_start, true) {
            // Older versions of a key that is shown are not shown either: from behind it.
            self.run_start.clear();
            self.run_start.extend_from_slice(key);
            self.run_start.push(0);
        }
        behind.map(|behind| self.inner.seek(InternalKey::seek(behind, self.seq))).transpose()
    }

    #[inline]
    fn end_run(&mut self, passed: u32) {
        self.count_passed(passed);
        if passed >= PASSED_MIN && self.found.as_ref().is_none_or(|(longest, _)| *longest < passed)
        {
            self.keep_run(passed);
        }
    }

    /// Keeps where the run that has just ended was.
    #[cold]
    fn keep_run(&mut self, passed: u32) {
        let end = match self.at {
            At::Inner => Some(self.inner.key().scoped),
            _ => self.bounds.end.as_deref(),
        };
        if let Some(end) = end.filter(|end| **end > *self.run_start) {
            let found = Found { start: self.run_start.clone(), end: end.to_vec() };
            self.found = Some((passed, found));
            self.runs += 1;
        }
    }

    /// Whether the last half of the steps led over versions of one key, which is in
    /// `scratch` then. Begins to count anew if so many steps were made.
    #[cold]
    fn are_of_one_key(&mut self, hidden_steps: &mut u32) -> bool {
        if *hidden_steps == self.hidden_steps_max / 2 {
            self.scratch.clear();
            self.scratch.extend_from_slice(self.inner.key().scoped);
        }
        if *hidden_steps < self.hidden_steps_max {
            return false;
        }
        *hidden_steps = 0;
        let is_one = self.inner.key().scoped == self.scratch.as_slice();
        self.hidden_steps_max =
            if is_one { (self.hidden_steps_max / 2).max(HIDDEN_STEPS_MIN) } else { HIDDEN_STEPS };
        is_one
    }

    /// To the first version of the key in `scratch` that is not too new, or behind all of
    /// them where the key is skipped.
    #[cold]
    fn seek_behind_hidden(&mut self, skipping: bool) -> Result<bool> {
        let is_skipped = skipping && self.scratch == self.kept_key;
        let seq = if is_skipped { SeqNo::ZERO } else { self.seq };
        self.inner.seek(InternalKey::seek(&self.scratch, seq))
    }

    fn is_past_end(&self) -> bool {
        self.bounds.end.as_ref().is_some_and(|end| self.inner.key().scoped >= end.as_slice())
    }
}
