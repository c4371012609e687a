//! [`RequestParser`]: requests out of a stream that is cut anywhere.
//!
//! ```text
//! looking for a newline ──(over the line's limit)──────────────▶ refused, closes
//!        │ found
//!        ▼
//! the line is read, its numbers are checked ──(any fault)──────▶ refused, closes
//!        │ the extent is known
//!        ▼
//! waiting for the extent ──(items that do not fit the body)────▶ refused, goes on
//!        │ all there
//!        ▼
//!     a command
//! ```

use super::command::Command;
use super::error::{ErrorKind, Refusal};
use super::header::Head;
use super::{Limits, find_newline};

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Not yet a request: come again with the same bytes and more of them.
    Incomplete {
        /// How many bytes the request has from its first one, once its line has come.
        extent: Option<usize>,
    },
    /// A request.
    Command {
        /// What it asks for.
        command: Command<'a>,
        /// How many bytes it took: the next one begins behind them.
        bytes: usize,
    },
    /// Empty lines, which mean nothing.
    Skip {
        /// How many bytes they took.
        bytes: usize,
    },
    /// A request to be answered by an ERROR.
    Refused {
        /// The ERROR, and whether the connection goes on.
        refusal: Refusal,
        /// How many bytes it took, if the connection goes on.
        bytes: usize,
    },
}

/// Parses a stream of requests.
///
/// It holds no bytes: each call is given all bytes that were received and not yet
/// taken, from the first byte of a request on. Between calls it remembers how far it
/// had looked.
#[derive(Debug, Clone)]
pub struct RequestParser {
    limits: Limits,
    free_only: bool,
    /// Bytes of the request known to have no newline.
    scanned: usize,
    /// Bytes of the request, once its line was read.
    extent: usize,
}

impl RequestParser {
    /// One that takes what is within the limits.
    #[must_use]
    pub const fn new(limits: Limits) -> RequestParser {
        RequestParser { limits, free_only: false, scanned: 0, extent: 0 }
    }

    /// One for a connection that must give a token first: all verbs but AUTH, PING,
    /// HELLO and QUIT are refused, as soon as their line has come.
    #[must_use]
    pub const fn before_auth(limits: Limits) -> RequestParser {
        RequestParser { limits, free_only: true, scanned: 0, extent: 0 }
    }

    /// The next request of `input`.
    pub fn parse<'a>(&mut self, input: &'a [u8]) -> Parsed<'a> {
        if input.len() < self.extent {
            return Parsed::Incomplete { extent: Some(self.extent) };
        }
        let unseen = input.get(self.scanned..).unwrap_or_default();
        let Some(found) = find_newline(unseen) else {
            return self.without_newline(input.len());
        };
        let line_bytes = self.scanned + found;
        if line_bytes > self.limits.line_bytes_max {
            return self.refused(self.line_too_long(), 0);
        }
        if line_bytes == 0 {
            return Parsed::Skip { bytes: newlines(input) };
        }
        let (line, body) = (&input[..line_bytes], &input[line_bytes + 1..]);
        match Head::parse(line, &self.limits) {
            Ok(head) if self.free_only && !head.is_free() => {
                let text = "a token is needed first: AUTH <token>";
                self.refused(Refusal::closing(ErrorKind::Auth, text), 0)
            }
            Ok(head) => self.with_body(head, line_bytes, body),
            Err(refusal) => self.refused(refusal, 0),
        }
    }

    fn without_newline<'a>(&mut self, bytes: usize) -> Parsed<'a> {
        if bytes > self.limits.line_bytes_max {
            return self.refused(self.line_too_long(), 0);
        }
        self.scanned = bytes;
        Parsed::Incomplete { extent: None }
    }

    fn with_body<'a>(&mut self, head: Head<'a>, line_bytes: usize, body: &'a [u8]) -> Parsed<'a> {
        let bytes = line_bytes + 1 + head.body_bytes();
        let Some(body) = body.get(..head.body_bytes()) else {
            self.scanned = line_bytes;
            self.extent = bytes;
            return Parsed::Incomplete { extent: Some(bytes) };
        };
        self.forget();
        match head.command(body, &self.limits) {
            Ok(command) => Parsed::Command { command, bytes },
            Err(refusal) => Parsed::Refused { refusal, bytes },
        }
    }

    fn refused<'a>(&mut self, refusal: Refusal, bytes: usize) -> Parsed<'a> {
        self.forget();
        Parsed::Refused { refusal, bytes }
    }

    fn line_too_long(&self) -> Refusal {
        let max = self.limits.line_bytes_max;
        Refusal::closing(ErrorKind::TooLarge, format!("a line has more than {max} bytes"))
    }

    fn forget(&mut self) {
        self.scanned = 0;
        self.extent = 0;
    }
}

