//! Bars by workload: each family's best figure against that of the best peer.

use super::{Canvas, families};
use crate::engines::{OLIVE, find};
use crate::report::{Line, ratio};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 240.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 74.0;
const OLIVE_BAR: f64 = 10.0;
const PEER_BAR: f64 = 5.0;
const GAP: f64 = 12.0;
/// Longer bars are cut, and say so.
const TIMES_MAX: f64 = 6.0;

/// Draws the lines that are rates and have a peer; the axis is how many times as fast as
/// the best peer.
pub fn bars(title: &str, lines: &[Line]) -> String {
    let rows: Vec<(&Line, Vec<(&str, f64)>)> =
        lines.iter().filter_map(|line| Some((line, shares(line)?))).collect();
    let shown: Vec<&str> = families()
        .into_iter()
        .filter(|family| rows.iter().any(|(_, shares)| shares.iter().any(|(f, _)| f == family)))
        .collect();
    let row_height = OLIVE_BAR + PEER_BAR * shown.len().saturating_sub(1) as f64 + GAP;
    let longest = rows.iter().flat_map(|(_, shares)| shares).map(|&(_, share)| share);
    let axis = longest.fold(1.2, f64::max).min(TIMES_MAX);
    let scale = (WIDTH - LEFT - RIGHT) / axis;

    let mut canvas = Canvas::new(WIDTH, TOP + row_height * rows.len() as f64 + 30.0);
    canvas.rect("ground", (0.0, 0.0), (canvas.width, canvas.height));
    canvas.text("head", "start", (16.0, 24.0), title);
    canvas.legend(&shown, (16.0, 46.0));
    let bottom = canvas.height - 24.0;
    for times in 0..=axis as u32 {
        let x = LEFT + f64::from(times) * scale;
        let class = if times == 1 { "one" } else { "grid" };
        canvas.rule(class, (x, TOP - 6.0), (x, bottom));
        canvas.text("small", "middle", (x, bottom + 14.0), &format!("{times}×"));
    }
    for (at, (line, shares)) in rows.iter().enumerate() {
        let mut y = TOP + row_height * at as f64;
        canvas.text("ink", "end", (LEFT - 10.0, y + OLIVE_BAR), &line.title);
        let best = line.best.as_ref().map_or("", |best| best.peer);
        let note = format!("best peer: {best}");
        canvas.text("small", "end", (LEFT - 10.0, y + OLIVE_BAR + 13.0), &note);
        for &(family, share) in shares {
            let height = if family == OLIVE { OLIVE_BAR } else { PEER_BAR };
            let width = share.min(axis) * scale;
            canvas.rect(&format!("fill-{family}"), (LEFT, y), (width, height - 1.0));
            if family == OLIVE {
                canvas.text("strong", "start", (LEFT + width + 5.0, y + 9.0), &ratio(share));
            }
            y += height;
        }
    }
    canvas.finish(title)
}

/// Each family's share of the best peer's figure, Olive's by rounds, in the order drawn.
fn shares(line: &Line) -> Option<Vec<(&'static str, f64)>> {
    let best = line.best.as_ref()?;
    if !line.is_rate() {
        return None;
    }
    let of = |name: &str| line.figures.iter().find(|figures| figures.engine == name)?.median;
    let against = of(best.peer)?;
    let mut shares = Vec::new();
    for family in families() {
        let share = if family == OLIVE {
            Some(best.ratio)
        } else {
            let own = line.figures.iter().filter(|figures| {
                find(figures.engine).is_some_and(|engine| engine.family == family)
            });
            own.filter_map(|figures| figures.median).reduce(f64::max).map(|median| median / against)
        };
        shares.extend(share.map(|share| (family, share)));
    }
    Some(shares)
}
