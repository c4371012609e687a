//! What a script can do, and how likely each of it is.
//!
//! Numbers in an operation choose among what there is when it runs (modulo), so
//! that a script stays a script when operations are taken out of it.

use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

/// One run: an option set by its number, and what is done.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) set: usize,
    pub(super) ops: Vec<Op>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Plain,
    Durable,
    Buffered,
    DeadlineMs(u16),
}

/// What is read from. A space is 0 for the default keyspace, or a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Now(u8),
    Then(u8),
    /// A snapshot, and the name of a keyspace in it.
    ThenIn(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    First,
    Last,
    Next,
    Prev,
    Seek(u16),
    SeekForPrev(u16),
}

/// What is left of the disk. `back`: so many mutations ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Kill,
    Synced,
    Everything,
    Random(u64),
    Torn(u16),
    TailZeros,
    TailGarbage(u64),
    SpoiledZeros,
    SpoiledGarbage(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Put {
        space: u8,
        key: u16,
        len: u32,
        how: How,
    },
    Delete {
        space: u8,
        key: u16,
        how: How,
    },
    Batch {
        ops: Vec<(u8, u16, Option<u32>)>,
        how: How,
    },
    /// Puts a run of numbered keys.
    Fill {
        space: u8,
        first: u8,
        count: u8,
        len: u32,
    },
    /// Deletes a run of numbered keys.
    Erase {
        space: u8,
        first: u8,
        count: u8,
    },
    Keyspace {
        name: u8,
    },
    DropKeyspace {
        name: u8,
    },
    Snapshot {
        space: u8,
    },
    Release {
        snapshot: u8,
    },
    Get {
        from: From,
        key: u16,
    },
    MultiGet {
        from: From,
        keys: Vec<u16>,
    },
    /// A range walked from both ends: a set bit is a step from the back.
    Range {
        from: From,
        start: Bound<u16>,
        end: Bound<u16>,
        turns: u64,
    },
    Prefix {
        from: From,
        key: u16,
        len: u8,
        turns: u64,
    },
    Cursor {
        from: From,
    },
    Move {
        cursor: u8,
        moves: Vec<Move>,
    },
    Iter {
        from: From,
        start: Bound<u16>,
        end: Bound<u16>,
    },
    Step {
        iter: u8,
        steps: u8,
        turns: u64,
    },
    Flush,
    Compact {
        space: u8,
        start: Bound<u16>,
        end: Bound<u16>,
    },
    Maintain {
        steps: u8,
    },
    Sync,
    Advance {
        ms: u16,
    },
    /// Lets the sync interval pass and maintenance come to rest.
    Rest,
    Reopen {
        by_drop: bool,
    },
    /// `again`: one more within the recovery, at so many of 256 parts of it.
    Crash {
        cut: Cut,
        back: u8,
        again: Option<(u8, Cut)>,
    },
    ReadOnly,
    Checkpoint {
        go_on: bool,
    },
    Verify,
    Compare,
    /// Lets go of everything and compacts everything.
    Settle,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        90 => writes(),
        90 => reads(),
        40 => upkeep(),
        4 => ends(),
    ]
}

fn writes() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (space(), key(), len(), how())
            .prop_map(|(space, key, len, how)| Op::Put { space, key, len, how }),
        14 => (space(), key(), how()).prop_map(|(space, key, how)| Op::Delete { space, key, how }),
        14 => (vec((space(), key(), proptest::option::weighted(0.7, len())), 0..9), how())
            .prop_map(|(ops, how)| Op::Batch { ops, how }),
        5 => (space(), any::<u8>(), 1..40_u8, 0..120_u32)
            .prop_map(|(space, first, count, len)| Op::Fill { space, first, count, len }),
        2 => (space(), any::<u8>(), 1..60_u8)
            .prop_map(|(space, first, count)| Op::Erase { space, first, count }),
        8 => (0..5_u8).prop_map(|name| Op::Keyspace { name }),
        4 => (0..5_u8).prop_map(|name| Op::DropKeyspace { name }),
    ]
}

fn reads() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => space().prop_map(|space| Op::Snapshot { space }),
        4 => any::<u8>().prop_map(|snapshot| Op::Release { snapshot }),
        20 => (from(), key()).prop_map(|(from, key)| Op::Get { from, key }),
        4 => (from(), vec(key(), 0..40)).prop_map(|(from, keys)| Op::MultiGet { from, keys }),
        8 => (from(), bound(), bound(), turns())
            .prop_map(|(from, start, end, turns)| Op::Range { from, start, end, turns }),
        4 => (from(), key(), 0..6_u8, turns())
            .prop_map(|(from, key, len, turns)| Op::Prefix { from, key, len, turns }),
        4 => from().prop_map(|from| Op::Cursor { from }),
        14 => (any::<u8>(), vec(step(), 1..16))
            .prop_map(|(cursor, moves)| Op::Move { cursor, moves }),
        3 => (from(), bound(), bound())
            .prop_map(|(from, start, end)| Op::Iter { from, start, end }),
        8 => (any::<u8>(), 1..20_u8, turns())
            .prop_map(|(iter, steps, turns)| Op::Step { iter, steps, turns }),
    ]
}

