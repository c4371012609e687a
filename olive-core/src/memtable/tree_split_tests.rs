//! What readers meet between the stores of a split, which threads hit too seldom.

use super::tree::{FIRST_LEAF, Tree};
use super::tree_insert::{path_to, table_and_writer};
use super::tree_nodes::{INNER_CHILDREN, InnerAt, LEAF_ENTRIES, LeafAt, SlotOrder};
use super::tree_split::{Child, KEPT, copy_upper_half, insert_child, link_back, link_right};
use super::{ArenaGauge, Memtable, MemtableIter, MemtableWriter};
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, Kind, SeqNo, Tag};
use crate::sync::{Arc, Ordering};

fn key(n: u64) -> Vec<u8> {
    format!("\x01{n:016}").into_bytes()
}

fn put(seq: u64) -> Tag {
    Tag::new(SeqNo(seq), Kind::Put)
}

fn number(iter: &MemtableIter) -> u64 {
    std::str::from_utf8(&iter.key().scoped[1..]).unwrap().parse().unwrap()
}

fn walk(iter: &mut MemtableIter, mut more: bool, backward: bool) -> Vec<u64> {
    let mut found = Vec::new();
    while more {
        found.push(number(iter));
        more = if backward { iter.prev() } else { iter.next() }.unwrap();
    }
    found
}

/// Every way to read finds just `present`, which are rising even numbers.
fn check_all(table: &Arc<Memtable>, present: &[u64], what: &str) {
    let mut iter = table.iter();
    let more = iter.seek_to_first().unwrap();
    assert_eq!(walk(&mut iter, more, false), present, "{what}: forward");
    let more = iter.seek_to_last().unwrap();
    let mut backward = walk(&mut iter, more, true);
    backward.reverse();
    assert_eq!(backward, present, "{what}: backward");
    for n in 0..present[present.len() - 1] + 3 {
        let (scoped, at) = (key(n), present.partition_point(|&p| p < n));
        let is_there = present.get(at) == Some(&n);
        assert_eq!(table.get_by_tree(&scoped, SeqNo::MAX).is_some(), is_there, "{what}: get {n}");
        let target = InternalKey::seek(&scoped, SeqNo::MAX);
        let found = iter.seek(target).unwrap().then(|| number(&iter));
        assert_eq!(found, present.get(at).copied(), "{what}: seek {n}");
        if found.is_some() {
            assert_eq!(walk(&mut iter, true, false), &present[at..], "{what}: on from {n}");
        }
        let found = iter.seek_before(target).unwrap().then(|| number(&iter));
        assert_eq!(found, at.checked_sub(1).map(|at| present[at]), "{what}: before {n}");
        if found.is_some() {
            let mut all = walk(&mut iter, true, true);
            all.reverse();
            assert_eq!(all, &present[..at], "{what}: back from {n}");
        }
    }
}

/// A table of even numbers, shuffled, in which the leaf of the first full one is full.
fn with_a_full_leaf(entries: u64) -> (Arc<Memtable>, MemtableWriter, Vec<u64>, LeafAt) {
    let (table, mut writer) = table_and_writer(1 << 20, &ArenaGauge::new()).unwrap();
    let mut present = Vec::new();
    let is_full = |tree: &Tree, at: LeafAt| {
        // SAFETY: a leaf of this tree.
        let leaf = unsafe { tree.leaf(at) };
        SlotOrder(leaf.order.load(Ordering::Relaxed)).count() == LEAF_ENTRIES
    };
    for n in 0.. {
        let even = 2 * (n * 7_919 % entries);
        writer.insert(InternalKey::new(&key(even), put(1)), b"v");
        present.push(even);
        let (scoped, tree) = (key(even), &table.tree);
        let at = path_to(tree, &tree.target(InternalKey::new(&scoped, put(1)))).leaf;
        if n >= entries / 2 && is_full(tree, at) && tree.last_leaf.load(Ordering::Relaxed) != at.0 {
            present.sort_unstable();
            return (table, writer, present, at);
        }
    }
    unreachable!()
}

/// Cursors on every entry, to go on after something has changed.
fn cursors(table: &Arc<Memtable>, present: &[u64]) -> Vec<MemtableIter> {
    let stand = |&n: &u64| {
        let (scoped, mut iter) = (key(n), table.iter());
        assert!(iter.seek(InternalKey::seek(&scoped, SeqNo::MAX)).unwrap());
        iter
    };
    present.iter().map(stand).collect()
}

