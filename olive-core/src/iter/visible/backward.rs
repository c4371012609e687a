//! Backward: of the versions of a key, which come oldest first, keeps the one that is
//! shown.

use super::{At, HIDDEN_STEPS, KEPT_COPY_BYTES_MAX, Visible};
use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo};

impl<I: InternalIter> Visible<I> {
    /// From the inner iterator's entry back, the first key that is shown; keeps it.
    pub(super) fn find_backward(&mut self) -> Result<bool> {
        let mut passed = 0;
        while self.inner.valid() {
            let key = self.inner.key();
            if *key.scoped < *self.bounds.start {
                break;
            }
            if self.inner.prev_differs() {
                // There is one version only.
                let tag = self.inner.tag();
                let is_seen = tag.seq() <= self.seq;
                if is_seen && !tag.is_delete() {
                    self.at = At::Inner;
                    self.count_passed(passed);
                    return Ok(true);
                }
                passed += u32::from(is_seen);
                self.inner.prev()?;
                continue;
            }
            self.kept_key.clear();
            self.kept_key.extend_from_slice(key.scoped);
            // Oldest first: the last version at or below the snapshot decides.
            let mut shown = false;
            let mut steps = 0;
            loop {
                let tag = self.inner.tag();
                if tag.seq() > self.seq {
                    self.leave_kept_key_backward(steps)?;
                    break;
                }
                shown = !tag.is_delete();
                steps += 1;
                if shown {
                    self.keep_value();
                }
                if steps == HIDDEN_STEPS {
                    shown = self.keep_newest_of_many()?;
                    break;
                }
                if !self.inner.prev()? || self.inner.key().scoped != self.kept_key.as_slice() {
                    break;
                }
            }
            if shown {
                self.at = At::Kept;
                self.count_passed(passed);
                return Ok(true);
            }
            passed += steps;
        }
        self.count_passed(passed);
        Ok(false)
    }

    /// The inner iterator stands on a version of `kept_key`: goes before all of them, in
    /// which `steps` steps were made.
    pub(super) fn leave_kept_key_backward(&mut self, mut steps: u32) -> Result<()> {
        while self.inner.prev()? && self.inner.key().scoped == self.kept_key.as_slice() {
            steps += 1;
            if steps >= HIDDEN_STEPS {
                return self.seek_before_kept_key();
            }
        }
        Ok(())
    }

    /// The inner iterator stands on a version of `kept_key` that is not too new: keeps the
    /// newest such one, if it is shown, and goes before all of them. Whether it is.
    #[cold]
    fn keep_newest_of_many(&mut self) -> Result<bool> {
        self.inner.seek(InternalKey::seek(&self.kept_key, self.seq))?;
        let shown = !self.inner.tag().is_delete();
        if shown {
            self.keep_value();
        }
        self.seek_before_kept_key()?;
        Ok(shown)
    }

    fn seek_before_kept_key(&mut self) -> Result<()> {
        self.inner.seek_before(InternalKey::seek(&self.kept_key, SeqNo::MAX))?;
        Ok(())
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
