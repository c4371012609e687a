//! What is shown, held against a map.

use std::collections::BTreeMap;

use super::*;
use crate::iter::merge::Merge;
use crate::iter::merge::tests::{VecIter, random};
use crate::key::{Kind, Tag};
use crate::sync::Ordering;

type Entries = Vec<(Vec<u8>, Tag, Vec<u8>)>;

#[test]
fn what_is_shown_is_what_a_map_would_hold() {
    // From one key with all versions to a few of each.
    for keys in [1, 2, 3, 12] {
        let strides = check_shown(keys, |entries, _| VecIter::new(entries));
        assert_eq!(strides, 0, "a vector alone promises no plain steps");
    }
}

/// Runs of which the first has most of the entries; some keys stand in several.
#[test]
fn what_is_shown_of_a_merge_is_what_a_map_would_hold() {
    for (keys, strides_min) in [(1, 0), (2, 0), (12, 0), (60, 1), (250, 1000)] {
        let strides = check_shown(keys, |entries, state| {
            let runs = 1 + random(state) as usize % 4;
            let mut parts = vec![Vec::new(); runs];
            for entry in entries {
                let run = (random(state) % 12).saturating_sub(8) as usize % runs;
                parts[run].push(entry);
            }
            Merge::new(parts.into_iter().map(VecIter::new).collect())
        });
        assert!(strides >= strides_min, "{strides} steps without a search among {keys} keys");
    }
}

