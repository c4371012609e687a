//! The one error type: few kinds, rich text.
//!
//! A kind says what a caller can do next; the text says which file, which
//! offset, what was expected and what was found.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes on disk are not what was written: restore from a backup, or open
    /// with another [`RecoveryMode`](crate::RecoveryMode).
    Corruption,
    /// The operating system refused a call: see the text.
    Io,
    /// The disk is full: free space; the database goes on by itself.
    DiskFull,
    /// Another process, or another handle of this one, has the database open.
    Locked,
    /// A write's deadline passed while it was held back; nothing was written.
    Stalled,
    /// A sync failed, so what the disk holds is unknown: writes are refused
    /// until the database is opened again.
    Poisoned,
    /// The database was closed.
    Closed,
    /// The handle, or the folder, can only be read.
    ReadOnly,
    /// An argument or an option is out of its range.
    InvalidArgument,
    /// The files need a newer version, or a feature that this one lacks; or all file or
    /// sequence numbers are used.
    Unsupported,
    /// The call collides with another that is under way.
    Conflict,
}

/// An error: a [kind](Error::kind), and a text that names what and where.
///
/// Cheap to clone, so that everyone who waited for the same failed sync gets
/// the same cause.
///
/// ```
/// let missing = olive_core::Options::default()
///     .create_if_missing(false)
///     .open("/nonexistent/db")
///     .unwrap_err();
/// assert!(missing.to_string().contains("/nonexistent/db"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    source: Option<io::Error>,
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The failed call's error, where the operating system refused one: its text stands
    /// in this error's text, and so it is no [`source`](std::error::Error::source), or
    /// whoever prints a chain of causes would say it twice.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let locked = dir.path().join("db/LOCK");
    /// std::fs::create_dir_all(&locked).unwrap();
    /// let error = olive_core::Db::open(dir.path().join("db")).unwrap_err();
    /// assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::IsADirectory);
    /// ```
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }

    /// An error of `kind` with the text as its whole message.
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error(Arc::new(Inner { kind, text: text.into(), source: None }))
    }

    /// A failed call of the operating system: `doing` is what was tried, as in
    /// "create" or "sync the folder". A full disk becomes [`ErrorKind::DiskFull`].
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Error {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            _ => ErrorKind::Io,
        };
        let text = format!("cannot {doing} {}: {source}", path.display());
        Error(Arc::new(Inner { kind, text, source: Some(source) }))
    }

    /// Bytes of `path` at `offset` that are not what was written.
    pub(crate) fn corruption(path: &Path, offset: u64, what: impl fmt::Display) -> Error {
        Error::new(
            ErrorKind::Corruption,
            format!("corruption in {} at offset {offset}: {what}", path.display()),
        )
    }

    /// An argument or option out of its range.
    pub(crate) fn invalid(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, text)
    }

    /// The same cause under another kind, with `context` before its text.
    pub(crate) fn wrap(&self, kind: ErrorKind, context: impl fmt::Display) -> Error {
        Error::new(kind, format!("{context}: {self}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // What the call's own error says is in the text: on with what is behind it.
        self.0.source.as_ref().and_then(std::error::Error::source)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            ErrorKind::Corruption => io::ErrorKind::InvalidData,
            ErrorKind::DiskFull => io::ErrorKind::StorageFull,
            ErrorKind::InvalidArgument => io::ErrorKind::InvalidInput,
            ErrorKind::Stalled => io::ErrorKind::TimedOut,
            ErrorKind::Locked => io::ErrorKind::WouldBlock,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_chain_of_causes_says_each_once() {
        let refused = io::Error::from_raw_os_error(2);
        let said = refused.to_string();
        let error = Error::io("open", Path::new("/x"), refused);
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            chain += &format!(": {cause}");
            next = cause.source();
        }
        assert_eq!(chain, format!("cannot open /x: {said}"));
        assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(2));
        let inner = Error::io("read", Path::new("/x"), io::Error::other(error));
        assert_eq!(inner.to_string().matches(&said).count(), 1);
    }
}
