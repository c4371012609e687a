//! Lines as a Markdown table that is aligned for reading as it is.

use super::{Line, ratio, value};
use crate::engines::ENGINES;

/// The lines as one table; engines that no line has are left out.
pub fn markdown(lines: &[Line]) -> String {
    let has = |name| {
        lines.iter().any(|line| {
            line.figures.iter().any(|figures| figures.engine == name && figures.median.is_some())
        })
    };
    let engines: Vec<&str> =
        ENGINES.iter().map(|engine| engine.name).filter(|&name| has(name)).collect();
    let mut cells = vec![head(&engines)];
    cells.extend(lines.iter().map(|line| body(line, &engines)));
    aligned(&cells)
}

fn head(engines: &[&str]) -> Vec<String> {
    let fixed = ["ratio", "best peer", "must reach", "met"];
    let names = std::iter::once("row").chain(engines.iter().copied()).chain(fixed);
    names.map(str::to_owned).collect()
}

fn body(line: &Line, engines: &[&str]) -> Vec<String> {
    let mut cells = vec![line.title.clone()];
    for engine in engines {
        let figures = line.figures.iter().find(|figures| figures.engine == *engine);
        cells.push(figures.map_or_else(String::new, |figures| {
            let cut = if figures.cut { " (cut)" } else { "" };
            let figure = figures.median.map(|median| value(line.kind, median));
            figure.map_or_else(|| "failed".to_owned(), |figure| figure + cut)
        }));
    }
    let best = line.best.as_ref();
    cells.push(best.map_or_else(String::new, |best| ratio(best.ratio)));
    cells.push(best.map_or_else(String::new, |best| best.peer.to_owned()));
    let goals: Vec<&str> = line.goals.iter().map(|goal| goal.goal.as_str()).collect();
    cells.push(goals.join(", "));
    let met: Vec<String> = line
        .goals
        .iter()
        .map(|goal| match (goal.met, &goal.against) {
            (Some(true), _) => "met".to_owned(),
            (Some(false), Some(against)) => format!("NOT ({})", ratio(against.ratio)),
            (Some(false), None) => "NOT".to_owned(),
            (None, _) => "–".to_owned(),
        })
        .collect();
    cells.push(met.join(", "));
    cells
}

fn aligned(cells: &[Vec<String>]) -> String {
    let columns = cells.first().map_or(0, Vec::len);
    let width =
        |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, row) in cells.iter().enumerate() {
        for (cell, &width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:<width$} "));
        }
        text.push_str("|\n");
        if at == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let end = if column == 0 { "-" } else { ":" };
                text.push_str(&format!("|-{}{end}", "-".repeat(width)));
            }
            text.push_str("|\n");
        }
    }
    text
}
