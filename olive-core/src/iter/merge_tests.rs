//! Runs in vectors, and merges of them.

use super::*;
use crate::internal_iter::PLAIN_STEPS_MAX;
use crate::key::{Kind, SeqNo, Tag};

/// A sorted run in a vector; a movement onto entry `fails_at` is an error.
#[derive(Debug, Default)]
pub(crate) struct VecIter {
    pub(crate) entries: Vec<(Vec<u8>, Tag, Vec<u8>)>,
    at: Option<usize>,
    pub(crate) fails_at: Option<usize>,
    /// Movements so far.
    pub(crate) moves: usize,
}

impl VecIter {
    pub(crate) fn new(mut entries: Vec<(Vec<u8>, Tag, Vec<u8>)>) -> VecIter {
        entries.sort_by(|a, b| InternalKey::new(&a.0, a.1).cmp(&InternalKey::new(&b.0, b.1)));
        VecIter { entries, at: None, fails_at: None, moves: 0 }
    }

    fn go(&mut self, at: Option<usize>) -> Result<bool> {
        self.moves += 1;
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
    fn rest(&mut self) {
        self.at = None;
    }
    fn next_differs(&self) -> bool {
        let at = self.at.unwrap();
        self.entries.get(at + 1).is_some_and(|next| next.0 != self.entries[at].0)
    }
    fn prev_differs(&self) -> bool {
        let at = self.at.unwrap();
        at > 0 && self.entries[at - 1].0 != self.entries[at].0
    }
    fn plain_below(&mut self, window: &Window, below: u64, seq: SeqNo) -> usize {
        let at = self.at.unwrap();
        let mut before = window.head(&self.entries[at].0);
        let ahead = self.entries[at + 1..].iter().take(PLAIN_STEPS_MAX);
        let is_plain = |(key, tag, _): &&(Vec<u8>, Tag, Vec<u8>)| {
            let head = window.head(key);
            let differs = std::mem::replace(&mut before, head) != head;
            differs && head < below && tag.seq() <= seq && !tag.is_delete()
        };
        ahead.take_while(is_plain).count()
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

/// Keys that a window must get right: long shared prefixes, short keys, ties of heads.
pub(crate) fn key(state: &mut u64, family: u64) -> Vec<u8> {
    let n = random(state) % 40;
    match (family + u64::from(random(state).is_multiple_of(8))) % 4 {
        0 => format!("\x01{n:016}").into_bytes(),
        1 => format!("\x01a prefix that all of them share {}", n * 7).into_bytes(),
        2 => [&[1; 9][..], &vec![1; n as usize % 12]].concat(),
        _ => vec![1, n as u8],
    }
}

/// A thousand steps and more over runs whose keys leave the window again and again.
#[test]
fn a_merge_of_keys_of_every_shape_walks_like_one_sorted_vector() {
    let mut told = 0;
    for seed in 0..100 {
        let mut state = seed;
        let runs = 1 + random(&mut state) as usize % 5;
        let family = random(&mut state) % 4;
        let mut all = Vec::new();
        let mut parts = vec![Vec::new(); runs];
        for seq in 0..120 {
            let entry = (key(&mut state, family), Tag::new(SeqNo(seq), Kind::Put), vec![seq as u8]);
            parts[random(&mut state) as usize % runs].push(entry.clone());
            all.push(entry);
        }
        let mut merge = Merge::new(parts.into_iter().map(VecIter::new).collect());
        let mut model = VecIter::new(all);
        for step in 0..40 {
            let target_key = key(&mut state, family);
            let target = InternalKey::seek(&target_key, SeqNo(random(&mut state) % 130));
            let backward = random(&mut state).is_multiple_of(3);
            let mut found = if backward {
                assert_eq!(merge.seek_before(target).unwrap(), model.seek_before(target).unwrap());
                model.valid()
            } else {
                assert_eq!(merge.seek(target).unwrap(), model.seek(target).unwrap());
                model.valid()
            };
            for _ in 0..random(&mut state) % 60 {
                if !found {
                    break;
                }
                assert_eq!(merge.key(), model.key(), "seed {seed} step {step}");
                assert_eq!(merge.tag(), model.key().tag);
                if merge.next_differs() {
                    let before = model.key().scoped.to_vec();
                    let here = model.at;
                    assert!(!model.next().unwrap() || model.key().scoped != before);
                    model.at = here;
                }
                told += usize::from(merge.prev_differs());
                assert!(backward || !merge.prev_differs());
                assert!(!merge.prev_differs() || model.prev_differs() || model.at == Some(0));
                found = if backward { model.prev().unwrap() } else { model.next().unwrap() };
                let moved = if backward { merge.prev() } else { merge.next() };
                assert_eq!(moved.unwrap(), found, "seed {seed} step {step}");
            }
        }
    }
    assert!(told > 100, "{told} steps back knew that keys differ");
}

#[test]
fn plain_steps_lead_to_puts_of_other_keys_before_the_end() {
    let mut strides = 0;
    for seed in 0..300 {
        let mut state = seed;
        let runs = 1 + random(&mut state) as usize % 4;
        let family = random(&mut state) % 4;
        let end = key(&mut state, family);
        let mut all = Vec::new();
        let mut parts = vec![Vec::new(); runs];
        for seq in 0..80 {
            let kind = if random(&mut state).is_multiple_of(6) { Kind::Delete } else { Kind::Put };
            let entry = (key(&mut state, family), Tag::new(SeqNo(seq), kind), vec![seq as u8]);
            // The first run has most, so that it comes first for more than one entry.
            let run = (random(&mut state) % 12).saturating_sub(8) as usize % runs;
            parts[run].push(entry.clone());
            all.push(entry);
        }
        let mut merge = Merge::new(parts.into_iter().map(VecIter::new).collect());
        let mut model = VecIter::new(all);
        let bounded = random(&mut state).is_multiple_of(2);
        merge.expect_end(bounded.then_some(&end));
        let seq = SeqNo(random(&mut state) % 90);
        let mut more = merge.seek_to_first().unwrap();
        assert_eq!(more, model.seek_to_first().unwrap());
        while more {
            let plain = merge.plain_ahead(seq);
            for _ in 0..plain {
                let before = model.key().scoped.to_vec();
                let tag = merge.stride().unwrap();
                assert!(model.next().unwrap());
                assert_eq!(merge.key(), model.key(), "seed {seed}");
                assert_eq!((merge.value(), merge.tag()), (model.value(), tag));
                assert!(tag.seq() <= seq && !tag.is_delete(), "seed {seed}");
                assert_ne!(merge.key().scoped, before, "seed {seed}");
                assert!(!bounded || *merge.key().scoped < *end, "seed {seed}");
                assert!(!merge.next_differs(), "it does not know before the next step");
            }
            strides += plain;
            assert!(!merge.is_short_of_end() || *merge.key().scoped < *end);
            more = merge.next().unwrap();
            assert_eq!(more, model.next().unwrap(), "seed {seed}");
        }
    }
    assert!(strides > 1000, "{strides} plain steps");
}

#[test]
fn an_error_in_a_plain_step_leaves_it_on_none() {
    let entry = |key: u8| (vec![key], Tag::new(SeqNo(1), Kind::Put), vec![]);
    let mut bad = VecIter::new((0..9).map(entry).collect());
    bad.fails_at = Some(2);
    let mut merge = Merge::new(vec![bad, VecIter::new(vec![entry(20)])]);
    assert!(merge.seek_to_first().unwrap());
    assert_eq!(merge.plain_ahead(SeqNo(1)), 8);
    assert!(merge.stride().is_ok());
    assert!(merge.stride().is_err());
    assert!(!merge.valid());
}

#[test]
fn a_merge_at_rest_is_as_good_as_new() {
    let entry = |key: u8| (vec![key], Tag::new(SeqNo(1), Kind::Put), vec![key]);
    let mut merge = Merge::new(vec![
        VecIter::new(vec![entry(1), entry(4)]),
        VecIter::new(vec![entry(2), entry(3)]),
    ]);
    for _ in 0..2 {
        merge.rest();
        assert!(!merge.valid() && !merge.next().unwrap());
        assert!(merge.seek_to_last().unwrap());
        let mut keys = vec![merge.value()[0]];
        while merge.prev().unwrap() {
            keys.push(merge.value()[0]);
        }
        assert_eq!(keys, [4, 3, 2, 1]);
        assert!(merge.seek_to_first().unwrap() && merge.next().unwrap());
    }
}
