//! The memtable against a `BTreeMap`, by one thread.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::*;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, Kind, SCOPED_KEY_BYTES_MAX, SeqNo, Tag};

/// splitmix64: reproducible from its seed, which every failure prints.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Added to a family: its keys alone, so that a window is chosen which later ones break.
const PURE: u64 = 100;

type Model = BTreeMap<(Vec<u8>, Reverse<Tag>), Vec<u8>>;
type Entry<'a> = (&'a (Vec<u8>, Reverse<Tag>), &'a Vec<u8>);

/// Keys of one family: what a window must get right. Families differ in what the
/// first keys share.
fn key(random: &mut Random, family: u64) -> Vec<u8> {
    let n = random.below(3000);
    let family = if family >= PURE {
        family - PURE
    } else if random.below(8) == 0 {
        random.below(10)
    } else {
        family
    };
    match family {
        0 => format!("\x01{n:016}").into_bytes(),
        1 => format!("\x01user{:019}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes(),
        2 => vec![0xFF; random.below(24) as usize],
        3 => vec![0; random.below(24) as usize],
        // Prefixes of family 0, and what lies just before and behind them.
        4 => {
            let mut key = format!("\x01{n:016}").into_bytes();
            key.truncate(random.below(18) as usize);
            if let Some(last) = key.last_mut() {
                *last = last.wrapping_add(random.below(3) as u8).wrapping_sub(1);
            }
            key
        }
        5 => {
            let mut key = format!("\x01{n:016}").into_bytes();
            key.resize(17 + random.below(4) as usize, 0);
            key
        }
        6 => (0..random.below(12)).map(|_| [0, 1, b'0', 0xFF][random.below(4) as usize]).collect(),
        7 => format!("\x01{}{n}", "p".repeat(300)).into_bytes(),
        8 => vec![],
        _ => n.to_be_bytes().to_vec(),
    }
}

fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(200) {
        0 => 20_000,
        1..10 => 600,
        _ => random.below(40),
    };
    vec![random.next() as u8; len as usize]
}

fn kind(random: &mut Random) -> Kind {
    if random.below(4) == 0 { Kind::Delete } else { Kind::Put }
}

pub(super) fn internal<'a>(key: &'a (Vec<u8>, Reverse<Tag>)) -> InternalKey<'a> {
    InternalKey::new(&key.0, key.1.0)
}

#[track_caller]
fn assert_stands(iter: &MemtableIter, expected: Option<Entry<'_>>, what: &str) {
    assert_eq!(iter.valid(), expected.is_some(), "{what}");
    if let Some((key, value)) = expected {
        assert_eq!(iter.key(), internal(key), "{what}");
        assert_eq!(iter.value(), &value[..], "{what}");
    }
}

/// Random gets, seeks and steps with turns, from any place.
fn check_reads(table: &Arc<Memtable>, model: &Model, random: &mut Random, family: u64, what: &str) {
    let mut iter = table.iter();
    for _ in 0..40 {
        let scoped = key(random, family);
        let seq = SeqNo(random.below(model.len() as u64 + 2));
        let at = (scoped.clone(), Reverse(Tag::seek(seq)));
        let expected = model.range(at.clone()..).next().filter(|((k, _), _)| *k == scoped);
        let expected = expected.map(|((_, tag), v)| (tag.0, &v[..]));
        assert_eq!(table.get(&scoped, seq), expected, "{what} {at:?}");
        assert_eq!(table.get_by_tree(&scoped, seq), expected, "{what} {at:?}");

        let moved = if random.below(2) == 0 {
            assert_eq!(iter.seek(internal(&at)).unwrap(), iter.valid());
            model.range(at.clone()..).next()
        } else {
            iter.seek_before(internal(&at)).unwrap();
            model.range(..at.clone()).next_back()
        };
        assert_stands(&iter, moved, what);
        let mut here = moved;
        for _ in 0..random.below(12) {
            let Some((key, _)) = here else { break };
            here = if random.below(2) == 0 {
                iter.next().unwrap();
                model
                    .range((std::ops::Bound::Excluded(key.clone()), std::ops::Bound::Unbounded))
                    .next()
            } else {
                iter.prev().unwrap();
                model.range(..key.clone()).next_back()
            };
            assert_stands(&iter, here, what);
        }
    }
}

