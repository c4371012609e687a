//! Scripts that failed once, each by what it showed. As a failure prints them, so
//! that they stay what they are when the likelihoods of `ops.rs` change.

use std::ops::Bound::Unbounded;

use super::ops::{Cut::*, From::*, How::*, Op, Op::*, Script};
use super::world::run_caught;

fn answers_right(set: usize, ops: Vec<Op>) {
    run_caught(&Script { set, ops }).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// A flush left out the entries of a keyspace whose drop was only in the page cache:
/// after a power cut the keyspace was there again, and empty.
#[test]
fn entries_of_a_keyspace_outlive_a_drop_that_does_not_outlive_a_power_cut() {
    let script = vec![
        Keyspace { name: 2 },
        Put { space: 1, key: 0, len: 0, how: Plain },
        Batch { ops: vec![(0, 0, Some(104)), (0, 0, Some(64)), (0, 0, Some(16))], how: Plain },
        Put { space: 0, key: 1015, len: 270, how: Plain },
        DropKeyspace { name: 2 },
        Maintain { steps: 2 },
        Crash { cut: TailZeros, back: 0, again: None },
    ];
    answers_right(0, script);
}

/// `compact_range` left the last level's first table as it was where that began in
/// front of the range: the default keyspace shares it with the catalog.
#[test]
fn a_tombstone_kept_for_a_snapshot_goes_from_a_table_that_begins_in_front_of_the_range() {
    let script = vec![
        Snapshot { space: 0 },
        Keyspace { name: 0 },
        Delete { space: 0, key: 0, how: Plain },
        Compact { space: 0, start: Unbounded, end: Unbounded },
        Settle,
    ];
    answers_right(2, script);
}
/// Two tables of level 0 were merged into one, which was cut into two at
/// `table_bytes`: at once the same was due again, for ever.
#[test]
fn a_merge_within_level_0_leaves_less_to_merge() {
    let script = vec![
        Get { from: ThenIn(75, 3), key: 1220 },
        Batch {
            ops: vec![
                (0, 1024, None),
                (0, 1068, Some(10)),
                (0, 27, Some(30)),
                (0, 1022, Some(6)),
                (0, 12, Some(24)),
                (1, 31, Some(0)),
            ],
            how: Plain,
        },
        Maintain { steps: 4 },
        Get { from: ThenIn(139, 1), key: 33 },
        Put { space: 0, key: 1124, len: 241, how: Plain },
        Put { space: 6, key: 1074, len: 5, how: Plain },
        Snapshot { space: 0 },
        Fill { space: 0, first: 82, count: 24, len: 33 },
        Erase { space: 4, first: 150, count: 45 },
        Batch {
            ops: vec![
                (0, 1015, Some(2)),
                (5, 1212, None),
                (2, 1182, Some(11)),
                (1, 1034, Some(34)),
                (7, 1012, Some(14)),
                (0, 26, Some(230)),
                (0, 1032, Some(27)),
                (3, 1173, Some(173)),
            ],
            how: Plain,
        },
        Batch {
            ops: vec![(1, 1018, Some(5)), (0, 15, Some(39)), (2, 1015, None), (3, 24, Some(0))],
            how: Plain,
        },
        Keyspace { name: 2 },
        Batch {
            ops: vec![
                (0, 29, Some(2)),
                (3, 1014, Some(68755)),
                (0, 1001, Some(114)),
                (0, 16, Some(0)),
                (0, 22, Some(20)),
                (0, 1180, None),
                (0, 8, None),
            ],
            how: Plain,
        },
        Rest,
        Batch {
            ops: vec![(0, 35, Some(28)), (0, 37, Some(36)), (5, 1035, Some(289)), (5, 1184, None)],
            how: Plain,
        },
        Put { space: 6, key: 1199, len: 173, how: Plain },
        Fill { space: 0, first: 56, count: 32, len: 69 },
        Maintain { steps: 8 },
        Flush,
        Batch {
            ops: vec![
                (0, 1037, Some(220)),
                (0, 1031, None),
                (5, 2, Some(34)),
                (3, 1024, Some(267)),
                (0, 1090, Some(35)),
                (5, 39, Some(8)),
            ],
            how: Plain,
        },
        Fill { space: 5, first: 235, count: 6, len: 91 },
        Put { space: 4, key: 1022, len: 20, how: Durable },
        Maintain { steps: 6 },
        Put { space: 0, key: 0, len: 24, how: Plain },
        Maintain { steps: 4 },
        Put { space: 3, key: 33, len: 6, how: Plain },
        Rest,
    ];
    answers_right(10, script);
}
