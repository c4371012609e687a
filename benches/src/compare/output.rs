//! What a run prints and writes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use olive_benches::engines::EngineInfo;
use olive_benches::plan::{Group, seconds_estimate};
use olive_benches::report::{Line, lines, markdown};
use olive_benches::state::State;

use crate::args::Args;
use crate::machine::Machine;
use crate::pictures;
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
        pictures::draw(path, &lines, groups, state)?;
    }
    Ok(())
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    println!("Wrote {}.", path.display());
    Ok(())
}
