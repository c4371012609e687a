//! The table: medians of the rounds, ratios to the best peer, and what was to be reached.
//!
//! A ratio is the median over the rounds of Olive's figure against the peer's of the same
//! round, turned so that more is better for Olive. The best peer is the one with the best
//! median. Peers whose writes may be lost with the process are shown and not ranked in
//! rows that write without a sync.

mod format;
mod table;

pub use format::{ratio, value};
pub use table::markdown;

use serde::Serialize;

use crate::engines::{ENGINES, EngineInfo, OLIVE, find};
use crate::plan::{Goal, Group, Metric, Phase, Row};
use crate::spec::{Latency, Outcome, Side};
use crate::state::{Key, State};

/// A row with its figures.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The group's name.
    pub group: String,
    /// What it shows.
    pub title: String,
    /// The metric's name.
    pub metric: String,
    #[serde(skip)]
    kind: Metric,
    /// Each engine's figures, a round each, and their median.
    pub figures: Vec<Figures>,
    /// The best peer and Olive's ratio to it.
    pub best: Option<Against>,
    /// What was to be reached.
    pub goals: Vec<Checked>,
}

impl Line {
    /// Whether more is better.
    pub fn is_rate(&self) -> bool {
        self.kind.is_rate()
    }

    /// The metric, which says its unit.
    pub fn metric_kind(&self) -> Metric {
        self.kind
    }
}

/// One engine's figures in a row.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Its name.
    pub engine: &'static str,
    /// By round; none where it failed or was not run.
    pub rounds: Vec<Option<f64>>,
    /// Of those that there are.
    pub median: Option<f64>,
    /// Whether a time limit cut a round short.
    pub cut: bool,
}

/// Olive against a peer.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    /// Which.
    pub peer: &'static str,
    /// More than one: Olive is better.
    pub ratio: f64,
}

/// A goal and whether it was met.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// As text.
    pub goal: String,
    /// The peer that was met or not, where there is one.
    pub against: Option<Against>,
    /// None if there is nothing to tell it by.
    pub met: Option<bool>,
}

/// Makes the lines of all groups, those for which nothing was measured left out.
pub fn lines(groups: &[Group], state: &State, rounds: u32) -> Vec<Line> {
    let rows = groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row)));
    let lines = rows.map(|(group, row)| line(group, row, state, rounds));
    lines.filter(|line| line.figures.iter().any(|figures| figures.median.is_some())).collect()
}

fn line(group: &Group, row: &Row, state: &State, rounds: u32) -> Line {
    let engines = ENGINES.iter().filter(|engine| {
        group.phase(row.phase).is_some_and(|phase| group.takes_part(engine, phase))
    });
    let figures: Vec<Figures> =
        engines.map(|engine| figures(group, row, engine, state, rounds)).collect();
    let shown = group.phase(row.phase);
    let against = |wanted: Wanted<'_>| {
        best_peer(&figures, row.metric, &|peer| {
            wanted(peer) && shown.is_none_or(|p| ranks(peer, p))
        })
    };
    let goals = row.goals.iter().map(|&goal| check(goal, row.metric, &figures, &against)).collect();
    Line {
        group: group.id.clone(),
        title: row.title.clone(),
        metric: format!("{:?}", row.metric),
        kind: row.metric,
        best: against(&|_| true),
        figures,
        goals,
    }
}

/// Whether a peer's promise in a phase is at least the common one.
fn ranks(peer: &EngineInfo, phase: &Phase) -> bool {
    peer.survives_process || phase.sync || !phase.writes()
}

fn figures(group: &Group, row: &Row, engine: &EngineInfo, state: &State, rounds: u32) -> Figures {
    let own = row.olive_phase.filter(|_| engine.name == OLIVE);
    let phase = own.unwrap_or(row.phase);
    let outcome_of = |round| {
        let (group, phase) = (group.id.clone(), phase.to_owned());
        let key = Key { group, phase, engine: engine.name.to_owned(), round };
        state.outcomes().find(|(found, _)| **found == key).map(|(_, outcome)| outcome)
    };
    let outcomes: Vec<Option<&Outcome>> = (1..=rounds).map(outcome_of).collect();
    let rounds: Vec<Option<f64>> =
        outcomes.iter().map(|outcome| outcome.and_then(|o| figure(row.metric, o))).collect();
    let cut = outcomes.iter().flatten().any(|outcome| outcome.error.is_none() && !outcome.finished);
    Figures { engine: engine.name, median: median(rounds.iter().flatten().copied()), rounds, cut }
}