/// The next entry is said to have another key only if it has, and mostly where it has.
fn check_next_differs(table: &Arc<Memtable>, model: &Model, what: &str) {
    let keys: Vec<_> = model.keys().map(|(key, _)| key).collect();
    let mut iter = table.iter();
    iter.seek_to_first().unwrap();
    let (mut differing, mut said) = (0, 0);
    for pair in keys.windows(2) {
        differing += usize::from(pair[0] != pair[1]);
        said += usize::from(iter.next_differs());
        assert!(!iter.next_differs() || pair[0] != pair[1], "{what}");
        iter.next().unwrap();
    }
    assert!(said * 2 >= differing, "{what}: {said} of {differing}");
}

fn check_walks(table: &Arc<Memtable>, model: &Model, what: &str) {
    check_next_differs(table, model, what);
    let mut iter = table.iter();
    iter.seek_to_first().unwrap();
    for entry in model {
        assert_stands(&iter, Some(entry), what);
        iter.next().unwrap();
    }
    assert_stands(&iter, None, what);
    iter.seek_to_last().unwrap();
    for entry in model.iter().rev() {
        assert_stands(&iter, Some(entry), what);
        iter.prev().unwrap();
    }
    assert_stands(&iter, None, what);
    assert_eq!(table.len(), model.len());
}

#[test]
fn it_reads_like_an_ordered_map_whatever_the_keys_are() {
    let rounds = if cfg!(miri) { 1 } else { 6 };
    for seed in 0..10 * rounds {
        let (family, mut random) = (seed % 10, Random(seed));
        let entries = if cfg!(miri) { 100 } else { random.below(1200) };
        let (table, mut writer) = Memtable::new(16 << 20, &ArenaGauge::new()).unwrap();
        let mut model = Model::new();
        for n in 1..=entries {
            let pure = if seed % 20 < 10 && n <= 64 { PURE } else { 0 };
            let (key, value) = (key(&mut random, family + pure), value(&mut random));
            let tag = Tag::new(SeqNo(n), kind(&mut random));
            writer.insert(InternalKey::new(&key, tag), &value);
            model.insert((key, Reverse(tag)), value);
            if n % 97 == 0 || n == 63 || n == 64 {
                check_reads(
                    &table,
                    &model,
                    &mut random,
                    family,
                    &format!("seed {seed}, entry {n}"),
                );
            }
        }
        check_reads(&table, &model, &mut random, family, &format!("seed {seed}, end"));
        check_walks(&table, &model, &format!("seed {seed}"));
    }
}

#[test]
fn versions_out_of_order_and_sorted_runs_find_their_places() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let (table, mut writer) = Memtable::new(4 << 20, &ArenaGauge::new()).unwrap();
        let mut model = Model::new();
        let mut seq = 0;
        for _ in 0..60 {
            // A run upward, downward or on one key, from any place; tags fall too.
            let (start, step) = (random.below(500) as i64, [1, -1, 0, 7][random.below(4) as usize]);
            for i in 0..random.below(20) as i64 {
                seq += 1;
                let key = format!("\x01{:08}", start + i * step + 1000).into_bytes();
                let number = if seed % 2 == 0 { seq } else { (1 << 20) - seq };
                let tag = Tag::new(SeqNo(number), Kind::Put);
                writer.insert(InternalKey::new(&key, tag), b"v");
                model.insert((key, Reverse(tag)), b"v".to_vec());
            }
        }
        check_walks(&table, &model, &format!("seed {seed}"));
    }
}

#[test]
fn the_longest_keys_and_large_values_come_back_whole() {
    let (table, mut writer) = Memtable::new(8 << 20, &ArenaGauge::new()).unwrap();
    let mut model = Model::new();
    for n in 0..90_u64 {
        let mut key = vec![0xFF; SCOPED_KEY_BYTES_MAX - (n % 3) as usize];
        *key.last_mut().unwrap() = n as u8;
        if n >= 40 {
            key.truncate(n as usize);
        }
        let value = vec![n as u8; if n == 7 { 1 << 20 } else { n as usize }];
        let tag = Tag::new(SeqNo(n), Kind::Put);
        writer.insert(InternalKey::new(&key, tag), &value);
        model.insert((key, Reverse(tag)), value);
    }
    check_walks(&table, &model, "long");
    for ((key, tag), value) in &model {
        assert_eq!(table.get(key, tag.0.seq()), Some((tag.0, &value[..])));
    }
}

