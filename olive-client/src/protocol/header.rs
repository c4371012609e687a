//! A request's line: which verb, and how many bytes follow.
//!
//! ```text
//! line     VERB [SP rest]
//! rest     GET, DELETE, AUTH    all of it is the key, the token
//!          PUT                  <key> SP <length>: up to the last space, and behind it
//!          others               numbers with one space between them; for HELLO a name
//! ```

use super::command::Command;
use super::error::{ErrorKind, Refusal, escape};
use super::items::{Fault, Keys, Operations};
use super::number::{Number, NumberFault};
use super::{BOUND_BYTES_MAX, Limits, NAME_BYTES_MAX, SCAN_LIMIT_MAX, VERSION};

/// How much of a request is shown in an ERROR.
const SHOWN_BYTES_MAX: usize = 64;

/// What a line asks for, its numbers within the limits; the body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// There is no body.
    Line(Command<'a>),
    Put {
        key: &'a [u8],
        value: usize,
    },
    GetB {
        key: usize,
    },
    PutB {
        key: usize,
        value: usize,
    },
    DelB {
        key: usize,
    },
    MultiGet {
        items: u64,
        body: usize,
    },
    Batch {
        items: u64,
        body: usize,
    },
    Scan {
        start: usize,
        end: usize,
        limit: u64,
        reverse: bool,
    },
}

