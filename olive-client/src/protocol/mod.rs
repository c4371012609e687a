//! The wire protocol, without I/O: borrowed bytes in, values that borrow from them
//! out, and back.
//!
//! ```text
//! GET <key>\n                              OK <len>\n<value> | NOTFOUND\n
//! PUT <key> <len>\n<value>                 OK\n
//! DELETE <key>\n                           OK\n
//! GETB <klen>\n<k>                         as GET, for keys of any bytes
//! PUTB <klen> <vlen>\n<k><v>               as PUT
//! DELB <klen>\n<k>                         as DELETE
//! MGETB <n> <bytes>\n{<klen>\n<k>}*        OK <len>\n{<vlen>\n<v> | -1\n}*
//! BATCH <n> <bytes>\n{PUTB… | DELB…}*      OK\n, all or nothing
//! SCAN <slen> <elen> <limit>\n<s><e>       OK <len>\n{<klen> <vlen>\n<k><v>}*
//! RSCAN, the same                          the same, from the end backwards
//! PING\n  QUIT\n  AUTH <token>\n           OK\n
//! STATS\n                                  OK <len>\n<json>
//! HELLO 1 [name]\n                         OK <len>\n{<key>=<value>\n}*
//! any                                      ERROR <kind> <text>\n
//! ```
//!
//! A server feeds what it has received to a [`RequestParser`] and answers by
//! [`Response`]; a client writes a [`Command`] and reads with a [`ResponseParser`].
//! Neither parser copies, allocates by a length that it was told, or looks at a byte
//! of a header twice.
//!
//! ```
//! use olive_client::protocol::{Command, Limits, Parsed, RequestParser, Response};
//!
//! let mut wire = Vec::new();
//! Command::Put { key: b"a", value: b"x" }.write_to(&mut wire);
//! assert_eq!(wire, b"PUT a 1\nx");
//!
//! let mut parser = RequestParser::new(Limits::default());
//! assert!(matches!(parser.parse(b"PUT a"), Parsed::Incomplete { .. }));
//! let Parsed::Command { command, bytes } = parser.parse(&wire) else { panic!() };
//! assert_eq!(command, Command::Put { key: b"a", value: b"x" });
//! assert_eq!(bytes, wire.len());
//!
//! let mut answer = Vec::new();
//! Response::Body(b"x").write_to(&mut answer);
//! assert_eq!(answer, b"OK 1\nx");
//! ```

mod command;
mod error;
mod header;
mod items;
mod number;
mod parser;
mod response;

pub use command::Command;
pub(crate) use command::{write_delb, write_putb};
pub use error::{ErrorKind, Refusal, clean, escape};
pub use items::{Entries, Keys, Operation, Operations, Values};
pub use number::{Digits, Number, NumberFault};
pub use parser::{Parsed, RequestParser};
pub use response::{Header, ParsedResponse, Response, ResponseLimits, ResponseParser, Violation};

/// The version that HELLO names.
pub const VERSION: u64 = 1;
/// The port that olive-server listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7411;
/// The longest line, in bytes before its newline: 64 KiB + 64.
pub const LINE_BYTES_MAX: usize = (64 << 10) + 64;
/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;
/// The longest value that is taken, in bytes: 64 MiB.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// The longest body of a request and of a reply, in bytes: 65 MiB.
pub const BODY_BYTES_MAX: usize = 65 << 20;
/// The longest bound of a scan, in bytes: the longest key and a zero byte.
pub const BOUND_BYTES_MAX: usize = KEY_BYTES_MAX + 1;
/// The most entries that one SCAN may ask for.
pub const SCAN_LIMIT_MAX: u64 = 100_000;
/// Where a page of SCAN ends though its limit is not reached, in bytes: 4 MiB.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// The longest name that HELLO may give, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest text of an ERROR, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 512;

/// What a server takes. All in bytes; a smaller limit than the default is allowed, a
/// larger one of `key` is not: the engine has that limit too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, before its newline.
    pub line_bytes_max: usize,
    /// The longest key.
    pub key_bytes_max: usize,
    /// The longest value.
    pub value_bytes_max: usize,
    /// The longest body of a request: what follows its line.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_bytes_max: LINE_BYTES_MAX,
            key_bytes_max: KEY_BYTES_MAX,
            value_bytes_max: VALUE_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
        }
    }
}

/// Where the first newline is, searched for eight bytes at a time.
#[inline]
pub(crate) fn find_newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let differs = u64::from_le_bytes(word) ^ (ONES * u64::from(b'\n'));
        let equal = differs.wrapping_sub(ONES) & !differs & HIGHS;
        if equal != 0 {
            return Some(at + equal.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|&byte| byte == b'\n').map(|i| at + i)
}

#[cfg(test)]
mod tests {
    use super::find_newline;

    #[test]
    fn the_first_newline_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![0x8a_u8; length];
            assert_eq!(find_newline(&bytes), None);
            for at in (0..length).rev() {
                bytes[at] = b'\n';
                assert_eq!(find_newline(&bytes), Some(at), "of {length}");
            }
        }
        // One less and one more than a newline, in every byte beside it.
        assert_eq!(find_newline(b"\x0b\x09\x0b\n\x09\x0b\n\x0b\n"), Some(3));
    }
}
