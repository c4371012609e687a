//! [`Response`]: an answer, written and read.
//!
//! ```text
//! OK\n        OK <len>\n<body>        NOTFOUND\n        ERROR <kind> <text>\n
//! ```

use std::fmt;

use super::error::{ErrorKind, clean, escape};
use super::number::Number;
use super::{BODY_BYTES_MAX, ERROR_TEXT_BYTES_MAX, find_newline};

/// One answer. It borrows from the bytes that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// Done.
    Ok,
    /// Done, and this is what was asked for.
    Body(&'a [u8]),
    /// The key has no value.
    NotFound,
    /// Refused or failed.
    Error {
        /// What can be done about it; `Internal` for a kind that this version does not
        /// know.
        kind: ErrorKind,
        /// For a person; printable ASCII.
        text: &'a str,
    },
}

impl Response<'_> {
    /// Appends its bytes; the text of an error is cleaned and cut.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Response::Ok => out.extend_from_slice(b"OK\n"),
            Response::NotFound => out.extend_from_slice(b"NOTFOUND\n"),
            Response::Body(body) => {
                out.extend_from_slice(&Header::ok(body.len()));
                out.extend_from_slice(body);
            }
            Response::Error { kind, text } => {
                out.extend_from_slice(b"ERROR ");
                out.extend_from_slice(kind.word().as_bytes());
                out.push(b' ');
                out.extend_from_slice(clean(text.as_bytes()).as_bytes());
                out.push(b'\n');
            }
        }
    }
}

/// `OK <len>\n` without an allocation: for a body that is sent from where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: [u8; Header::BYTES_MAX],
    length: usize,
}

impl Header {
    /// It is never longer.
    pub const BYTES_MAX: usize = 24;

    /// The header of a body of so many bytes.
    #[must_use]
    pub fn ok(body_bytes: usize) -> Header {
        let mut bytes = [0; Header::BYTES_MAX];
        let digits = Number(body_bytes as u64).digits();
        bytes[..3].copy_from_slice(b"OK ");
        bytes[3..3 + digits.len()].copy_from_slice(&digits);
        bytes[3 + digits.len()] = b'\n';
        Header { bytes, length: digits.len() + 4 }
    }
}

impl std::ops::Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Something that is no answer: what came instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// What a client takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// The longest line, before its newline.
    pub line_bytes_max: usize,
    /// The longest body.
    pub body_bytes_max: usize,
}

impl Default for ResponseLimits {
    fn default() -> ResponseLimits {
        ResponseLimits { line_bytes_max: ERROR_TEXT_BYTES_MAX + 64, body_bytes_max: BODY_BYTES_MAX }
    }
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum ParsedResponse<'a> {
    /// Not yet an answer: come again with the same bytes and more of them.
    Incomplete {
        /// How many bytes the answer has from its first one, once its line has come.
        extent: Option<usize>,
    },
    /// An answer.
    Response {
        /// What it says.
        response: Response<'a>,
        /// How many bytes it took: the next one begins behind them.
        bytes: usize,
    },
}

/// Parses a stream of answers, as [`RequestParser`](super::RequestParser) does with
/// requests.
#[derive(Debug, Clone, Default)]
pub struct ResponseParser {
    limits: ResponseLimits,
    /// Bytes of the answer known to have no newline.
    scanned: usize,
    /// Bytes of the answer, once its line was read.
    extent: usize,
}

impl ResponseParser {
    /// One that takes what is within the limits.
    #[must_use]
    pub const fn new(limits: ResponseLimits) -> ResponseParser {
        ResponseParser { limits, scanned: 0, extent: 0 }
    }

