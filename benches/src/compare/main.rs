//! Olive beside other engines, in one run on one machine.
//!
//! ```text
//! args      what is asked for                    run        rounds, phases, engines in turn
//! child     one measurement in its own process   measure    what the kernel knows of it
//! engines   each behind one interface            workloads  what is done to them
//! machine   what it ran on                       cgroup     the memory limit
//! output    table, JSON, pictures
//! ```

mod args;
mod cgroup;
mod child;
mod engines;
mod machine;
mod measure;
mod output;
mod run;
mod workloads;

use anyhow::Result;
use clap::Parser;

fn main() -> Result<()> {
    let args = args::Args::parse();
    match &args.child {
        Some(job) => child::run(job),
        None => run::run(&args),
    }
}
