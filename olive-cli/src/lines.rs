//! Lines of a file or pipe, none longer than any line can be that says something.

use std::fmt;
use std::io::{self, BufRead, Read};

use olive_client::protocol::BODY_BYTES_MAX;

/// The longest line, in bytes, without its end. A request has at most [`BODY_BYTES_MAX`] of
/// keys and values, and a line says a byte of them in six at most: `\u0000`.
const LINE_BYTES_MAX: usize = 6 * BODY_BYTES_MAX;

/// Lines one after the other, in the same memory.
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes_max: usize,
}

/// Why there is no next line.
#[derive(Debug)]
pub(crate) enum Broken {
    Read(io::Error),
    /// The line of this number is over the limit, in bytes.
    TooLong(u64, usize),
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn of(input: R) -> Lines<R> {
        Lines { input, line: Vec::new(), number: 0, bytes_max: LINE_BYTES_MAX }
    }

    /// The next line, without its end, and its number from 1; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, &[u8])>, Broken> {
        self.line.clear();
        self.number += 1;
        // The end of the line comes on top.
        let most = self.bytes_max as u64 + 1;
        let read = Read::take(&mut self.input, most).read_until(b'\n', &mut self.line);
        if read.map_err(Broken::Read)? == 0 {
            return Ok(None);
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if line.len() > self.bytes_max {
            return Err(Broken::TooLong(self.number, self.bytes_max));
        }
        Ok(Some((self.number, line)))
    }
}

impl Broken {
    /// In a sentence: `name` is what was read.
    pub(crate) fn told(&self, name: impl fmt::Display) -> String {
        match self {
            Broken::Read(error) => format!("cannot read {name}: {error}"),
            Broken::TooLong(number, bytes_max) => {
                format!("{name}, line {number}: the line is over the limit of {bytes_max} bytes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Lines<&[u8]> {
        Lines { bytes_max: 5, ..Lines::of(input) }
    }

    #[test]
    fn lines_up_to_the_limit_are_read_with_their_numbers() {
        let mut lines = lines(b"12345\n\n1234\r\n54321");
        for expected in [(1, &b"12345"[..]), (2, b""), (3, b"1234\r"), (4, b"54321")] {
            assert_eq!(lines.next_line().unwrap(), Some(expected));
        }
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_over_the_limit_is_not_read_to_its_end() {
        for input in [&b"1\n123456\n2\n"[..], b"1\n123456", b"1\n123456789012345"] {
            let mut lines = lines(input);
            lines.next_line().unwrap();
            let error = lines.next_line().unwrap_err();
            assert_eq!(error.told("x"), "x, line 2: the line is over the limit of 5 bytes");
            assert_eq!(lines.input.len(), input.len() - 8, "no more than the limit was taken");
        }
    }
}
