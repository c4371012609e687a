//! Which call fails how, in which workload under which options; and the judgement.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use olive_core::internals::vfs::sim::{CrashMode, Effect, Fault, OpKind, SimVfs, errno};
use olive_core::{Durability, ErrorKind, Maintenance, Options, TableIo, WalIo};

use super::life::{Checked, Life, check_copy};
use super::workloads::{self, Workload};
use crate::support::{Model, open_sim, tiny};
use crate::tally::Tally;

/// Every call that can fail. A store through a mapping cannot.
const KINDS: [OpKind; 19] = [
    OpKind::Create,
    OpKind::CreateDir,
    OpKind::Open,
    OpKind::Len,
    OpKind::Read,
    OpKind::Write,
    OpKind::Populate,
    OpKind::Reserve,
    OpKind::Sync,
    OpKind::SyncDir,
    OpKind::Rename,
    OpKind::Unlink,
    OpKind::RemoveDir,
    OpKind::Link,
    OpKind::List,
    OpKind::Metadata,
    OpKind::Map,
    OpKind::MapShared,
    OpKind::Lock,
];

const EFFECTS: [Effect; 4] = [
    Effect::Error(errno::EIO),
    Effect::Error(errno::ENOSPC),
    Effect::Error(errno::EINTR),
    Effect::Short,
];

/// One fault in one workload under one set of options.
pub(super) struct Case {
    workload: usize,
    set: usize,
    fault: Fault,
}

/// A set of options.
struct Set {
    name: &'static str,
    options: Options,
    is_synced: bool,
    /// Threads do the maintenance: which call is the Nth differs from run to run.
    has_threads: bool,
}

