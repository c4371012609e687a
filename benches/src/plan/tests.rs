//! The plan is a table of what is measured: its names must hold together.

use std::collections::HashSet;

use super::*;
use crate::engines::{ENGINES, find};

fn everything() -> Vec<Group> {
    let size = |key_bytes, value_bytes| Size { key_bytes, value_bytes };
    groups(&Selection {
        ops: 2_000_000,
        sizes: vec![size(16, 100), size(24, 150), size(16, 1024), size(16, 4096)],
        sync: false,
        threads: 1,
        ycsb: true,
        settle: true,
        memory: true,
        growth: true,
    })
}

#[test]
fn groups_and_phases_have_names_of_their_own() {
    let groups = everything();
    let ids: HashSet<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids.len(), groups.len());
    for group in &groups {
        let phases: HashSet<&str> = group.phases.iter().map(|phase| phase.id).collect();
        assert_eq!(phases.len(), group.phases.len(), "{}", group.id);
    }
}

#[test]
fn rows_show_phases_that_exist_and_families_that_take_part() {
    for group in everything() {
        for row in &group.rows {
            assert!(group.phase(row.phase).is_some(), "{}: {}", group.id, row.title);
            assert!(row.olive_phase.is_none_or(|id| group.phase(id).is_some()), "{}", row.title);
            for goal in &row.goals {
                if let Goal::Family(family, _) = goal {
                    assert!(ENGINES.iter().any(|engine| engine.family == *family), "{family}");
                }
            }
        }
    }
}

#[test]
fn every_group_begins_with_what_fills_it() {
    for group in everything() {
        assert!(group.phases[0].writes(), "{}", group.id);
        assert!(group.phases.len() == 1 || group.phases[0].builds, "{}", group.id);
    }
}

#[test]
fn sizes_are_those_of_the_marks() {
    let groups = everything();
    let find = |id: &str| groups.iter().find(|group| group.id == id).unwrap();
    assert_eq!(find("16x100/random").phase("fillrandom").unwrap().ops, 2_000_000);
    assert_eq!(find("16x100/settle").phase("puts").unwrap().ops, 20_000_000);
    assert_eq!(find("16x100/memory").entries, 16_000_000);
    assert_eq!(find("16x100/growth50").entries, 50_000_000);
    assert_eq!(find("16x1024/random").entries, 446_153);
    assert_eq!(find("16x4096/random").entries, 250_000);
}

#[test]
fn keeping_a_phase_keeps_what_it_needs() {
    let mut groups = everything();
    let random = groups.iter_mut().find(|group| group.id == "16x100/random").unwrap();
    random.keep(|phase| phase == "seek");
    let phases: Vec<&str> = random.phases.iter().map(|phase| phase.id).collect();
    assert_eq!(phases, ["fillrandom", "seek"]);
    assert!(random.rows.iter().any(|row| row.phase == "seek"));
    assert!(random.rows.iter().all(|row| ["seek", "fillrandom"].contains(&row.phase)));
    random.keep(|phase| phase == "nothing");
    assert!(random.phases.is_empty() && random.rows.is_empty());
}

#[test]
fn only_olive_runs_what_only_it_has() {
    let groups = everything();
    let random = groups.iter().find(|group| group.id == "16x100/random").unwrap();
    let handles = random.phase("readhandle").unwrap();
    assert!(random.takes_part(find("olive").unwrap(), handles));
    assert!(!random.takes_part(find("lmdb").unwrap(), handles));
    let plain = groups.iter().find(|group| group.id == "24x150/random").unwrap();
    let fill = plain.phase("fillrandom").unwrap();
    assert!(!plain.takes_part(find("rocksdb-lz4").unwrap(), fill));
    assert!(plain.takes_part(find("rocksdb").unwrap(), fill));
}

#[test]
fn estimates_grow_with_the_work() {
    let groups = everything();
    let random = groups.iter().find(|group| group.id == "16x100/random").unwrap();
    let fill = random.phase("fillrandom").unwrap();
    let more = Phase { ops: fill.ops * 2, ..fill.clone() };
    let level = find("leveldb").unwrap();
    assert!(seconds_estimate(random, &more, level) > seconds_estimate(random, fill, level));
}
