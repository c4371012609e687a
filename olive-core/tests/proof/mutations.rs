//! Durability 3: the proof is proved. Each sync, folder sync, rename and unlink that the
//! engine does is taken away, and then moved, and the checks of 1 and 2 must see it.
//!
//! ```text
//! kind              taken away                    moved
//! sync, sync dir    from the record               behind the next 1, 2, 3 … mutations
//! rename            from the record               before the last 1, 2, 3 … mutations
//! unlink            from the run, done once more  before the last 1, 2, 3 … mutations
//! ```
//!
//! A sync's absence changes nothing before a power cut, so an altered record is what
//! another run would have left. A file that is not unlinked is seen by the engine itself:
//! there the run is done again without it. A short move can be right (a table's sync and
//! its folder's may change places), so the least one that is caught is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use olive_core::internals::vfs::sim::{CrashMode, Move, OpKind, SimVfs};

use crate::crash_points::on_threads;
use crate::images::{Checker, power_cuts, quietly};
use crate::recording::{Recording, Setup, Start};
use crate::sites::{Site, Watch};
use crate::tally::{Tally, seed};
use crate::workloads::{Op, WORKLOADS};

const SEED: u64 = 0x0C4A_5403;

/// How far a mutation is moved.
const DISTANCES: [u64; 15] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 192, 256, 384];
/// From so far on, it is looked for all over the run.
const FAR: u64 = 64;
/// How many mutations behind one that was taken away are tried, and behind where one
/// was moved to.
const REACH: u64 = 40;
const REACH_MOVED: u64 = 6;
/// In how many runs a change is looked for, and at how many places of each.
const BASES_MAX: usize = 8;
const PLACES_MAX: usize = 3;

/// A run whose sites are known.
struct Base {
    name: String,
    run: Recording,
    sites: BTreeMap<Site, Vec<u64>>,
    /// A workload from its beginning.
    is_whole: bool,
}

impl Base {
    fn of(name: String, start: &Start, setup: Setup, ops: &[Op]) -> Base {
        let run = quietly(|| Recording::of(start, setup, ops, Watch::noting()));
        let run = run.unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let mut sites: BTreeMap<Site, Vec<u64>> = BTreeMap::new();
        for (number, site) in run.watch.sites() {
            sites.entry(site).or_default().push(number);
        }
        Base { is_whole: start.disk.paths().is_empty(), name, run, sites }
    }
}

/// One way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Away,
    Late(u64),
    Early(u64),
}

/// The first crash that shows a change, and how many do beside it.
struct Catch {
    base: String,
    how: String,
    images: u64,
}

/// What came of one site.
struct Row {
    site: Site,
    count: usize,
    away: Option<Catch>,
    /// The least move that is caught; `Err`: why none is tried.
    moved: Result<Option<(u64, Catch)>, &'static str>,
}

/// Unlinks that may as well come earlier, by a part of their site; these are only taken
/// away.
const MAY_COME_EARLIER: [(&str, &str); 3] = [
    ("version/manifest.rs", "nothing names what a switch of CURRENT left that did not end"),
    ("unfinished creation", "nothing names what a creation left that did not end"),
    ("checkpoint", "nothing names what a checkpoint left that did not end"),
];

fn row(bases: &[Base], site: &Site, moves: bool) -> Row {
    let with: Vec<&Base> = bases.iter().filter(|base| base.sites.contains_key(site)).collect();
    let count = with.iter().map(|base| base.sites[site].len()).sum();
    // Whole workloads first.
    let (whole, cut): (Vec<&Base>, _) = with.iter().partition(|base| base.is_whole);
    let tried: Vec<&Base> = whole.into_iter().chain(spread(&cut, BASES_MAX)).collect();
    let away = tried.iter().find_map(|base| Some(*base).zip(caught(base, site, Change::Away)));
    // Where its absence shows, so does its delay.
    let (shown_by, away) = away.unzip();
    let shown: Vec<&Base> = shown_by.into_iter().chain(spread(&with, 2)).collect();
    let catch = |change| shown.iter().find_map(|base| caught(base, site, change));
    let name = site.to_string();
    let safe = MAY_COME_EARLIER.iter().find(|(part, _)| name.contains(part));
    let moved = match (site.kind, safe) {
        _ if !moves => Err("in the long form"),
        (OpKind::Unlink, Some((_, why))) => Err(*why),
        (OpKind::Sync | OpKind::SyncDir, _) => Ok(Change::Late as fn(u64) -> Change),
        _ => Ok(Change::Early as fn(u64) -> Change),
    };
    let moved =
        moved.map(|change| DISTANCES.into_iter().find_map(|far| Some(far).zip(catch(change(far)))));
    Row { site: site.clone(), count, away, moved }
}

