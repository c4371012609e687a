//! Arguments as bytes.

use std::ffi::{OsStr, OsString};
use std::ops::Bound;

use crate::failure::{Failure, Result};

/// The bytes of an argument: those it has, or those it spells in hexadecimal. `name` is
/// what the argument is called.
pub(crate) fn of_argument(argument: &OsStr, hex: bool, name: &str) -> Result<Vec<u8>> {
    let bytes = argument.as_encoded_bytes();
    if !hex {
        return Ok(bytes.to_vec());
    }
    from_hex(bytes).map_err(|why| Failure::usage(format!("{name} is no hexadecimal: {why}")))
}

/// An argument of these bytes.
#[cfg(unix)]
pub(crate) fn to_argument(bytes: Vec<u8>) -> Result<OsString, String> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

/// An argument of these bytes; elsewhere than on Unix it has to be text.
#[cfg(not(unix))]
pub(crate) fn to_argument(bytes: Vec<u8>) -> Result<OsString, String> {
    let text = String::from_utf8(bytes);
    text.map(OsString::from).map_err(|_| "bytes that are no text need --hex".to_owned())
}

pub(crate) fn from_hex(digits: &[u8]) -> Result<Vec<u8>, String> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{} digits are not whole bytes", digits.len()));
    }
    pairs.iter().map(|&[high, low]| Ok(digit(high)? << 4 | digit(low)?)).collect()
}

fn digit(byte: u8) -> Result<u8, String> {
    match char::from(byte).to_digit(16) {
        Some(digit) => Ok(digit as u8),
        None => Err(format!("\"{}\" is no digit", byte.escape_ascii())),
    }
}

pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(2 * bytes.len());
    push_hex(&mut out, bytes);
    out.into_iter().map(char::from).collect()
}

/// From and to, as scans take them.
pub(crate) type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The keys that begin with `prefix`.
pub(crate) fn prefix_range(prefix: Vec<u8>) -> KeyRange {
    let mut end = prefix.clone();
    // The least key that is greater than all of them: the last byte that can be raised is,
    // and what is behind it goes.
    while end.pop_if(|last| *last == 0xff).is_some() {}
    let end = match end.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(end)
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(prefix), end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::RangeBounds;

    proptest! {
        #[test]
        fn hex_goes_there_and_back(bytes: Vec<u8>) {
            let hex = to_hex(&bytes);
            prop_assert_eq!(from_hex(hex.as_bytes()), Ok(bytes.clone()));
            prop_assert_eq!(from_hex(hex.to_uppercase().as_bytes()), Ok(bytes));
        }

        #[test]
        fn a_prefix_range_has_exactly_its_keys(
            prefix in proptest::collection::vec(0xfe_u8..=0xff, 0..4),
            key in proptest::collection::vec(0xfd_u8..=0xff, 0..6),
        ) {
            let range = prefix_range(prefix.clone());
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        }
    }

    #[test]
    fn what_is_no_hex_is_named() {
        assert!(from_hex(b"abc").unwrap_err().contains("3 digits"));
        assert!(from_hex(b"0g").unwrap_err().contains("\"g\""));
        assert!(from_hex(b"+1").unwrap_err().contains("\"+\""));
    }
}