/// Workloads, options, and which calls they make when none fails.
pub(super) struct World {
    seed: u64,
    workloads: Vec<Workload>,
    sets: Vec<Set>,
    /// By (workload, set): how many calls of each kind.
    calls: BTreeMap<(usize, usize), BTreeMap<OpKind, u64>>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut world =
            World { seed, workloads: workloads::all(seed), sets: sets(), calls: BTreeMap::new() };
        for workload in 0..world.workloads.len() {
            for set in 0..world.sets.len() {
                let calls = world.count(workload, set);
                world.calls.insert((workload, set), calls);
            }
        }
        for kind in KINDS {
            let met = world.calls.values().any(|calls| calls[&kind] > 0);
            assert!(met, "no workload makes a call of {kind:?}");
        }
        world
    }

    /// The calls of a run in which nothing fails, and which must be right.
    fn count(&self, workload: usize, set: usize) -> BTreeMap<OpKind, u64> {
        let vfs = self.disk();
        let Workload { name, acts, fails } = &self.workloads[workload];
        vfs.set_faults(fails.iter().cloned().collect());
        let mut life = Life::new(&vfs, &self.sets[set].options, allowed(fails));
        life.run(acts).unwrap_or_else(|e| panic!("{name}, {}: {e}", self.sets[set].name));
        life.end();
        KINDS.into_iter().map(|kind| (kind, vfs.calls_of(kind))).collect()
    }

    fn disk(&self) -> SimVfs {
        let vfs = SimVfs::new(self.seed);
        vfs.set_tick(Duration::from_micros(20));
        vfs
    }

    pub(super) fn workloads(&self) -> usize {
        self.workloads.len()
    }

    pub(super) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Calls of all runs in which nothing fails.
    pub(super) fn calls(&self) -> u64 {
        self.calls.values().flat_map(BTreeMap::values).sum()
    }

    /// Every call of every run, with every effect, once and from then on; beside
    /// threads, some of them.
    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (&(workload, set), calls) in &self.calls {
            if self.sets[set].has_threads {
                cases.extend(beside_threads(workload, set, calls));
                continue;
            }
            for (&kind, &count) in calls {
                let is_stream = matches!(kind, OpKind::Read | OpKind::Write);
                for effect in EFFECTS.into_iter().filter(|e| is_stream || *e != Effect::Short) {
                    for nth in 1..=count {
                        for forever in [false, true] {
                            let fault = Fault { kind: Some(kind), nth, forever, effect };
                            cases.push(Case { workload, set, fault });
                        }
                    }
                }
            }
            // The whole disk is gone from a call on.
            for nth in 1..=calls.values().sum::<u64>() {
                let fault = Fault::from_then_on(None, nth, errno::EIO);
                cases.push(Case { workload, set, fault });
            }
        }
        cases
    }

    pub(super) fn name(&self, case: &Case) -> String {
        let (workload, set) = (self.workloads[case.workload].name, self.sets[case.set].name);
        format!("{workload}, {set}, {:?}", case.fault)
    }

    /// Runs a case and counts what came of it.
    pub(super) fn run(&self, case: &Case, tally: &Tally) {
        match catch_unwind(AssertUnwindSafe(|| self.judge(case, tally))) {
            Ok(Ok(())) => {}
            Ok(Err(what)) => tally.bad(format!("{}: {what}", self.name(case))),
            Err(panic) => {
                let what = panic.downcast_ref::<String>().map_or("a panic", |text| text);
                tally.bad(format!("{}: panicked: {what}", self.name(case)));
            }
        }
    }

    fn judge(&self, case: &Case, tally: &Tally) -> Checked {
        let Set { options, is_synced, has_threads, .. } = &self.sets[case.set];
        let vfs = self.disk();
        let Workload { acts, fails, .. } = &self.workloads[case.workload];
        let faults: Vec<Fault> = fails.iter().chain([&case.fault]).cloned().collect();
        vfs.set_faults(faults.clone());
        let mut life = Life::new(&vfs, options, allowed(&faults));
        life.run(acts)?;
        // Closed by the drop while calls fail, or killed before it.
        let is_killed = case.fault.nth.is_multiple_of(2);
        let killed = is_killed.then(|| vfs.kill_now());
        life.end();
        let calls = case.fault.kind.map_or(vfs.calls(), |kind| vfs.calls_of(kind));
        tally.add("faults met", u64::from(calls >= case.fault.nth));
        tally.add("told", u64::from(life.errors > 0));
        tally.add("not noticed", u64::from(life.errors == 0));
        vfs.set_faults(Vec::new());
        self.check(&life, options, &killed.unwrap_or_else(|| vfs.kill_now()), "reopened")?;
        tally.add("reopened", 1);
        tally.add("with threads", u64::from(*has_threads));
        if *is_synced {
            let seed = self.seed ^ case.fault.nth;
            for mode in [CrashMode::Synced, CrashMode::Random { seed }] {
                let what = format!("power cut, {mode:?}");
                self.check(&life, options, &vfs.crash_now(mode), &what)?;
                tally.add("power cuts", 1);
            }
        }
        tally.add("checkpoints", life.copies.len() as u64);
        Ok(())
    }

    /// Nothing fails any more: all that was acknowledged is there, and goes on.
    fn check(&self, life: &Life<'_>, options: &Options, image: &SimVfs, how: &str) -> Checked {
        image.set_faults(Vec::new());
        let told = |what: &str, error: olive_core::Error| format!("{how}: {what}: {error:?}");
        let db = open_sim(options.clone(), image).map_err(|error| told("open", error))?;
        let found = Model::of(&db).map_err(|error| told("read", error))?;
        life.possible.check(&found).map_err(|what| format!("{how}: {what}"))?;
        let report = db.verify().map_err(|error| told("verify", error))?;
        if !report.is_clean() {
            return Err(format!("{how}: {report:?}"));
        }
        for copied in &life.copies {
            check_copy(image, options, copied).map_err(|what| format!("{how}: {what}"))?;
        }
        db.put("and", "on").map_err(|error| told("put", error))?;
        if let Some(copied) = life.copies.iter().find(|copied| !copied.is_done) {
            // What it left behind is in nobody's way.
            let is_free = !image.paths().iter().any(|path| path.starts_with(&copied.path));
            if is_free {
                db.checkpoint(&copied.path).map_err(|error| told("checkpoint again", error))?;
            }
        }
        db.close().map_err(|error| told("close", error))
    }
}

