//! A tree without files: tables are lists of keys in memory, flushes are made up,
//! and compactions are what the picker says. Every key is looked up the way a get
//! does it and must give its newest version, whatever order the jobs end in.

use std::collections::{BTreeMap, HashMap};

use super::{
    Claim, OlderTables, PickerConfig, Plan, PlanKind, debt, pick, pick_narrow, pick_ripe, scores,
};
use crate::format::edit::{TableMeta, VersionEdit};
use crate::key::SeqNo;
use crate::sync::Arc;
use crate::version::testing::{Random, handles, key};
use crate::version::{LEVELS, Version};

const ENTRY_BYTES: u64 = 100;
const TOMBSTONE_BYTES: u64 = 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    seq: u64,
    deleted: bool,
}

impl Entry {
    fn bytes(&self) -> u64 {
        if self.deleted { TOMBSTONE_BYTES } else { ENTRY_BYTES }
    }
}

struct Job {
    plan: Plan,
    claim: Claim,
    older: OlderTables,
}

struct Tree {
    config: PickerConfig,
    oldest_reader: SeqNo,
    version: Version,
    contents: HashMap<u64, Vec<Entry>>,
    model: HashMap<u64, Entry>,
    jobs: Vec<Job>,
    number: u64,
    seq: u64,
    flushed_bytes: u64,
    compacted_bytes: u64,
    moves: u64,
    merges: u64,
    merges_within_level0: u64,
    level0_tables_max: usize,
}

impl Tree {
    fn new(config: PickerConfig) -> Tree {
        Tree {
            config,
            oldest_reader: SeqNo::MAX,
            version: Version::default(),
            contents: HashMap::new(),
            model: HashMap::new(),
            jobs: Vec::new(),
            number: 0,
            seq: 0,
            flushed_bytes: 0,
            compacted_bytes: 0,
            moves: 0,
            merges: 0,
            merges_within_level0: 0,
            level0_tables_max: 0,
        }
    }

    fn table(&mut self, entries: &[Entry]) -> TableMeta {
        self.number += 1;
        self.contents.insert(self.number, entries.to_vec());
        let seqs = || entries.iter().map(|e| SeqNo(e.seq));
        TableMeta {
            number: self.number,
            id: u128::from(self.number),
            bytes: entries.iter().map(Entry::bytes).sum(),
            smallest: key(entries[0].key),
            largest: key(entries[entries.len() - 1].key),
            entries: entries.len() as u64,
            tombstones: entries.iter().filter(|e| e.deleted).count() as u64,
            seq_min: seqs().min().unwrap(),
            seq_max: seqs().max().unwrap(),
        }
    }

    fn install(&mut self, edit: &VersionEdit) {
        self.version = self.version.apply(edit, &mut handles()).unwrap();
        self.level0_tables_max = self.level0_tables_max.max(self.version.level(0).len());
    }

    /// Writes these keys and flushes them as one table.
    fn flush(&mut self, writes: impl IntoIterator<Item = (u64, bool)>) {
        let mut memtable = BTreeMap::new();
        for (key, deleted) in writes {
            self.seq += 1;
            let entry = Entry { key, seq: self.seq, deleted };
            memtable.insert(key, entry);
            self.model.insert(key, entry);
        }
        let entries: Vec<Entry> = memtable.into_values().collect();
        let meta = self.table(&entries);
        self.flushed_bytes += meta.bytes;
        self.install(&VersionEdit { added: vec![(0, meta)], ..VersionEdit::default() });
    }

    fn claims(&self) -> Vec<Claim> {
        self.jobs.iter().map(|job| job.claim.clone()).collect()
    }

    fn start(&mut self) -> bool {
        let claims = self.claims();
        let ripe = || pick_ripe(&self.version, &self.config, &claims, self.oldest_reader);
        let Some(plan) = pick(&self.version, &self.config, &claims).or_else(ripe) else {
            return false;
        };
        self.begin(plan);
        true
    }

