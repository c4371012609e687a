//! The run: rounds, in each the groups, in each the phases, in each the engines in turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use olive_benches::engines::EngineInfo;
use olive_benches::plan::{Group, Phase, groups, seconds_estimate};
use olive_benches::spec::{Job, Outcome, Work};
use olive_benches::state::{Key, State};

use crate::args::Args;
use crate::cgroup::MemoryLimit;
use crate::machine::Machine;
use crate::output;
use crate::spawn::spawn;
use crate::start;

/// A quick run begins nothing after this, so that it ends within 15 minutes.
const QUICK: Duration = Duration::from_secs(13 * 60 + 30);

pub(crate) fn run(args: &Args) -> Result<()> {
    let engines = args.engines()?;
    let rounds = args.rounds()?;
    let mut groups = groups(&args.selection()?);
    for group in &mut groups {
        let id = group.id.clone();
        group.keep(|phase| args.wants(&id, phase));
    }
    groups.retain(|group| !group.phases.is_empty());
    ensure!(!groups.is_empty(), "no workload is called {}; see --list", args.workloads.join(","));
    if args.list {
        output::list(&groups, &engines, rounds);
        return Ok(());
    }
    let machine = Machine::look(&args.dir);
    output::opening(args, &machine, &groups, &engines, rounds);

    let state = open_state(args, &groups, &engines)?;
    let data = tempfile::Builder::new().prefix("olive-compare-").tempdir_in(&args.dir)?;
    let mut run = Run {
        args,
        engines,
        state,
        data: data.path().to_owned(),
        notes: Vec::new(),
        interrupted: interruptions()?,
        began: Instant::now(),
    };
    let result = run.rounds(&groups, rounds);
    data.close().context("the databases cannot be removed")?;
    result?;
    output::closing(args, &machine, &groups, &run.state, rounds, &run.notes)
}

/// Set by an interruption: databases are removed before the program ends.
fn interruptions() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// In memory, unless results are to be found again.
fn open_state(args: &Args, groups: &[Group], engines: &[&EngineInfo]) -> Result<State> {
    let dir = args.state.clone().or_else(|| args.all.then(|| PathBuf::from("target/compare")));
    let Some(dir) = dir else { return Ok(State::in_memory()) };
    if args.fresh && dir.exists() {
        ensure!(dir.join("run.json").exists(), "{} holds no results", dir.display());
        std::fs::remove_dir_all(&dir)?;
    }
    let program = std::fs::metadata(std::env::current_exe()?)?;
    let run = serde_json::json!({
        "program_bytes": program.len(),
        "program_made": unix_seconds(program.modified()?),
        "selection": format!("{:?}", args.selection()?),
        "memory_limit": args.memory_limit,
        "seconds_max": args.seconds_max,
    });
    let mut state = State::in_folder(&dir, &run.to_string())
        .with_context(|| "--fresh begins again, --state DIR elsewhere")?;
    let keys = groups.iter().flat_map(|group| group.phases.iter().map(move |phase| (group, phase)));
    for (group, phase) in keys {
        for engine in engines {
            for round in 1..=args.rounds()?.min(group.rounds_max) {
                state.load(&key(group, phase, engine, round))?;
            }
        }
    }
    println!("Results are kept in {}.", dir.display());
    Ok(state)
}

fn unix_seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn key(group: &Group, phase: &Phase, engine: &EngineInfo, round: u32) -> Key {
    let (group, phase) = (group.id.clone(), phase.id.to_owned());
    Key { group, phase, engine: engine.name.to_owned(), round }
}

struct Run<'a> {
    args: &'a Args,
    engines: Vec<&'static EngineInfo>,
    state: State,
    data: PathBuf,
    notes: Vec<String>,
    interrupted: Arc<AtomicBool>,
    began: Instant,
}

/// An engine's database within a group and a round.
struct Life {
    engine: &'static EngineInfo,
    dir: PathBuf,
    /// How many puts filled it; none before that.
    filled_ops: Option<u64>,
    failed: bool,
}