#[test]
fn entries_that_fit_by_their_bounds_never_panic_and_leave_little_unused() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let capacity = random.below(20_000) as usize;
        let gauge = ArenaGauge::new();
        let (table, mut writer) = Memtable::new(capacity, &gauge).unwrap();
        let mut seq = 0;
        loop {
            // A batch is asked for as a whole, by the sum of its bounds.
            let batch: Vec<(Vec<u8>, Vec<u8>)> = (0..1 + random.below(4))
                .map(|_| (key(&mut random, 0), vec![7; random.below(50) as usize]))
                .collect();
            let bound =
                batch.iter().map(|(k, v)| Memtable::entry_bytes_max(k.len(), v.len())).sum();
            let before = table.bytes_used();
            if !writer.fits(bound) {
                // What full leaves were paid for counts as taken: 231 of their bytes.
                let paid = 231 * (seq as usize / 14 + 1) + before / 50;
                assert!(before + bound + paid > capacity, "seed {seed}: refused too early");
                break;
            }
            for (key, value) in &batch {
                seq += 1;
                writer.insert(InternalKey::new(key, Tag::new(SeqNo(seq), Kind::Put)), value);
            }
            let most = capacity + super::tree_insert::RESERVE_BYTES;
            assert!(table.bytes_used() <= most, "seed {seed}");
            assert_eq!(gauge.bytes(), table.memory_bytes());
            assert!(table.memory_bytes() > table.bytes_used(), "its index is memory too");
        }
        assert_eq!(table.capacity_bytes(), capacity);
        assert_eq!(table.len() as u64, seq);
    }
}

/// Rising keys leave full nodes behind; then the same place in them is split over and over.
#[test]
fn versions_of_one_key_take_what_they_were_asked_for_wherever_it_is() {
    const CAPACITY: usize = 256 << 10;
    let put = |writer: &mut MemtableWriter, n: u64, seq: u64| {
        let key = format!("\x01{n:016}").into_bytes();
        let fits = writer.fits(Memtable::entry_bytes_max(key.len(), 0));
        if fits {
            writer.insert(InternalKey::new(&key, Tag::new(SeqNo(seq), Kind::Put)), b"");
        }
        fits
    };
    for hot in (0..500).step_by(3) {
        let (table, mut writer) = Memtable::new(CAPACITY, &ArenaGauge::new()).unwrap();
        for n in 0..500 {
            assert!(put(&mut writer, n, n + 1));
        }
        let versions = (501..).take_while(|&seq| put(&mut writer, hot, seq)).count();
        let used = table.bytes_used();
        assert!(used <= CAPACITY + super::tree_insert::RESERVE_BYTES, "key {hot}: {used} bytes");
        assert!(versions > 2_000, "key {hot}: {versions} versions");
    }
}

#[test]
#[should_panic(expected = "fits into its memtable")]
fn an_entry_that_does_not_fit_panics() {
    let bound = Memtable::entry_bytes_max(1, 1);
    let (_, mut writer) = Memtable::new(bound, &ArenaGauge::new()).unwrap();
    assert!(writer.fits(bound) && !writer.fits(bound + 1));
    for n in 0..2 {
        writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(n), Kind::Put)), b"v");
    }
}

#[test]
fn an_entry_into_an_empty_table_of_exactly_its_bound_fits() {
    for (key_len, value_len) in [(0, 0), (1, 0), (17, 100), (65_543, 0), (8, 70_000)] {
        let bound = Memtable::entry_bytes_max(key_len, value_len);
        let (table, mut writer) = Memtable::new(bound, &ArenaGauge::new()).unwrap();
        assert!(writer.fits(bound));
        let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
        writer.insert(InternalKey::new(&key, Tag::new(SeqNo(1), Kind::Put)), &value);
        assert_eq!(table.get(&key, SeqNo(1)).unwrap().1, value);
    }
}

