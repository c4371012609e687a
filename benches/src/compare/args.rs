//! The command line.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use olive_benches::engines::{ENGINES, EngineInfo};
use olive_benches::plan::{Selection, Size};

/// Measures Olive beside LevelDB, RocksDB, fjall, LMDB, redb and sled: in turns, each
/// measurement in a process of its own, medians of rounds.
///
/// Without --quick or --all: the default case's workloads, 16-byte keys and 100-byte
/// values, without YCSB.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
pub(crate) struct Args {
    /// Few operations, within 15 minutes: to see that it runs, not to quote
    #[arg(long, conflicts_with = "all")]
    pub quick: bool,
    /// Everything: all sizes, YCSB, larger than memory, growth. Can be interrupted and
    /// run again, and goes on where it was
    #[arg(long)]
    pub all: bool,
    /// With --all: forget what an interrupted run measured
    #[arg(long)]
    pub fresh: bool,
    /// Only these, of: olive leveldb leveldb-snappy rocksdb rocksdb-lz4 fjall fjall-lz4
    /// lmdb redb sled
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<String>,
    /// Only these phases (readrandom), groups (ycsb) or groups' phases (ycsb/a); see --list
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// Print groups and phases, and how long they would take
    #[arg(long)]
    pub list: bool,
    /// Operations of the default case (2,000,000; --quick 100,000)
    #[arg(long)]
    pub ops: Option<u64>,
    /// Rounds, of which medians are taken (3)
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Threads, in the rows that do not say
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Bytes of a key, 8 to 64
    #[arg(long, default_value_t = 16)]
    pub key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 100)]
    pub value_bytes: usize,
    /// MiB of the memory limit of what is larger than memory
    #[arg(long, default_value_t = 512)]
    pub memory_limit: u64,
    /// What an acknowledged write survives, in the rows that do not say
    #[arg(long, value_enum, default_value_t = Class::Process)]
    pub durability: Class,
    /// Seconds after which a measurement is cut short
    #[arg(long, default_value_t = 600)]
    pub seconds_max: u64,
    /// Where the databases are put, in a folder that is removed at the end
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Where results are kept as they come (with --all: target/compare)
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// Write all figures here
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Draw the comparison here; latencies and growth get -latency and -growth in their names
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// Measure once and print the outcome; the program calls itself so
    #[arg(long, hide = true)]
    pub child: Option<String>,
}

/// A durability class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// The death of the process
    Process,
    /// A power cut: each write synced
    Sync,
}

const QUICK_OPS: u64 = 100_000;
const DEFAULT_OPS: u64 = 2_000_000;

impl Args {
    pub(crate) fn selection(&self) -> Result<Selection> {
        ensure!((8..=64).contains(&self.key_bytes), "--key-bytes is 8 to 64");
        ensure!(self.value_bytes > 0, "--value-bytes is at least 1");
        ensure!(self.threads > 0, "--threads is at least 1");
        let ops = self.ops.unwrap_or(if self.quick { QUICK_OPS } else { DEFAULT_OPS });
        ensure!(ops >= 1000, "--ops is at least 1000");
        let mut sizes = vec![Size { key_bytes: self.key_bytes, value_bytes: self.value_bytes }];
        let others = [(24, 150), (16, 1024), (16, 4096)];
        let others = others.map(|(key_bytes, value_bytes)| Size { key_bytes, value_bytes });
        if self.all {
            let main = sizes[0];
            sizes.extend(others.into_iter().filter(|&size| size != main));
        }
        // A phase that was asked for by name is there, in whatever mode.
        let named = !self.workloads.is_empty();
        Ok(Selection {
            ops,
            sizes,
            sync: self.durability == Class::Sync,
            threads: self.threads,
            ycsb: self.all || self.quick || named,
            settle: self.all || !self.quick,
            memory: self.all || named,
            growth: self.all || named,
        })
    }

    pub(crate) fn rounds(&self) -> Result<u32> {
        let rounds = self.rounds.unwrap_or(3);
        ensure!(rounds > 0, "--rounds is at least 1");
        Ok(rounds)
    }

    /// The engines that take part, in the list's order.
    pub(crate) fn engines(&self) -> Result<Vec<&'static EngineInfo>> {
        for name in &self.engines {
            if !ENGINES.iter().any(|engine| engine.name == name) {
                bail!("no engine is called {name:?}");
            }
        }
        let wanted = |engine: &&EngineInfo| {
            if self.engines.is_empty() {
                // Compressed forms double the time; a quick run does without.
                !(self.quick && engine.compressed)
            } else {
                self.engines.iter().any(|name| name == engine.name)
            }
        };
        Ok(ENGINES.iter().filter(wanted).collect())
    }

    /// Whether a phase of a group was asked for.
    pub(crate) fn wants(&self, group: &str, phase: &str) -> bool {
        let name = group.split('/').next_back().unwrap_or(group);
        self.workloads.is_empty()
            || self.workloads.iter().any(|wanted| {
                wanted == phase
                    || wanted == name
                    || wanted == group
                    || *wanted == format!("{name}/{phase}")
                    || *wanted == format!("{group}/{phase}")
            })
    }
}
