//! `ERROR <kind> <text>\n`: the kinds, and texts that are safe to print.

use std::fmt;

use super::ERROR_TEXT_BYTES_MAX;

/// The first word of an ERROR: what the one who asked can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is not one, or comes too slowly: the sender is at fault.
    Protocol,
    /// A token is missing or wrong.
    Auth,
    /// A length is over its limit.
    TooLarge,
    /// Too many connections, or too much memory in use: try again later.
    Busy,
    /// The database could not take the write in time; nothing was written.
    Stalled,
    /// The disk is full; nothing was written.
    DiskFull,
    /// Bytes on disk are not what was written.
    Corruption,
    /// A sync failed: writes are refused until the server is started again.
    Poisoned,
    /// The database can only be read.
    ReadOnly,
    /// The operating system refused a call.
    Io,
    /// Anything else: see the text, and the server's log.
    Internal,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [ErrorKind; 11] = [
        ErrorKind::Protocol,
        ErrorKind::Auth,
        ErrorKind::TooLarge,
        ErrorKind::Busy,
        ErrorKind::Stalled,
        ErrorKind::DiskFull,
        ErrorKind::Corruption,
        ErrorKind::Poisoned,
        ErrorKind::ReadOnly,
        ErrorKind::Io,
        ErrorKind::Internal,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ErrorKind::Protocol => "protocol",
            ErrorKind::Auth => "auth",
            ErrorKind::TooLarge => "toolarge",
            ErrorKind::Busy => "busy",
            ErrorKind::Stalled => "stalled",
            ErrorKind::DiskFull => "diskfull",
            ErrorKind::Corruption => "corruption",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::ReadOnly => "readonly",
            ErrorKind::Io => "io",
            ErrorKind::Internal => "internal",
        }
    }

    /// The kind of a word, if it is one.
    #[must_use]
    pub fn from_word(word: &[u8]) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|kind| kind.word().as_bytes() == word)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A request that is refused: the ERROR to send, and whether the connection can go
/// on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub kind: ErrorKind,
    /// Its text: printable ASCII of at most 512 bytes.
    pub text: String,
    /// Whether where the next request begins is not known, so that the connection
    /// must be closed.
    pub closes: bool,
}

impl Refusal {
    /// One after which the connection must be closed.
    pub fn closing(kind: ErrorKind, text: impl AsRef<[u8]>) -> Refusal {
        Refusal { kind, text: clean(text.as_ref()), closes: true }
    }

    /// One after which the connection goes on.
    pub fn going_on(kind: ErrorKind, text: impl AsRef<[u8]>) -> Refusal {
        Refusal { kind, text: clean(text.as_ref()), closes: false }
    }
}

/// Bytes of a request as printable ASCII, cut at some `bytes_max`: a backslash is
/// `\\`, and what is not printable `\xNN`.
///
/// ```
/// use olive_client::protocol::escape;
///
/// assert_eq!(escape(b"a b\r\\\xff", 64), r"a b\x0d\\\xff");
/// assert_eq!(escape(b"abcdefgh", 6), "abc...");
/// ```
#[must_use]
pub fn escape(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = String::new();
    // Where a cut leaves room for the dots.
    let mut cut = 0;
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(r"\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                text.push_str(r"\x");
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        if text.len() > bytes_max {
            text.truncate(cut);
            text.push_str("...");
            return text;
        }
        if text.len() + 3 <= bytes_max {
            cut = text.len();
        }
    }
    text
}

/// A text as an ERROR may hold it: printable ASCII of at most 512 bytes. What is not
/// printable is escaped; backslashes stay, so that an escaped part is not escaped
/// again.
#[must_use]
pub fn clean(text: &[u8]) -> String {
    let mut clean = String::with_capacity(text.len().min(ERROR_TEXT_BYTES_MAX));
    for &byte in text {
        let part = match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            _ => escape(&[byte], 4),
        };
        if clean.len() + part.len() > ERROR_TEXT_BYTES_MAX {
            break;
        }
        clean.push_str(&part);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_word(kind.word().as_bytes()), Some(kind));
        }
        assert_eq!(ErrorKind::from_word(b"nonsense"), None);
    }

    #[test]
    fn a_text_is_printable_and_short_whatever_goes_in() {
        let every: Vec<u8> = (0..=255).cycle().take(2_000).collect();
        for text in [clean(&every), Refusal::closing(ErrorKind::Io, &every).text] {
            assert!(text.len() <= ERROR_TEXT_BYTES_MAX && text.len() > 500, "{}", text.len());
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        for bytes_max in 3..40 {
            assert!(escape(&every, bytes_max).len() <= bytes_max);
        }
    }
}