    /// The same on a disk that is nearly full.
    fn start_narrow(&mut self, bytes_max: u64) {
        let claims = self.claims();
        if let Some(plan) = pick_narrow(&self.version, &self.config, &claims, bytes_max) {
            assert!(plan.kind == PlanKind::Move || plan.bytes() <= bytes_max);
            self.begin(plan);
        }
    }

    fn begin(&mut self, plan: Plan) {
        assert!(!self.jobs.iter().any(|job| job.claim.collides(&plan)));
        let older = OlderTables::new(&self.version, &plan);
        assert_eq!(older.is_empty(), plan.bottommost);
        self.jobs.push(Job { claim: plan.claim(), plan, older });
    }

    fn end(&mut self, at: usize) {
        let Job { plan, mut older, .. } = self.jobs.swap_remove(at);
        let mut edit = VersionEdit::default();
        edit.removed.extend(plan.inputs.iter().map(|t| (plan.input_level, t.meta().number)));
        edit.removed.extend(plan.next.iter().map(|t| (plan.output_level, t.meta().number)));
        if plan.kind == PlanKind::Move {
            self.moves += 1;
            let moved = plan.inputs.iter().map(|t| (plan.output_level, t.meta().clone()));
            edit.added.extend(moved);
            return self.install(&edit);
        }
        self.merges += 1;
        self.merges_within_level0 += u64::from(plan.output_level == 0);
        let mut newest: BTreeMap<u64, Entry> = BTreeMap::new();
        for table in plan.tables() {
            for entry in &self.contents[&table.meta().number] {
                let slot = newest.entry(entry.key).or_insert(*entry);
                if slot.seq < entry.seq {
                    *slot = *entry;
                }
            }
        }
        newest.retain(|_, e| !e.deleted || older.may_contain_older(&key(e.key)));
        let entries: Vec<Entry> = newest.into_values().collect();
        let per_table = (self.config.table_bytes / ENTRY_BYTES).max(1) as usize;
        // Of tombstones a table holds five times as many: near enough.
        for chunk in entries.chunks(per_table) {
            let meta = self.table(chunk);
            self.compacted_bytes += meta.bytes;
            edit.added.push((plan.output_level, meta));
        }
        self.install(&edit);
        for (_, number) in &edit.removed {
            self.contents.remove(number);
        }
    }

    /// Compacts until the picker has nothing more to do.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.start() && self.jobs.is_empty() {
                return;
            }
            self.end(0);
        }
        panic!("it does not settle: {:?}", scores(&self.version, &self.config));
    }

    fn get(&self, number: u64) -> Option<Entry> {
        let scoped = key(number);
        let level0 = self.version.overlapping(0, &scoped, &scoped);
        let deeper = (1..LEVELS).filter_map(|level| self.version.find(level, &scoped));
        level0.chain(deeper).find_map(|table| {
            let entries = &self.contents[&table.meta().number];
            let at = entries.binary_search_by_key(&number, |e| e.key).ok()?;
            Some(entries[at])
        })
    }

    #[track_caller]
    fn check(&self, context: &str) {
        for (number, expected) in &self.model {
            let found = self.get(*number).filter(|e| !e.deleted).map(|e| e.seq);
            let expected = (!expected.deleted).then_some(expected.seq);
            assert_eq!(found, expected, "{context}: key {number}");
        }
    }

    fn bytes(&self) -> u64 {
        (0..LEVELS).map(|level| self.version.level_bytes(level)).sum()
    }

    fn space_amplification(&self) -> f64 {
        let live = self.model.values().filter(|e| !e.deleted).count() as u64 * ENTRY_BYTES;
        self.bytes() as f64 / live.max(1) as f64
    }

    fn write_amplification(&self) -> f64 {
        (self.flushed_bytes + self.compacted_bytes) as f64 / self.flushed_bytes as f64
    }

    fn report(&self, what: &str) {
        let levels: Vec<_> = (0..LEVELS)
            .map(|l| format!("{}:{}", self.version.level(l).len(), self.version.level_bytes(l)))
            .collect();
        println!(
            "{what}: write amplification {:.2}, space amplification {:.3}, {} merges ({} within \
             level 0), {} moves, most tables of level 0: {}, levels {}",
            self.write_amplification(),
            self.space_amplification(),
            self.merges,
            self.merges_within_level0,
            self.moves,
            self.level0_tables_max,
            levels.join(" ")
        );
    }
}

