//! Logs to standard error: lines, or JSON.

use std::io::Write;

use env_logger::fmt::Formatter;
use log::{LevelFilter, Record};

use crate::layer::{LogFormat, LogLevel};

/// Starts logging. Panics are logged too.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Off => LevelFilter::Off,
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    match format {
        LogFormat::Lines => builder.format(line),
        LogFormat::Json => builder.format(json),
    };
    builder.init();
    std::panic::set_hook(Box::new(|panic| {
        let name = std::thread::current().name().unwrap_or("a thread").to_owned();
        log::error!("{name} panicked: {panic}");
    }));
}

fn line(to: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    // One record is one line, whatever is in it.
    let text = record.args().to_string().replace('\n', " ");
    writeln!(to, "{} {:5} {text}", to.timestamp_millis(), record.level())
}

fn json(to: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let object = serde_json::json!({
        "time": to.timestamp_millis().to_string(),
        "level": record.level().as_str().to_lowercase(),
        "target": record.target(),
        "text": record.args().to_string(),
    });
    writeln!(to, "{object}")
}
