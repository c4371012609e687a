//! Ranges, prefixes, and iterators from both ends, against a sorted map.

use std::collections::BTreeMap;
use std::ops::Bound;

use olive_core::{Db, Reader};

use crate::support::{Random, Scratch, tiny};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of few letters, so that bounds hit them, with 0x00 and 0xFF among these.
fn word(random: &mut Random) -> Vec<u8> {
    (0..random.below(4)).map(|_| [0, 1, b'a', 0xFE, 0xFF][random.below(5) as usize]).collect()
}

fn filled(db: &Db, random: &mut Random) -> Map {
    let mut map = Map::new();
    for step in 0..400 {
        let key = word(random);
        if random.below(4) == 0 {
            db.delete(&key).expect("a delete");
            map.remove(&key);
        } else {
            let value = vec![step as u8; random.below(40) as usize];
            db.put(&key, &value).expect("a put");
            map.insert(key, value);
        }
        if step % 130 == 129 {
            db.compact_range(..).expect("a compaction");
        }
    }
    map
}

fn bound(random: &mut Random) -> Bound<Vec<u8>> {
    match random.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(word(random)),
        _ => Bound::Excluded(word(random)),
    }
}

fn lies_in(key: &[u8], start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    let behind_start = match start {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= start.as_slice(),
        Bound::Excluded(start) => key > start.as_slice(),
    };
    behind_start
        && match end {
            Bound::Unbounded => true,
            Bound::Included(end) => key <= end.as_slice(),
            Bound::Excluded(end) => key < end.as_slice(),
        }
}

fn check(reader: &impl Reader, map: &Map, random: &mut Random) {
    for _ in 0..300 {
        let (start, end) = (bound(random), bound(random));
        let expected: Vec<_> = map.iter().filter(|(key, _)| lies_in(key, &start, &end)).collect();
        let what = format!("{start:?} to {end:?}");
        let range = || reader.range((start.clone(), end.clone())).expect("a range");
        let found: Vec<_> = range().map(|entry| entry.expect("an entry")).collect();
        assert_eq!(found.len(), expected.len(), "{what}");
        for ((key, value), (k, v)) in found.iter().zip(&expected) {
            assert_eq!((&key[..], &value[..]), (&k[..], &v[..]), "{what}");
        }
        // From both ends, in any order, they meet and miss nothing.
        let mut walk = range();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let from_front = random.below(2) == 0;
            let next = if from_front { walk.next() } else { walk.next_back() };
            let Some(entry) = next else { break };
            let list = if from_front { &mut front } else { &mut back };
            list.push(entry.expect("an entry").0.to_vec());
        }
        assert!(walk.next().is_none() && walk.next_back().is_none(), "{what}: it is over");
        back.reverse();
        front.extend(back);
        let keys: Vec<_> = expected.iter().map(|(key, _)| key.to_vec()).collect();
        assert_eq!(front, keys, "{what}");
    }
    for _ in 0..200 {
        let prefix = word(random);
        let expected = map.keys().filter(|key| key.starts_with(&prefix)).count();
        assert_eq!(reader.prefix(&prefix).expect("a walk").count(), expected, "{prefix:?}");
        assert_eq!(reader.prefix(&prefix).expect("a walk").rev().count(), expected, "{prefix:?}");
    }
    walk_about(reader, map, random);
}

/// A cursor that turns, against the sorted keys.
fn walk_about(reader: &impl Reader, map: &Map, random: &mut Random) {
    let keys: Vec<&Vec<u8>> = map.keys().collect();
    let mut cursor = reader.cursor().expect("a cursor");
    let mut at: Option<usize> = None;
    assert!(!cursor.valid());
    for _ in 0..600 {
        let (stands, expected) = match random.below(8) {
            0 => (cursor.seek_to_first(), (!keys.is_empty()).then_some(0)),
            1 => (cursor.seek_to_last(), keys.len().checked_sub(1)),
            2 => {
                let key = word(random);
                let expected = keys.iter().position(|k| **k >= key);
                (cursor.seek(&key), expected)
            }
            3 => {
                let key = word(random);
                let expected = keys.iter().rposition(|k| **k <= key);
                (cursor.seek_for_prev(&key), expected)
            }
            4 | 5 => (cursor.next(), at.map(|at| at + 1).filter(|at| *at < keys.len())),
            _ => (cursor.prev(), at.and_then(|at| at.checked_sub(1))),
        };
        assert_eq!(stands.expect("a move"), expected.is_some());
        assert_eq!(cursor.valid(), expected.is_some());
        at = expected;
        if let Some(at) = at {
            assert_eq!(cursor.key(), keys[at].as_slice());
            assert_eq!(cursor.value(), map[keys[at]].as_slice());
        }
    }
}

#[test]
fn ranges_prefixes_and_turning_cursors_agree_with_a_sorted_map() {
    for seed in 0..4 {
        let scratch = Scratch::new();
        let db = tiny().open(scratch.path()).expect("a new database");
        // Neighbours on both sides must not show.
        for name in ["before", "mine", "behind"] {
            db.keyspace(name).expect("a keyspace").put([0xFF; 3], "not mine").expect("a put");
        }
        let mut random = Random(seed);
        let map = filled(&db, &mut random);
        check(&db, &map, &mut random);
        check(&db.snapshot().expect("a snapshot"), &map, &mut random);
        db.flush().expect("a flush");
        check(&db, &map, &mut random);
    }
}

#[test]
fn a_range_of_a_keyspace_stays_within_it() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let names = ["a", "b", "c"];
    let mut map = Map::new();
    for name in names {
        let keyspace = db.keyspace(name).expect("a keyspace");
        for key in [&b""[..], b"\0", b"k", &[0xFF], &[0xFF; 9]] {
            keyspace.put(key, name).expect("a put");
            map.insert(key.to_vec(), name.as_bytes().to_vec());
        }
    }
    for name in names {
        for value in map.values_mut() {
            *value = name.as_bytes().to_vec();
        }
        let keyspace = db.keyspace(name).expect("a keyspace");
        check(&keyspace, &map, &mut Random(1));
        db.flush().expect("a flush");
        check(&keyspace, &map, &mut Random(2));
    }
    assert_eq!(db.iter().expect("a walk").count(), 0);
}

#[test]
fn every_range_of_the_standard_library_is_taken() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for key in ["a", "b", "c", "d"] {
        db.put(key, "").expect("a put");
    }
    assert_eq!(db.range(..).expect("a range").count(), 4);
    assert_eq!(db.range("b"..).expect("a range").count(), 3);
    assert_eq!(db.range(.."b").expect("a range").count(), 1);
    assert_eq!(db.range(..="b").expect("a range").count(), 2);
    assert_eq!(db.range("b".."d").expect("a range").count(), 2);
    assert_eq!(db.range(vec![b'b']..=vec![b'd']).expect("a range").count(), 3);
    assert_eq!(db.range("c".."b").expect("a range").count(), 0);
    assert_eq!(db.range("c".."c").expect("a range").count(), 0);
    assert_eq!(db.range("c"..="c").expect("a range").count(), 1);
    let pair = (Bound::Excluded("a"), Bound::Excluded("c"));
    assert_eq!(db.range(pair).expect("a range").count(), 1);
    assert_eq!(db.prefix("").expect("a walk").count(), 4);
}
