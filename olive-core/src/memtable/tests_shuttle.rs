//! One writer and two readers under the model checker: few entries, every order of their
//! steps that the schedules come to.

use super::tests_threads::{check_walk, key, search, value};
use super::*;
use crate::key::{InternalKey, Kind, SeqNo, Tag};
use crate::memtable::tests::Random;
use crate::sync::{AtomicU64, Ordering, explore};

const SCHEDULES: usize = 10_000;

/// `before` entries are there when the readers begin; `more` come beside them.
fn model(before: u64, more: u64, shape: u64) {
    // Of so few entries a small table takes all, and its index, of one line, leaves some out.
    let capacity_bytes = if before + more <= 18 { 2000 } else { 64 << 10 };
    let (table, mut writer) = Memtable::new(capacity_bytes, &ArenaGauge::new()).unwrap();
    let published = Arc::new(AtomicU64::new(0));
    let mut insert = move |n: u64, published: &AtomicU64| {
        let tag = Tag::new(SeqNo(n), Kind::Put);
        writer.insert(InternalKey::new(&key(n, shape), tag), &value(n));
        published.store(n, Ordering::Release);
    };
    (1..=before).for_each(|n| insert(n, &published));
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let (table, published) = (Arc::clone(&table), Arc::clone(&published));
            shuttle::thread::spawn(move || {
                let mut random = Random(reader);
                for _ in 0..2 {
                    let newest = published.load(Ordering::Acquire);
                    let found = table.get(&key(newest, shape), SeqNo(newest));
                    assert_eq!(found.expect("it is published").0.seq(), SeqNo(newest));
                    search(&table, published.load(Ordering::Acquire), shape, &mut random);
                }
                check_walk(&table, published.load(Ordering::Acquire), shape, reader == 0);
            })
        })
        .collect();
    (before + 1..=before + more).for_each(|n| insert(n, &published));
    for reader in readers {
        reader.join().unwrap();
    }
    check_walk(&table, before + more, shape, false);
    check_walk(&table, before + more, shape, true);
}

#[test]
fn shuttle_readers_beside_the_writer_of_a_few_entries() {
    for (shape, name) in [(0, "shared keys"), (1, "rising keys"), (2, "falling keys")] {
        explore(&format!("memtable, {name}"), SCHEDULES, move || model(3, 4, shape));
    }
}

/// A leaf is full at 14 entries: the next ones split it beside readers.
#[test]
fn shuttle_readers_beside_the_split_of_a_leaf() {
    for (shape, name) in [(0, "shared keys"), (1, "rising keys"), (2, "falling keys")] {
        explore(&format!("memtable, a leaf split, {name}"), SCHEDULES, move || model(13, 5, shape));
    }
}

/// The writer writes all heads anew at entry 64, beside readers; from then on they
/// decide.
#[test]
fn shuttle_readers_beside_the_choice_of_a_window_and_after_it() {
    for (shape, name) in [(0, "shared keys"), (1, "rising keys"), (2, "falling keys")] {
        explore(&format!("memtable, a window chosen, {name}"), SCHEDULES / 2, move || {
            model(62, 4, shape);
        });
        explore(&format!("memtable behind a window, {name}"), SCHEDULES / 2, move || {
            model(65, 3, shape);
        });
    }
}