fn newlines(input: &[u8]) -> usize {
    input.iter().position(|&byte| byte != b'\n').unwrap_or(input.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{KEY_BYTES_MAX, Keys, LINE_BYTES_MAX, Operation, Operations};
    use proptest::prelude::*;

    fn parse(input: &[u8]) -> Parsed<'_> {
        RequestParser::new(Limits::default()).parse(input)
    }

    fn refusal(input: &[u8]) -> Refusal {
        match parse(input) {
            Parsed::Refused { refusal, .. } => refusal,
            other => panic!("{} is {other:?}", input.escape_ascii()),
        }
    }

    /// Keys of any bytes, among them those that would be trouble in a line.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[ a-c\n\r0-9]{0,12}".prop_map(String::into_bytes),
            Just(b"/ HTTP/1.1\r".to_vec()),
            Just(b"k 5".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key in keys(), value in keys(), limit in 1_u64..=100_000, reverse: bool) {
            let mut body = Vec::new();
            Keys::push(&mut body, &key);
            Keys::push(&mut body, &value);
            let mut operations = Vec::new();
            crate::protocol::command::write_putb(&mut operations, &key, &value);
            crate::protocol::command::write_delb(&mut operations, &value);
            for sent in [
                Command::Get { key: &key },
                Command::Put { key: &key, value: &value },
                Command::Delete { key: &key },
                Command::Scan { start: &key, end: &value, limit, reverse },
                Command::MultiGet(Keys::written(&body, 2)),
                Command::Batch(Operations::written(&operations, 2)),
            ] {
                let mut wire = Vec::new();
                sent.write_to(&mut wire);
                let bytes = wire.len();
                // What follows is the next request's.
                wire.extend_from_slice(b"PING\n");
                prop_assert_eq!(parse(&wire), Parsed::Command { command: sent, bytes });
                let mut parser = RequestParser::new(Limits::default());
                for cut in 0..bytes {
                    match parser.parse(&wire[..cut]) {
                        Parsed::Incomplete { extent: None } => {}
                        Parsed::Incomplete { extent } => prop_assert_eq!(extent, Some(bytes)),
                        other => prop_assert!(false, "{:?} at {}", other, cut),
                    }
                }
            }
            let items: Vec<_> = Operations::written(&operations, 2).collect();
            prop_assert_eq!(items[0], Operation::Put { key: &key, value: &value });
            prop_assert_eq!(items[1], Operation::Delete { key: &value });
            let items: Vec<_> = Keys::written(&body, 2).collect();
            prop_assert_eq!(items, [&key[..], &value[..]]);
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>, verb in 0_usize..8) {
            let verbs: [&[u8]; 8] =
                [b"", b"PUT ", b"PUTB ", b"MGETB 1 ", b"BATCH 2 ", b"SCAN ", b"HELLO ", b"BATCH 1 9\n"];
            let input = [verbs[verb], &bytes].concat();
            let mut parser = RequestParser::new(Limits::default());
            let mut left = &input[..];
            for _ in 0..input.len() {
                match parser.parse(left) {
                    Parsed::Incomplete { .. } => break,
                    Parsed::Refused { refusal, .. } if refusal.closes => break,
                    Parsed::Skip { bytes }
                    | Parsed::Command { bytes, .. }
                    | Parsed::Refused { bytes, .. } => {
                        prop_assert!(bytes > 0);
                        left = &left[bytes..];
                    }
                }
            }
        }
    }

    #[test]
    fn keys_that_a_line_cannot_hold_go_by_the_b_verbs() {
        for (key, wire) in [
            (&b"a b"[..], &b"GET a b\n"[..]),
            (b"\xff\x7f", b"GET \xff\x7f\n"),
            (b"", b"GETB 0\n"),
            (b"a\nDELETE b", b"GETB 10\na\nDELETE b"),
            (b"a\r", b"GETB 2\na\r"),
            (b"\x00", b"GETB 1\n\x00"),
        ] {
            let mut out = Vec::new();
            Command::Get { key }.write_to(&mut out);
            assert_eq!(out.escape_ascii().to_string(), wire.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_line_is_refused_at_its_limit_whether_it_ends_or_not() {
        let line = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(parse(&line), Parsed::Incomplete { extent: None });
        let longer = [&line[..], b"x"].concat();
        assert_eq!(refusal(&longer).kind, ErrorKind::TooLarge);
        let ended = [&longer[..], b"\n"].concat();
        assert_eq!(refusal(&ended).kind, ErrorKind::TooLarge);
        // One at the limit is read: it is only no verb.
        let ended = [&line[..], b"\n"].concat();
        assert_eq!(refusal(&ended).kind, ErrorKind::Protocol);
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_come() {
        for line in [
            "PUT k 67108865\n",
            "PUTB 65536 1\n",
            "PUTB 1 9223372036854775808\n",
            "GETB 9999999999999999999\n",
            "DELB 65536\n",
            "MGETB 1 68157441\n",
            "BATCH 1 68157441\n",
            "SCAN 65537 1 1\n",
            "RSCAN 1 65537 1\n",
        ] {
            let refusal = refusal(line.as_bytes());
            assert_eq!((refusal.kind, refusal.closes), (ErrorKind::TooLarge, true), "{line}");
        }
        let key = "k".repeat(KEY_BYTES_MAX + 1);
        for line in [format!("GET {key}\n"), format!("PUT {key} 1\n"), format!("DELETE {key}\n")] {
            assert_eq!(refusal(line.as_bytes()).kind, ErrorKind::TooLarge);
        }
    }

    #[test]
    fn lower_limits_hold_in_lines_and_in_items() {
        let limits =
            Limits { key_bytes_max: 3, value_bytes_max: 4, body_bytes_max: 20, line_bytes_max: 30 };
        for (input, closes) in [
            (&b"GET abcd\n"[..], true),
            (b"PUT abc 5\n", true),
            (b"PUTB 4 1\n", true),
            (b"PUTB 1 5\n", true),
            (b"MGETB 1 21\n", true),
            (b"SCAN 5 0 1\n", true),
            (b"MGETB 1 6\n4\nabcd", false),
            (b"BATCH 1 15\nPUTB 1 5\nabcdef", false),
            (b"BATCH 1 11\nDELB 4\nabcd", false),
        ] {
            match RequestParser::new(limits).parse(input) {
                Parsed::Refused { refusal, .. } => {
                    assert_eq!(refusal.kind, ErrorKind::TooLarge, "{}", input.escape_ascii());
                    assert_eq!(refusal.closes, closes);
                }
                other => panic!("{} is {other:?}", input.escape_ascii()),
            }
        }
    }

    #[test]
    fn refused_items_take_up_their_whole_request() {
        let input = b"BATCH 2 11\nPUTB 1 1\naxPING\n";
        let Parsed::Refused { refusal, bytes } = parse(input) else { panic!() };
        assert!(!refusal.closes);
        assert!(refusal.text.contains("item 1 at offset 11"), "{}", refusal.text);
        assert_eq!(&input[bytes..], b"PING\n");
    }

    #[test]
    fn before_auth_four_verbs_are_free() {
        let mut parser = RequestParser::before_auth(Limits::default());
        for line in [&b"PING\n"[..], b"HELLO 1\n", b"AUTH x\n", b"QUIT\n"] {
            assert!(matches!(parser.parse(line), Parsed::Command { .. }));
        }
        // Refused by the line alone: the body is not waited for.
        for line in [&b"GET k\n"[..], b"PUT k 5\n", b"BATCH 1 60000\n", b"STATS\n", b"SCAN 0 0 1\n"]
        {
            match parser.parse(line) {
                Parsed::Refused { refusal, .. } => {
                    assert_eq!((refusal.kind, refusal.closes), (ErrorKind::Auth, true));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn empty_lines_are_skipped_together() {
        assert_eq!(parse(b"\n\n\nPING\n"), Parsed::Skip { bytes: 3 });
        assert_eq!(parse(b"\n"), Parsed::Skip { bytes: 1 });
        assert_eq!(parse(b""), Parsed::Incomplete { extent: None });
    }

    #[test]
    fn errors_show_what_was_sent_escaped() {
        let refusal = refusal(b"\x1b[31m\xff nonsense\n");
        assert!(refusal.text.contains(r#""\x1b[31m\xff" is no verb"#), "{}", refusal.text);
    }
}
