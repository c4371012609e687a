//! What `bench` is told to do, checked.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use olive_client::protocol::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde_json::{Value, json};

use crate::args::duration;
use crate::failure::{Failure, Result};

/// How many requests are on the way at once while the keys are put first, if each connection
/// has no more bytes on the way than this.
const FILL_DEPTH_MIN: usize = 32;
const FILL_BYTES: usize = 1 << 20;

/// The server should be on another machine, or the load generator takes a part of what it
/// measures: with both on one, figures compare only with figures made the same way.
///
/// It puts keys that begin with `--key-prefix`, and leaves them there.
///
/// A connection sends `--pipeline` requests in one write, takes all their answers, and
/// sends the next. A request's latency is the time from that write to the read that brought
/// its answer, so with a pipeline it has the requests before it in it.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// The workloads, one after the other: set, get, or mix:90 for 90 % get and 10 % set
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "set,get")]
    workloads: Vec<Mix>,
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    /// How many requests a connection sends at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pipeline: u32,
    /// How many threads drive the connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    threads: u32,
    /// How long each workload takes: 10, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = duration)]
    seconds: Duration,
    /// How many requests each workload has, instead of a time
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How many different keys
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// What all keys begin with; digits follow
    #[arg(long, value_name = "TEXT", default_value = "bench:", allow_hyphen_values = true)]
    key_prefix: String,
    /// The size of a key, prefix and digits together
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_bytes: usize,
    /// The size of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    value_bytes: usize,
    /// Which keys are taken
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// Put every key once first; that is not measured
    #[arg(long)]
    fill: bool,
    /// Compare the values that come with those that a bench with the same --seed and
    /// --value-bytes puts
    #[arg(long)]
    verify: bool,
    /// Where the random numbers begin: the same seed makes the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// Each key as often as each other
    Uniform,
    /// One behind the other
    Sequential,
    /// Few keys often, by Zipf's law with exponent 0.99
    Zipf,
}

/// How many of 100 requests are GETs; the others are PUTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mix(pub(super) u32);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let percent = match text {
            "set" => Some(0),
            "get" => Some(100),
            _ => text.strip_prefix("mix:").and_then(|percent| percent.parse().ok()),
        };
        match percent {
            Some(percent) if percent <= 100 => Ok(Mix(percent)),
            _ => Err("set, get and mix:0 to mix:100 are workloads".to_owned()),
        }
    }
}

impl Mix {
    fn name(self) -> String {
        match self.0 {
            0 => "set".to_owned(),
            100 => "get".to_owned(),
            percent => format!("mix:{percent}"),
        }
    }
}

/// When a workload ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    Requests(u64),
    Time(Duration),
}

/// One workload.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) name: String,
    /// Which of the workloads it is: each has random numbers of its own, or GETs would
    /// ask for what was just put, in the same order.
    pub(super) number: u64,
    pub(super) mix: Mix,
    pub(super) extent: Extent,
    pub(super) distribution: Distribution,
    /// How many requests are in one write.
    pub(super) depth: usize,
}

/// All that is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    args: BenchArgs,
    works: Vec<Work>,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) keys: u64,
    pub(super) key_prefix: Vec<u8>,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) verify: bool,
    pub(super) seed: u64,
}

impl Plan {
    pub(super) fn of(args: &BenchArgs) -> Result<Plan> {
        let digits = (args.keys - 1).checked_ilog10().unwrap_or(0) as usize + 1;
        let key_bytes_min = args.key_prefix.len() + digits;
        if args.key_bytes < key_bytes_min || args.key_bytes > KEY_BYTES_MAX {
            return Err(Failure::usage(format!(
                "--key-bytes {} is not between {key_bytes_min}, for the prefix and the digits of \
                 {} keys, and {KEY_BYTES_MAX}",
                args.key_bytes, args.keys
            )));
        }
        if args.value_bytes > VALUE_BYTES_MAX {
            return Err(Failure::usage(format!(
                "--value-bytes {} is over the limit of {VALUE_BYTES_MAX}",
                args.value_bytes
            )));
        }
        let extent = args.requests.map_or(Extent::Time(args.seconds), Extent::Requests);
        let works = args.workloads.iter().zip(1..).map(|(&mix, number)| Work {
            name: mix.name(),
            number,
            mix,
            extent,
            distribution: args.distribution,
            depth: args.pipeline as usize,
        });
        Ok(Plan {
            works: works.collect(),
            connections: args.connections as usize,
            threads: args.threads.min(args.connections) as usize,
            keys: args.keys,
            key_prefix: args.key_prefix.clone().into_bytes(),
            key_bytes: args.key_bytes,
            value_bytes: args.value_bytes,
            verify: args.verify,
            seed: args.seed,
            args: args.clone(),
        })
    }

    pub(super) fn works(&self) -> &[Work] {
        &self.works
    }

    /// Every key once, if that is wanted.
    pub(super) fn fill(&self) -> Option<Work> {
        self.args.fill.then(|| Work {
            name: "fill".to_owned(),
            number: 0,
            mix: Mix(0),
            extent: Extent::Requests(self.keys),
            distribution: Distribution::Sequential,
            depth: fill_depth(self.value_bytes).max(self.args.pipeline as usize),
        })
    }

    /// What makes figures comparable.
    pub(super) fn json(&self) -> Value {
        let distribution = self.args.distribution.to_possible_value();
        json!({
            "connections": self.connections,
            "pipeline": self.args.pipeline,
            "threads": self.threads,
            "keys": self.keys,
            "key_bytes": self.key_bytes,
            "value_bytes": self.value_bytes,
            "distribution": distribution.as_ref().map(|value| value.get_name()),
            "fill": self.args.fill,
            "verify": self.verify,
            "seed": self.seed,
        })
    }
}

/// How many requests a connection has on the way while the keys are put first, by the length of
/// their values.
fn fill_depth(value_bytes: usize) -> usize {
    (FILL_BYTES / value_bytes.max(1)).clamp(1, FILL_DEPTH_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_put_few_at_once() {
        for (value_bytes, depth) in
            [(0, 32), (100, 32), (64 << 10, 16), (1 << 20, 1), (64 << 20, 1)]
        {
            assert_eq!(fill_depth(value_bytes), depth, "{value_bytes}");
        }
    }
}