impl Run<'_> {
    fn rounds(&mut self, groups: &[Group], rounds: u32) -> Result<()> {
        let bar = output::progress(groups, &self.engines, rounds);
        for round in 1..=rounds {
            for group in groups.iter().filter(|group| round <= group.rounds_max) {
                self.group(group, round, &bar)?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn group(&mut self, group: &Group, round: u32, bar: &indicatif::ProgressBar) -> Result<()> {
        let limit = if group.limited {
            match MemoryLimit::new(self.args.memory_limit << 20) {
                Ok(limit) => Some(limit),
                Err(error) => {
                    self.note(format!("{}: NOT MEASURED: {error:#}", group.id));
                    return Ok(());
                }
            }
        } else {
            None
        };
        let folder = format!("{}.{round}", group.id.replace('/', "_"));
        let mut lives: Vec<Life> = self
            .engines
            .iter()
            .map(|&engine| Life {
                engine,
                dir: self.data.join(&folder).join(engine.name),
                filled_ops: None,
                failed: false,
            })
            .collect();
        // Each round begins with another one.
        let first = (round as usize - 1) % lives.len();
        lives.rotate_left(first);
        for (at, phase) in group.phases.iter().enumerate() {
            for life in &mut lives {
                if !group.takes_part(life.engine, phase) {
                    continue;
                }
                if self.args.quick && self.began.elapsed() > QUICK {
                    self.note(format!("round {round} of {}: cut, time was up", group.id));
                    continue;
                }
                let seconds = seconds_estimate(group, phase, life.engine);
                bar.set_message(format!("{} {} {} {round}", group.id, phase.id, life.engine.name));
                if !life.failed && self.is_needed(group, at, life.engine, round)? {
                    if let Some(limit) = &limit {
                        limit.empty();
                    }
                    start::even(&self.data, group, phase)?;
                    self.phase(group, phase, life, round, limit.as_ref())?;
                }
                bar.inc((seconds * 10.0) as u64);
            }
        }
        let folder = self.data.join(folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        Ok(())
    }

    /// Whether a phase has no outcome yet, or builds what one without an outcome needs.
    fn is_needed(
        &mut self,
        group: &Group,
        at: usize,
        engine: &EngineInfo,
        round: u32,
    ) -> Result<bool> {
        let missing = |state: &mut State, phase: &Phase| -> Result<bool> {
            let takes_part = group.takes_part(engine, phase);
            Ok(takes_part && state.load(&key(group, phase, engine, round))?.is_none())
        };
        let phase = &group.phases[at];
        if missing(&mut self.state, phase)? {
            return Ok(true);
        }
        if phase.builds {
            for later in &group.phases[at + 1..] {
                if missing(&mut self.state, later)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn phase(
        &mut self,
        group: &Group,
        phase: &Phase,
        life: &mut Life,
        round: u32,
        limit: Option<&MemoryLimit>,
    ) -> Result<()> {
        let job = Job {
            engine: life.engine.name.to_owned(),
            dir: life.dir.clone(),
            work: phase.work,
            skew: phase.skew,
            filled: phase.filled,
            ops: phase.ops,
            entries: group.entries,
            filled_ops: life.filled_ops.unwrap_or(0),
            threads: phase.threads,
            key_bytes: group.key_bytes,
            value_bytes: group.value_bytes,
            sync: phase.sync,
            clocks: phase.clocks,
            warm: phase.warm,
            settle_counts: phase.settle_counts,
            cache_bytes: group.cache_bytes,
            seconds_max: self.args.seconds_max,
            cgroup: limit.map(|limit| limit.dir().to_owned()),
        };
        std::fs::create_dir_all(life.dir.parent().unwrap_or(Path::new(".")))?;
        let outcome = spawn(&job, &self.interrupted);
        // An interruption reaches the child as well: what it answered is nothing.
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        let outcome = outcome.unwrap_or_else(|error| Outcome {
            error: Some(format!("{error:#}")),
            ..Outcome::default()
        });
        let what = format!("{} {} {}", group.id, phase.id, life.engine.name);
        if let Some(error) = &outcome.error {
            life.failed = true;
            self.note(format!("{what}: FAILED, with what follows on its database: {error}"));
        } else if !outcome.finished {
            self.note(format!("{what}: cut after {} s", self.args.seconds_max));
            // A smaller database is easier to read: no figures of it.
            life.failed = phase.builds;
        }
        let puts = outcome.puts.map_or(0, |side| side.ops);
        match phase.work {
            Work::YcsbD | Work::YcsbE => {
                life.filled_ops = life.filled_ops.map(|filled| filled + puts);
            }
            // Half of these puts went over the other half.
            Work::FillOverwrite => life.filled_ops = Some(puts.min(phase.ops)),
            _ => life.filled_ops = life.filled_ops.or(Some(puts)),
        }
        self.state.record(key(group, phase, life.engine, round), outcome)?;
        Ok(())
    }
}

/// Each engine's version and effective options; where groups differ, all that it had.
pub(crate) fn effective(state: &State) -> BTreeMap<String, Vec<(String, String)>> {
    let mut effective: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (key, outcome) in state.outcomes() {
        let known = effective.entry(key.engine.clone()).or_default();
        for (name, value) in &outcome.effective {
            match known.iter_mut().find(|(other, _)| other == name) {
                None => known.push((name.clone(), value.clone())),
                Some((_, values)) if values.split(" | ").all(|other| other != value) => {
                    values.push_str(" | ");
                    values.push_str(value);
                }
                Some(_) => {}
            }
        }
    }
    effective
}
