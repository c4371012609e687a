//! Walks over what was deleted: what they show is right, and they are not made again and
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use olive_core::{Db, Maintenance, Options, Reader, WriteBatch};

use crate::support::Scratch;

type Map = BTreeMap<String, u32>;

fn key(number: u32) -> String {
    format!("k{number:05}")
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// Every way to walk from `from`, and to `to`, shows what the map has.
fn check(reader: &impl Reader, map: &Map, from: &str, to: &str, context: &str) {
    let expected: Vec<(&String, &u32)> = map.range(from.to_owned()..to.to_owned()).collect();
    let shown = |(key, value): &(olive_core::Key, olive_core::Value)| {
        let value = u32::from_le_bytes(value[..4].try_into().expect("a value"));
        (String::from_utf8(key.to_vec()).expect("a key"), value)
    };
    let forward: Vec<_> =
        reader.range(from..to).expect("a range").map(|e| shown(&e.unwrap())).collect();
    assert!(forward.iter().map(|(k, v)| (k, v)).eq(expected.iter().copied()), "{context}: forward");
    let back: Vec<_> =
        reader.range(from..to).expect("a range").rev().map(|e| shown(&e.unwrap())).collect();
    assert!(back.iter().rev().map(|(k, v)| (k, v)).eq(expected.iter().copied()), "{context}: back");
    let mut cursor = reader.cursor().expect("a cursor");
    let first = map.range(from.to_owned()..).next();
    let found = cursor.seek(from).expect("a seek");
    assert_eq!(found.then(|| cursor.key()), first.map(|(k, _)| k.as_bytes()), "{context}: a seek");
    if found && cursor.prev().expect("a step") {
        let before = map.range(..first.unwrap().0.clone()).next_back();
        assert_eq!(
            Some(cursor.key()),
            before.map(|(k, _)| k.as_bytes()),
            "{context}: back from it"
        );
        assert!(cursor.next().expect("a step"));
        assert_eq!(Some(cursor.key()), first.map(|(k, _)| k.as_bytes()), "{context}: and again");
    }
    let last = map.range(..=to.to_owned()).next_back();
    let found = cursor.seek_for_prev(to).expect("a seek");
    assert_eq!(found.then(|| cursor.key()), last.map(|(k, _)| k.as_bytes()), "{context}: the last");
}

/// Ranges are deleted, and single keys put and deleted in them, while snapshots are held.
#[test]
fn walks_over_deleted_ranges_show_what_a_map_would() {
    const KEYS: u32 = 1200;
    for seed in 0..6 {
        let scratch = Scratch::new();
        let options = Options::default().maintenance(Maintenance::Manual).memtable_bytes(256 << 10);
        let db = options.open(scratch.path()).expect("a new database");
        let mut random = Random(seed);
        let mut map = Map::new();
        let mut snapshots = Vec::new();
        for step in 0..700 {
            match random.below(20) {
                0 => {
                    let from = random.below(KEYS);
                    for number in from..KEYS.min(from + 100 + random.below(700)) {
                        db.delete(key(number)).expect("a delete");
                        map.remove(&key(number));
                    }
                }
                1 | 2 => {
                    let mut batch = WriteBatch::new();
                    let from = random.below(KEYS);
                    for number in from..KEYS.min(from + random.below(200)) {
                        batch.put(key(number), (step + number).to_le_bytes());
                        map.insert(key(number), step + number);
                    }
                    db.write(&batch).expect("a batch");
                }
                3..9 => {
                    let number = random.below(KEYS);
                    db.put(key(number), step.to_le_bytes()).expect("a put");
                    map.insert(key(number), step);
                }
                9..11 => {
                    let number = random.below(KEYS);
                    db.delete(key(number)).expect("a delete");
                    map.remove(&key(number));
                }
                11 if snapshots.len() < 4 => {
                    snapshots.push((db.snapshot().expect("a snapshot"), map.clone()));
                }
                11 => drop(snapshots.swap_remove(random.below(4) as usize)),
                12 if random.below(6) == 0 => db.flush().expect("a flush"),
                13 if random.below(6) == 0 => db.compact_range(..).expect("a compaction"),
                _ => {}
            }
            for _ in 0..2 {
                let (a, b) = (random.below(KEYS + 1), random.below(KEYS + 1));
                // Often from the same place, as who looks at the head of a queue does.
                let from = key(if random.below(2) == 0 { 0 } else { a.min(b) / 64 * 64 });
                let to = key(a.max(b));
                check(&db, &map, &from, &to, &format!("seed {seed}, step {step}"));
                if let Some((snapshot, then)) = snapshots.last() {
                    check(snapshot, then, &from, &to, &format!("seed {seed}, step {step}, then"));
                }
            }
        }
        db.close().expect("a close");
    }
}

/// A key amid a range that was deleted comes and goes, with a number beside it that tells
/// whether it is there.
#[test]
fn a_key_in_a_deleted_range_is_seen_as_soon_as_it_is_put_and_not_after() {
    const ROUNDS: u32 = 20_000;
    let scratch = Scratch::new();
    let db = Options::default().memtable_bytes(1 << 20).open(scratch.path()).expect("a database");
    for number in 0..2000 {
        db.put(key(number), "old").expect("a put");
    }
    for number in 0..2000 {
        db.delete(key(number)).expect("a delete");
    }
    db.put("z", 0_u32.to_le_bytes()).expect("a put");
    let done = Arc::new(AtomicBool::new(false));
    let place = |round: u32| key(200 + round / 2 % 1500);
    let reader = |db: Db, done: Arc<AtomicBool>| {
        let (mut walks, mut last) = (0, 0);
        while !done.load(Ordering::Acquire) || walks < 100 {
            let entries: Vec<_> =
                db.iter().expect("a walk").map(|entry| entry.expect("an entry")).collect();
            let (counter, before) = entries.split_last().expect("the counter is there");
            assert_eq!(counter.0, b"z");
            let round = u32::from_le_bytes(counter.1[..4].try_into().expect("a number"));
            assert!(round >= last, "{round} behind {last}");
            last = round;
            let keys: Vec<&[u8]> = before.iter().map(|(key, _)| &key[..]).collect();
            let there = (round % 2 == 1).then(|| place(round));
            assert_eq!(keys, there.iter().map(String::as_bytes).collect::<Vec<_>>(), "{round}");
            walks += 1;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (db, done) = (db.clone(), Arc::clone(&done));
            scope.spawn(move || reader(db, done));
        }
        for round in 1..=ROUNDS {
            let mut batch = WriteBatch::new();
            match round % 2 {
                1 => batch.put(place(round), "new"),
                _ => batch.delete(place(round - 1)),
            };
            batch.put("z", round.to_le_bytes());
            db.write(&batch).expect("a batch");
            if round % 64 == 0 {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
    });
    db.close().expect("a close");
}

/// What was taken out of a queue lies before its head.
#[test]
fn a_look_at_the_head_of_a_queue_does_not_walk_over_what_was_taken_out() {
    let scratch = Scratch::new();
    let options = Options::default().maintenance(Maintenance::Manual);
    let db = options.open(scratch.path()).expect("a new database");
    let mut tail = 0;
    for _ in 0..1000 {
        db.put(key(tail), "job").expect("a put");
        tail += 1;
    }
    // Walks over all that was taken out would be 800 million steps, half a minute and more.
    for head in 0..40_000 {
        let (first, _) = db.iter().expect("a walk").next().expect("one waits").expect("an entry");
        assert_eq!(first, key(head).as_bytes());
        db.delete(first).expect("a delete");
        db.put(key(tail), "job").expect("a put");
        tail += 1;
    }
    assert_eq!(db.iter().expect("a walk").count(), 1000);
    db.close().expect("a close");
}
