//! The groups: every workload, at every size, with what each row asks of Olive.

mod large;

use super::{Goal, Group, Metric, Phase, Row};
use crate::spec::{Filled, Skew, Work};

const MIB: u64 = 1 << 20;

/// Bytes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Of its key.
    pub key_bytes: usize,
    /// Of its value.
    pub value_bytes: usize,
}

/// What of all there is to be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Operations of the default case; the other cases follow it.
    pub ops: u64,
    /// Entries' sizes; the first one's rows have the marks.
    pub sizes: Vec<Size>,
    /// Each write synced, in the rows that do not say.
    pub sync: bool,
    /// Threads, in the rows that do not say.
    pub threads: usize,
    /// YCSB A to F.
    pub ycsb: bool,
    /// Many puts, timed until settled.
    pub settle: bool,
    /// Larger than memory.
    pub memory: bool,
    /// Growing databases.
    pub growth: bool,
}

/// All groups of a selection, in order.
pub fn groups(selection: &Selection) -> Vec<Group> {
    let mut groups = Vec::new();
    for (at, &size) in selection.sizes.iter().enumerate() {
        let base = Base { selection, size, main: at == 0 };
        groups.extend([base.seq(), base.random(), base.batch(), base.latency()]);
        if at == 0 {
            groups.push(base.synced());
        }
        if at == 0 && selection.ycsb {
            groups.push(base.ycsb());
        }
        if at == 0 && selection.settle {
            groups.push(base.settled());
        }
    }
    let size = selection.sizes[0];
    let base = Base { selection, size, main: true };
    if selection.memory {
        groups.push(base.larger_than_memory());
    }
    if selection.growth {
        groups.extend([1, 4, 16, 50].map(|half_ops| base.growth(half_ops)));
    }
    groups
}

struct Base<'a> {
    selection: &'a Selection,
    size: Size,
    main: bool,
}

fn row(title: &str, phase: &'static str, metric: Metric, goals: &[Goal]) -> Row {
    let title = title.to_owned();
    Row { title, phase, olive_phase: None, metric, goals: goals.to_vec() }
}

