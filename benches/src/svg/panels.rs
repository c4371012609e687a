//! Small line charts side by side, on a logarithmic scale: latency by percentile, cost by
//! the number of entries.

use super::{Canvas, families};
use crate::plan::Metric;
use crate::report::value;

const PANEL: (f64, f64) = (280.0, 200.0);
const LEFT: f64 = 66.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 30.0;
const COLUMNS: usize = 3;

/// One chart.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// The unit of its values.
    pub metric: Metric,
    /// From left to right, at equal distances.
    pub labels: Vec<String>,
    /// A line each.
    pub series: Vec<Series>,
}

/// One family's line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose.
    pub family: &'static str,
    /// A value for each label; none leaves a gap at the end.
    pub values: Vec<Option<f64>>,
}

/// Draws charts, three in a row.
pub fn panels(title: &str, panels: &[Panel]) -> String {
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let cell = (LEFT + PANEL.0 + 16.0, TOP - 40.0 + PANEL.1 + BOTTOM);
    let width = cell.0 * columns as f64 + 16.0;
    let mut canvas = Canvas::new(width, 60.0 + cell.1 * rows as f64);
    canvas.rect("ground", (0.0, 0.0), (canvas.width, canvas.height));
    canvas.text("head", "start", (16.0, 24.0), title);
    let has = |family: &&str| panels.iter().any(|p| p.series.iter().any(|s| s.family == *family));
    let shown: Vec<&str> = families().into_iter().filter(|family| has(family)).collect();
    canvas.legend(&shown, (16.0, 46.0));
    for (at, panel) in panels.iter().enumerate() {
        let x = LEFT + cell.0 * (at % columns) as f64;
        let y = TOP + 12.0 + cell.1 * (at / columns) as f64;
        draw(&mut canvas, panel, (x, y));
    }
    canvas.finish(title)
}

fn draw(canvas: &mut Canvas, panel: &Panel, origin: (f64, f64)) {
    let values = panel.series.iter().flat_map(|series| series.values.iter().flatten().copied());
    let values: Vec<f64> = values.filter(|&value| value > 0.0).collect();
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(least, most), &v| (least.min(v), most.max(v)));
    canvas.text("ink", "start", (origin.0, origin.1 - 8.0), &panel.title);
    if values.is_empty() {
        return;
    }
    let (low, high) = (least.log10().floor(), (most.log10() + 1e-9).ceil());
    let high = high.max(low + 1.0);
    let y_of = |v: f64| origin.1 + PANEL.1 * (1.0 - (v.log10() - low) / (high - low));
    let step = PANEL.0 / panel.labels.len().saturating_sub(1).max(1) as f64;
    let x_of = |at: usize| origin.0 + step * at as f64;
    for decade in low as i32..=high as i32 {
        let y = y_of(10_f64.powi(decade));
        canvas.rule("grid", (origin.0, y), (origin.0 + PANEL.0, y));
        let label = value(panel.metric, 10_f64.powi(decade));
        let label = label.replacen(".00", "", 1).replacen(".0", "", 1);
        canvas.text("small", "end", (origin.0 - 5.0, y + 3.0), &label);
    }
    for (at, label) in panel.labels.iter().enumerate() {
        canvas.text("small", "middle", (x_of(at), origin.1 + PANEL.1 + 14.0), label);
    }
    // Olive last, on top of the others.
    for series in panel.series.iter().rev() {
        let points: Vec<(f64, f64)> = series
            .values
            .iter()
            .enumerate()
            .filter_map(|(at, v)| v.filter(|&v| v > 0.0).map(|v| (x_of(at), y_of(v))))
            .collect();
        canvas.path(&format!("stroke-{}", series.family), &points);
        for &point in &points {
            canvas.dot(&format!("fill-{}", series.family), point);
        }
    }
}
