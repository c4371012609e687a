//! `olive-cli`: see `--help`.
//!
//! ```text
//! main ── args        what can be said: clap
//!   ├─ commands       each command but those below, on a session
//!   │    ├─ session   the client, connected when it is needed first
//!   │    ├─ bytes     arguments as bytes: hex, and ranges of a prefix
//!   │    ├─ batch     JSON lines to one batch
//!   │    └─ output    text, hex, JSON; standard output that may be closed
//!   ├─ shell          lines to words to commands: at a terminal, or from a pipe
//!   ├─ bench          the load generator
//!   ├─ lines          lines of a file or pipe, none without an end
//!   └─ failure        exit statuses, and lines that say what to do
//! ```

mod args;
mod batch;
mod bench;
mod bytes;
mod commands;
mod failure;
mod lines;
mod output;
mod session;
mod shell;
mod text;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use failure::Failure;
use output::Output;
use session::Session;

fn main() -> ExitCode {
    let outcome = Cli::try_parse().map_err(Failure::from).and_then(|cli| {
        let mut session = Session::new(cli.server)?;
        match cli.command {
            Some(command) => {
                let mut output = Output::standard(cli.form.format());
                commands::run(command, cli.form.hex, &mut session, &mut output)
            }
            None => shell::run(&mut session, cli.form),
        }
    });
    ExitCode::from(failure::report(outcome))
}