#[test]
fn a_leaf_that_is_half_split_hides_nothing_and_shows_nothing_twice() {
    for entries in [60, 150, 1_000] {
        let (table, mut writer, present, left) = with_a_full_leaf(entries);
        let (tree, inserter) = (&table.tree, &mut writer.inserter);
        let mut before = vec![(cursors(&table, &present), cursors(&table, &present))];
        // SAFETY: the writer is here, and `left` a full leaf.
        unsafe {
            let first = tree.first_of(left);
            let path = path_to(tree, &tree.target(tree.key(first)));
            let right = inserter.new_leaf(tree, left);
            copy_upper_half(tree, left, right);
            for step in 0..5 {
                match step {
                    0 => {}
                    1 => link_right(tree, left, right),
                    2 => inserter.index(tree, &path, right),
                    3 => inserter.give_up_upper_half(tree, left),
                    _ => link_back(tree, right),
                }
                check_all(&table, &present, &format!("{entries} entries, step {step}"));
                before.push((cursors(&table, &present), cursors(&table, &present)));
            }
        }
        // Slots of the upper half are filled again: by odd numbers in the left leaf.
        let scoped = {
            // SAFETY: a leaf of the tree.
            let mut scoped = unsafe { table.tree.key(table.tree.first_of(left)) }.scoped.to_vec();
            scoped.push(b'x');
            scoped
        };
        for n in 0..LEAF_ENTRIES as u64 - KEPT as u64 {
            writer.insert(InternalKey::new(&scoped, put(100 - n)), b"later");
        }
        for (step, (on, back)) in before.into_iter().enumerate() {
            let what = format!("{entries} entries, a cursor from step {step}");
            check_cursors(on, &present, false, &what);
            check_cursors(back, &present, true, &what);
        }
    }
}

/// Each cursor goes on over all that was there, and may meet what was inserted later.
fn check_cursors(cursors: Vec<MemtableIter>, present: &[u64], backward: bool, what: &str) {
    for (at, mut iter) in cursors.into_iter().enumerate() {
        let (mut found, mut more) = (Vec::new(), true);
        while more {
            if iter.value() == b"v" {
                found.push(number(&iter));
            }
            more = if backward { iter.prev() } else { iter.next() }.unwrap();
        }
        if backward {
            found.reverse();
            assert_eq!(found, &present[..=at], "{what}, back");
        } else {
            assert_eq!(found, &present[at..], "{what}, on");
        }
    }
}

#[test]
fn an_inner_node_that_is_being_changed_never_leads_too_far_to_the_right() {
    for seed in 0..40_u64 {
        let (table, mut writer) = table_and_writer(1 << 20, &ArenaGauge::new()).unwrap();
        let entries = 100 + seed * 3;
        let present: Vec<u64> = (0..entries).map(|n| 2 * n).collect();
        for n in 0..entries {
            let even = 2 * (n * 7_919 % entries);
            writer.insert(InternalKey::new(&key(even), put(1)), b"v");
        }
        let tree = &table.tree;
        assert_eq!(tree.root.load(Ordering::Relaxed) >> 32, 1);
        let mut left = FIRST_LEAF;
        // SAFETY: the writer is here; each leaf is split as the writer would, but the
        // readers look after every store into the inner node.
        unsafe {
            while left != LeafAt::NONE {
                let leaf = tree.leaf(left);
                let after = LeafAt(leaf.next.load(Ordering::Relaxed));
                let inner = tree.inner(InnerAt(tree.root.load(Ordering::Relaxed) as u32));
                let count = inner.count.load(Ordering::Relaxed) as usize;
                let is_full = SlotOrder(leaf.order.load(Ordering::Relaxed)).count() == LEAF_ENTRIES;
                if is_full && count < INNER_CHILDREN {
                    let place = (0..count)
                        .position(|c| inner.children[c].load(Ordering::Relaxed) == left.0)
                        .unwrap();
                    let right = writer.inserter.new_leaf(tree, left);
                    copy_upper_half(tree, left, right);
                    link_right(tree, left, right);
                    writer.inserter.give_up_upper_half(tree, left);
                    let child = Child {
                        head: tree.leaf(right).heads[0].load(Ordering::Relaxed),
                        first: tree.first_of(right),
                        at: right.0,
                    };
                    let mut looks = 0;
                    insert_child(inner, place + 1, child, || {
                        looks += 1;
                        for &n in &present {
                            assert!(
                                table.get_by_tree(&key(n), SeqNo::MAX).is_some(),
                                "{n} is lost"
                            );
                        }
                    });
                    assert!(looks > 0 || place + 1 == count);
                    link_back(tree, right);
                }
                left = after;
            }
        }
        check_all(&table, &present, &format!("seed {seed}"));
    }
}
