use super::*;
use crate::plan::{Metric, Selection, Size, groups};
use crate::report::lines;
use crate::spec::{Outcome, Side};
use crate::state::{Key, State};

/// Follows every tag; panics at the first that is not closed, attribute that is not
/// quoted, or character that should have been escaped.
fn check_well_formed(text: &str) -> usize {
    let (mut open, mut tags, mut rest) = (Vec::new(), 0, text);
    while let Some(at) = rest.find('<') {
        let before = &rest[..at];
        assert!(!before.contains('>'), "a stray > in {before:?}");
        for entity in before.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "a stray & in {before:?}");
        }
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "{tag}");
        assert_eq!(tag.matches('=').count() * 2, tag.matches('"').count(), "{tag}");
        tags += 1;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} is open before {rest:?}");
    tags
}

fn some_lines() -> Vec<crate::report::Line> {
    let selection = Selection {
        ops: 1000,
        sizes: vec![Size { key_bytes: 16, value_bytes: 100 }],
        sync: false,
        threads: 1,
        ycsb: true,
        settle: false,
        memory: false,
        growth: false,
    };
    let mut state = State::in_memory();
    let groups = groups(&selection);
    for group in &groups {
        for phase in &group.phases {
            for (engine, ops) in [("olive", 9000), ("leveldb", 20), ("lmdb", 30), ("sled", 5)] {
                let side = Some(Side { ops, seconds: 1.0, latency: None });
                let outcome = Outcome { puts: side, gets: side, ..Outcome::default() };
                let (group, phase) = (group.id.clone(), phase.id.to_owned());
                let key = Key { group, phase, engine: engine.to_owned(), round: 1 };
                state.record(key, outcome).unwrap();
            }
        }
    }
    lines(&groups, &state, 1)
}

#[test]
fn bars_are_well_formed_and_hold_every_rate() {
    let lines = some_lines();
    let svg = bars("Olive & <peers>", &lines);
    check_well_formed(&svg);
    assert!(svg.contains("Olive &amp; &lt;peers&gt;"));
    assert!(svg.contains("prefers-color-scheme: dark"));
    let rates = lines.iter().filter(|line| line.is_rate()).count();
    // One bar each, and the square of the legend.
    assert_eq!(svg.matches(r#"class="fill-olive""#).count(), rates + 1);
    // 300 times as fast does not leave the picture.
    assert!(svg.contains("300×"));
    for width in svg.split("width=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(width.parse::<f64>().unwrap() <= 900.0, "{width}");
    }
}

#[test]
fn panels_are_well_formed_with_gaps_and_without_values() {
    let panel = |values: Vec<Option<f64>>| Panel {
        title: "put".to_owned(),
        metric: Metric::PutMax,
        labels: vec!["p50".to_owned(), "p99".to_owned()],
        series: vec![Series { family: "olive", values }],
    };
    let full = panel(vec![Some(1e-6), Some(2e-3)]);
    let svg = panels("latency", &[full.clone(), panel(vec![Some(1e-6), None]), panel(vec![])]);
    check_well_formed(&svg);
    assert_eq!(svg.matches("<circle").count(), 3);
    assert_eq!(svg.matches("NaN").count() + svg.matches("inf").count(), 0);
    assert!(check_well_formed(&panels("nothing", &[])) > 0);
}

#[test]
#[should_panic(expected = "a stray &")]
fn the_check_finds_what_is_not_escaped() {
    check_well_formed("<svg>a & b</svg>");
}

#[test]
#[should_panic(expected = "is open before")]
fn the_check_finds_what_is_not_closed() {
    check_well_formed("<svg><g></g>");
}
