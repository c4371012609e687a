//! Numbers: 1 to 19 decimal digits, no sign, no leading zero.

use std::fmt;
use std::ops::Deref;

/// Why bytes are not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NumberFault {
    /// There is not one digit.
    Missing,
    /// A byte that is no digit.
    NotADigit,
    /// It begins with a sign.
    Sign,
    /// It begins with a zero, and goes on.
    LeadingZero,
    /// It has more than 19 digits.
    TooLong,
    /// It ends in a carriage return: a line was sent as `\r\n`.
    CarriageReturn,
}

impl fmt::Display for NumberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NumberFault::Missing => "is missing",
            NumberFault::NotADigit => "has a byte that is no digit",
            NumberFault::Sign => "has a sign",
            NumberFault::LeadingZero => "has a leading zero",
            NumberFault::TooLong => "has more than 19 digits",
            NumberFault::CarriageReturn => {
                "ends in a carriage return: a line ends in a newline alone"
            }
        })
    }
}

/// A number of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u64);

impl Number {
    /// Reads one that takes up all of `bytes`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for an ERROR to say.
    pub fn parse(bytes: &[u8]) -> Result<Number, NumberFault> {
        if let [b'0'] = bytes {
            return Ok(Number(0));
        }
        match bytes {
            [] => return Err(NumberFault::Missing),
            [b'-' | b'+', ..] => return Err(NumberFault::Sign),
            [.., b'\r'] => return Err(NumberFault::CarriageReturn),
            _ => {}
        }
        if !bytes.iter().all(u8::is_ascii_digit) {
            return Err(NumberFault::NotADigit);
        }
        if bytes[0] == b'0' {
            return Err(NumberFault::LeadingZero);
        }
        if bytes.len() > 19 {
            return Err(NumberFault::TooLong);
        }
        // 19 nines are less than 2^64.
        Ok(Number(bytes.iter().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'))))
    }

    /// Its decimal digits.
    #[must_use]
    pub fn digits(self) -> Digits {
        let mut digits = Digits { bytes: [b'0'; 20], start: 20 };
        let mut rest = self.0;
        loop {
            digits.start -= 1;
            digits.bytes[digits.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return digits;
            }
        }
    }
}

/// The digits of a [`Number`], without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Appends a length in decimal.
pub(crate) fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&Number(length as u64).digits());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_way_to_be_written() {
        for number in [0, 1, 9, 10, 65_535, 1 << 63, 9_999_999_999_999_999_999] {
            assert_eq!(Number::parse(&Number(number).digits()), Ok(Number(number)));
        }
        assert_eq!(&*Number(u64::MAX).digits(), b"18446744073709551615");
    }

    #[test]
    fn every_other_way_is_refused_by_name() {
        for (bytes, fault) in [
            (&b""[..], NumberFault::Missing),
            (b"-1", NumberFault::Sign),
            (b"+1", NumberFault::Sign),
            (b"00", NumberFault::LeadingZero),
            (b"01", NumberFault::LeadingZero),
            (b"1 ", NumberFault::NotADigit),
            (b" 1", NumberFault::NotADigit),
            (b"1x", NumberFault::NotADigit),
            (b"1\r", NumberFault::CarriageReturn),
            (b"\xd9\xa1", NumberFault::NotADigit),
            (b"12345678901234567890", NumberFault::TooLong),
        ] {
            assert_eq!(Number::parse(bytes), Err(fault), "{bytes:?}");
        }
    }
}
