//! The load generator.
//!
//! ```text
//! BenchArgs ── plan     what to do, checked
//!   └─ load             one workload: threads, progress, the end
//!        └─ loader      one thread: an event loop over its connections
//!             ├─ lane     one connection: a batch of requests out, its answers in
//!             ├─ supply   the next request: which key, which value
//!             └─ tally    counts and latencies
//!   └─ report           a table, or JSON
//! ```
//!
//! A connection sends `--pipeline` requests in one write, takes their answers, and sends
//! the next as many. A request's latency is from that write to the read that brought its
//! answer. No request allocates, and the clock is read once for a write and once for a
//! read, so that one thread can keep a server busy.

mod lane;
mod load;
mod loader;
mod plan;
mod report;
mod supply;
mod tally;

pub(crate) use plan::BenchArgs;

use crate::args::Format;
use crate::failure::{Failure, Result, Status};
use crate::output::Output;
use crate::session::Session;

use plan::Plan;

/// Runs all workloads, one after the other, and shows what came of them.
pub(crate) fn run(args: &BenchArgs, session: &mut Session, output: &mut Output) -> Result {
    let plan = Plan::of(args)?;
    // Says in plain words what is wrong with server or token.
    session.client()?.ping()?;
    session.disconnect();
    let mut failures = Vec::new();
    if let Some(fill) = plan.fill() {
        let outcome = load::run(&plan, &fill, session)?;
        failures.extend(outcome.failure());
    }
    let mut outcomes = Vec::new();
    for work in plan.works() {
        let outcome = load::run(&plan, work, session)?;
        failures.extend(outcome.failure());
        outcomes.push(outcome);
    }
    match output.format() {
        Format::Json => output.json(&report::json(&plan, session.addr(), &outcomes))?,
        _ => output.text(&report::table(&outcomes))?,
    }
    if failures.is_empty() {
        return Ok(Status::Done);
    }
    output.flush()?;
    Err(Failure::trouble(failures.join("; ")))
}
