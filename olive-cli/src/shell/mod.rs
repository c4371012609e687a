//! The shell: lines to words to commands.
//!
//! At a terminal a failure is shown and the next line asked for. From a pipe the first
//! failure ends it, with the status of that failure; a key that is not there is none, but
//! is told by the status at the end.

mod edit;
mod words;

use std::io::{self, IsTerminal};

use clap::Parser;

use crate::args::{FormArgs, Line, LineCommand};
use crate::bytes::to_argument;
use crate::commands;
use crate::failure::{Failure, Result, Status, report};
use crate::lines::{Broken, Lines};
use crate::output::Output;
use crate::session::Session;

/// Reads commands from standard input until it ends.
pub(crate) fn run(session: &mut Session, form: FormArgs) -> Result {
    if io::stdin().is_terminal() { at_terminal(session, form) } else { from_pipe(session, form) }
}

/// What a line came to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A command, or nothing.
    Ran(Status),
    Exit,
}

fn at_terminal(session: &mut Session, form: FormArgs) -> Result {
    let failed = |error| Failure::trouble(format!("cannot read from the terminal: {error}"));
    let mut editor = edit::Editor::open(session.addr()).map_err(failed)?;
    while let Some(line) = editor.line().map_err(failed)? {
        match step(line.as_bytes(), session, form) {
            Ok(Step::Ran(_)) => {}
            Ok(Step::Exit) | Err(Failure::Closed) => break,
            Err(failure) => {
                report(Err(failure));
            }
        }
    }
    Ok(Status::Done)
}

fn from_pipe(session: &mut Session, form: FormArgs) -> Result {
    let mut lines = Lines::of(io::stdin().lock());
    let mut status = Status::Done;
    let broken = |broken: Broken| Failure::usage(broken.told("standard input"));
    while let Some((number, line)) = lines.next_line().map_err(broken)? {
        match step(line, session, form) {
            Ok(Step::Ran(Status::Done)) => {}
            Ok(Step::Ran(Status::NotFound)) => status = Status::NotFound,
            Ok(Step::Exit) => break,
            Err(Failure::Help(text)) => {
                report(Err(Failure::Help(text)));
            }
            Err(Failure::Usage(what)) => return Err(Failure::Usage(at_line(number, &what))),
            Err(Failure::Trouble(what)) => return Err(Failure::Trouble(at_line(number, &what))),
            Err(Failure::Closed) => return Err(Failure::Closed),
        }
    }
    Ok(status)
}

fn at_line(number: u64, what: &str) -> String {
    format!("line {number}: {what}")
}

/// Runs one line.
fn step(line: &[u8], session: &mut Session, form: FormArgs) -> Result<Step> {
    let words = words::split(line).map_err(Failure::Usage)?;
    if words.is_empty() {
        return Ok(Step::Ran(Status::Done));
    }
    let arguments: Result<Vec<_>, String> = words.into_iter().map(to_argument).collect();
    let line = Line::try_parse_from(arguments.map_err(Failure::Usage)?)?;
    let form = line.form.or(form);
    match line.command {
        LineCommand::Exit => Ok(Step::Exit),
        LineCommand::Command(command) => {
            let mut output = Output::lines(form.format());
            commands::run_line(command, form.hex, session, &mut output).map(Step::Ran)
        }
    }
}