/// Whether some crash shows that all of `site` is changed so.
fn caught(base: &Base, site: &Site, change: Change) -> Option<Catch> {
    let numbers = &base.sites[site];
    let catch = |how: String, images| Some(Catch { base: base.name.clone(), how, images });
    if site.kind == OpKind::Unlink && change == Change::Away {
        let skipped = numbers.iter().filter_map(|&number| base.run.vfs.trace_entry(number));
        return match quietly(|| base.run.again(Watch::skipping(skipped))) {
            Err(wrong) => catch(format!("the run itself: {wrong}"), 1),
            Ok(run) => crashes(&run, &run.vfs, numbers, change).and_then(|(how, n)| catch(how, n)),
        };
    }
    let moves: Vec<(u64, Move)> = numbers
        .iter()
        .map(|&number| {
            let to = match change {
                Change::Away => Move::Away,
                Change::Late(far) => Move::Behind(number + far),
                Change::Early(far) => Move::Before(number.saturating_sub(far).max(1)),
            };
            (number, to)
        })
        .collect();
    let altered = base.run.vfs.altered(&moves);
    crashes(&base.run, &altered, numbers, change).and_then(|(how, images)| catch(how, images))
}

/// The first crash near one of `numbers` that is bad, and how many are, close to it.
fn crashes(
    run: &Recording,
    disk: &SimVfs,
    numbers: &[u64],
    change: Change,
) -> Option<(String, u64)> {
    let mut checker = Checker::new(run, disk);
    let mut bad = |at: u64, modes_max: usize| -> Vec<String> {
        let modes = power_cuts(at, run.vfs.trace_entry(at).as_ref(), SEED);
        let modes = modes.into_iter().take(modes_max).chain([CrashMode::Everything]);
        modes
            .filter_map(|mode| {
                let wrong = checker.check(at, mode).err()?;
                Some(format!("mutation {at}, {mode:?}: {wrong}"))
            })
            .collect()
    };
    // From, to; none: all over the run, and there alone.
    let near = |number: u64| match change {
        Change::Away => Some((number, number + REACH)),
        Change::Late(far) | Change::Early(far) if far >= FAR => None,
        Change::Late(far) => Some((number, number + far + REACH_MOVED)),
        Change::Early(far) => Some((number.saturating_sub(far), number + REACH_MOVED)),
    };
    for (from, to) in spread(numbers, PLACES_MAX).into_iter().filter_map(near) {
        let all = (from..=to.min(run.mutations())).flat_map(|at| bad(at, usize::MAX));
        let all: Vec<String> = all.collect();
        if let Some(first) = all.first() {
            return Some((first.clone(), all.len() as u64));
        }
    }
    if change != Change::Away && near(0).is_some() {
        return None;
    }
    // Some are relied on much later: a segment that was prepared, when it is put to use.
    let relies = |kind| matches!(kind, OpKind::Sync | OpKind::SyncDir | OpKind::Rename);
    let trace = run.vfs.trace();
    let mut points = trace.iter().filter(|entry| relies(entry.kind));
    points.find_map(|entry| bad(entry.number, 4).pop()).map(|how| (how, 1))
}

/// At most `count` of all, the first among them.
fn spread<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let step = all.len().div_ceil(count).max(1);
    all.iter().step_by(step).copied().collect()
}