/// Walks over random entries in every way; how many steps were plain.
fn check_shown<I: InternalIter>(keys: u64, inner: impl Fn(Entries, &mut u64) -> I) -> usize {
    let mut strides = 0;
    for seed in 0..300 {
        let mut state = seed;
        let (entries, seq_shown, map) = random_entries(&mut state, keys);
        let start = vec![1, (random(&mut state) % keys) as u8];
        let end = vec![1, (random(&mut state) % (keys + 2)) as u8];
        let mut bounds = Bounds { start: vec![1], end: Some(vec![2]) };
        let mut it = Visible::new(inner(entries, &mut state), seq_shown, bounds.clone());
        for round in 0..2 {
            if round == 1 {
                bounds = Bounds { start: start.clone(), end: Some(end.clone()) };
                it.rest();
                it.begin(seq_shown, bounds.clone());
                assert!(!it.valid());
            }
            let in_bounds = |key: &Vec<u8>| *key >= bounds.start && Some(key) < bounds.end.as_ref();
            let shown: Vec<_> = map
                .iter()
                .filter(|(key, _)| in_bounds(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            strides += walk(&mut it, &shown, &mut state, keys);
        }
    }
    strides
}

/// Entries of few keys, the number of a snapshot, and what that shows.
fn random_entries(state: &mut u64, keys: u64) -> (Entries, SeqNo, BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut entries = Vec::new();
    let seq_shown = SeqNo(random(state) % 80);
    let mut map = BTreeMap::new();
    for seq in 1..80 {
        let key = vec![1, (random(state) % keys) as u8];
        let kind = if random(state).is_multiple_of(3) { Kind::Delete } else { Kind::Put };
        let len = if random(state).is_multiple_of(9) { 5000 } else { 3 };
        let value = if kind == Kind::Put { vec![seq as u8; len] } else { vec![] };
        if SeqNo(seq) <= seq_shown {
            match kind {
                Kind::Put => map.insert(key.clone(), value.clone()),
                Kind::Delete => map.remove(&key),
            };
        }
        entries.push((key, Tag::new(SeqNo(seq), kind), value));
    }
    (entries, seq_shown, map)
}

fn walk<I: InternalIter>(
    it: &mut Visible<I>,
    shown: &[(Vec<u8>, Vec<u8>)],
    state: &mut u64,
    keys: u64,
) -> usize {
    let mut strides = 0;
    let mut at: Option<usize> = None;
    for step in 0..200 {
        let target = vec![1, (random(state) % (keys + 2)) as u8];
        let found = match random(state) % 14 {
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
            4..11 if at.is_some() => {
                at = at.map(|at| at + 1);
                let found = it.next();
                strides += usize::from(it.plain > 0);
                found
            }
            11.. if at.is_some() => {
                at = at.and_then(|at| at.checked_sub(1));
                it.prev()
            }
            _ => continue,
        };
        at = at.filter(|&at| at < shown.len());
        assert_eq!(found.unwrap(), at.is_some(), "step {step}");
        assert_eq!(it.valid(), at.is_some());
        if let Some(at) = at {
            assert_eq!(it.scoped(), shown[at].0, "step {step}");
            assert_eq!(it.value(), shown[at].1);
            assert_eq!(it.value_handle(), shown[at].1);
        }
    }
    strides
}

/// A key with 10,000 versions between two with one each; at several moments.
#[test]
fn many_versions_of_a_key_are_not_walked() {
    const VERSIONS: u64 = 10_000;
    let put = |seq| Tag::new(SeqNo(seq), Kind::Put);
    let (first, hot, last) = (b"a".to_vec(), b"b".to_vec(), b"c".to_vec());
    for (is_deleted, seq) in
        [(false, 2), (false, 5_000), (false, VERSIONS + 9), (true, VERSIONS + 9)]
    {
        let mut entries = vec![(first.clone(), put(1), vec![]), (last.clone(), put(2), vec![])];
        entries.extend((0..VERSIONS).map(|n| (hot.clone(), put(3 + n), n.to_be_bytes().to_vec())));
        if is_deleted {
            entries.push((hot.clone(), Tag::new(SeqNo(VERSIONS + 8), Kind::Delete), vec![]));
        }
        let shown = match seq {
            2 => vec![&first, &last],
            _ if is_deleted => vec![&first, &last],
            _ => vec![&first, &hot, &last],
        };
        let mut it = Visible::new(VecIter::new(entries), SeqNo(seq), Bounds::default());
        let mut more = it.seek_to_first().unwrap();
        let mut walked = Vec::new();
        while more {
            walked.push(it.scoped().to_vec());
            if it.scoped() == hot {
                assert_eq!(it.value(), (seq.min(VERSIONS + 2) - 3).to_be_bytes());
            }
            more = it.next().unwrap();
        }
        assert!(walked.iter().eq(shown.iter().copied()), "{walked:?} at {seq}");
        let forward = it.inner.moves;

        more = it.seek_to_last().unwrap();
        walked.clear();
        while more {
            walked.push(it.scoped().to_vec());
            if it.scoped() == hot {
                assert_eq!(it.value(), (seq.min(VERSIONS + 2) - 3).to_be_bytes());
            }
            more = it.prev().unwrap();
        }
        assert!(walked.iter().rev().eq(shown.iter().copied()), "{walked:?} at {seq}");
        let backward = it.inner.moves - forward;

        // And back from a key on which it stands.
        assert!(it.seek(&hot).unwrap() && it.prev().unwrap());
        assert_eq!(it.scoped(), first);
        let turned = it.inner.moves - forward - backward;
        for moves in [forward, backward, turned] {
            assert!(moves < 100, "{forward}, {backward}, {turned} movements at {seq}");
        }
    }
}

/// 300 keys, of which only 0 to 9, 150 and 290 on are not deleted.
#[test]
fn a_long_run_of_deleted_keys_is_told_and_crossed_by_who_knows_of_it() {
    let key = |number: u16| [&[1], &number.to_be_bytes()[..]].concat();
    let is_shown = |number: u16| number < 10 || number == 150 || number >= 290;
    let mut entries: Entries = Vec::new();
    for number in 0..300 {
        entries.push((key(number), Tag::new(SeqNo(1), Kind::Put), vec![]));
        if !is_shown(number) {
            entries.push((key(number), Tag::new(SeqNo(2), Kind::Delete), vec![]));
        }
        // Versions of a key that is shown belong to no run.
        entries.push((key(9), Tag::new(SeqNo(100 + u64::from(number)), Kind::Put), vec![]));
    }
    let shown: Vec<_> = (0..300).filter(|&number| is_shown(number)).map(key).collect();
    let bounds = || Bounds { start: vec![1], end: Some(vec![2]) };
    let walk = |it: &mut Visible<VecIter>, start: &[u8]| {
        let moves = it.inner.moves;
        let mut more = it.seek(start).unwrap();
        let mut walked = Vec::new();
        while more {
            walked.push(it.scoped().to_vec());
            more = it.next().unwrap();
        }
        (walked, it.inner.moves - moves)
    };
    let mut it = Visible::new(VecIter::new(entries), SeqNo(1000), bounds());
    let (walked, all_moves) = walk(&mut it, &[1]);
    assert_eq!(walked, shown);
    // From the entry on from which the run was known to be a long one.
    let found = it.take_found().expect("a long run");
    assert!(key(10) < found.start && found.start < key(10 + 70) && found.end == key(150));
    assert!(it.take_found().is_none());
    let (walked, _) = walk(&mut it, &key(151));
    assert_eq!(walked, shown[11..]);
    let found = it.take_found().expect("a long run");
    assert_eq!(found, Found { start: key(151), end: key(290) }, "from where it was searched");
    let (walked, _) = walk(&mut it, &key(280));
    assert_eq!((walked, it.take_found()), (shown[11..].to_vec(), None), "a short one");

    let gap = |Found { start, end }, seq| Gap { start, end, seq, used: Arc::default() };
    for (seq, moves_max) in [(SeqNo(1000), all_moves - 200), (SeqNo(1001), all_moves)] {
        it.know(Some(Arc::new(vec![gap(found.clone(), seq)])), SeqNo(1000));
        let (walked, moves) = walk(&mut it, &[1]);
        assert_eq!(walked, shown);
        assert!(moves <= moves_max && moves >= moves_max - 100, "{moves} of {all_moves}");
        let (walked, moves) = walk(&mut it, &key(200));
        assert_eq!(walked, shown[11..]);
        assert_eq!(moves < 20, seq == SeqNo(1000), "{moves} from within the gap");
        assert_eq!(it.known().expect("a gap")[0].used.load(Ordering::Relaxed), seq == SeqNo(1000));
    }
    it.begin(SeqNo(1000), bounds());
    assert!(it.known().is_none() && it.take_found().is_none());
}