fn small() -> PickerConfig {
    PickerConfig {
        level0_tables: 4,
        level0_tables_due: 4,
        level_base_bytes: 4_000,
        level_multiplier: 4,
        table_bytes: 1_000,
    }
}

#[test]
fn every_key_reads_its_newest_version_whatever_order_jobs_end_in() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let level0_tables = 1 + random.below(5) as usize;
        let config = PickerConfig {
            level0_tables,
            level0_tables_due: level0_tables + random.below(2) as usize * 3,
            level_base_bytes: 500 << random.below(5),
            level_multiplier: 2 + random.below(8) as u32,
            table_bytes: 200 << random.below(4),
        };
        let mut tree = Tree::new(config);
        let jobs_max = 1 + random.below(4) as usize;
        for step in 0..400 {
            let context = format!("seed {seed}, step {step}");
            match random.below(10) {
                0..4 => {
                    let (from, width) = (random.below(500), 1 + random.below(200));
                    let deletes = random.below(3);
                    let writes: Vec<_> = (0..1 + random.below(30))
                        .map(|_| (from + random.below(width), random.below(4) < deletes))
                        .collect();
                    tree.flush(writes);
                }
                4..6 if tree.jobs.len() < jobs_max => {
                    tree.start();
                }
                6 if tree.jobs.len() < jobs_max => tree.start_narrow(random.below(20_000)),
                7 if tree.jobs.len() < jobs_max => {
                    let level = random.below(LEVELS as u64) as usize;
                    let (a, b) = (random.below(700), random.below(700));
                    let (low, high) = (key(a.min(b)), key(a.max(b)));
                    let bytes_max = random.below(5_000);
                    let plan = if level > 0 && random.below(2) == 0 {
                        Plan::rewrite(&tree.version, level, &low, &high, bytes_max)
                    } else {
                        Plan::for_range(&tree.version, level, &low, &high, bytes_max)
                    };
                    match plan {
                        Some(plan) if !tree.claims().iter().any(|c| c.collides(&plan)) => {
                            tree.begin(plan);
                        }
                        _ => {}
                    }
                }
                _ if !tree.jobs.is_empty() => {
                    let at = random.below(tree.jobs.len() as u64) as usize;
                    tree.end(at);
                    tree.check(&context);
                }
                _ => {}
            }
        }
        while !tree.jobs.is_empty() {
            tree.end(0);
        }
        tree.settle();
        tree.check(&format!("seed {seed}, settled"));
        assert!(scores(&tree.version, &config).iter().all(|s| *s < 1.0), "seed {seed}");
        assert_eq!(debt(&tree.version, &config), 0, "seed {seed}");
    }
}

#[test]
fn random_overwrites_settle_within_the_space_bound() {
    let mut tree = Tree::new(small());
    let mut random = Random(1);
    let mut worst: f64 = 0.0;
    for round in 0..3_000 {
        let writes: Vec<_> = (0..10).map(|_| (random.below(10_000), false)).collect();
        tree.flush(writes);
        tree.settle();
        if round > 1_000 {
            worst = worst.max(tree.space_amplification());
        }
    }
    tree.check("settled");
    tree.report("random overwrites");
    println!("worst space amplification after settling: {worst:.3}");
    // A multiplier of 4: a quarter and its parts above the last level, and level 0.
    assert!(worst < 1.6, "{worst}");
    assert!(tree.write_amplification() < 15.0, "{}", tree.write_amplification());
}

