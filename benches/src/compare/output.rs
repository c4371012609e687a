//! What a run prints, writes and draws.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use olive_benches::engines::{ENGINES, EngineInfo};
use olive_benches::plan::{Group, Metric, seconds_estimate};
use olive_benches::report::{Line, lines, markdown, median};
use olive_benches::spec::{Latency, Outcome};
use olive_benches::state::State;
use olive_benches::svg::{Panel, Series, bars, panels};

use crate::args::Args;
use crate::machine::Machine;
use crate::run::effective;

fn estimate(groups: &[Group], engines: &[&EngineInfo], rounds: u32) -> f64 {
    let of_group = |group: &Group| {
        let phases = group.phases.iter();
        let seconds = phases.flat_map(|phase| {
            let taking = engines.iter().filter(move |engine| group.takes_part(engine, phase));
            taking.map(move |engine| seconds_estimate(group, phase, engine))
        });
        seconds.sum::<f64>() * f64::from(rounds.min(group.rounds_max))
    };
    groups.iter().map(of_group).sum()
}

fn hours(seconds: f64) -> String {
    if seconds < 5400.0 {
        format!("{:.0} minutes", (seconds / 60.0).ceil())
    } else {
        format!("{:.1} hours", seconds / 3600.0)
    }
}

/// `--list`.
pub(crate) fn list(groups: &[Group], engines: &[&EngineInfo], rounds: u32) {
    for group in groups {
        let time = hours(estimate(std::slice::from_ref(group), engines, rounds));
        println!("{}  {} (about {time})", group.id, group.title);
        for phase in &group.phases {
            println!("    {:<18} {:>10} operations", phase.id, phase.ops);
        }
    }
    println!("{rounds} rounds, about {} in all", hours(estimate(groups, engines, rounds)));
}

/// Before the first measurement.
pub(crate) fn opening(
    args: &Args,
    machine: &Machine,
    groups: &[Group],
    engines: &[&EngineInfo],
    rounds: u32,
) {
    println!("{machine}");
    let names: Vec<&str> = engines.iter().map(|engine| engine.name).collect();
    println!("{} in turns, {rounds} rounds", names.join(", "));
    let time = hours(estimate(groups, engines, rounds));
    if args.quick {
        println!("--quick: few operations, at most 15 minutes. Not figures to quote.");
    } else {
        println!("About {time}, by rates of another machine.");
    }
}

/// Ticks are tenths of estimated seconds.
pub(crate) fn progress(groups: &[Group], engines: &[&EngineInfo], rounds: u32) -> ProgressBar {
    let bar = ProgressBar::new((estimate(groups, engines, rounds) * 10.0) as u64);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %, {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

/// After the last measurement: table, options, notes, JSON, pictures.
pub(crate) fn closing(
    args: &Args,
    machine: &Machine,
    groups: &[Group],
    state: &State,
    rounds: u32,
    notes: &[String],
) -> Result<()> {
    let lines = lines(groups, state, rounds);
    for group in groups {
        let own: Vec<Line> = lines.iter().filter(|line| line.group == group.id).cloned().collect();
        if !own.is_empty() {
            println!("\n## {}\n\n{}", group.title, markdown(&own));
        }
    }
    let effective = effective(state);
    println!("## Versions and effective options\n");
    for (engine, options) in &effective {
        let options: Vec<String> =
            options.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        println!("- {engine}: {}", options.join("; "));
    }
    for note in notes {
        println!("\nNOTE: {note}");
    }
    let goals = || lines.iter().flat_map(|line| &line.goals);
    let met = goals().filter(|goal| goal.met == Some(true)).count();
    let told = goals().filter(|goal| goal.met.is_some()).count();
    println!("\n{met} of {told} marks met, medians of {rounds} rounds.");

    if let Some(path) = &args.json {
        let outcomes: Vec<_> = state
            .outcomes()
            .map(|(key, outcome)| {
                serde_json::json!({
                    "group": key.group, "phase": key.phase, "engine": key.engine,
                    "round": key.round, "outcome": outcome,
                })
            })
            .collect();
        let json = serde_json::json!({
            "machine": machine, "rounds": rounds, "effective": effective,
            "rows": lines, "notes": notes, "outcomes": outcomes,
        });
        write(path, &serde_json::to_string_pretty(&json)?)?;
    }
    if let Some(path) = &args.svg {
        draw(path, &lines, groups, state)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    println!("Wrote {}.", path.display());
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{suffix}.svg"))
}

fn draw(path: &Path, lines: &[Line], groups: &[Group], state: &State) -> Result<()> {
    let first = groups.first().map_or("", |group| group.id.split('/').next().unwrap_or(""));
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

/// Puts and gets of every timed phase of the first size, families' plain forms.
fn latency_panels(groups: &[Group], state: &State) -> Vec<Panel> {
    let first = groups.first().map_or("", |group| group.id.split('/').next().unwrap_or(""));
    let timed = groups.iter().filter(|group| group.id.starts_with(first)).flat_map(|group| {
        let phases = group.phases.iter().filter(|phase| phase.clocks);
        phases.map(move |phase| (group, phase))
    });
    let mut shown = Vec::new();
    for (group, phase) in timed {
        let sides: [(&str, fn(&Outcome) -> Option<Latency>); 2] = [
            ("put", |outcome| outcome.puts.and_then(|side| side.latency)),
            ("get", |outcome| outcome.gets.and_then(|side| side.latency)),
        ];
        for (what, of) in sides {
            let series: Vec<Series> = ENGINES
                .iter()
                .filter(|engine| !engine.compressed)
                .filter_map(|engine| {
                    let own: Vec<Latency> = state
                        .outcomes()
                        .filter(|(key, _)| {
                            key.group == group.id
                                && key.phase == phase.id
                                && key.engine == engine.name
                        })
                        .filter_map(|(_, outcome)| of(outcome))
                        .collect();
                    let at = |of: fn(&Latency) -> u64| {
                        median(own.iter().map(|latency| of(latency) as f64 / 1e9))
                    };
                    let values = vec![
                        at(|latency| latency.ns_p50),
                        at(|latency| latency.ns_p99),
                        at(|latency| latency.ns_p999),
                        at(|latency| latency.ns_p9999),
                        at(|latency| latency.ns_max),
                    ];
                    (!own.is_empty()).then_some(Series { family: engine.family, values })
                })
                .collect();
            if !series.is_empty() {
                let labels = ["p50", "p99", "p99.9", "p99.99", "max"].map(str::to_owned).to_vec();
                let where_from = match phase.id {
                    "fills" => "fillrandom + overwrite",
                    "gets" => "readrandom",
                    _ => "read while writing",
                };
                let title = format!("{what}, {where_from}");
                shown.push(Panel { title, metric: Metric::PutMax, labels, series });
            }
        }
    }
    shown
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
