//! Numbers as bytes: little-endian, of fixed width or LEB128.
//!
//! ```text
//! u8 u16 u32 u64 u128    fixed width, lowest byte first
//! varint                 LEB128 of a u32: 7 bits a byte, lowest first, the top bit says
//!                        that more follow; 1 to 5 bytes
//! ```
//!
//! Nothing here panics on short bytes: readers answer `None`.

use byteorder::{ByteOrder, LittleEndian};

/// The most bytes that a varint takes.
pub const VARINT_BYTES_MAX: usize = 5;

/// The number at `at`, or `None` past the end.
#[must_use]
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(LittleEndian::read_u32(bytes.get(at..at.checked_add(4)?)?))
}

/// The number at `at`, or `None` past the end.
#[must_use]
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(LittleEndian::read_u64(bytes.get(at..at.checked_add(8)?)?))
}

/// The number at `at`, or `None` past the end.
#[must_use]
#[inline]
pub fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    Some(LittleEndian::read_u128(bytes.get(at..at.checked_add(16)?)?))
}

/// Appends a number of 2 bytes.
#[inline]
pub fn push_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number of 4 bytes.
#[inline]
pub fn push_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number of 8 bytes.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number of 16 bytes.
#[inline]
pub fn push_u128(out: &mut Vec<u8>, number: u128) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a varint.
#[inline]
pub fn push_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes `number` takes as a varint.
#[must_use]
#[inline]
pub fn varint_bytes(number: u32) -> usize {
    (32 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// The varint at `at` and the offset behind it, or `None` where it is cut, too
/// long, or not in its shortest form.
#[must_use]
#[inline]
pub fn varint_at(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u32::from(first), at + 1));
    }
    long_varint_at(bytes, at)
}

fn long_varint_at(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let mut number = 0_u64;
    for (place, &byte) in bytes.get(at..)?.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            let shortest = byte != 0 || place == 0;
            let number = u32::try_from(number).ok()?;
            return shortest.then_some((number, at + place + 1));
        }
    }
    None
}

/// How many bytes `a` and `b` have in common at their start.
#[must_use]
#[inline]
pub fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let mut at = 0;
    for (x, y) in a_words.iter().zip(b_words) {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return at + difference.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = |bytes| <[u8]>::iter(bytes).skip(at);
    at + rest(a).zip(rest(b)).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_and_take_the_bytes_they_say() {
        let mut numbers = vec![0, 1, u32::MAX];
        numbers.extend((0..32).flat_map(|bit| [1_u32 << bit, (1_u32 << bit) - 1]));
        for number in numbers {
            let mut bytes = vec![9];
            push_varint(&mut bytes, number);
            assert_eq!(bytes.len() - 1, varint_bytes(number), "{number}");
            assert_eq!(varint_at(&bytes, 1), Some((number, bytes.len())));
            bytes.pop();
            assert_eq!(varint_at(&bytes, 1), None, "cut: {number}");
        }
    }

    #[test]
    fn varints_that_no_encoder_writes_are_refused() {
        for bad in [&[0x80, 0][..], &[0xFF; 5], &[0xFF, 0xFF, 0xFF, 0xFF, 0x10], &[0x80; 6]] {
            assert_eq!(varint_at(bad, 0), None, "{bad:x?}");
        }
    }

    #[test]
    fn fixed_numbers_are_read_only_where_they_are_whole() {
        let bytes: Vec<u8> = (1..=16).collect();
        assert_eq!(u32_at(&bytes, 0), Some(0x0403_0201));
        assert_eq!(u64_at(&bytes, 8), Some(0x100F_0E0D_0C0B_0A09));
        assert!(u128_at(&bytes, 0).is_some());
        assert_eq!(u32_at(&bytes, 13), None);
        assert_eq!(u64_at(&bytes, usize::MAX), None);
        assert_eq!(u128_at(&bytes, 1), None);
    }

    #[test]
    fn common_prefixes_end_at_the_first_difference() {
        for len in 0..40 {
            let a = vec![7; len];
            for at in 0..len {
                let mut b = a.clone();
                b[at] = 8;
                assert_eq!(common_prefix_len(&a, &b), at);
                assert_eq!(common_prefix_len(&a, &a[..at]), at);
            }
            assert_eq!(common_prefix_len(&a, &a), len);
        }
    }
}