/// Runs that have the sites in them: workloads, and what comes after a kill right before
/// and right after the first time that each site of theirs was passed.
fn bases(seed: u64, scripts: &[(usize, Setup, usize)], kills_per_site: usize) -> Vec<Base> {
    let mut bases = Vec::new();
    for &(workload, setup, ops) in scripts {
        let workload = WORKLOADS[workload];
        let ops = workload.script(seed, ops);
        let base = Base::of(workload.name.to_owned(), &Start::new(seed), setup, &ops);
        // A creation that does not end has works of its own.
        let mut kills: BTreeSet<u64> = (0..12).collect();
        for numbers in base.sites.values() {
            let first = numbers.iter().take(kills_per_site);
            kills.extend(first.flat_map(|&number| [number - 1, number]));
        }
        let after: Vec<Base> = kills
            .into_iter()
            .map(|at| {
                let name = format!("{} killed after {at}", workload.name);
                Base::of(name, &base.run.killed_at(at), setup, &after_a_kill())
            })
            .collect();
        bases.push(base);
        bases.extend(after);
    }
    bases
}

fn after_a_kill() -> Vec<Op> {
    vec![Op::Put(200, 40), Op::Sync, Op::Put(201, 90), Op::Checkpoint, Op::Put(202, 9), Op::Settle]
}

fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let _ = write!(out, "{:<78}{:>6} x  away:  ", row.site.to_string(), row.count);
        tell(&mut out, row.away.as_ref());
        let _ = match &row.moved {
            Err(why) => write!(out, "\n{:>86}: not, {why}", "moved"),
            Ok(None) => write!(out, "\n{:>86}: NOT CAUGHT", "moved"),
            Ok(Some((far, catch))) => {
                let _ = write!(out, "\n{:>86}: by {far}: ", "moved");
                tell(&mut out, Some(catch));
                Ok(())
            }
        };
        out.push('\n');
    }
    out
}

fn tell(out: &mut String, catch: Option<&Catch>) {
    let _ = match catch {
        Some(Catch { base, how, images }) => {
            let how: String = how.chars().take(150).collect();
            write!(out, "{images} images, first {base}, {how}")
        }
        None => write!(out, "NOT CAUGHT"),
    };
}

fn prove(bases: &[Base], tally: &Tally, moves: bool) {
    let sites: BTreeSet<&Site> = bases.iter().flat_map(|base| base.sites.keys()).collect();
    let sites: Vec<&Site> = sites.into_iter().collect();
    let rows = std::sync::Mutex::new(Vec::new());
    on_threads(&sites, |site| {
        let row = row(bases, site, moves);
        rows.lock().expect("the rows").push(row);
    });
    let mut rows = rows.into_inner().expect("the rows");
    rows.sort_by(|a, b| a.site.cmp(&b.site));
    println!("{}", table(&rows));
    tally.add("runs", bases.len() as u64);
    tally.add("sites", rows.len() as u64);
    for row in &rows {
        tally.add("mutations", row.count as u64);
        tally.add("taken away", 1);
        tally.add("caught away", u64::from(row.away.is_some()));
        if row.away.is_none() {
            tally.bad(format!("{} is taken away, and nothing shows it", row.site));
        }
        let Ok(moved) = &row.moved else { continue };
        tally.add("moved", 1);
        tally.add("caught moved", u64::from(moved.is_some()));
        if moved.is_none() {
            tally.bad(format!("{} is moved, and nothing shows it", row.site));
        }
    }
    assert!(rows.len() >= 15, "{} sites are too few", rows.len());
}

fn setup(mapped: bool, durable: bool, compacting: bool) -> Setup {
    Setup { mapped, durable, compacting }
}

#[test]
fn every_sync_rename_and_unlink_of_a_short_run_is_needed() {
    let scripts = [(5, setup(true, true, true), 100), (2, setup(false, true, false), 40)];
    let tally = Tally::new("mutations");
    prove(&bases(seed(SEED), &scripts, 1), &tally, false);
    tally.close();
}

#[test]
#[ignore = "long: every site of the engine's traces taken away and moved, a minute or two"]
fn every_sync_rename_and_unlink_is_needed() {
    let scripts = [
        (5, setup(true, true, true), 260),
        (4, setup(false, false, true), 160),
        (1, setup(true, false, true), 200),
        (2, setup(true, true, false), 120),
        (0, setup(false, true, false), 200),
    ];
    let tally = Tally::new("mutations");
    prove(&bases(seed(SEED), &scripts, 1), &tally, true);
    tally.close();
}
