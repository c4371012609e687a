//! Many sorted runs as one.
//!
//! ```text
//! order   [run 3, head 0x31…] [run 0, head 0x34…] [run 2, head 0x34…]
//!          current             the next to come
//! ```
//!
//! The runs that stand on an entry lie in the order in which they come, each with the
//! head of its key ([`Window`]): a run that moves goes back past those that come before
//! it, one comparison of numbers each. A run that keeps winning is compared once an
//! entry. Keys are compared only where heads tie; ties that come often move the window
//! to where the keys at hand differ.
//!
//! Turning round seeks every other run to the far side of the current entry.

use std::cmp::Ordering;

use crate::error::Result;
use crate::format::coding::common_prefix_len;
use crate::internal_iter::{InternalIter, Stand, Window};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::value::Value;

/// Bytes of a head.
const HEAD_BYTES: usize = 8;
/// Ties after which the window is looked at again, at first.
const TIES_MIN: u32 = 16;
/// Where the window stays as it was, this doubles up to here: keys may be the same.
const TIES_MAX: u32 = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// A run that stands on an entry, and what is kept of that.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: Stand,
    run: usize,
    /// When it came first last, it did so for more than one entry.
    stayed: bool,
}

/// Merges sorted runs; no internal key may be in two of them.
#[derive(Debug)]
pub struct Merge<I> {
    runs: Vec<I>,
    /// The runs that stand on an entry, in the order in which they come.
    order: Vec<Place>,
    direction: Direction,
    window: Window,
    /// The run that comes first did so for the entry before, too.
    stays: bool,
    /// Comparisons that heads did not decide since the window was looked at.
    ties: u32,
    ties_max: u32,
    /// Where walks forward end, if it was told, and its head.
    end: Option<Vec<u8>>,
    end_head: u64,
    /// Scratch for turning round.
    turn_key: Vec<u8>,
}

impl<I: InternalIter> Merge<I> {
    /// Stands on no entry.
    #[must_use]
    pub fn new(runs: Vec<I>) -> Merge<I> {
        Merge {
            order: Vec::with_capacity(runs.len()),
            runs,
            direction: Direction::Forward,
            window: Window::default(),
            stays: false,
            ties: 0,
            ties_max: TIES_MIN,
            end: None,
            end_head: 0,
            turn_key: Vec::new(),
        }
    }

    /// Moves every run by `seek` and puts those that found an entry in order.
    fn seek_all(
        &mut self,
        direction: Direction,
        mut seek: impl FnMut(&mut I, Option<&[u8]>) -> Result<bool>,
    ) -> Result<bool> {
        self.order.clear();
        self.direction = direction;
        self.stays = true;
        let mut fits = true;
        for number in 0..self.runs.len() {
            let run = &mut self.runs[number];
            match seek(run, self.end.as_deref()) {
                Ok(true) => {
                    let at = run.stand(&self.window);
                    fits &= at.head != 0 && at.head != u64::MAX;
                    self.order.push(Place { at, run: number, stayed: true });
                }
                Ok(false) => {}
                Err(error) => {
                    self.order.clear();
                    return Err(error);
                }
            }
        }
        if !fits || self.window.prefix().is_empty() {
            self.choose_window();
        }
        for place in 1..self.order.len() {
            self.sift_up(place);
        }
        Ok(!self.order.is_empty())
    }

    /// Moves the window to where the current keys differ, but so that it ends no later
    /// than the shortest: numbers that count up would leave it with the first carry. One
    /// run alone is compared with the end only.
    fn choose_window(&mut self) {
        let Some(&first) = self.order.first() else { return };
        let first_key = self.runs[first.run].key().scoped;
        let mut shared = first_key.len();
        let mut shortest = shared;
        for other in self.order.iter().skip(1) {
            let key = self.runs[other.run].key().scoped;
            shared = shared.min(common_prefix_len(first_key, key));
            shortest = shortest.min(key.len());
        }
        let len = match &self.end {
            Some(end) if self.order.len() == 1 => common_prefix_len(first_key, end),
            _ => shared.min(shortest.saturating_sub(HEAD_BYTES)),
        };
        self.ties = 0;
        if !self.window.choose(&first_key[..len]) {
            self.ties_max = (self.ties_max * 2).min(TIES_MAX);
            return;
        }
        self.ties_max = TIES_MIN;
        self.end_head = self.end.as_ref().map_or(0, |end| self.window.head(end));
        for place in &mut self.order {
            place.at.head = self.runs[place.run].head(&self.window);
        }
    }

