//! Many sorted runs as one.
//!
//! The runs that stand on an entry form a binary heap, the one to come first on
//! top. A run that keeps winning is compared once an entry, with the runner-up:
//!
//! ```text
//!            heap[0]  current
//!           /       \
//!      heap[1]     heap[2]      the smaller of the two: runner-up
//! ```
//!
//! Turning round seeks every other run to the far side of the current entry.

use std::cmp::Ordering;

use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::key::InternalKey;
use crate::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// Merges sorted runs; no internal key may be in two of them.
#[derive(Debug)]
pub struct Merge<I> {
    runs: Vec<I>,
    /// Numbers of the runs that stand on an entry.
    heap: Vec<usize>,
    /// The place in the heap (1 or 2) of the second to come, once it is known.
    runner_up: Option<usize>,
    direction: Direction,
    /// Scratch for turning round.
    turn_key: Vec<u8>,
}

impl<I: InternalIter> Merge<I> {
    /// Stands on no entry.
    #[must_use]
    pub fn new(runs: Vec<I>) -> Merge<I> {
        Merge {
            heap: Vec::with_capacity(runs.len()),
            runs,
            runner_up: None,
            direction: Direction::Forward,
            turn_key: Vec::new(),
        }
    }

    /// Whether run `a` comes before run `b` in the direction of travel.
    #[inline]
    fn before(&self, a: usize, b: usize) -> bool {
        let order = self.runs[a].key().cmp(&self.runs[b].key());
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Backward => order == Ordering::Greater,
        }
    }

    /// Moves every run by `seek` and makes the heap of those that found an entry.
    fn seek_all(
        &mut self,
        direction: Direction,
        mut seek: impl FnMut(&mut I) -> Result<bool>,
    ) -> Result<bool> {
        self.heap.clear();
        self.direction = direction;
        for number in 0..self.runs.len() {
            match seek(&mut self.runs[number]) {
                Ok(true) => self.heap.push(number),
                Ok(false) => {}
                Err(error) => {
                    self.heap.clear();
                    return Err(error);
                }
            }
        }
        self.heapify();
        Ok(!self.heap.is_empty())
    }

    fn heapify(&mut self) {
        for place in (0..self.heap.len() / 2).rev() {
            self.sift_down(place);
        }
        self.runner_up = None;
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let Some(child) = self.first_child(place) else { return };
            if !self.before(self.heap[child], self.heap[place]) {
                return;
            }
            self.heap.swap(child, place);
            place = child;
        }
    }

    /// The child of `place` that comes first.
    #[inline]
    fn first_child(&self, place: usize) -> Option<usize> {
        let left = 2 * place + 1;
        let right = left + 1;
        if left >= self.heap.len() {
            None
        } else if right < self.heap.len() && self.before(self.heap[right], self.heap[left]) {
            Some(right)
        } else {
            Some(left)
        }
    }

    /// After the run on top has moved: `moved` is whether it stands on an entry.
    #[inline]
    fn settle(&mut self, moved: Result<bool>) -> Result<bool> {
        match moved {
            Ok(true) => {
                if self.heap.len() > 1 {
                    let runner_up = match self.runner_up {
                        Some(place) => place,
                        None => self.first_child(0).unwrap_or(1),
                    };
                    if self.before(self.heap[runner_up], self.heap[0]) {
                        self.heap.swap(0, runner_up);
                        self.sift_down(runner_up);
                        self.runner_up = None;
                    } else {
                        self.runner_up = Some(runner_up);
                    }
                }
                Ok(true)
            }
            Ok(false) => {
                self.heap.swap_remove(0);
                self.sift_down(0);
                self.runner_up = None;
                Ok(!self.heap.is_empty())
            }
            Err(error) => {
                self.heap.clear();
                Err(error)
            }
        }
    }

    /// Goes on in the other direction from the current entry.
    fn turn(&mut self, direction: Direction) -> Result<bool> {
        let Some(&top) = self.heap.first() else { return Ok(false) };
        let mut key = std::mem::take(&mut self.turn_key);
        let current = self.runs[top].key();
        let tag = current.tag;
        key.clear();
        key.extend_from_slice(current.scoped);
        let target = InternalKey::new(&key, tag);
        let mut number = 0;
        let found = self.seek_all(direction, |run| {
            let is_top = number == top;
            number += 1;
            match (direction, is_top) {
                (Direction::Forward, true) => run.next(),
                (Direction::Backward, true) => run.prev(),
                (Direction::Forward, false) => run.seek(target),
                (Direction::Backward, false) => run.seek_before(target),
            }
        });
        self.turn_key = key;
        found
    }

    #[inline]
    fn top(&self) -> &I {
        &self.runs[self.heap[0]]
    }
}