/// Calls spread over all of a run with threads. Writers wait there for work that fails
/// for a second or two, so that few fail for good.
fn beside_threads(workload: usize, set: usize, calls: &BTreeMap<OpKind, u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (&kind, &count) in calls {
        for (turn, nth) in (1..=count).enumerate() {
            let effect = EFFECTS[turn % 3];
            let once = Fault { kind: Some(kind), nth, forever: false, effect };
            if turn % 2 == 0 {
                cases.push(Case { workload, set, fault: once.clone() });
            }
            if turn % 40 == 0 {
                cases.push(Case { workload, set, fault: Fault { forever: true, ..once } });
            }
        }
    }
    cases
}

/// The kinds of error that faults may lead to.
fn allowed<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> Vec<ErrorKind> {
    let mut kinds = Vec::new();
    for fault in faults {
        match fault.effect {
            Effect::Short => {}
            Effect::Error(errno::ENOSPC) => kinds.push(ErrorKind::DiskFull),
            Effect::Error(_) => kinds.push(ErrorKind::Io),
        }
    }
    if !kinds.is_empty() {
        kinds.push(ErrorKind::Poisoned);
    }
    kinds
}

fn sets() -> Vec<Set> {
    let of = |name, wal, table, durability| Set {
        name,
        options: tiny().wal_io(wal).table_io(table).durability(durability),
        is_synced: durability == Durability::Sync,
        has_threads: false,
    };
    let with_threads = |set: Set| Set {
        options: set.options.maintenance(Maintenance::Threads),
        has_threads: true,
        ..set
    };
    let reserved = |set: Set| Set { options: set.options.wal_mapped_record_bytes_max(0), ..set };
    let (buffered, synced) = (Durability::Buffered, Durability::Sync);
    vec![
        of("Mapped Mapped Buffered", WalIo::Mapped, TableIo::Mapped, buffered),
        of("Write Read Sync", WalIo::Write, TableIo::Read, synced),
        of("Mapped Read Sync", WalIo::Mapped, TableIo::Read, synced),
        of("Write Mapped Buffered", WalIo::Write, TableIo::Mapped, buffered),
        with_threads(of("Buffered, threads", WalIo::Mapped, TableIo::Mapped, buffered)),
        reserved(of("Mapped Mapped Buffered, large", WalIo::Mapped, TableIo::Mapped, buffered)),
        with_threads(of("Sync, threads", WalIo::Write, TableIo::Mapped, synced)),
    ]
}

/// How many cases there are of each kind of call and each error.
pub(super) fn table(cases: &[&Case]) -> String {
    let mut counts: BTreeMap<(Option<OpKind>, usize), [u64; 2]> = BTreeMap::new();
    for case in cases {
        let effect = EFFECTS.iter().position(|effect| *effect == case.fault.effect);
        let count = counts.entry((case.fault.kind, effect.unwrap_or(0))).or_default();
        count[usize::from(case.fault.forever)] += 1;
    }
    let mut text = format!("{:<10}", "call");
    for name in ["EIO", "ENOSPC", "EINTR", "short"] {
        let _ = write!(text, "{:>18}", format!("{name} 1x / on"));
    }
    text.push('\n');
    for kind in [None].into_iter().chain(KINDS.map(Some)) {
        let _ = write!(text, "{:<10}", kind.map_or("all".to_owned(), |kind| format!("{kind:?}")));
        for effect in 0..EFFECTS.len() {
            let [once, on] = counts.get(&(kind, effect)).copied().unwrap_or_default();
            let _ = write!(text, "{:>18}", format!("{once} / {on}"));
        }
        text.push('\n');
    }
    text
}