#[test]
fn keys_in_ascending_order_are_moved_and_never_rewritten() {
    let mut tree = Tree::new(small());
    for flush in 0..500 {
        tree.flush((0..10).map(|n| (flush * 10 + n, false)));
        tree.settle();
    }
    tree.check("settled");
    assert_eq!((tree.compacted_bytes, tree.merges), (0, 0));
}

#[test]
fn tiny_flushes_into_a_large_tree_are_gathered_first() {
    let mut tree =
        Tree::new(PickerConfig { level_base_bytes: 1_000_000, table_bytes: 100_000, ..small() });
    tree.flush((0..8_000).map(|n| (n, false)));
    tree.settle();
    (tree.flushed_bytes, tree.compacted_bytes) = (0, 0);
    let mut random = Random(3);
    for _ in 0..2_000 {
        tree.flush((0..2).map(|_| (random.below(8_000), false)));
        tree.settle();
    }
    tree.check("settled");
    tree.report("tiny flushes");
    assert!(tree.merges_within_level0 > 0);
    assert!(tree.level0_tables_max <= 4, "{}", tree.level0_tables_max);
    // Each flush is a 4,000th of the tree; merged into it one by four it would be 1,000.
    assert!(tree.write_amplification() < 60.0, "{}", tree.write_amplification());
}

#[test]
fn what_was_all_deleted_is_gone_once_its_range_was_compacted() {
    let mut tree = Tree::new(small());
    let mut random = Random(2);
    for _ in 0..300 {
        tree.flush((0..20).map(|_| (random.below(3_000), false)).collect::<Vec<_>>());
        tree.settle();
    }
    for from in (0..3_000).step_by(20) {
        tree.flush((from..from + 20).map(|n| (n, true)));
        tree.settle();
    }
    tree.report("deleted");
    let (low, high) = (key(0), key(9_999));
    for level in 0..LEVELS {
        let mut from = low.clone();
        while let Some(plan) = Plan::for_range(&tree.version, level, &from, &high, 5_000) {
            from = [plan.range().1, &[0]].concat();
            tree.begin(plan);
            tree.end(0);
            if level == 0 {
                break;
            }
        }
    }
    assert_eq!(tree.version.tables().count(), 0);
    tree.check("compacted");
}

/// 10,000 keys, settled; then each for which `is_deleted`, in `flushes` flushes.
fn deleted(flushes: u64, is_deleted: impl Fn(u64, &mut Random) -> bool) -> Tree {
    let mut tree = Tree::new(small());
    let mut random = Random(7);
    for flush in 0..100 {
        tree.flush((0..100).map(|n| ((n * 100 + flush) % 10_000, false)));
        tree.settle();
    }
    (tree.flushed_bytes, tree.compacted_bytes) = (0, 0);
    let keys: Vec<u64> = (0..10_000).filter(|&n| is_deleted(n, &mut random)).collect();
    for some in keys.chunks(keys.len().div_ceil(flushes as usize).max(1)) {
        tree.flush(some.iter().map(|&key| (key, true)));
        tree.settle();
    }
    tree.check("settled");
    tree.report(&format!("{} of 10,000 deleted", keys.len()));
    tree
}

#[test]
fn what_was_deleted_gives_its_room_back_by_itself() {
    for (parts, flushes) in [(1, 1), (2, 1), (2, 50), (5, 1), (5, 20), (9, 3), (10, 1), (10, 40)] {
        let at_random = deleted(flushes, |_, random| random.below(10) < parts);
        assert!(at_random.space_amplification() < 1.45, "{parts} of 10");
        // And it costs no more than overwriting as many would.
        assert!(at_random.compacted_bytes < 100 * 10_000 * ENTRY_BYTES / 20, "{parts} of 10");
        let range = deleted(flushes, |n, _| (3_000..3_000 + parts * 500).contains(&n));
        assert!(range.space_amplification() < 1.3, "a range of {parts}");
        let tombstones: u64 = range.version.tables().map(|(_, t)| t.meta().tombstones).sum();
        assert!(tombstones <= 100, "{tombstones} are left of a range of {parts}");
    }
    assert_eq!(deleted(10, |_, _| true).version.tables().count(), 0);
}

