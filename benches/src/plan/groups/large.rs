//! Databases that are large, or grow.

use super::{Base, MIB, row};
use crate::plan::{Goal, Group, Metric, Phase};
use crate::spec::{Filled, Work};

impl Base<'_> {
    pub(super) fn larger_than_memory(&self) -> Group {
        let ops = self.ops() * 8;
        // So many at least that they are not all spent on opening tables.
        let reads = (ops / 160).max(10_000);
        let cold = |id, work, ops| Phase { ops, ..self.phase(id, work) };
        let phases = vec![
            Phase { ops, builds: true, ..self.phase("fill", Work::FillRandom) },
            cold("read", Work::ReadHit, reads),
            cold("missing", Work::ReadMissing, reads * 4),
            cold("seek", Work::Seek, reads / 4),
        ];
        let best = [Goal::Best(1.0)];
        let rows = vec![
            row("larger than memory: fillrandom", "fill", Metric::PutsPerSecond, &[]),
            row("larger than memory: readrandom", "read", Metric::GetsPerSecond, &best),
            row("larger than memory: readmissing", "missing", Metric::GetsPerSecond, &best),
            row("larger than memory: seek + 10 next", "seek", Metric::GetsPerSecond, &best),
            row("larger than memory: bytes on disk", "fill", Metric::DiskBytes, &[]),
            row("larger than memory: bytes written", "fill", Metric::WrittenPerByte, &[]),
        ];
        let title = "Larger than memory";
        let group = self.group("memory", title, phases, rows);
        let (cache_bytes, families) =
            (128 * MIB, &["olive", "leveldb", "rocksdb", "fjall", "lmdb"]);
        Group { entries: ops, cache_bytes, limited: true, compressed: false, families, ..group }
    }

    /// `half_ops` times half the default case's operations: 1 to 50 million entries.
    pub(super) fn growth(&self, half_ops: u64) -> Group {
        let entries = (self.selection.ops / 2).max(1) * half_ops;
        let asked = self.ops() / 2;
        let on = |id, work, ops| Phase { ops, filled: Filled::Unique, ..self.read(id, work) };
        let phases = vec![
            Phase {
                ops: entries,
                builds: true,
                filled: Filled::Unique,
                ..self.phase("fill", Work::FillUnique)
            },
            on("get", Work::ReadHit, asked),
            on("seek", Work::Seek, asked / 4),
            on("put", Work::Overwrite, asked),
        ];
        let millions = entries as f64 / 1e6;
        let title = |what: &str| format!("{millions} M entries: {what}");
        let rows = vec![
            row(&title("fill"), "fill", Metric::PutsPerSecond, &[]),
            row(&title("get"), "get", Metric::GetsPerSecond, &[]),
            row(&title("seek + 10 next"), "seek", Metric::GetsPerSecond, &[]),
            row(&title("put"), "put", Metric::PutsPerSecond, &[]),
            row(&title("open"), "get", Metric::Open, &[]),
            row(&title("anonymous memory, reading"), "get", Metric::AnonymousPeak, &[]),
        ];
        let group = self.group(&format!("growth{half_ops}"), "Growth", phases, rows);
        let families: &[&str] = if half_ops > 16 {
            &["olive", "leveldb", "rocksdb"]
        } else {
            &["olive", "leveldb", "rocksdb", "lmdb"]
        };
        Group { entries, families, compressed: false, rounds_max: 1, ..group }
    }
}
