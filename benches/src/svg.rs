//! The pictures, written by hand: one file that is legible on white and on black.
//!
//! Colours follow `prefers-color-scheme`, so that a README shows one picture for both.

mod bars;
mod panels;

pub use bars::bars;
pub use panels::{Panel, Series, panels};

use std::fmt::Write;

use crate::engines::ENGINES;

/// Lines of SVG between a head and a tail.
struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, body: String::new() }
    }

    fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let ((x, y), (width, height)) = (at, size);
        self.line(&format!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    fn rule(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.line(&format!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    fn dot(&mut self, class: &str, at: (f64, f64)) {
        let (x, y) = at;
        self.line(&format!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#));
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.line(&format!(r#"<polyline class="{class}" points="{}"/>"#, points.join(" ")));
    }

    /// `anchor` is start, middle or end.
    fn text(&mut self, class: &str, anchor: &str, at: (f64, f64), text: &str) {
        let ((x, y), text) = (at, escaped(text));
        self.line(&format!(
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    /// One square and name for each family, from `at` to the right.
    fn legend(&mut self, families: &[&str], at: (f64, f64)) {
        let (mut x, y) = at;
        for family in families {
            self.rect(&format!("fill-{family}"), (x, y - 9.0), (10.0, 10.0));
            self.text("ink", "start", (x + 14.0, y), family);
            x += 24.0 + 7.5 * family.chars().count() as f64;
        }
    }

    fn line(&mut self, line: &str) {
        self.body.push_str(line);
        self.body.push('\n');
    }

    fn finish(self, title: &str) -> String {
        let (width, height) = (self.width, self.height);
        let (title, style, body) = (escaped(title), style(), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n\
             <style>\n{style}</style>\n{body}</svg>\n"
        )
    }
}

/// A family's colours on white and on black.
fn colours(family: &str) -> (&'static str, &'static str) {
    match family {
        "olive" => ("#6b7d14", "#b9cc4e"),
        "leveldb" => ("#3f6fa8", "#7fb0ea"),
        "rocksdb" => ("#c9661f", "#f09a5a"),
        "fjall" => ("#8455b0", "#bf98e6"),
        "lmdb" => ("#1f8a7c", "#5fcfbf"),
        "redb" => ("#b3423f", "#ea8481"),
        _ => ("#6f7780", "#a8b0b8"),
    }
}

/// The families, Olive first.
fn families() -> Vec<&'static str> {
    let mut families: Vec<&str> = ENGINES.iter().map(|engine| engine.family).collect();
    families.dedup();
    families
}

fn style() -> String {
    let mut style = String::from(
        "text { font: 12px system-ui, sans-serif; }\n.head { font-size: 15px; font-weight: 600; }\n\
         .small { font-size: 10px; }\n.strong { font-weight: 600; }\npolyline { fill: none; }\n",
    );
    let grounds = [
        ("", "#ffffff", "#1f2328", "#59636e", "#d8dee4"),
        ("@media (prefers-color-scheme: dark) {\n", "#0d1117", "#e6edf3", "#9198a1", "#30363d"),
    ];
    for (at, (open, ground, ink, dim, grid)) in grounds.into_iter().enumerate() {
        style.push_str(open);
        let _ = writeln!(
            style,
            ".ground {{ fill: {ground}; }}\n.ink, .head, .strong {{ fill: {ink}; }}\n\
             .dim, .small {{ fill: {dim}; }}\n.grid {{ stroke: {grid}; }}\n\
             .one {{ stroke: {dim}; stroke-dasharray: 3 3; }}"
        );
        for family in families() {
            let colours = colours(family);
            let colour = if at == 0 { colours.0 } else { colours.1 };
            let width = if family == "olive" { 2.5 } else { 1.5 };
            let _ = writeln!(
                style,
                ".fill-{family} {{ fill: {colour}; }}\n\
                 .stroke-{family} {{ stroke: {colour}; stroke-width: {width}; }}"
            );
        }
        if at == 1 {
            style.push_str("}\n");
        }
    }
    style
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