impl<'a> Head<'a> {
    /// Reads a line, without its newline.
    pub(crate) fn parse(line: &'a [u8], limits: &Limits) -> Result<Head<'a>, Refusal> {
        refuse_http(line)?;
        let space = line.iter().position(|&byte| byte == b' ');
        let (verb, rest) = match space {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        match verb {
            b"GET" => Ok(Head::Line(Command::Get { key: key("GET", rest, limits)? })),
            b"PUT" => put(rest, limits),
            b"DELETE" => Ok(Head::Line(Command::Delete { key: key("DELETE", rest, limits)? })),
            b"GETB" => numbers("GETB", rest, ["key's length"])
                .and_then(|[k]| Ok(Head::GetB { key: key_length("GETB", k, limits)? })),
            b"PUTB" => putb(rest, limits),
            b"DELB" => numbers("DELB", rest, ["key's length"])
                .and_then(|[k]| Ok(Head::DelB { key: key_length("DELB", k, limits)? })),
            b"MGETB" => numbers("MGETB", rest, ["count", "bytes"]).and_then(|[items, bytes]| {
                Ok(Head::MultiGet { items, body: body_length("MGETB", bytes, limits)? })
            }),
            b"BATCH" => numbers("BATCH", rest, ["count", "bytes"]).and_then(|[items, bytes]| {
                Ok(Head::Batch { items, body: body_length("BATCH", bytes, limits)? })
            }),
            b"SCAN" => scan("SCAN", rest, limits, false),
            b"RSCAN" => scan("RSCAN", rest, limits, true),
            b"PING" => alone("PING", rest, Command::Ping),
            b"STATS" => alone("STATS", rest, Command::Stats),
            b"QUIT" => alone("QUIT", rest, Command::Quit),
            b"HELLO" => hello(rest),
            b"AUTH" => match rest {
                Some(token) => Ok(Head::Line(Command::Auth { token })),
                None => Err(protocol("AUTH needs a space and a token")),
            },
            _ => Err(unknown(line)),
        }
    }

    /// How many bytes follow the line.
    pub(crate) fn body_bytes(&self) -> usize {
        match *self {
            Head::Line(_) => 0,
            Head::Put { value, .. } => value,
            Head::GetB { key } | Head::DelB { key } => key,
            Head::PutB { key, value } => key + value,
            Head::MultiGet { body, .. } | Head::Batch { body, .. } => body,
            Head::Scan { start, end, .. } => start + end,
        }
    }

    /// Whether it is answered before AUTH has succeeded.
    pub(crate) fn is_free(&self) -> bool {
        use Command::{Auth, Hello, Ping, Quit};
        matches!(self, Head::Line(Auth { .. } | Hello { .. } | Ping | Quit))
    }

    /// The command, given the body of [`body_bytes`](Self::body_bytes).
    pub(crate) fn command(self, body: &'a [u8], limits: &Limits) -> Result<Command<'a>, Refusal> {
        let split = |at: usize| body.split_at_checked(at).unwrap_or((body, &[]));
        Ok(match self {
            Head::Line(command) => command,
            Head::Put { key, .. } => Command::Put { key, value: body },
            Head::GetB { .. } => Command::Get { key: body },
            Head::PutB { key, .. } => {
                let (key, value) = split(key);
                Command::Put { key, value }
            }
            Head::DelB { .. } => Command::Delete { key: body },
            Head::MultiGet { items, .. } => Command::MultiGet(
                Keys::checked(body, items, limits).map_err(|why| item("MGETB", why))?,
            ),
            Head::Batch { items, .. } => Command::Batch(
                Operations::checked(body, items, limits).map_err(|why| item("BATCH", why))?,
            ),
            Head::Scan { start, limit, reverse, .. } => {
                let (start, end) = split(start);
                Command::Scan { start, end, limit, reverse }
            }
        })
    }
}

fn protocol(text: impl AsRef<[u8]>) -> Refusal {
    Refusal::closing(ErrorKind::Protocol, text)
}

fn too_large(text: impl AsRef<[u8]>) -> Refusal {
    Refusal::closing(ErrorKind::TooLarge, text)
}

/// The whole request was read, so what follows it can be.
fn item(verb: &str, why: Fault) -> Refusal {
    Refusal::going_on(why.kind, format!("{verb} refused, {}", why.text))
}

/// A browser, or one that was talked into speaking to this port: GET, PUT and DELETE
/// are HTTP's verbs too, and what follows could be anything.
fn refuse_http(line: &[u8]) -> Result<(), Refusal> {
    let http = line.ends_with(b" HTTP/1.1\r")
        || line.ends_with(b" HTTP/1.0\r")
        || line.starts_with(b"POST ")
        || line.starts_with(b"Host:");
    if http {
        Err(protocol("this is not an HTTP server; such a key needs GETB, PUTB or DELB"))
    } else {
        Ok(())
    }
}

fn unknown(line: &[u8]) -> Refusal {
    let shown = escape(line, SHOWN_BYTES_MAX);
    if line.first() == Some(&b'*') {
        return protocol(format!("\"{shown}\": a leading * is reserved"));
    }
    let verb = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let verb = escape(verb, SHOWN_BYTES_MAX);
    let mut text = format!(
        "\"{verb}\" is no verb; the verbs are GET, PUT, DELETE, GETB, PUTB, DELB, MGETB, BATCH, SCAN, RSCAN, PING, STATS, HELLO, AUTH and QUIT"
    );
    if line.last() == Some(&b'\r') {
        text.push_str("; a line ends in a newline alone, without a carriage return");
    }
    protocol(text)
}

fn key<'a>(verb: &str, rest: Option<&'a [u8]>, limits: &Limits) -> Result<&'a [u8], Refusal> {
    let Some(key) = rest else {
        return Err(protocol(format!("{verb} needs a space and a key")));
    };
    key_length(verb, key.len() as u64, limits)?;
    Ok(key)
}

fn put<'a>(rest: Option<&'a [u8]>, limits: &Limits) -> Result<Head<'a>, Refusal> {
    let rest = rest.unwrap_or_default();
    let Some(space) = rest.iter().rposition(|&byte| byte == b' ') else {
        return Err(protocol("PUT needs a key, a space and the value's length"));
    };
    let key = &rest[..space];
    let value = number("PUT", "value's length", &rest[space + 1..])?;
    key_length("PUT", key.len() as u64, limits)?;
    let value = length("PUT", "value", value, limits.value_bytes_max)?;
    body_length("PUT", value as u64, limits)?;
    Ok(Head::Put { key, value })
}

