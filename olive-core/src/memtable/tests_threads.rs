//! One writer and three readers at once. Readers assert only on what was published
//! before their search began, and that whatever else they meet is whole and in order.

use super::tests::Random;
use super::*;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, Kind, SeqNo, Tag};
use crate::sync::{AtomicU64, Ordering};

const KEYS: u64 = if cfg!(miri) { 60 } else { 5000 };
const ENTRIES: u64 = if cfg!(miri) { 200 } else { 40_000 };

/// The nth entry's key: a function of n, so that a reader knows what must be there.
pub(super) fn key(n: u64, shape: u64) -> Vec<u8> {
    let id = Random(n).below(KEYS);
    match (shape, id % 16) {
        // Breaks the common prefix, on either side.
        (0, 0) => format!("\x01{}", id % 7).into_bytes(),
        (0, 1) => format!("\x02{id}").into_bytes(),
        (0, _) => format!("\x01{id:016}").into_bytes(),
        // Sequential and new, each one.
        (1, _) => format!("\x01{n:016}").into_bytes(),
        // Falling: each insert is the new first.
        _ => (u64::MAX - n).to_be_bytes().to_vec(),
    }
}

pub(super) fn value(n: u64) -> Vec<u8> {
    vec![n as u8; (n % 60) as usize]
}

fn check(key_found: InternalKey<'_>, value_found: &[u8], shape: u64) {
    let n = key_found.tag.seq().0;
    assert_eq!(key_found.scoped, key(n, shape), "shape {shape}, entry {n}");
    assert_eq!(value_found, value(n), "shape {shape}, entry {n}");
}

pub(super) fn search(table: &Arc<Memtable>, published: u64, shape: u64, random: &mut Random) {
    let n = 1 + random.below(published);
    let scoped = key(n, shape);
    let by_tree = table.get_by_tree(&scoped, SeqNo(n)).expect("published entries are in the tree");
    assert_eq!(by_tree.0, Tag::new(SeqNo(n), Kind::Put), "shape {shape}");
    let (tag, found) = table.get(&scoped, SeqNo(n)).expect("published entries are found");
    assert_eq!(tag, Tag::new(SeqNo(n), Kind::Put), "shape {shape}");
    assert_eq!(found, value(n));
    let mut iter = table.iter();
    assert!(iter.seek(InternalKey::new(&scoped, tag)).unwrap());
    assert_eq!(iter.key(), InternalKey::new(&scoped, tag));
    // The newest at or below `published` of this key lies at or before entry n.
    let (newest, _) = table.get(&scoped, SeqNo(published)).unwrap();
    assert!(newest >= tag && newest.seq().0 <= published);
    assert!(iter.seek(InternalKey::seek(&scoped, SeqNo(published))).unwrap());
    assert_eq!(iter.key(), InternalKey::new(&scoped, newest));
    if iter.seek_before(InternalKey::new(&scoped, newest)).unwrap() {
        assert!(iter.key() < InternalKey::new(&scoped, newest));
        check(iter.key(), iter.value(), shape);
        // From there forward, nothing published lies between.
        while iter.next().unwrap() && iter.key().tag.seq().0 > published {}
        assert_eq!(iter.key(), InternalKey::new(&scoped, newest));
    }
}

pub(super) fn check_walk(table: &Arc<Memtable>, published: u64, shape: u64, backward: bool) {
    let mut iter = table.iter();
    let mut seen = 0;
    let mut before: Option<(Vec<u8>, Tag)> = None;
    let mut more = if backward { iter.seek_to_last() } else { iter.seek_to_first() }.unwrap();
    while more {
        check(iter.key(), iter.value(), shape);
        if let Some((scoped, tag)) = &before {
            let before = InternalKey::new(scoped, *tag);
            assert!(if backward { iter.key() < before } else { before < iter.key() });
        }
        before = Some((iter.key().scoped.to_vec(), iter.key().tag));
        seen += u64::from(iter.key().tag.seq().0 <= published);
        more = if backward { iter.prev() } else { iter.next() }.unwrap();
    }
    assert_eq!(seen, published, "shape {shape}, backward {backward}");
}

#[test]
fn readers_find_all_that_was_published_before_they_searched() {
    for shape in 0..3 {
        let (table, mut writer) = Memtable::new(16 << 20, &ArenaGauge::new()).unwrap();
        let published = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for reader in 0..3 {
                let (table, published) = (&table, &published);
                threads.spawn(move || {
                    let mut random = Random(reader);
                    loop {
                        let seq = published.load(Ordering::Acquire);
                        for _ in 0..if seq == 0 { 0 } else { 50 } {
                            search(table, published.load(Ordering::Acquire), shape, &mut random);
                        }
                        check_walk(
                            table,
                            published.load(Ordering::Acquire),
                            shape,
                            random.below(2) == 0,
                        );
                        if seq == ENTRIES {
                            break;
                        }
                    }
                });
            }
            for n in 1..=ENTRIES {
                let key = key(n, shape);
                let tag = Tag::new(SeqNo(n), Kind::Put);
                writer.insert(InternalKey::new(&key, tag), &value(n));
                published.store(n, Ordering::Release);
            }
        });
        assert_eq!(table.len() as u64, ENTRIES);
    }
}
