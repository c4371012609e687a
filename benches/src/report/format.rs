//! Figures as people read them: three digits and a unit.

use crate::plan::Metric;

/// A figure with its unit.
pub fn value(metric: Metric, figure: f64) -> String {
    match metric {
        Metric::PutsPerSecond | Metric::GetsPerSecond | Metric::OpsPerSecond => count(figure),
        Metric::DiskBytes | Metric::AnonymousPeak | Metric::FilePeak => bytes(figure),
        Metric::WrittenPerByte => format!("{figure:.2}"),
        Metric::PutP999
        | Metric::PutP9999
        | Metric::PutMax
        | Metric::PutMaxRunning
        | Metric::MachinePause
        | Metric::GetP999
        | Metric::CpuPerOp
        | Metric::Settle
        | Metric::Open => seconds(figure),
    }
}

/// How many times as good.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 99.5 => format!("{ratio:.0}×"),
        ratio if ratio >= 9.95 => format!("{ratio:.1}×"),
        ratio => format!("{ratio:.2}×"),
    }
}

fn count(figure: f64) -> String {
    scaled(figure, &[(1e6, " M"), (1e3, " k"), (1.0, "")])
}

fn bytes(figure: f64) -> String {
    scaled(figure, &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")])
}

fn seconds(figure: f64) -> String {
    scaled(figure, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs"), (1e-9, " ns")])
}

fn scaled(figure: f64, units: &[(f64, &str)]) -> String {
    let found = units.iter().find(|(unit, _)| figure >= unit * 0.9995).or(units.last());
    let (unit, name) = found.copied().unwrap_or((1.0, ""));
    let figure = figure / unit;
    match figure {
        figure if figure >= 99.95 => format!("{figure:.0}{name}"),
        figure if figure >= 9.995 => format!("{figure:.1}{name}"),
        figure => format!("{figure:.2}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(value(Metric::PutsPerSecond, 312_400.0), "312 k");
        assert_eq!(value(Metric::GetsPerSecond, 1_266_000.0), "1.27 M");
        assert_eq!(value(Metric::GetsPerSecond, 999_900.0), "1.00 M");
        assert_eq!(value(Metric::DiskBytes, 81e6), "81.0 MB");
        assert_eq!(value(Metric::PutMax, 0.0072), "7.20 ms");
        assert_eq!(value(Metric::CpuPerOp, 1.53e-6), "1.53 µs");
        assert_eq!(value(Metric::Settle, 0.0), "0.00 ns");
        assert_eq!(value(Metric::WrittenPerByte, 3.456), "3.46");
    }

    #[test]
    fn ratios_keep_their_decimals_where_they_matter() {
        assert_eq!(ratio(1.204), "1.20×");
        assert_eq!(ratio(31.42), "31.4×");
        assert_eq!(ratio(314.2), "314×");
    }
}