impl<I: InternalIter> InternalIter for Merge<I> {
    fn seek_to_first(&mut self) -> Result<bool> {
        self.seek_all(Direction::Forward, I::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        self.seek_all(Direction::Backward, I::seek_to_last)
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        self.seek_all(Direction::Forward, |run| run.seek(target))
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        self.seek_all(Direction::Backward, |run| run.seek_before(target))
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        if self.direction == Direction::Backward {
            return self.turn(Direction::Forward);
        }
        let Some(&top) = self.heap.first() else { return Ok(false) };
        let moved = self.runs[top].next();
        self.settle(moved)
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        if self.direction == Direction::Forward {
            return self.turn(Direction::Backward);
        }
        let Some(&top) = self.heap.first() else { return Ok(false) };
        let moved = self.runs[top].prev();
        self.settle(moved)
    }

    #[inline]
    fn valid(&self) -> bool {
        !self.heap.is_empty()
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
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::key::{Kind, SeqNo, Tag};

    /// A sorted run in a vector; a movement onto entry `fails_at` is an error.
    #[derive(Debug, Default)]
    pub(crate) struct VecIter {
        pub(crate) entries: Vec<(Vec<u8>, Tag, Vec<u8>)>,
        at: Option<usize>,
        pub(crate) fails_at: Option<usize>,
    }

    impl VecIter {
        pub(crate) fn new(mut entries: Vec<(Vec<u8>, Tag, Vec<u8>)>) -> VecIter {
            entries.sort_by(|a, b| InternalKey::new(&a.0, a.1).cmp(&InternalKey::new(&b.0, b.1)));
            VecIter { entries, at: None, fails_at: None }
        }

        fn go(&mut self, at: Option<usize>) -> Result<bool> {
            self.at = at.filter(|&at| at < self.entries.len());
            if self.at.is_some() && self.at == self.fails_at {
                self.at = None;
                return Err(crate::error::Error::invalid("planted"));
            }
            Ok(self.at.is_some())
        }

        fn lower_bound(&self, target: InternalKey<'_>) -> usize {
            self.entries.partition_point(|(key, tag, _)| InternalKey::new(key, *tag) < target)
        }
    }

    impl InternalIter for VecIter {
        fn seek_to_first(&mut self) -> Result<bool> {
            self.go(Some(0))
        }
        fn seek_to_last(&mut self) -> Result<bool> {
            self.go(self.entries.len().checked_sub(1))
        }
        fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
            self.go(Some(self.lower_bound(target)))
        }
        fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
            self.go(self.lower_bound(target).checked_sub(1))
        }
        fn next(&mut self) -> Result<bool> {
            self.go(self.at.map(|at| at + 1))
        }
        fn prev(&mut self) -> Result<bool> {
            self.go(self.at.and_then(|at| at.checked_sub(1)))
        }
        fn valid(&self) -> bool {
            self.at.is_some()
        }
        fn key(&self) -> InternalKey<'_> {
            let (key, tag, _) = &self.entries[self.at.unwrap()];
            InternalKey::new(key, *tag)
        }
        fn value(&self) -> &[u8] {
            &self.entries[self.at.unwrap()].2
        }
        fn value_handle(&self) -> Value {
            Value::copied(self.value())
        }
    }

    /// A small generator of numbers, so that tests repeat.
    pub(crate) fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn a_merge_walks_like_one_sorted_vector() {
        for seed in 0..200 {
            let mut state = seed;
            let runs = 1 + random(&mut state) as usize % 6;
            let mut all = Vec::new();
            let mut parts = vec![Vec::new(); runs];
            for seq in 0..random(&mut state) % 60 {
                let key = vec![(random(&mut state) % 20) as u8; 1 + seq as usize % 2];
                let entry = (key, Tag::new(SeqNo(seq), Kind::Put), vec![seq as u8]);
                parts[random(&mut state) as usize % runs].push(entry.clone());
                all.push(entry);
            }
            let mut merge = Merge::new(parts.into_iter().map(VecIter::new).collect());
            let mut model = VecIter::new(all);
            for step in 0..300 {
                let target_key = [(random(&mut state) % 21) as u8];
                let target = InternalKey::seek(&target_key, SeqNo(random(&mut state) % 60));
                let (found, expected) = match random(&mut state) % 12 {
                    0 => (merge.seek_to_first(), model.seek_to_first()),
                    1 => (merge.seek_to_last(), model.seek_to_last()),
                    2 => (merge.seek(target), model.seek(target)),
                    3 => (merge.seek_before(target), model.seek_before(target)),
                    4..=7 if model.valid() => (merge.next(), model.next()),
                    8.. if model.valid() => (merge.prev(), model.prev()),
                    _ => continue,
                };
                assert_eq!(found.unwrap(), expected.unwrap(), "seed {seed} step {step}");
                assert_eq!(merge.valid(), model.valid());
                if model.valid() {
                    assert_eq!(merge.key(), model.key(), "seed {seed} step {step}");
                    assert_eq!(merge.value(), model.value());
                }
            }
        }
    }

    #[test]
    fn an_error_of_one_run_is_not_its_end() {
        let entry = |key: u8| (vec![key], Tag::new(SeqNo(1), Kind::Put), vec![]);
        let mut bad = VecIter::new(vec![entry(1), entry(3)]);
        bad.fails_at = Some(1);
        let mut merge = Merge::new(vec![bad, VecIter::new(vec![entry(2), entry(4)])]);
        assert!(merge.seek_to_first().unwrap());
        assert!(merge.next().is_err());
        assert!(!merge.valid());
    }
}
