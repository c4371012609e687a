//! What the client puts comes back: keys and values of every byte value and length.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::OnceLock;

use olive_client::{Answer, Client, Error, WriteBatch, protocol::ErrorKind};
use proptest::prelude::*;

use crate::support::Running;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        // Few of them, so that they meet.
        "[ab\n]{0,3}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..60),
        (any::<u8>(), 0_usize..700).prop_map(|(byte, length)| vec![byte; length]),
        Just(b"GET a HTTP/1.1\r".to_vec()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        (any::<u8>(), 0_usize..40_000).prop_map(|(byte, length)| vec![byte; length]),
        Just(b"OK\nNOTFOUND\n".to_vec()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Get(Vec<u8>),
    MultiGet(Vec<Vec<u8>>),
    Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Pipeline(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Scan(Bound<Vec<u8>>, Bound<Vec<u8>>, bool, u64),
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let operations = || proptest::collection::vec((key(), proptest::option::of(value())), 0..12);
    prop_oneof![
        3 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => key().prop_map(Step::Delete),
        2 => key().prop_map(Step::Get),
        1 => proptest::collection::vec(key(), 0..9).prop_map(Step::MultiGet),
        1 => operations().prop_map(Step::Batch),
        1 => operations().prop_map(Step::Pipeline),
        2 => (bound(), bound(), any::<bool>(), 1_u64..6)
            .prop_map(|(start, end, reverse, page)| Step::Scan(start, end, reverse, page)),
    ]
}

/// As `BTreeMap::range`, which panics where a range is none.
fn range(map: &Map, start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let behind = |key: &Vec<u8>| match start {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
    };
    let before = |key: &Vec<u8>| match end {
        Bound::Unbounded => true,
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
    };
    let inside = map.iter().filter(|(key, _)| behind(key) && before(key));
    inside.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn apply(client: &mut Client, map: &mut Map, step: Step) {
    match step {
        Step::Put(key, value) => {
            client.put(&key, &value).unwrap();
            map.insert(key, value);
        }
        Step::Delete(key) => {
            client.delete(&key).unwrap();
            map.remove(&key);
        }
        Step::Get(key) => assert_eq!(client.get(&key).unwrap().as_ref(), map.get(&key)),
        Step::MultiGet(keys) => {
            let expected: Vec<_> = keys.iter().map(|key| map.get(key).cloned()).collect();
            assert_eq!(client.multi_get(&keys).unwrap(), expected);
        }
        Step::Batch(operations) => {
            let mut batch = WriteBatch::new();
            for (key, value) in operations {
                match value {
                    Some(value) => {
                        batch.put(&key, &value);
                        map.insert(key, value);
                    }
                    None => {
                        batch.delete(&key);
                        map.remove(&key);
                    }
                }
            }
            client.write(&batch).unwrap();
        }
        Step::Pipeline(operations) => {
            let mut pipeline = client.pipeline();
            let mut expected = Vec::new();
            for (key, value) in operations {
                pipeline.get(&key);
                expected.push(Ok(Answer::Value(map.get(&key).cloned())));
                if let Some(value) = value {
                    pipeline.put(&key, &value);
                    map.insert(key, value);
                } else {
                    pipeline.delete(&key);
                    map.remove(&key);
                }
                expected.push(Ok(Answer::Done));
            }
            assert_eq!(pipeline.run(), expected);
        }
        Step::Scan(start, end, reverse, page) => {
            let mut expected = range(map, &start, &end);
            let range = (start, end);
            let scan = if reverse { client.scan_reverse(range) } else { client.scan(range) };
            let found: Vec<_> = scan.unwrap().page_entries(page).map(Result::unwrap).collect();
            if reverse {
                expected.reverse();
            }
            assert_eq!(found, expected);
        }
    }
}

/// One server for all cases; they begin by emptying it.
fn server() -> &'static Running {
    static SERVER: OnceLock<Running> = OnceLock::new();
    SERVER.get_or_init(Running::start)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_client_sees_what_a_map_would(steps in proptest::collection::vec(step(), 1..40)) {
        let mut client = server().client();
        let keys: Vec<_> = client.scan(..).unwrap().map(|entry| entry.unwrap().0).collect();
        let mut batch = WriteBatch::new();
        for key in &keys {
            batch.delete(key);
        }
        client.write(&batch).unwrap();
        let mut map = Map::new();
        for step in steps {
            apply(&mut client, &mut map, step);
        }
        let all: Map = client.scan(..).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(all, map);
    }
}

#[test]
fn every_byte_is_a_key_and_a_value() {
    let server = Running::start();
    let mut client = server.client();
    for byte in 0..=255 {
        for key in [vec![byte], vec![b'k', byte], vec![byte, b' ', byte]] {
            client.put(&key, &key).unwrap();
            assert_eq!(client.get(&key).unwrap().as_ref(), Some(&key));
        }
    }
    assert_eq!(client.scan(..).unwrap().count(), 3 * 256);
}

#[test]
fn the_largest_keys_and_values() {
    let server = Running::start();
    let mut client = server.client();
    let value: Vec<u8> =
        (0..64 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let longest = vec![0xff; 65_535];
    for key in [&b"v"[..], b"", &longest] {
        client.put(key, &value).unwrap();
        assert!(client.get(key).unwrap().unwrap() == value);
    }
    // Pages hold one entry at least, and the scan goes on behind the longest key.
    for reverse in [false, true] {
        let scan = if reverse { client.scan_reverse(..) } else { client.scan(..) };
        let mut lengths: Vec<usize> = scan
            .unwrap()
            .map(|entry| {
                let (key, got) = entry.unwrap();
                assert!(got == value);
                key.len()
            })
            .collect();
        if reverse {
            lengths.reverse();
        }
        assert_eq!(lengths, [0, 1, 65_535]);
    }
    // Two of them are more than an answer may have, and the connection goes on.
    let error = client.multi_get([&b"v"[..], b""]).unwrap_err();
    assert!(matches!(error, Error::Server { kind: ErrorKind::TooLarge, .. }), "{error:?}");
    assert!(client.multi_get([b"v"]).unwrap()[0].as_ref() == Some(&value));
    let mut batch = WriteBatch::new();
    batch.put("v", &value).delete("").delete(&longest);
    client.write(&batch).unwrap();
    assert_eq!(client.scan(..).unwrap().count(), 1);
}

#[test]
fn a_page_ends_at_4_mib() {
    let server = Running::start();
    let mut client = server.client();
    let value = vec![b'v'; 1 << 20];
    for key in 0_u8..9 {
        client.put(&[key], &value).unwrap();
    }
    let answer = server.talk(b"SCAN 0 0 100\nQUIT\n");
    // Three entries and their lengths; a fourth would go past.
    let entry = "1 1048576\n".len() + 1 + value.len();
    assert!(answer.starts_with(format!("OK {}\n", 3 * entry).as_bytes()));
    let keys: Vec<_> = client.scan(..).unwrap().map(|entry| entry.unwrap().0[0]).collect();
    assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let keys: Vec<_> = client.scan_reverse(..).unwrap().map(|entry| entry.unwrap().0[0]).collect();
    assert_eq!(keys, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn a_pipeline_may_be_long_and_its_answers_large() {
    let server = Running::start();
    let mut client = server.client();
    client.put(b"large", &vec![7; 1 << 20]).unwrap();
    let mut pipeline = client.pipeline();
    for at in 0..20_000_u32 {
        pipeline.put(&at.to_be_bytes(), &at.to_le_bytes());
        if at % 500 == 0 {
            pipeline.get(b"large");
        }
    }
    let answers = pipeline.run();
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(Answer::Done)).count(), 20_000);
    let large = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Answer::Value(Some(v))) if v.len() == 1 << 20));
    assert_eq!(large.count(), 40);
}