    /// The next answer of `input`.
    ///
    /// # Errors
    ///
    /// What came is no answer: there is no telling where the next one begins.
    pub fn parse<'a>(&mut self, input: &'a [u8]) -> Result<ParsedResponse<'a>, Violation> {
        if input.len() < self.extent {
            return Ok(ParsedResponse::Incomplete { extent: Some(self.extent) });
        }
        let unseen = input.get(self.scanned..).unwrap_or_default();
        let found = find_newline(unseen);
        let line_bytes = self.scanned + found.unwrap_or(unseen.len());
        if line_bytes > self.limits.line_bytes_max {
            let line = escape(&input[..line_bytes], 64);
            return Err(Violation(format!("an answer's line does not end: \"{line}\"")));
        }
        self.scanned = line_bytes;
        if found.is_none() {
            return Ok(ParsedResponse::Incomplete { extent: None });
        }
        let (line, rest) = (&input[..line_bytes], &input[line_bytes + 1..]);
        let Some(length) = line.strip_prefix(b"OK ") else {
            self.forget();
            let response = without_body(line)?;
            return Ok(ParsedResponse::Response { response, bytes: line_bytes + 1 });
        };
        let length = self.body_length(length)?;
        self.extent = line_bytes + 1 + length;
        let bytes = self.extent;
        let Some(body) = rest.get(..length) else {
            return Ok(ParsedResponse::Incomplete { extent: Some(bytes) });
        };
        self.forget();
        Ok(ParsedResponse::Response { response: Response::Body(body), bytes })
    }

    fn body_length(&self, digits: &[u8]) -> Result<usize, Violation> {
        let shown = || escape(digits, 40);
        let number = Number::parse(digits)
            .map_err(|why| Violation(format!("the length \"{}\" of an answer {why}", shown())))?;
        match usize::try_from(number.0) {
            Ok(length) if length <= self.limits.body_bytes_max => Ok(length),
            _ => Err(Violation(format!(
                "an answer of {} bytes is over the limit of {}",
                number.0, self.limits.body_bytes_max
            ))),
        }
    }

    fn forget(&mut self) {
        self.scanned = 0;
        self.extent = 0;
    }
}

fn without_body(line: &[u8]) -> Result<Response<'_>, Violation> {
    let violation = || Violation(format!("\"{}\" is no answer", escape(line, 64)));
    match line {
        b"OK" => return Ok(Response::Ok),
        b"NOTFOUND" => return Ok(Response::NotFound),
        _ => {}
    }
    let message = line.strip_prefix(b"ERROR ").ok_or_else(violation)?;
    // Not only what olive-server sends: the first design has `ERROR <message>`.
    let message = std::str::from_utf8(message).map_err(|_| violation())?;
    let (word, text) = message.split_once(' ').unwrap_or((message, ""));
    Ok(match ErrorKind::from_word(word.as_bytes()) {
        Some(kind) => Response::Error { kind, text },
        None => Response::Error { kind: ErrorKind::Internal, text: message },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> Result<ParsedResponse<'_>, Violation> {
        ResponseParser::default().parse(input)
    }

    #[test]
    fn what_is_written_is_read_at_every_cut() {
        let long = "x".repeat(2_000);
        let texts = ["token needed", "", &long];
        let mut all =
            vec![Response::Ok, Response::NotFound, Response::Body(b""), Response::Body(b"a\nOK\n")];
        all.extend(texts.iter().map(|text| Response::Error { kind: ErrorKind::Auth, text }));
        for sent in all {
            let mut wire = Vec::new();
            sent.write_to(&mut wire);
            let mut parser = ResponseParser::default();
            for cut in 0..wire.len() {
                let parsed = parser.parse(&wire[..cut]).unwrap();
                assert!(matches!(parsed, ParsedResponse::Incomplete { .. }), "{sent:?} at {cut}");
            }
            let ParsedResponse::Response { response, bytes } = parser.parse(&wire).unwrap() else {
                panic!("{sent:?} is not whole")
            };
            assert_eq!(bytes, wire.len());
            match (sent, response) {
                (Response::Error { text: sent, .. }, Response::Error { text, .. }) => {
                    assert_eq!(text, &sent[..sent.len().min(512)]);
                }
                (sent, response) => assert_eq!(sent, response),
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for (input, says) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "is no answer"),
            (b"\n", "is no answer"),
            (b"OK 01\n", "leading zero"),
            (b"OK 9223372036854775808\n", "over the limit"),
            (b"OK -1\n", "sign"),
            (b"OK \n", "missing"),
            (b"ok\n", "is no answer"),
        ] {
            assert!(parse(input).unwrap_err().0.contains(says), "{input:?}");
        }
        assert!(parse(&[b'x'; 700]).unwrap_err().0.contains("does not end"));
    }

    #[test]
    fn an_unknown_kind_is_still_an_error() {
        let ParsedResponse::Response { response, .. } = parse(b"ERROR novel thing\n").unwrap()
        else {
            panic!()
        };
        assert_eq!(response, Response::Error { kind: ErrorKind::Internal, text: "novel thing" });
    }
}