#[test]
fn the_gauge_counts_arenas_until_the_last_value_lets_go() {
    let gauge = ArenaGauge::new();
    let (small, mut small_writer) = Memtable::new(1 << 10, &gauge).unwrap();
    assert_eq!(small.memory_bytes(), 0, "nothing is touched yet");
    small_writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(1), Kind::Put)), b"v");
    let small_bytes = small.memory_bytes();
    assert_eq!(gauge.bytes(), small_bytes);

    let (large, mut writer) = Memtable::new(64 << 20, &gauge).unwrap();
    assert_eq!(gauge.bytes(), small_bytes, "reserved is not used");
    writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(2), Kind::Put)), &vec![5; 100_000]);
    let counted = gauge.bytes() - small_bytes;
    assert!((0..64 << 10).contains(&(counted - large.memory_bytes())));

    let (tag, value) = large.get_value(b"k", SeqNo::MAX, false).unwrap();
    let (_, copied) = large.get_value(b"k", SeqNo::MAX, true).unwrap();
    let mut iter = large.iter();
    iter.seek_to_first().unwrap();
    let from_iter = iter.value_handle();
    drop((large, writer, iter));
    assert_eq!(gauge.bytes(), small_bytes + counted, "pinned by values");
    assert_eq!((tag, &value[..]), (Tag::new(SeqNo(2), Kind::Put), &[5; 100_000][..]));
    assert_eq!(value, *copied);
    drop(value);
    assert_eq!(from_iter, *copied);
    drop(from_iter);
    assert_eq!(gauge.bytes(), small_bytes, "a copy pins nothing");
    drop((small, small_writer));
    assert_eq!(gauge.bytes(), 0);
}

/// A table of 2 MiB with 8,000 entries, which differ from seed to seed; all are found again.
#[cfg(not(miri))]
fn filled_and_checked(gauge: &ArenaGauge, seed: u64) -> Arc<Memtable> {
    let (table, mut writer) = Memtable::new(2 << 20, gauge).unwrap();
    let mut random = Random(seed);
    let mut model = BTreeMap::new();
    for n in 1..=8_000 {
        let (key, value) = (key(&mut random, PURE + seed % 6), random.next().to_le_bytes());
        writer.insert(InternalKey::new(&key, Tag::new(SeqNo(n), Kind::Put)), &value);
        model.insert(key, value);
        if n % 1_000 == 0 {
            table.populate_ahead();
        }
    }
    for (key, value) in &model {
        assert_eq!(table.get(key, SeqNo::MAX).unwrap().1, value, "seed {seed}");
        assert_eq!(table.get_by_tree(key, SeqNo::MAX).unwrap().1, value, "seed {seed}");
    }
    let mut iter = table.iter();
    let (mut entries, mut keys) = (0, Vec::new());
    let mut valid = iter.seek_to_first().unwrap();
    while valid {
        entries += 1;
        keys.push(iter.key().scoped.to_vec());
        valid = iter.next().unwrap();
    }
    keys.dedup();
    assert!(keys.iter().eq(model.keys()), "seed {seed}");
    assert_eq!(entries, 8_000, "seed {seed}");
    table
}

#[cfg(not(miri))]
#[test]
fn the_memory_of_a_dropped_arena_serves_the_next_of_its_size() {
    let gauge = ArenaGauge::new();
    assert!(!gauge.release_spare(), "there was no arena yet");
    for seed in 0..10 {
        filled_and_checked(&gauge, seed);
        assert_eq!(gauge.bytes(), 0, "what is kept is not in use");
    }
    let (first, second) = (filled_and_checked(&gauge, 20), filled_and_checked(&gauge, 21));
    assert!(!gauge.release_spare(), "the first one took it");
    drop(first);
    let of_another_size = Memtable::new(1 << 20, &gauge).unwrap();
    assert!(gauge.release_spare(), "it fits only an arena of its size");
    gauge.keep_none();
    drop((second, of_another_size));
    assert!(!gauge.release_spare(), "nothing is kept after that");
}

#[cfg(not(miri))]
#[test]
fn of_a_large_arena_only_the_first_part_stays_in_memory() {
    let gauge = ArenaGauge::new();
    let value = [7; 1 << 20];
    let tag = |n| Tag::new(SeqNo(n), Kind::Put);
    for round in 0..3 {
        let (table, mut writer) = Memtable::new(64 << 20, &gauge).unwrap();
        assert_eq!(gauge.spare_bytes(), 0, "round {round}");
        for n in 1..=50_u64 {
            writer.insert(InternalKey::new(&key(&mut Random(n), PURE), tag(n)), &value);
        }
        for n in 1..=50_u64 {
            let found = table.get(&key(&mut Random(n), PURE), SeqNo::MAX);
            assert_eq!(found.unwrap().1, value, "round {round}");
        }
        let index_bytes = table.memory_bytes() - table.bytes_used();
        drop((table, writer));
        // Its index and the first entries.
        assert_eq!(gauge.spare_bytes(), index_bytes + (4 << 20), "round {round}");
        assert_eq!(gauge.bytes(), 0, "round {round}");
    }
    assert!(gauge.release_spare());
    assert_eq!(gauge.spare_bytes(), 0);
}