    /// Whether `a` comes before `b` in the direction of travel.
    #[inline]
    fn before(&mut self, a: Place, b: Place) -> bool {
        let order = match a.at.head.cmp(&b.at.head) {
            Ordering::Equal => self.order_of_tied(a, b),
            unequal => unequal,
        };
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Backward => order == Ordering::Greater,
        }
    }

    #[inline(never)]
    fn order_of_tied(&mut self, a: Place, b: Place) -> Ordering {
        self.ties += 1;
        self.runs[a.run].key().cmp(&self.runs[b.run].key())
    }

    /// Moves the run at `place` forward to where it belongs among those before it.
    fn sift_up(&mut self, mut place: usize) {
        while place > 0 && self.before(self.order[place], self.order[place - 1]) {
            self.order.swap(place, place - 1);
            place -= 1;
        }
    }

    /// Moves the first run back to where it belongs.
    #[inline]
    fn sift_down(&mut self) {
        let moved = self.order[0];
        let mut place = 0;
        while let Some(&next) = self.order.get(place + 1)
            && self.before(next, moved)
        {
            self.order[place] = next;
            place += 1;
        }
        let stayed = std::mem::replace(&mut self.stays, place == 0);
        self.order[place] = Place { stayed: stayed || place == 0, ..moved };
        if self.ties >= self.ties_max {
            self.choose_window();
        }
    }

    /// After the first run has moved: `moved` is whether it stands on an entry.
    #[inline]
    fn settle(&mut self, run: usize, moved: Result<bool>) -> Result<bool> {
        match moved {
            Ok(true) => {
                self.order[0].at = self.runs[run].stand(&self.window);
                self.sift_down();
                Ok(true)
            }
            Ok(false) => {
                self.order.remove(0);
                Ok(!self.order.is_empty())
            }
            Err(error) => {
                self.order.clear();
                Err(error)
            }
        }
    }

    /// Goes on in the other direction from the current entry.
    fn turn(&mut self, direction: Direction) -> Result<bool> {
        let Some(&Place { run: top, .. }) = self.order.first() else { return Ok(false) };
        let mut key = std::mem::take(&mut self.turn_key);
        let current = self.runs[top].key();
        let tag = current.tag;
        key.clear();
        key.extend_from_slice(current.scoped);
        let target = InternalKey::new(&key, tag);
        let mut number = 0;
        let found = self.seek_all(direction, |run, end| {
            let is_top = number == top;
            number += 1;
            match (direction, is_top) {
                (Direction::Forward, true) => run.next_until(end),
                (Direction::Backward, true) => run.prev(),
                (Direction::Forward, false) => run.seek_until(target, end),
                (Direction::Backward, false) => run.seek_before(target),
            }
        });
        self.turn_key = key;
        found
    }

    /// Whether no other run stands on an entry of the current key.
    #[inline]
    fn others_differ(&self) -> bool {
        match self.order.as_slice() {
            [first, second, ..] => first.at.head != second.at.head,
            _ => true,
        }
    }

    #[inline]
    fn top(&self) -> &I {
        &self.runs[self.order[0].run]
    }
}

impl<I: InternalIter> InternalIter for Merge<I> {
    fn seek_to_first(&mut self) -> Result<bool> {
        self.seek_all(Direction::Forward, |run, _| run.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        self.seek_all(Direction::Backward, |run, _| run.seek_to_last())
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        self.seek_all(Direction::Forward, |run, end| run.seek_until(target, end))
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        self.seek_all(Direction::Backward, |run, _| run.seek_before(target))
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        if self.direction == Direction::Backward {
            return self.turn(Direction::Forward);
        }
        let Some(&Place { run, .. }) = self.order.first() else { return Ok(false) };
        let moved = self.runs[run].next_until(self.end.as_deref());
        self.settle(run, moved)
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        if self.direction == Direction::Forward {
            return self.turn(Direction::Backward);
        }
        let Some(&Place { run, .. }) = self.order.first() else { return Ok(false) };
        let moved = self.runs[run].prev();
        self.settle(run, moved)
    }

    #[inline]
    fn valid(&self) -> bool {
        !self.order.is_empty()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.top().key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.top().value()
    }

    fn value_handle(&self) -> Value {
        self.top().value_handle()
    }

    fn rest(&mut self) {
        self.order.clear();
        self.turn_key = Vec::new();
        self.runs.iter_mut().for_each(I::rest);
    }

    #[inline]
    fn tag(&self) -> Tag {
        self.order[0].at.tag
    }

    #[inline]
    fn next_differs(&self) -> bool {
        let is_forward = self.direction == Direction::Forward;
        is_forward && self.others_differ() && self.order[0].at.next_differs
    }

    #[inline]
    fn prev_differs(&self) -> bool {
        let is_backward = self.direction == Direction::Backward;
        is_backward && self.others_differ() && self.top().prev_differs()
    }

    /// Steps of the first run that stay before the second and before the end. A run that
    /// left at once when it came first last is not asked: where runs take turns there are
    /// none.
    #[inline]
    fn plain_ahead(&mut self, seq: SeqNo) -> usize {
        let (run, mut below) = match (self.direction, self.order.as_slice()) {
            (Direction::Forward, [first]) => (first.run, u64::MAX),
            (Direction::Forward, [first, second, ..]) if first.stayed => {
                (first.run, second.at.head)
            }
            _ => return 0,
        };
        if self.end.is_some() {
            below = below.min(self.end_head);
        }
        self.runs[run].plain_below(&self.window, below, seq)
    }

    #[inline]
    fn stride(&mut self) -> Result<Tag> {
        let first = &mut self.order[0];
        match self.runs[first.run].stride() {
            Ok(tag) => {
                // The head is left as it was: below the others', as it is now.
                first.at.tag = tag;
                first.at.next_differs = false;
                Ok(tag)
            }
            Err(error) => {
                self.order.clear();
                Err(error)
            }
        }
    }

    fn expect_end(&mut self, end: Option<&[u8]>) {
        match (&mut self.end, end) {
            (Some(kept), Some(end)) => {
                kept.clear();
                kept.extend_from_slice(end);
            }
            (kept, end) => *kept = end.map(<[u8]>::to_vec),
        }
        self.end_head = self.end.as_ref().map_or(0, |end| self.window.head(end));
    }

    #[inline]
    fn is_short_of_end(&self) -> bool {
        self.order.first().is_some_and(|first| first.at.head < self.end_head)
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
pub(crate) mod tests;