fn upkeep() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Flush),
        3 => (space(), bound(), bound())
            .prop_map(|(space, start, end)| Op::Compact { space, start, end }),
        1 => (0..3_u8).prop_map(|space| {
            Op::Compact { space, start: Bound::Unbounded, end: Bound::Unbounded }
        }),
        24 => (1..12_u8).prop_map(|steps| Op::Maintain { steps }),
        3 => Just(Op::Sync),
        4 => (1..3000_u16).prop_map(|ms| Op::Advance { ms }),
        1 => Just(Op::Rest),
    ]
}

fn ends() -> impl Strategy<Value = Op> {
    let again = proptest::option::weighted(0.3, (any::<u8>(), cut()));
    prop_oneof![
        2 => any::<bool>().prop_map(|by_drop| Op::Reopen { by_drop }),
        6 => (cut(), back(), again)
            .prop_map(|(cut, back, again)| Op::Crash { cut, back, again }),
        2 => Just(Op::ReadOnly),
        2 => any::<bool>().prop_map(|go_on| Op::Checkpoint { go_on }),
        1 => Just(Op::Verify),
        1 => Just(Op::Compare),
        1 => Just(Op::Settle),
    ]
}

fn space() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0), 2 => 1..8_u8]
}

fn key() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0..ODD_KEYS.len() as u16, 2 => 1000..1040_u16, 1 => 1000..1256_u16]
}

fn len() -> impl Strategy<Value = u32> {
    prop_oneof![
        60 => Just(0),
        300 => 1..40_u32,
        90 => 40..300_u32,
        30 => 300..3_000_u32,
        1 => 60_000..70_000_u32,
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        30 => Just(How::Plain),
        2 => Just(How::Durable),
        1 => Just(How::Buffered),
        1 => Just(How::DeadlineMs(0)),
        1 => (1..1000_u16).prop_map(How::DeadlineMs),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        4 => space().prop_map(From::Now),
        3 => any::<u8>().prop_map(From::Then),
        2 => (any::<u8>(), 0..5_u8).prop_map(|(snapshot, name)| From::ThenIn(snapshot, name)),
    ]
}

fn bound() -> impl Strategy<Value = Bound<u16>> {
    prop_oneof![
        2 => Just(Bound::Unbounded),
        2 => key().prop_map(Bound::Included),
        1 => key().prop_map(Bound::Excluded),
    ]
}

fn turns() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 1 => Just(u64::MAX), 2 => any::<u64>()]
}

fn step() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        6 => Just(Move::Next),
        6 => Just(Move::Prev),
        2 => key().prop_map(Move::Seek),
        2 => key().prop_map(Move::SeekForPrev),
    ]
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        5 => Just(Cut::Kill),
        3 => Just(Cut::Synced),
        3 => Just(Cut::Everything),
        6 => any::<u64>().prop_map(Cut::Random),
        3 => (0..600_u16).prop_map(Cut::Torn),
        2 => Just(Cut::TailZeros),
        2 => any::<u64>().prop_map(Cut::TailGarbage),
        2 => Just(Cut::SpoiledZeros),
        2 => any::<u64>().prop_map(Cut::SpoiledGarbage),
    ]
}

fn back() -> impl Strategy<Value = u8> {
    prop_oneof![1 => Just(0), 1 => 0..8_u8, 1 => any::<u8>()]
}

/// Keys that are likely to be mistaken for one another.
const ODD_KEYS: [&[u8]; 40] = [
    b"",
    b"\0",
    b"\0\0",
    b"\0\0\0\0\0\0\0\0",
    b"\0\x01",
    b"\x01",
    b"\x01\0",
    b"\x02",
    b"\x7F",
    b"\x80",
    b"\xF7",
    b"\xF8",
    b"\xF8\xF8",
    b"\xFE",
    b"\xFE\xFF",
    b"\xFF",
    b"\xFF\0",
    b"\xFF\xFE",
    b"\xFF\xFF",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\x01",
    b"a\xFF",
    b"a\xFF\xFF",
    b"aa",
    b"ab",
    b"b",
    b"b\0",
    b"k",
    b"k0",
    b"k00",
    b"k000",
    b"k0000",
    b"k00000000",
    b"k\xFF",
    b"l",
    b"shared/shared/shared/shared/shared/1",
    b"shared/shared/shared/shared/shared/2",
];

/// The bytes that a script's number for a key stands for.
pub(super) fn key_bytes(key: u16) -> Vec<u8> {
    match ODD_KEYS.get(usize::from(key)) {
        Some(odd) => odd.to_vec(),
        None => numbered(key as u8),
    }
}

/// One of 256 keys, a third of them long, with what they share at the front.
pub(super) fn numbered(number: u8) -> Vec<u8> {
    match number % 3 {
        0 => format!("k{number:04}").into_bytes(),
        1 => format!("shared/{}/{number}", "x".repeat(usize::from(number))).into_bytes(),
        _ => [&[0xFF; 3][..], &u64::from(number).to_be_bytes()].concat(),
    }
}

/// A value that tells which write it is from.
pub(super) fn value(write: usize, len: u32) -> Vec<u8> {
    let tag = (write as u32).to_le_bytes();
    (0..len as usize).map(|i| tag[i % 4] ^ (i >> 8) as u8).collect()
}
