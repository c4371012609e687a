//! Which figures become which picture.

use std::path::{Path, PathBuf};

use anyhow::Result;
use olive_benches::engines::{ENGINES, EngineInfo};
use olive_benches::plan::{Group, Metric, Phase};
use olive_benches::report::{Line, median};
use olive_benches::spec::{Latency, Outcome, Work};
use olive_benches::state::State;
use olive_benches::svg::{Panel, Series, bars, panels};

use crate::output::write;

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{suffix}.svg"))
}

/// Draws bars, and beside them latencies and growth, where they were measured.
pub(crate) fn draw(path: &Path, lines: &[Line], groups: &[Group], state: &State) -> Result<()> {
    let first = first_size(groups);
    let growth = |line: &&Line| line.group.contains("/growth");
    let main: Vec<Line> = lines
        .iter()
        .filter(|line| line.group.starts_with(first) && !growth(line))
        .cloned()
        .collect();
    write(path, &bars("Times as fast as the best peer", &main))?;
    let latencies = latency_panels(groups, state);
    if !latencies.is_empty() {
        write(&beside(path, "latency"), &panels("Latency by percentile", &latencies))?;
    }
    let grown = growth_panels(lines);
    if !grown.is_empty() {
        write(&beside(path, "growth"), &panels("Cost by the number of entries", &grown))?;
    }
    Ok(())
}

/// The size whose rows have the marks: the first groups'.
fn first_size(groups: &[Group]) -> &str {
    groups.first().map_or("", |group| group.id.split('/').next().unwrap_or(""))
}

/// Percentiles of one kind of operation in an outcome.
type Percentiles = fn(&Outcome) -> Option<Latency>;

/// Puts and gets of every timed phase of the first size, engines' plain forms.
fn latency_panels(groups: &[Group], state: &State) -> Vec<Panel> {
    let sides: [(&str, Percentiles); 2] = [
        ("put", |outcome| outcome.puts.and_then(|side| side.latency)),
        ("get", |outcome| outcome.gets.and_then(|side| side.latency)),
    ];
    let own = groups.iter().filter(|group| group.id.starts_with(first_size(groups)));
    let timed = own.flat_map(|group| {
        let phases = group.phases.iter().filter(|phase| phase.clocks);
        phases.map(move |phase| (group, phase))
    });
    let mut shown = Vec::new();
    for (group, phase) in timed {
        let workload = match phase.work {
            Work::FillOverwrite => "fillrandom + overwrite",
            Work::ReadWhileWriting => "read while writing",
            _ => "readrandom",
        };
        for (what, of) in sides {
            let plain = ENGINES.iter().filter(|engine| !engine.compressed);
            let series: Vec<Series> =
                plain.filter_map(|engine| percentiles(group, phase, engine, state, of)).collect();
            if !series.is_empty() {
                let labels = ["p50", "p99", "p99.9", "p99.99", "max"].map(str::to_owned).to_vec();
                let title = format!("{what}, {workload}");
                shown.push(Panel { title, metric: Metric::PutMax, labels, series });
            }
        }
    }
    shown
}

/// Medians of the rounds, in seconds.
fn percentiles(
    group: &Group,
    phase: &Phase,
    engine: &EngineInfo,
    state: &State,
    of: Percentiles,
) -> Option<Series> {
    let own = state.outcomes().filter(|(key, _)| {
        key.group == group.id && key.phase == phase.id && key.engine == engine.name
    });
    let rounds: Vec<Latency> = own.filter_map(|(_, outcome)| of(outcome)).collect();
    let at =
        |of: fn(&Latency) -> u64| median(rounds.iter().map(|latency| of(latency) as f64 / 1e9));
    let values = vec![
        at(|latency| latency.ns_p50),
        at(|latency| latency.ns_p99),
        at(|latency| latency.ns_p999),
        at(|latency| latency.ns_p9999),
        at(|latency| latency.ns_max),
    ];
    (!rounds.is_empty()).then_some(Series { family: engine.family, values })
}

/// The rows of the growing databases, one panel for each kind of row.
fn growth_panels(lines: &[Line]) -> Vec<Panel> {
    let grown: Vec<(&str, &str, &Line)> = lines
        .iter()
        .filter(|line| line.group.contains("/growth"))
        .filter_map(|line| {
            let (entries, what) = line.title.split_once(" entries: ")?;
            Some((entries, what, line))
        })
        .collect();
    let mut labels: Vec<&str> = grown.iter().map(|&(entries, ..)| entries).collect();
    labels.dedup();
    let mut kinds: Vec<&str> = Vec::new();
    for &(_, what, _) in &grown {
        if !kinds.contains(&what) {
            kinds.push(what);
        }
    }
    let panel = |what: &&str| {
        let own: Vec<_> = grown.iter().filter(|(_, kind, _)| kind == what).collect();
        let series = ENGINES.iter().filter(|engine| !engine.compressed).filter_map(|engine| {
            let at = |label: &&str| {
                let (.., line) = own.iter().find(|(entries, ..)| entries == label)?;
                line.figures.iter().find(|figures| figures.engine == engine.name)?.median
            };
            let values: Vec<Option<f64>> = labels.iter().map(at).collect();
            let any = values.iter().any(Option::is_some);
            any.then_some(Series { family: engine.family, values })
        });
        let metric = own.first().map_or(Metric::GetsPerSecond, |(.., line)| line.metric_kind());
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Panel { title: (*what).to_owned(), metric, labels, series: series.collect() }
    };
    kinds.iter().map(panel).collect()
}
