//! How long a measurement will take, roughly: for the estimate that a run states.

use super::{Group, Phase};
use crate::engines::EngineInfo;
use crate::spec::Work;

/// Seconds of one phase on one engine, with opening, warming and settling.
pub fn seconds_estimate(group: &Group, phase: &Phase, engine: &EngineInfo) -> f64 {
    let rate = rate(phase, engine) / size_factor(group, phase);
    let work = match phase.work {
        Work::FillOverwrite => 2.0 * phase.ops as f64 / rate,
        Work::ReadWhileWriting => (phase.ops as f64 / 200_000.0).clamp(0.2, 10.0),
        _ => phase.ops as f64 / rate,
    };
    let limited = if group.limited && !phase.builds { 15.0 } else { 1.0 };
    let around = 0.5 + if phase.writes() { 0.7 + work * 0.2 } else { 0.0 };
    work * limited + around
}

/// Operations a second of entries of 116 bytes, from one machine's measurements.
fn rate(phase: &Phase, engine: &EngineInfo) -> f64 {
    let [put, get, seek, scan] = match engine.family {
        "olive" => [500e3, 800e3, 300e3, 10e6],
        "lmdb" => [75e3, 600e3, 280e3, 10e6],
        "redb" => [30e3, 250e3, 150e3, 8e6],
        "sled" => [80e3, 250e3, 60e3, 2e6],
        "fjall" => [130e3, 250e3, 60e3, 2.4e6],
        "rocksdb" => [130e3, 240e3, 70e3, 3.2e6],
        _ => [160e3, 290e3, 200e3, 7e6],
    };
    match phase.work {
        _ if phase.sync => 4e3,
        Work::Seek => seek,
        Work::YcsbE => seek / 3.0,
        Work::Scan | Work::ScanOwned => scan,
        Work::YcsbA | Work::YcsbF => put * 1.5,
        Work::YcsbB | Work::YcsbC | Work::YcsbD | Work::ReadHit | Work::ReadHandle => get,
        Work::ReadMissing => get,
        _ => put,
    }
}

/// Larger entries take longer, where bytes are what takes time.
fn size_factor(group: &Group, phase: &Phase) -> f64 {
    let bytes = (group.key_bytes + group.value_bytes) as f64 / 116.0;
    if phase.writes() { bytes.max(1.0).powf(0.8) } else { bytes.max(1.0).powf(0.3) }
}
