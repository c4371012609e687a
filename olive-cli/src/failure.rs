//! Exit statuses, and errors as one line that says what to do.

use std::io::{self, Write};

use clap::error::{ContextKind, ErrorKind as UsageKind};
use olive_client::Error;
use olive_client::protocol::{ErrorKind, clean};

use crate::text::escaped;

/// How a command that worked ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    NotFound,
}

/// Why a command did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not asked for rightly.
    Usage(String),
    /// The server, or what is between, failed.
    Trouble(String),
    /// Help was asked for, and is this.
    Help(String),
    /// Whoever read the output has had enough.
    Closed,
}

pub(crate) type Result<T = Status, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure::Usage(what.into())
    }

    pub(crate) fn trouble(what: impl Into<String>) -> Failure {
        Failure::Trouble(what.into())
    }

    /// Of writing to standard output.
    pub(crate) fn output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Trouble(format!("cannot write to standard output: {error}")),
        }
    }

    pub(crate) fn line(&self) -> Option<&str> {
        match self {
            Failure::Usage(line) | Failure::Trouble(line) => Some(line),
            Failure::Help(_) | Failure::Closed => None,
        }
    }

    pub(crate) fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Trouble(_) => 3,
            Failure::Help(_) | Failure::Closed => 0,
        }
    }
}

/// Says what failed, and gives the exit status.
pub(crate) fn report(outcome: Result) -> u8 {
    match outcome {
        Ok(Status::Done) => 0,
        Ok(Status::NotFound) => 1,
        Err(Failure::Help(text)) => {
            // Nobody is left to be told if this fails.
            let _ = io::stdout().write_all(text.as_bytes());
            0
        }
        Err(failure) => {
            if let Some(line) = failure.line() {
                say(&format!("olive-cli: {line}"));
            }
            failure.status()
        }
    }
}

/// A line on standard error, whether anybody reads it or not.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Failure {
        match error.kind() {
            UsageKind::DisplayHelp | UsageKind::DisplayVersion => {
                return Failure::Help(error.to_string());
            }
            // Its text is the whole help.
            UsageKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return Failure::usage("there is no command; --help tells them");
            }
            _ => {}
        }
        let text = error.to_string();
        let known = error.get(ContextKind::InvalidSubcommand).is_some();
        // What is wrong and clap's tips; then come usage and the way to the help.
        let said = text.split("\nUsage:").next().unwrap_or(&text);
        let said = said.split("\nFor more information").next().unwrap_or(said);
        let said: Vec<&str> = said.split_whitespace().collect();
        let said = escaped(said.join(" ").as_bytes()).replace(" tip: ", "; ");
        let said = said.strip_prefix("error: ").unwrap_or(&said);
        let more = if known { "--help tells the commands" } else { "--help tells more" };
        Failure::usage(format!("{said}; {more}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let advice = advice(&error);
        match error {
            Error::InvalidArgument { what } => Failure::Usage(what),
            Error::Connect { addr, cause } => {
                // An address that was no name stands in the cause again.
                let cause = cause.strip_prefix(&format!("{addr}: ")).unwrap_or(&cause);
                Failure::Trouble(format!("cannot connect to {addr}: {cause}; {advice}"))
            }
            error => {
                // Some of it comes from the other side.
                let line = clean(error.to_string().as_bytes());
                Failure::Trouble(format!("{line}; {advice}"))
            }
        }
    }
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Connect { .. } => {
            "is olive-server running there? start it with `olive-server`, or name another \
             address with --addr"
        }
        Error::Timeout { .. } => "a longer --timeout may help, or the server is overloaded",
        Error::Disconnected { .. } => "the server's log may say why; try again",
        Error::Protocol { .. } => "is it an olive-server that --addr names?",
        Error::Server { kind, .. } => server_advice(*kind),
        Error::OutcomeUnknown { .. } => "look with `get`, or write it again",
        _ => "see --help",
    }
}

fn server_advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Auth => "name a file with the server's token: --token-file",
        ErrorKind::Busy | ErrorKind::Stalled => "try again later",
        ErrorKind::TooLarge => "ask for less at once, or raise the server's limit",
        ErrorKind::DiskFull => "make room on the server's disk, and try again",
        ErrorKind::Poisoned => "look into the server's log, then start it again",
        ErrorKind::ReadOnly => "this server takes no writes",
        ErrorKind::Protocol => "do the versions of olive-cli and olive-server fit?",
        _ => "look into the server's log",
    }
}