fn putb<'a>(rest: Option<&'a [u8]>, limits: &Limits) -> Result<Head<'a>, Refusal> {
    let [key, value] = numbers("PUTB", rest, ["key's length", "value's length"])?;
    let key = key_length("PUTB", key, limits)?;
    let value = length("PUTB", "value", value, limits.value_bytes_max)?;
    body_length("PUTB", (key + value) as u64, limits)?;
    Ok(Head::PutB { key, value })
}

fn scan<'a>(
    verb: &str,
    rest: Option<&'a [u8]>,
    limits: &Limits,
    reverse: bool,
) -> Result<Head<'a>, Refusal> {
    let names = ["start's length", "end's length", "limit"];
    let [start, end, limit] = numbers(verb, rest, names)?;
    let bound_bytes_max = BOUND_BYTES_MAX.min(limits.key_bytes_max.saturating_add(1));
    let start = length(verb, "start", start, bound_bytes_max)?;
    let end = length(verb, "end", end, bound_bytes_max)?;
    body_length(verb, (start + end) as u64, limits)?;
    if !(1..=SCAN_LIMIT_MAX).contains(&limit) {
        let text = format!("{verb}'s limit is {limit}: it must be 1 to {SCAN_LIMIT_MAX}");
        return Err(protocol(text));
    }
    Ok(Head::Scan { start, end, limit, reverse })
}

fn alone<'a>(
    verb: &str,
    rest: Option<&'a [u8]>,
    command: Command<'a>,
) -> Result<Head<'a>, Refusal> {
    match rest {
        None => Ok(Head::Line(command)),
        Some(rest) => {
            let rest = escape(rest, SHOWN_BYTES_MAX);
            Err(protocol(format!("{verb} stands alone, and here comes \"{rest}\"")))
        }
    }
}

fn hello(rest: Option<&[u8]>) -> Result<Head<'_>, Refusal> {
    let Some(rest) = rest else {
        return Err(protocol(format!("HELLO needs a version: HELLO {VERSION}")));
    };
    let space = rest.iter().position(|&byte| byte == b' ');
    let (version, name) = match space {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let version = number("HELLO", "version", version)?;
    match name.map(<[u8]>::len) {
        Some(0) => return Err(protocol("HELLO's name is empty: leave out the space too")),
        Some(length) if length > NAME_BYTES_MAX => {
            let text =
                format!("HELLO's name has {length} bytes, over the limit of {NAME_BYTES_MAX}");
            return Err(too_large(text));
        }
        _ => {}
    }
    Ok(Head::Line(Command::Hello { version, name }))
}

/// Reads `N` numbers with one space between them.
fn numbers<const N: usize>(
    verb: &str,
    rest: Option<&[u8]>,
    names: [&str; N],
) -> Result<[u64; N], Refusal> {
    let mut parts = rest.unwrap_or_default().split(|&byte| byte == b' ');
    let mut found = [0; N];
    for (name, found) in names.iter().zip(&mut found) {
        *found = number(verb, name, parts.next().unwrap_or_default())?;
    }
    match parts.next() {
        None => Ok(found),
        Some(_) => Err(protocol(format!("{verb} takes {N} numbers with one space between them"))),
    }
}

fn number(verb: &str, name: &str, bytes: &[u8]) -> Result<u64, Refusal> {
    Number::parse(bytes).map(|number| number.0).map_err(|why: NumberFault| {
        let shown = escape(bytes, SHOWN_BYTES_MAX);
        protocol(format!("{verb}: the {name} \"{shown}\" {why}"))
    })
}

fn length(verb: &str, name: &str, length: u64, max: usize) -> Result<usize, Refusal> {
    match usize::try_from(length) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(too_large(format!(
            "{verb}: the {name} has {length} bytes, over the limit of {max}"
        ))),
    }
}

fn key_length(verb: &str, bytes: u64, limits: &Limits) -> Result<usize, Refusal> {
    length(verb, "key", bytes, limits.key_bytes_max)
}

fn body_length(verb: &str, bytes: u64, limits: &Limits) -> Result<usize, Refusal> {
    length(verb, "body", bytes, limits.body_bytes_max)
}
