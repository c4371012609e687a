//! What a child process is told to measure, and what it answers: JSON both ways.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Puts in key order into an empty database.
    FillSeq,
    /// Puts of random keys into an empty database.
    FillRandom,
    /// Puts of every key once, without an order, into an empty database.
    FillUnique,
    /// Puts of random keys in write batches of 100 into an empty database.
    FillBatch,
    /// Random puts into an empty database, then as many over them.
    FillOverwrite,
    /// Puts of keys that are there.
    Overwrite,
    /// Gets of keys that are there.
    ReadHit,
    /// The same by the call that returns a handle, where the other lends.
    ReadHandle,
    /// Gets of keys that are not there, within the range of those that are.
    ReadMissing,
    /// A seek and ten next, on a cursor that is kept.
    Seek,
    /// Every entry in order, on a cursor.
    Scan,
    /// The same by an iterator of owned entries.
    ScanOwned,
    /// One thread that gets and one that puts over, for a while.
    ReadWhileWriting,
    /// YCSB's workloads.
    YcsbA,
    /// 95 % reads, 5 % updates.
    YcsbB,
    /// Reads.
    YcsbC,
    /// 95 % reads of the newest, 5 % inserts.
    YcsbD,
    /// 95 % scans of up to 100 entries, 5 % inserts.
    YcsbE,
    /// Half reads, half reads that modify and write.
    YcsbF,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// Each as often as any other.
    Uniform,
    /// Zipf's distribution of 0.99, the popular ones spread over the range.
    Zipf,
}

/// How the entries that are there were filled in, which says which keys exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filled {
    /// By random puts: [`crate::numbers::filled`].
    Random,
    /// Each once: [`crate::numbers::permuted`].
    Unique,
}

/// One measurement in one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// By its name in [`crate::engines::ENGINES`].
    pub engine: String,
    /// The database's folder.
    pub dir: PathBuf,
    /// What to do.
    pub work: Work,
    /// Which keys.
    pub skew: Skew,
    /// How the database was filled.
    pub filled: Filled,
    /// Operations, of all threads together.
    pub ops: u64,
    /// Keys are of numbers below this.
    pub entries: u64,
    /// How many puts the fill of an existing database did.
    pub filled_ops: u64,
    /// Threads.
    pub threads: usize,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Whether each write is synced before it is acknowledged.
    pub sync: bool,
    /// Whether each operation is timed.
    pub clocks: bool,
    /// Whether what is asked for is read before, untimed.
    pub warm: bool,
    /// Whether the time includes the settling.
    pub settle_counts: bool,
    /// Bytes of cache, for engines that have one.
    pub cache_bytes: u64,
    /// The work ends early when it takes longer.
    pub seconds_max: u64,
    /// The memory cgroup to enter first.
    pub cgroup: Option<PathBuf>,
}

/// Percentiles of one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the percentile that its name says, in nanoseconds")]
pub struct Latency {
    pub ns_p50: u64,
    pub ns_p99: u64,
    pub ns_p999: u64,
    pub ns_p9999: u64,
    pub ns_max: u64,
}

/// What was done of one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Side {
    /// Operations (entries, for scans).
    pub ops: u64,
    /// In this time.
    pub seconds: f64,
    /// With clocks.
    pub latency: Option<Latency>,
}

/// What a child process measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Writes.
    pub puts: Option<Side>,
    /// Reads, seeks, scanned entries.
    pub gets: Option<Side>,
    /// Why there is no result.
    #[serde(default)]
    pub error: Option<String>,
    /// The longest time meanwhile in which the machine itself stood still. Of timed fills.
    #[serde(default)]
    pub machine_pause_seconds_max: Option<f64>,
    /// The longest put, less the time in which the machine stood still. Of timed fills.
    #[serde(default)]
    pub longest_put_seconds: Option<f64>,
    /// Whether it ended by itself rather than by its time limit.
    pub finished: bool,
    /// To open the database.
    pub open_seconds: f64,
    /// From the last operation until the engine rests.
    pub settle_seconds: f64,
    /// Processor time from the first operation until the engine rests.
    pub cpu_seconds: f64,
    /// Peak of anonymous memory.
    pub anonymous_bytes_peak: u64,
    /// Peak of file-backed memory that is mapped.
    pub file_bytes_peak: u64,
    /// What went to the device, until close.
    pub written_bytes: u64,
    /// Keys and values put.
    pub put_bytes: u64,
    /// Blocks of the folder, after close.
    pub disk_bytes: u64,
    /// The engine's version and effective options.
    pub effective: Vec<(String, String)>,
}

impl Outcome {
    /// Operations of all kinds.
    pub fn ops(&self) -> u64 {
        self.puts.map_or(0, |side| side.ops) + self.gets.map_or(0, |side| side.ops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_json() {
        let outcome = Outcome {
            puts: Some(Side { ops: 3, seconds: 0.5, latency: None }),
            effective: vec![("version".to_owned(), "1".to_owned())],
            ..Outcome::default()
        };
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
        assert_eq!(outcome.ops(), 3);
    }
}