/// One figure of an outcome, in operations a second, seconds, bytes or a ratio.
pub fn figure(metric: Metric, outcome: &Outcome) -> Option<f64> {
    if outcome.error.is_some() {
        return None;
    }
    let rate = |side: Side| (side.seconds > 0.0).then(|| side.ops as f64 / side.seconds);
    let latency = |side: Option<Side>, of: fn(Latency) -> u64| {
        side.and_then(|side| side.latency).map(|latency| of(latency) as f64 / 1e9)
    };
    let (puts, gets) = (outcome.puts, outcome.gets);
    match metric {
        Metric::PutsPerSecond => puts.and_then(rate),
        Metric::GetsPerSecond => gets.and_then(rate),
        Metric::OpsPerSecond => {
            let seconds = puts.iter().chain(&gets).map(|side| side.seconds).fold(0.0, f64::max);
            rate(Side { ops: outcome.ops(), seconds, latency: None })
        }
        Metric::PutP999 => latency(puts, |latency| latency.ns_p999),
        Metric::PutP9999 => latency(puts, |latency| latency.ns_p9999),
        Metric::PutMax => latency(puts, |latency| latency.ns_max),
        Metric::PutMaxRunning => outcome.longest_put_seconds,
        Metric::MachinePause => outcome.machine_pause_seconds_max,
        Metric::GetP999 => latency(gets, |latency| latency.ns_p999),
        Metric::DiskBytes => Some(outcome.disk_bytes as f64),
        Metric::WrittenPerByte => {
            (outcome.put_bytes > 0).then(|| outcome.written_bytes as f64 / outcome.put_bytes as f64)
        }
        Metric::AnonymousPeak => Some(outcome.anonymous_bytes_peak as f64),
        Metric::FilePeak => Some(outcome.file_bytes_peak as f64),
        Metric::CpuPerOp => (outcome.ops() > 0).then(|| outcome.cpu_seconds / outcome.ops() as f64),
        Metric::Settle => Some(outcome.settle_seconds),
        Metric::Open => Some(outcome.open_seconds),
    }
}

/// Which peers a goal is about.
type Wanted<'a> = &'a dyn Fn(&EngineInfo) -> bool;

fn best_peer(figures: &[Figures], metric: Metric, wanted: Wanted<'_>) -> Option<Against> {
    let olive = figures.iter().find(|figures| figures.engine == OLIVE)?;
    let peers = figures.iter().filter(|figures| {
        figures.engine != OLIVE
            && figures.median.is_some()
            && find(figures.engine).is_some_and(wanted)
    });
    let best = peers.max_by(|one, other| {
        let (one, other) = (one.median.unwrap_or(0.0), other.median.unwrap_or(0.0));
        if metric.is_rate() { one.total_cmp(&other) } else { other.total_cmp(&one) }
    })?;
    let ratios = olive.rounds.iter().zip(&best.rounds).filter_map(|(olive, peer)| {
        let (olive, peer) = ((*olive)?, (*peer)?);
        let ratio = if metric.is_rate() { olive / peer } else { peer / olive };
        ratio.is_finite().then_some(ratio)
    });
    Some(Against { peer: best.engine, ratio: median(ratios)? })
}

fn check(
    goal: Goal,
    metric: Metric,
    figures: &[Figures],
    against: &dyn Fn(Wanted<'_>) -> Option<Against>,
) -> Checked {
    let times = |factor: f64, whom: &str, against: Option<Against>| Checked {
        goal: if factor == 1.0 { format!("≥ {whom}") } else { format!("≥ {factor} × {whom}") },
        met: against.as_ref().map(|against| against.ratio >= factor),
        against,
    };
    match goal {
        Goal::Best(factor) => times(factor, "best", against(&|_| true)),
        Goal::BestLsm(factor) => times(factor, "best LSM", against(&|peer| peer.lsm)),
        Goal::Family(family, factor) => {
            times(factor, family, against(&|peer| peer.family == family))
        }
        Goal::AtMost(limit) => {
            let olive = figures.iter().find(|figures| figures.engine == OLIVE);
            let median = olive.and_then(|olive| olive.median);
            let goal = format!("≤ {}", value(metric, limit));
            Checked { goal, against: None, met: median.map(|median| median <= limit) }
        }
    }
}

/// The middle one, or the mean of the middle two.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests;
