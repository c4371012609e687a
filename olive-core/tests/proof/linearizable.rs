//! Durability 9: histories of 8 threads on one key, and on a pair of keys by batches and
//! snapshots, are linearizable, while memtables rotate, flush and compact below them.
//!
//! A ticket is drawn before each call and after it. Machines with few cores would run the
//! threads one after the other, so a thread gives way to the others between drawing and
//! calling, and between its operations; how much did overlap is printed.

mod checker;
mod record;

use checker::{Event, Op, is_linearizable, shrunk};
use record::{HISTORIES_PER_DB, OPS, Recorder, THREADS};

use crate::support::Random;
use crate::tally::{Tally, seed};

#[test]
fn some_histories_are_linearizable() {
    run("linearizable, short", 2 * HISTORIES_PER_DB);
}

#[test]
#[ignore = "takes minutes: 12,000 histories"]
fn linearizable_long() {
    run("linearizable", 12_000);
}

fn run(proof: &'static str, histories: usize) {
    let seed = seed(0x11E);
    let mut random = Random(seed);
    let tally = Tally::new(proof);
    let (mut overlaps, mut overlapped) = (0, 0);
    for set in 0..histories.div_ceil(HISTORIES_PER_DB) {
        let recorder = Recorder::new(set, random.next());
        let recorded = match recorder.record() {
            Ok(recorded) => recorded,
            Err(error) => {
                tally.bad(format!("{recorder}: {error:?}"));
                continue;
            }
        };
        for (number, history) in recorded.histories.into_iter().enumerate() {
            tally.add("histories", 1);
            tally.add("operations", history.len() as u64);
            let (count, events) = overlap(&history);
            overlaps += count;
            overlapped += u64::from(events * 2 >= history.len());
            if !is_linearizable(&history) {
                let what = format!("{recorder}, history {number}: not linearizable");
                tally.bad(format!("{what}: {:#?}", shrunk(history)));
                continue;
            }
            for planted in planted(&history, &mut random) {
                tally.add("planted", 1);
                tally.add("planted caught", u64::from(!is_linearizable(&planted)));
            }
        }
        tally.add("rotated and flushed", recorded.flushes);
        tally.add("compactions", recorded.compactions);
    }
    let total = tally.count("histories");
    println!(
        "{THREADS} threads x {OPS} operations; an operation overlaps {:.1} others on average; \
         in {:.1} % of the histories at least half of the operations overlap another",
        overlaps as f64 / tally.count("operations").max(1) as f64,
        overlapped as f64 * 100.0 / total.max(1) as f64,
    );
    tally.close();
    assert_eq!(tally.count("planted"), tally.count("planted caught"), "{tally}");
    assert!(tally.count("planted") >= total, "{tally}");
    assert!(overlapped * 10 >= total * 9, "the threads ran one after the other: {overlapped}");
    assert!(tally.count("compactions") > 0, "{tally}");
}

/// How many pairs of another thread's operation each has at the same time, in all, and
/// how many operations have any.
fn overlap(history: &[Event]) -> (u64, usize) {
    let others = |event: &Event| history.iter().filter(|o| o.overlaps(event)).count() - 1;
    let counts: Vec<usize> = history.iter().map(others).collect();
    (counts.iter().map(|&n| n as u64).sum(), counts.iter().filter(|&&n| n > 0).count())
}

/// The history spoiled, so that no order explains it: a read of what is written only
/// later, a read of what was surely written over, and a write that a read saw, left out.
fn planted(history: &[Event], random: &mut Random) -> Vec<Vec<Event>> {
    let is_get = |(_, event): &(usize, &Event)| matches!(event.op, Op::Read([Some(_), None]));
    let gets: Vec<(usize, &Event)> = history.iter().enumerate().filter(is_get).collect();
    let puts: Vec<(u32, &Event)> = history
        .iter()
        .filter_map(|event| match event.op {
            Op::Write([Some(Some(value)), _]) => Some((value, event)),
            _ => None,
        })
        .collect();
    let mut spoiled = Vec::new();
    let from = random.below(gets.len().max(1) as u64) as usize;
    let some_get = || gets.iter().cycle().skip(from).take(gets.len());
    let with = |at: usize, value| {
        let mut history = history.to_vec();
        history[at].op = Op::Read([Some(Some(value)), None]);
        history
    };
    spoiled.extend(some_get().find_map(|(at, get)| {
        let later = puts.iter().find(|(_, put)| put.began > get.ended);
        later.map(|(value, _)| with(*at, *value))
    }));
    spoiled.extend(some_get().find_map(|(at, get)| {
        let over = |old: &Event| {
            let between = |new: &&Event| new.began > old.ended && new.ended < get.began;
            history.iter().filter(between).any(|new| matches!(new.op, Op::Write([Some(_), _])))
        };
        let stale = puts.iter().find(|(_, put)| over(put));
        stale.map(|(value, _)| with(*at, *value))
    }));
    spoiled.extend(some_get().find_map(|(_, get)| {
        let Op::Read([Some(Some(seen)), None]) = get.op else { return None };
        let (_, put) = puts.iter().find(|(value, _)| *value == seen)?;
        Some(history.iter().filter(|event| event.began != put.began).copied().collect())
    }));
    spoiled
}