impl Base<'_> {
    /// Fewer operations of larger entries, so that the bytes stay within a few times.
    fn ops(&self) -> u64 {
        let bytes = (self.size.key_bytes + self.size.value_bytes) as u64;
        let scaled = self.selection.ops * 232 / bytes.max(232);
        scaled.max(self.selection.ops / 8)
    }

    fn phase(&self, id: &'static str, work: Work) -> Phase {
        Phase {
            id,
            work,
            ops: self.ops(),
            threads: self.selection.threads,
            skew: Skew::Uniform,
            filled: Filled::Random,
            sync: self.selection.sync,
            clocks: false,
            warm: false,
            builds: false,
            settle_counts: false,
            olive_only: false,
        }
    }

    fn read(&self, id: &'static str, work: Work) -> Phase {
        Phase { warm: true, ..self.phase(id, work) }
    }

    fn group(&self, name: &str, title: &str, phases: Vec<Phase>, rows: Vec<Row>) -> Group {
        let Size { key_bytes, value_bytes } = self.size;
        Group {
            id: format!("{key_bytes}x{value_bytes}/{name}"),
            title: format!("{title}, {key_bytes}-byte keys, {value_bytes}-byte values"),
            key_bytes,
            value_bytes,
            entries: self.ops(),
            cache_bytes: 512 * MIB,
            limited: false,
            compressed: self.main,
            // The others are never near the best in these, and take most of the time.
            families: if self.main {
                &[]
            } else {
                &["olive", "leveldb", "rocksdb", "fjall", "lmdb"]
            },
            rounds_max: u32::MAX,
            phases,
            rows,
        }
    }

    /// The marks of the default case; elsewhere, to be ahead.
    fn goals(&self, marks: &[Goal]) -> Vec<Goal> {
        if self.main { marks.to_vec() } else { vec![Goal::BestLsm(1.0), Goal::Family("lmdb", 1.0)] }
    }

    fn seq(&self) -> Group {
        let rows =
            vec![row("fillseq", "fillseq", Metric::PutsPerSecond, &self.goals(&[Goal::Best(3.0)]))];
        self.group("seq", "In key order", vec![self.phase("fillseq", Work::FillSeq)], rows)
    }

    fn batch(&self) -> Group {
        let goals = self.goals(&[Goal::Best(3.0)]);
        let rows = vec![row("batches of 100, keys", "fillbatch", Metric::PutsPerSecond, &goals)];
        self.group("batch", "Batches", vec![self.phase("fillbatch", Work::FillBatch)], rows)
    }

    fn random(&self) -> Group {
        let seek_ops = (self.ops() / 4).max(1);
        let phases = vec![
            Phase { builds: true, ..self.phase("fillrandom", Work::FillRandom) },
            self.read("readrandom", Work::ReadHit),
            Phase { threads: 2, ..self.read("readrandom2", Work::ReadHit) },
            Phase { olive_only: true, ..self.read("readhandle", Work::ReadHandle) },
            self.read("readmissing", Work::ReadMissing),
            Phase { ops: seek_ops, ..self.read("seek", Work::Seek) },
            Phase { ops: self.ops() * 4, ..self.read("scan", Work::Scan) },
            Phase {
                ops: self.ops() * 4,
                olive_only: true,
                ..self.read("scaniter", Work::ScanOwned)
            },
            Phase { skew: Skew::Zipf, ..self.read("readzipf", Work::ReadHit) },
            self.phase("overwrite", Work::Overwrite),
            Phase { skew: Skew::Zipf, ..self.phase("overwritezipf", Work::Overwrite) },
            Phase { threads: 1, ..self.read("readwrite", Work::ReadWhileWriting) },
            Phase {
                threads: 1,
                clocks: true,
                ..self.read("readwritelatency", Work::ReadWhileWriting)
            },
        ];
        self.group("random", "Random keys", phases, self.random_rows())
    }

    fn random_rows(&self) -> Vec<Row> {
        use Metric::*;
        let own = |row: Row, phase| Row { olive_phase: Some(phase), ..row };
        let ahead = [Goal::BestLsm(1.0), Goal::Family("lmdb", 1.0)];
        let fast_gets = self.goals(&[Goal::Family("lmdb", 1.2), Goal::BestLsm(2.5)]);
        let lmdb = self.goals(&[Goal::Family("lmdb", 1.2)]);
        let three = self.goals(&[Goal::Best(3.0)]);
        let two = self.goals(&[Goal::Best(2.0)]);
        let level = self.goals(&[Goal::Family("leveldb", 1.0)]);
        let scan = self.goals(&[Goal::Family("lmdb", 2.0)]);
        let sizes = self.main && self.selection.ops == 2_000_000;
        let disk: &[Goal] = if sizes { &[Goal::AtMost(160e6)] } else { &[] };
        let memory: &[Goal] = if self.main { &[Goal::AtMost(256.0 * MIB as f64)] } else { &[] };
        vec![
            row("fillrandom", "fillrandom", PutsPerSecond, &three),
            row("overwrite", "overwrite", PutsPerSecond, &three),
            row("overwrite, Zipf 0.99", "overwritezipf", PutsPerSecond, &ahead),
            row("readrandom, hit", "readrandom", GetsPerSecond, &fast_gets),
            own(row("readrandom, hit, handles", "readrandom", GetsPerSecond, &[]), "readhandle"),
            row("readrandom, hit, 2 threads", "readrandom2", GetsPerSecond, &lmdb),
            row("readrandom, Zipf 0.99", "readzipf", GetsPerSecond, &ahead),
            row("readmissing", "readmissing", GetsPerSecond, &two),
            row("seek + 10 next (cursor)", "seek", GetsPerSecond, &lmdb),
            row("full scan (cursor), entries", "scan", GetsPerSecond, &scan),
            own(row("full scan by iter(), entries", "scan", GetsPerSecond, &level), "scaniter"),
            row(
                "read while writing: reads",
                "readwrite",
                GetsPerSecond,
                &self.goals(&[Goal::Family("lmdb", 1.0)]),
            ),
            row(
                "read while writing: writes",
                "readwrite",
                PutsPerSecond,
                &self.goals(&[Goal::BestLsm(2.0)]),
            ),
            row("read while writing: get p99.9", "readwritelatency", GetP999, &[Goal::Best(1.0)]),
            row("read while writing: put p99.9", "readwritelatency", PutP999, &[Goal::Best(1.0)]),
            row("bytes on disk, settled and closed", "fillrandom", DiskBytes, disk),
            row("bytes written / bytes put", "fillrandom", WrittenPerByte, &[]),
            row("peak anonymous memory", "fillrandom", AnonymousPeak, memory),
            row("peak file-backed memory", "fillrandom", FilePeak, &[]),
            row("processor time a put, settled", "fillrandom", CpuPerOp, &[]),
            row("processor time a get", "readrandom", CpuPerOp, &[]),
            row("time to settle", "fillrandom", Settle, &[]),
            row("time to reopen", "readrandom", Open, &[]),
        ]
    }

    fn latency(&self) -> Group {
        let phases = vec![
            Phase { builds: true, clocks: true, ..self.phase("fills", Work::FillOverwrite) },
            Phase { clocks: true, ..self.read("gets", Work::ReadHit) },
        ];
        let max: &[Goal] =
            if self.main { &[Goal::AtMost(10e-3), Goal::Best(1.0)] } else { &[Goal::Best(1.0)] };
        let p9999: &[Goal] = if self.main { &[Goal::AtMost(1e-3)] } else { &[] };
        let rows = vec![
            row("longest put in fillrandom + overwrite", "fills", Metric::PutMax, max),
            row("the same, less the machine's own pauses", "fills", Metric::PutMaxRunning, &[]),
            row("the machine's own longest pause meanwhile", "fills", Metric::MachinePause, &[]),
            row("put p99.99 in fillrandom + overwrite", "fills", Metric::PutP9999, p9999),
            row("put p99.9 in fillrandom + overwrite", "fills", Metric::PutP999, &[]),
            row("get p99.9", "gets", Metric::GetP999, &[]),
        ];
        self.group("latency", "Each operation timed", phases, rows)
    }

    fn synced(&self) -> Group {
        let phase = Phase {
            ops: (self.ops() / 40).max(1),
            threads: 8,
            sync: true,
            ..self.phase("sync8", Work::FillRandom)
        };
        let rows = vec![row(
            "8 threads, each put synced",
            "sync8",
            Metric::PutsPerSecond,
            &[Goal::Best(2.0)],
        )];
        let group = self.group("sync", "Synced", vec![phase], rows);
        Group { compressed: false, ..group }
    }

    fn settled(&self) -> Group {
        let ops = self.ops() * 10;
        let phase = Phase { ops, settle_counts: true, ..self.phase("puts", Work::FillRandom) };
        let title = format!("{} million random puts, until settled", ops as f64 / 1e6);
        let rows = vec![
            row(&title, "puts", Metric::PutsPerSecond, &[Goal::Best(2.0)]),
            row("the same: bytes written / bytes put", "puts", Metric::WrittenPerByte, &[]),
            row("the same: bytes on disk", "puts", Metric::DiskBytes, &[]),
        ];
        let group = self.group("settle", "Many puts", vec![phase], rows);
        let families = &["olive", "leveldb", "rocksdb", "fjall", "lmdb"];
        Group { entries: ops, compressed: false, families, ..group }
    }

    fn ycsb(&self) -> Group {
        let on = |id, work| Phase { threads: 2, filled: Filled::Unique, ..self.read(id, work) };
        let scans = Phase { ops: (self.ops() / 10).max(1), ..on("e", Work::YcsbE) };
        let phases = vec![
            Phase { builds: true, filled: Filled::Unique, ..self.phase("load", Work::FillUnique) },
            on("a", Work::YcsbA),
            on("b", Work::YcsbB),
            on("c", Work::YcsbC),
            on("f", Work::YcsbF),
            on("d", Work::YcsbD),
            // D's inserts began where E's do, so these overwrite some of them.
            scans,
        ];
        let titles = [
            ("a", "YCSB A: half reads, half updates"),
            ("b", "YCSB B: 95 % reads, 5 % updates"),
            ("c", "YCSB C: reads"),
            ("d", "YCSB D: the newest, 5 % inserts"),
            ("e", "YCSB E: 95 % scans, 5 % inserts"),
            ("f", "YCSB F: half read-modify-writes"),
        ];
        let rows = titles
            .map(|(phase, title)| row(title, phase, Metric::OpsPerSecond, &[Goal::Best(1.0)]));
        let group = self.group("ycsb", "YCSB, 2 threads", phases, rows.to_vec());
        Group { entries: self.ops() * 2, compressed: false, ..group }
    }
}
