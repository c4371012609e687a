use super::*;
use crate::plan::{Selection, Size, groups};

fn random_group() -> Group {
    let selection = Selection {
        ops: 2_000_000,
        sizes: vec![Size { key_bytes: 16, value_bytes: 100 }],
        sync: false,
        threads: 1,
        ycsb: false,
        settle: false,
        memory: false,
        growth: false,
    };
    groups(&selection).into_iter().find(|group| group.id == "16x100/random").unwrap()
}

fn with_rate(ops: u64) -> Outcome {
    let side = Side { ops, seconds: 1.0, latency: None };
    Outcome { puts: Some(side), gets: Some(side), finished: true, ..Outcome::default() }
}

fn state(figures: &[(&str, &str, &[u64])]) -> State {
    let mut state = State::in_memory();
    for (phase, engine, rounds) in figures {
        for (at, &ops) in rounds.iter().enumerate() {
            let (phase, engine) = ((*phase).to_owned(), (*engine).to_owned());
            let key =
                Key { group: "16x100/random".to_owned(), phase, engine, round: at as u32 + 1 };
            state.record(key, with_rate(ops)).unwrap();
        }
    }
    state
}

fn find_line<'a>(lines: &'a [Line], title: &str) -> &'a Line {
    lines.iter().find(|line| line.title == title).unwrap()
}

#[test]
fn medians_of_odd_even_and_no_figures() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
    assert_eq!(median(std::iter::empty()), None);
}

#[test]
fn a_ratio_is_the_median_of_the_rounds_ratios() {
    // The machine was half as fast in the last round: no ratio changes by it.
    let state = state(&[
        ("fillrandom", "olive", &[300, 320, 150]),
        ("fillrandom", "leveldb", &[100, 100, 50]),
        ("fillrandom", "rocksdb", &[90, 90, 45]),
    ]);
    let lines = lines(&[random_group()], &state, 3);
    let fill = find_line(&lines, "fillrandom");
    let best = fill.best.as_ref().unwrap();
    assert_eq!((best.peer, best.ratio), ("leveldb", 3.0));
    assert_eq!(fill.goals[0].met, Some(true));
}

#[test]
fn a_goal_that_is_missed_is_told() {
    let state = state(&[
        ("readrandom", "olive", &[110]),
        ("readrandom", "lmdb", &[100]),
        ("readrandom", "leveldb", &[40]),
    ]);
    let lines = lines(&[random_group()], &state, 1);
    let goals = &find_line(&lines, "readrandom, hit").goals;
    assert_eq!(goals[0].goal, "≥ 1.2 × lmdb");
    assert_eq!(goals[0].met, Some(false));
    assert_eq!((goals[1].goal.as_str(), goals[1].met), ("≥ 2.5 × best LSM", Some(true)));
    assert!(markdown(&lines).contains("NOT (1.10×), met"), "{}", markdown(&lines));
}

#[test]
fn where_less_is_better_the_ratio_is_turned() {
    let mut state = State::in_memory();
    for (engine, disk_bytes) in [("olive", 170_000_000), ("leveldb", 85_000_000)] {
        let (group, phase) = ("16x100/random".to_owned(), "fillrandom".to_owned());
        let key = Key { group, phase, engine: engine.to_owned(), round: 1 };
        state.record(key, Outcome { disk_bytes, ..with_rate(1) }).unwrap();
    }
    let lines = lines(&[random_group()], &state, 1);
    let disk = find_line(&lines, "bytes on disk, settled and closed");
    assert_eq!(disk.best.as_ref().unwrap().ratio, 0.5);
    assert_eq!((disk.goals[0].goal.as_str(), disk.goals[0].met), ("≤ 160 MB", Some(false)));
}

#[test]
fn a_weaker_promise_is_shown_and_not_ranked() {
    let figures: [(&str, &str, &[u64]); 6] = [
        ("fillrandom", "olive", &[10]),
        ("fillrandom", "sled", &[50]),
        ("fillrandom", "leveldb", &[5]),
        ("readrandom", "olive", &[10]),
        ("readrandom", "sled", &[50]),
        ("readrandom", "leveldb", &[5]),
    ];
    let lines = lines(&[random_group()], &state(&figures), 1);
    assert_eq!(find_line(&lines, "fillrandom").best.as_ref().unwrap().peer, "leveldb");
    assert_eq!(find_line(&lines, "readrandom, hit").best.as_ref().unwrap().peer, "sled");
    assert!(markdown(&lines).lines().next().unwrap().contains("sled"));
}

#[test]
fn olives_own_phase_stands_against_the_peers() {
    let state = state(&[("scaniter", "olive", &[9]), ("scan", "leveldb", &[6])]);
    let lines = lines(&[random_group()], &state, 1);
    let scan = find_line(&lines, "full scan by iter(), entries");
    assert_eq!(scan.best.as_ref().unwrap().ratio, 1.5);
    assert_eq!(scan.goals[0].met, Some(true));
}

#[test]
fn a_failed_engine_has_no_figure() {
    let mut state = state(&[("fillrandom", "olive", &[10])]);
    let (group, phase) = ("16x100/random".to_owned(), "fillrandom".to_owned());
    let key = Key { group, phase, engine: "redb".to_owned(), round: 1 };
    state.record(key, Outcome { error: Some("killed".to_owned()), ..with_rate(99) }).unwrap();
    let lines = lines(&[random_group()], &state, 1);
    let fill = find_line(&lines, "fillrandom");
    assert!(fill.best.is_none());
    assert_eq!(fill.goals[0].met, None);
}

#[test]
fn tables_have_as_many_cells_in_each_line() {
    let state = state(&[("fillrandom", "olive", &[10]), ("fillrandom", "lmdb", &[10])]);
    let text = markdown(&lines(&[random_group()], &state, 1));
    let bars: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
    assert!(bars.iter().all(|&count| count == bars[0]), "{text}");
}