#[test]
fn tombstones_that_a_reader_keeps_are_left_where_they_are_until_it_has_gone() {
    let mut tree = Tree::new(small());
    tree.flush((0..40).map(|n| (n, false)));
    tree.settle();
    tree.oldest_reader = SeqNo(tree.seq);
    tree.flush((0..40).map(|n| (n, true)));
    tree.settle();
    assert_eq!(tree.version.level_tombstones(0), 40);
    tree.oldest_reader = SeqNo(tree.seq);
    tree.settle();
    assert_eq!(tree.version.tables().count(), 0);
}

#[test]
fn jobs_that_run_at_once_are_disjoint_and_the_rest_waits() {
    let mut tree = Tree::new(small());
    let mut random = Random(4);
    let mut at_once_max = 0;
    for _ in 0..1_500 {
        tree.flush((0..10).map(|_| (random.below(20_000), false)).collect::<Vec<_>>());
        while tree.jobs.len() < 4 && tree.start() {}
        at_once_max = at_once_max.max(tree.jobs.len());
        if !tree.jobs.is_empty() {
            tree.end(random.below(tree.jobs.len() as u64) as usize);
        }
    }
    tree.report("four jobs at once");
    assert!(at_once_max >= 2, "{at_once_max}");
    tree.settle();
    tree.check("settled");
}

/// Not a promise, but figures, at 1/64 of the default sizes: run with
/// `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn figures_of_the_default_shape() {
    let config = PickerConfig {
        level0_tables: 4,
        level0_tables_due: 4,
        level_base_bytes: 4 << 20,
        level_multiplier: 10,
        table_bytes: 1 << 20,
    };
    let per_flush = (1 << 20) / ENTRY_BYTES;
    for (what, puts, keys) in [
        ("2 million puts over 2 million", 31_250, 31_250),
        ("4 million puts over 2 million", 62_500, 31_250),
        ("10 million puts over 10 million", 156_250, 156_250),
        ("20 million puts over 20 million", 312_500, 312_500),
        ("20 million puts over 2 million", 312_500, 31_250),
        ("80 million puts over 40 million", 1_250_000, 625_000),
    ] {
        let mut tree = Tree::new(config);
        let mut random = Random(9);
        let mut worst: f64 = 0.0;
        let mut left: u64 = puts;
        while left > 0 {
            let some = left.min(per_flush);
            left -= some;
            tree.flush((0..some).map(|_| (random.below(keys), false)).collect::<Vec<_>>());
            tree.settle();
            if left < puts / 2 {
                worst = worst.max(tree.space_amplification());
            }
        }
        tree.report(what);
        println!("    worst space amplification of the second half: {worst:.3}");
    }
}

#[test]
fn a_claim_keeps_others_from_its_tables_and_its_output_range() {
    use crate::version::testing::{meta, version};
    let v = version(&[
        (1, meta(1, 10, 19, 2)),
        (1, meta(2, 40, 49, 2)),
        (2, meta(3, 0, 15, 1)),
        (2, meta(4, 45, 60, 1)),
    ]);
    let first = Plan::new(&v, 1, 2, vec![Arc::clone(&v.level(1)[0])]);
    let second = Plan::new(&v, 1, 2, vec![Arc::clone(&v.level(1)[1])]);
    let both = Plan::new(&v, 1, 2, v.level(1).to_vec());
    assert!(!first.claim().collides(&second));
    assert!(first.claim().collides(&both) && both.claim().collides(&second));
    let rewrite = Plan::rewrite(&v, 2, &key(0), &key(99), u64::MAX).unwrap();
    assert!(rewrite.claim().collides(&first));
}
