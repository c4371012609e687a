//! Olive beside other engines, in one run on one machine.
//!
//! ```text
//! args      what is asked for                    run        rounds, phases, engines in turn
//! spawn     a process for each measurement       child      what that does
//! cgroup    the memory limit                     measure    what the kernel knows of it
//! engines   each behind one interface            workloads  what is done to them
//! output    table, JSON                          pictures   figures that become drawings
//! machine   what it ran on
//! ```

mod args;
mod cgroup;
mod child;
mod engines;
mod machine;
mod measure;
mod output;
mod pauses;
mod pictures;
mod run;
mod spawn;
mod start;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let result = match &args.child {
        Some(job) => child::run(job),
        None => run::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}