#[cfg(not(miri))]
#[test]
fn however_fast_entries_come_what_is_kept_has_a_limit() {
    let gauge = ArenaGauge::new();
    let filled = |n, mib: usize| {
        let (table, mut writer) = Memtable::new(64 << 20, &gauge).unwrap();
        writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(n), Kind::Put)), &vec![7; mib << 20]);
        (table, writer)
    };
    let (flushed, next) = (filled(1, 50), filled(2, 60));
    let index_bytes = next.0.memory_bytes() - next.0.bytes_used();
    drop(flushed);
    assert_eq!(gauge.spare_bytes(), index_bytes + (4 << 20));
    drop(next);
    assert_eq!(gauge.spare_bytes(), index_bytes + (4 << 20), "one is enough");
    gauge.release_spare();

    // One that was made ahead has as much.
    let (flushed, active) = (filled(3, 50), filled(4, 32));
    active.0.populate_ahead();
    assert_eq!(gauge.spare_bytes(), index_bytes + (4 << 20));
    drop(flushed);
    assert_eq!(gauge.spare_bytes(), index_bytes + (4 << 20));
    drop(active);
    gauge.release_spare();

    // Nor is the index of a very large one kept whole.
    let (huge, mut writer) = Memtable::new(1 << 30, &gauge).unwrap();
    writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(5), Kind::Put)), b"v");
    assert!(huge.memory_bytes() > 32 << 20);
    drop((huge, writer));
    assert!(gauge.spare_bytes() <= 16 << 20);
}

#[test]
fn memory_is_brought_in_ahead_once_an_arena_is_in_use() {
    let (table, mut writer) = Memtable::new(8 << 20, &ArenaGauge::new()).unwrap();
    assert!(!table.lacks_memory_ahead(), "nothing is taken for an empty one");
    table.populate_ahead();
    writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(1), Kind::Put)), &vec![7; 2 << 20]);
    if cfg!(not(miri)) {
        assert!(table.lacks_memory_ahead());
    }
    table.populate_ahead();
    assert!(!table.lacks_memory_ahead());
    assert_eq!(table.get(b"k", SeqNo::MAX).unwrap().1, vec![7; 2 << 20]);
    assert_eq!(table.len(), 1);
}

#[cfg(not(miri))]
#[test]
fn a_table_half_full_has_memory_made_for_the_next() {
    let gauge = ArenaGauge::new();
    let (table, mut writer) = Memtable::new(32 << 20, &gauge).unwrap();
    let mut fill = |n, mib: usize| {
        writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(n), Kind::Put)), &vec![7; mib << 20]);
        table.populate_ahead();
    };
    fill(1, 15);
    assert!(!table.wants_spare());
    assert_eq!(gauge.spare_bytes(), 0);
    fill(2, 1);
    assert!(table.wants_spare() && !table.lacks_memory_ahead());
    // Its index and the first entries.
    let made = gauge.spare_bytes();
    assert_eq!(made, table.memory_bytes() - table.bytes_used() + (4 << 20));
    fill(3, 1);
    assert_eq!(gauge.spare_bytes(), made, "one is enough");
    let (next, mut next_writer) = Memtable::new(32 << 20, &gauge).unwrap();
    assert_eq!(gauge.spare_bytes(), 0, "it was taken");
    next_writer.insert(InternalKey::new(b"k", Tag::new(SeqNo(4), Kind::Put)), b"v");
    assert_eq!(next.get(b"k", SeqNo::MAX).unwrap().1, b"v");
    gauge.keep_none();
    table.populate_ahead();
    assert_eq!(gauge.spare_bytes(), 0, "none is made that nobody may keep");
}

#[test]
fn an_empty_table_has_nothing_either_way() {
    let (table, _) = Memtable::new(0, &ArenaGauge::new()).unwrap();
    let target = InternalKey::seek(b"", SeqNo::MAX);
    let mut iter = table.iter();
    assert!(!iter.valid() && table.is_empty());
    assert!(!iter.seek_to_first().unwrap() && !iter.seek_to_last().unwrap());
    assert!(!iter.seek(target).unwrap() && !iter.seek_before(target).unwrap());
    assert_eq!(table.get(b"", SeqNo::MAX), None);
}

#[test]
fn a_capacity_past_the_offsets_is_refused() {
    let error = Memtable::new(usize::MAX, &ArenaGauge::new()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
    assert!(Memtable::new(33 << 30, &ArenaGauge::new()).is_err());
}
