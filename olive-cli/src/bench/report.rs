//! What came of the workloads, for people and for programs.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value, json};

use super::load::Outcome;
use super::plan::Plan;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// A row a workload; latencies in microseconds.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let mut header = vec!["workload".to_owned(), "requests".into(), "seconds".into()];
    header.push("requests/s".into());
    header.extend(QUANTILES.map(|(name, _)| format!("{name} µs")));
    header.extend(["max µs", "missing", "errors"].map(str::to_owned));
    table.set_header(header);
    for outcome in outcomes {
        let tally = &outcome.tally;
        let mut row = vec![outcome.name.clone(), tally.answered().to_string()];
        row.push(format!("{:.2}", outcome.elapsed.as_secs_f64()));
        row.push(format!("{:.0}", outcome.rate()));
        row.extend(
            QUANTILES.map(|(_, q)| format!("{:.1}", us(tally.latency_ns.value_at_quantile(q)))),
        );
        row.push(format!("{:.1}", us(tally.latency_ns.max())));
        row.push(tally.missing.to_string());
        row.push((tally.error_count() + tally.mismatched + tally.unanswered).to_string());
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// All of it in one object.
pub(super) fn json(plan: &Plan, addr: &str, outcomes: &[Outcome]) -> Value {
    json!({
        "addr": addr,
        "version": env!("CARGO_PKG_VERSION"),
        "options": plan.json(),
        "workloads": outcomes.iter().map(workload).collect::<Vec<_>>(),
    })
}

fn workload(outcome: &Outcome) -> Value {
    let tally = &outcome.tally;
    let errors: Map<String, Value> = tally
        .errors
        .iter()
        .map(|(kind, (count, _))| ((*kind).to_owned(), (*count).into()))
        .collect();
    let mut latency = Map::new();
    latency.insert("mean".to_owned(), json!(tally.latency_ns.mean() / 1e3));
    for (name, q) in QUANTILES {
        latency.insert(name.to_owned(), json!(us(tally.latency_ns.value_at_quantile(q))));
    }
    latency.insert("max".to_owned(), json!(us(tally.latency_ns.max())));
    json!({
        "name": outcome.name,
        "asked": tally.asked,
        "answered": tally.answered(),
        "put": tally.put,
        "hits": tally.hits,
        "missing": tally.missing,
        "mismatched": tally.mismatched,
        "errors": errors,
        "broken_connections": tally.broken,
        "unanswered": tally.unanswered,
        "seconds": outcome.elapsed.as_secs_f64(),
        "requests_per_second": outcome.rate(),
        "latency_us": latency,
    })
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
