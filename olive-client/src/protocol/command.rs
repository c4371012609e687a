//! [`Command`]: what is asked for, and how it is written.

use super::items::{Keys, Operations};
use super::number::push_length;

/// One request. It borrows from the bytes that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// GET and GETB: the value of a key.
    Get {
        /// Any bytes.
        key: &'a [u8],
    },
    /// PUT and PUTB: puts a value under a key.
    Put {
        /// Any bytes.
        key: &'a [u8],
        /// Any bytes.
        value: &'a [u8],
    },
    /// DELETE and DELB: deletes a key, which need not be there.
    Delete {
        /// Any bytes.
        key: &'a [u8],
    },
    /// MGETB: the values of many keys.
    MultiGet(Keys<'a>),
    /// BATCH: puts and deletes, all of them or none.
    Batch(Operations<'a>),
    /// SCAN and RSCAN: a page of the entries from `start` up to but not including
    /// `end`.
    Scan {
        /// The first key.
        start: &'a [u8],
        /// The key before which it ends; empty for no end.
        end: &'a [u8],
        /// How many entries at most: 1 to 100,000.
        limit: u64,
        /// Whether the page begins at the end and goes backwards.
        reverse: bool,
    },
    /// PING: nothing but an answer.
    Ping,
    /// STATS: counters, as JSON.
    Stats,
    /// HELLO: the version that the client speaks, and what it calls itself.
    Hello {
        /// 1 is the one there is.
        version: u64,
        /// For the server's log.
        name: Option<&'a [u8]>,
    },
    /// AUTH: a token.
    Auth {
        /// Any bytes but a newline.
        token: &'a [u8],
    },
    /// QUIT: an answer, and the end.
    Quit,
}

impl Command<'_> {
    /// Appends its bytes.
    ///
    /// The plain verbs are used only for keys that are not empty and have no byte
    /// below 0x20, the B verbs for all others, so that no key can become a second
    /// command. Names and tokens must not have a newline, and a name must not be
    /// empty: the caller sees to that.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Command::Get { key } => write_get(out, key),
            Command::Put { key, value } => write_put(out, key, value),
            Command::Delete { key } => write_delete(out, key),
            Command::MultiGet(keys) => write_counted(out, "MGETB ", keys.len(), keys.bytes()),
            Command::Batch(ops) => write_counted(out, "BATCH ", ops.len(), ops.bytes()),
            Command::Scan { start, end, limit, reverse } => {
                write_scan(out, start, end, limit, reverse);
            }
            Command::Ping => out.extend_from_slice(b"PING\n"),
            Command::Stats => out.extend_from_slice(b"STATS\n"),
            Command::Hello { version, name } => {
                out.extend_from_slice(b"HELLO ");
                out.extend_from_slice(&super::Number(version).digits());
                if let Some(name) = name {
                    out.push(b' ');
                    out.extend_from_slice(name);
                }
                out.push(b'\n');
            }
            Command::Auth { token } => write_line(out, "AUTH ", token),
            Command::Quit => out.extend_from_slice(b"QUIT\n"),
        }
    }

    /// Whether it may change the database, so that sending it twice is not the same
    /// as once.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self, Command::Put { .. } | Command::Delete { .. } | Command::Batch(_))
    }
}

/// Whether a key can stand in a line.
fn is_plain(key: &[u8]) -> bool {
    !key.is_empty() && key.iter().all(|&byte| byte >= 0x20)
}

fn write_line(out: &mut Vec<u8>, verb: &str, rest: &[u8]) {
    out.extend_from_slice(verb.as_bytes());
    out.extend_from_slice(rest);
    out.push(b'\n');
}

fn write_get(out: &mut Vec<u8>, key: &[u8]) {
    if is_plain(key) { write_line(out, "GET ", key) } else { write_keyed(out, "GETB ", key) }
}

fn write_delete(out: &mut Vec<u8>, key: &[u8]) {
    if is_plain(key) { write_line(out, "DELETE ", key) } else { write_keyed(out, "DELB ", key) }
}

fn write_put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    if is_plain(key) {
        out.reserve(key.len() + value.len() + 32);
        out.extend_from_slice(b"PUT ");
        out.extend_from_slice(key);
        out.push(b' ');
        push_length(out, value.len());
        out.push(b'\n');
        out.extend_from_slice(value);
    } else {
        write_putb(out, key, value);
    }
}

fn write_keyed(out: &mut Vec<u8>, verb: &str, key: &[u8]) {
    out.extend_from_slice(verb.as_bytes());
    push_length(out, key.len());
    out.push(b'\n');
    out.extend_from_slice(key);
}

/// Appends a PUTB: a request, or an item of a BATCH.
pub(crate) fn write_putb(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.reserve(key.len() + value.len() + 40);
    out.extend_from_slice(b"PUTB ");
    push_length(out, key.len());
    out.push(b' ');
    push_length(out, value.len());
    out.push(b'\n');
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Appends a DELB: a request, or an item of a BATCH.
pub(crate) fn write_delb(out: &mut Vec<u8>, key: &[u8]) {
    write_keyed(out, "DELB ", key);
}

fn write_counted(out: &mut Vec<u8>, verb: &str, count: usize, items: &[u8]) {
    out.extend_from_slice(verb.as_bytes());
    push_length(out, count);
    out.push(b' ');
    push_length(out, items.len());
    out.push(b'\n');
    out.extend_from_slice(items);
}

fn write_scan(out: &mut Vec<u8>, start: &[u8], end: &[u8], limit: u64, reverse: bool) {
    out.extend_from_slice(if reverse { b"RSCAN " } else { b"SCAN " });
    push_length(out, start.len());
    out.push(b' ');
    push_length(out, end.len());
    out.push(b' ');
    out.extend_from_slice(&super::Number(limit).digits());
    out.push(b'\n');
    out.extend_from_slice(start);
    out.extend_from_slice(end);
}