#[test]
fn reads_that_come_together_are_answered_in_order_whatever_their_sizes() {
    let server = Running::start();
    let mut client = server.client();
    // Around what is copied, what fits into the output, and larger.
    let sizes = [0, 1, 100, 8 << 10, (8 << 10) + 1, 32 << 10, 100_000, 1 << 20];
    for (at, size) in (0_u8..).zip(sizes) {
        client.put(&[b'k', at], &vec![at; size]).unwrap();
    }
    let mut state = 11_u32;
    for _ in 0..20 {
        let asked: Vec<u8> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Mostly small ones, so that groups have some before a large one.
                [0, 1, 2, 8, 2, 1, 2, (state >> 20) as u8 % 9][(state >> 28) as usize % 8]
            })
            .collect();
        let mut pipeline = client.pipeline();
        for &at in &asked {
            pipeline.get(&[b'k', at]);
        }
        for (at, answer) in asked.iter().zip(pipeline.run()) {
            let expected = sizes.get(usize::from(*at)).map(|&size| vec![*at; size]);
            assert!(answer == Ok(Answer::Value(expected)), "k{at}");
        }
        let keys: Vec<[u8; 2]> = asked.iter().map(|&at| [b'k', at]).collect();
        for (at, value) in asked.iter().zip(client.multi_get(&keys).unwrap()) {
            assert!(value == sizes.get(usize::from(*at)).map(|&size| vec![*at; size]), "k{at}");
        }
    }
}
