//! What a call can end in.

use std::fmt;
use std::time::Duration;

use crate::protocol::{ErrorKind, Violation};

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed, by what the caller can do next.
///
/// After all of them but `Server` and `InvalidArgument` the connection is closed; the
/// next call connects again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no connection: none of the addresses answered. Nothing was sent.
    Connect {
        /// The address as it was given.
        addr: String,
        /// What went wrong, for each address that was tried.
        cause: String,
    },
    /// The time was up. Nothing was changed: a write that may have been done is
    /// `OutcomeUnknown`.
    Timeout {
        /// What was waited for.
        doing: &'static str,
        /// The time there was.
        after: Duration,
    },
    /// The connection broke. Nothing was changed, as with `Timeout`.
    Disconnected {
        /// What the operating system says, or that the server closed.
        cause: String,
    },
    /// The server sent what is no answer, or not the one to this question: is it an
    /// olive-server?
    Protocol {
        /// What came.
        what: String,
    },
    /// The server refused, or failed: it is as the kind says.
    Server {
        /// What can be done about it.
        kind: ErrorKind,
        /// For a person.
        text: String,
    },
    /// A write was sent and its answer did not come: it may have been done or not. It
    /// is never sent again by the client; ask, or write again if twice is as good as
    /// once.
    OutcomeUnknown {
        /// Why there is no answer.
        cause: Box<Error>,
    },
    /// The call is over a limit, or an option cannot be: nothing was sent.
    InvalidArgument {
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>) -> Error {
        Error::InvalidArgument { what: what.into() }
    }

    pub(crate) fn disconnected(cause: impl fmt::Display) -> Error {
        Error::Disconnected { cause: cause.to_string() }
    }

    /// An answer to another question than the one that was asked.
    pub(crate) fn unexpected(asked: &str) -> Error {
        Error::Protocol { what: format!("the answer is none to {asked}") }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Error {
        Error::Protocol { what: violation.0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connect { addr, cause } => write!(f, "cannot connect to {addr}: {cause}"),
            Error::Timeout { doing, after } => write!(f, "no {doing} within {after:?}"),
            Error::Disconnected { cause } => write!(f, "the connection broke: {cause}"),
            Error::Protocol { what } => write!(f, "this is not olive-server's protocol: {what}"),
            Error::Server { kind, text } => write!(f, "the server says {kind}: {text}"),
            Error::OutcomeUnknown { cause } => {
                write!(f, "the write was sent, and may have been done or not: {cause}")
            }
            Error::InvalidArgument { what } => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::OutcomeUnknown { cause } => Some(cause),
            _ => None,
        }
    }
}
