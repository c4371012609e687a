//! Keys and values of a workload.
//!
//! ```text
//! key      the number in decimal, zero-padded                 0000000000123456
//! missing  the same with its last digit replaced              000000000012345:
//! value    half random, half a repetition of it, from a pool that is walked
//! ```

use crate::numbers::Rng;

/// The longest key that a workload has.
pub const KEY_BYTES_MAX: usize = 64;

/// A key buffer that is written in place.
#[derive(Debug, Clone)]
pub struct KeyBuf {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl KeyBuf {
    /// A buffer for keys of `len` bytes.
    ///
    /// # Panics
    /// If `len` is not in 8 to 64.
    pub fn new(len: usize) -> KeyBuf {
        assert!((8..=KEY_BYTES_MAX).contains(&len), "keys of {len} bytes");
        KeyBuf { bytes: [b'0'; KEY_BYTES_MAX], len }
    }

    /// The key of a number, which must have at most as many digits as the key has bytes.
    #[inline]
    pub fn of(&mut self, number: u64) -> &[u8] {
        let key = &mut self.bytes[..self.len];
        let mut rest = number;
        let mut end = key.len();
        // Two digits a division: a key must cost little beside a put.
        while rest >= 10 {
            let pair = (rest % 100) as usize * 2;
            rest /= 100;
            key[end - 2..end].copy_from_slice(&PAIRS[pair..pair + 2]);
            end -= 2;
        }
        if rest > 0 {
            end -= 1;
            key[end] = b'0' + rest as u8;
        }
        key[..end].fill(b'0');
        key
    }

    /// The key that was written last.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// A key that no number has, just behind those of the number's ten.
    #[inline]
    pub fn missing(&mut self, number: u64) -> &[u8] {
        self.of(number);
        self.bytes[self.len - 1] = b':';
        &self.bytes[..self.len]
    }
}

/// "00" to "99".
static PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[number * 2] = b'0' + (number / 10) as u8;
        pairs[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

/// Values that compress to about half.
#[derive(Debug, Clone)]
pub struct Values {
    pool: Vec<u8>,
    at: usize,
    len: usize,
}

impl Values {
    /// Values of `len` bytes, from a pool of 1 MiB; `seed` says where in it to begin.
    pub fn new(len: usize, seed: u64) -> Values {
        let pool_bytes = (1 << 20).max(len * 2);
        let mut rng = Rng::new(301);
        let mut pool = Vec::with_capacity(pool_bytes + 100);
        while pool.len() < pool_bytes {
            let start = pool.len();
            pool.extend((0..50).map(|_| b' ' + rng.below(95) as u8));
            pool.extend_from_within(start..);
        }
        let at = Rng::new(seed).below((pool_bytes - len) as u64) as usize;
        Values { pool, at, len }
    }

    /// The next value.
    #[inline]
    pub fn value(&mut self) -> &[u8] {
        if self.at + self.len > self.pool.len() {
            self.at = 0;
        }
        let start = self.at;
        self.at += self.len;
        &self.pool[start..start + self.len]
    }
}

/// Reads a value's ends, as who uses it would: a page that was not there is fetched.
#[inline]
pub fn touch(value: &[u8]) -> u64 {
    match (value.first(), value.last()) {
        (Some(first), Some(last)) => u64::from(*first) + u64::from(*last),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decimal_and_overwritten_whole() {
        let mut key = KeyBuf::new(16);
        assert_eq!(key.of(1_234_567), b"0000000001234567");
        assert_eq!(key.of(12), b"0000000000000012");
        assert_eq!(key.of(0), b"0000000000000000");
        assert_eq!(key.of(9_999_999_999_999_999), b"9999999999999999");
        assert_eq!(KeyBuf::new(9).of(123_456_789), b"123456789");
        assert_eq!(KeyBuf::new(24).of(5), b"000000000000000000000005");
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        let (mut one, mut other) = (KeyBuf::new(16), KeyBuf::new(16));
        for (lower, upper) in [(0, 1), (9, 10), (99, 100), (1999, 2000), (123_456, 1_234_560)] {
            assert!(one.of(lower) < other.of(upper), "{lower} {upper}");
        }
    }

    #[test]
    fn missing_keys_are_nobodys_and_within() {
        let mut key = KeyBuf::new(16);
        let missing = key.missing(41).to_vec();
        assert_eq!(missing, b"000000000000004:");
        assert!(*key.of(49) < *missing && *key.of(50) > *missing);
    }

    #[test]
    fn values_repeat_half_of_themselves() {
        let mut values = Values::new(100, 0);
        values.at = 0;
        let value = values.value();
        assert_eq!(value.len(), 100);
        assert_eq!(value[..50], value[50..]);
        assert_ne!(values.value(), Values::new(100, 1).value());
    }

    #[test]
    fn a_large_value_fits_the_pool() {
        let mut values = Values::new(4 << 20, 3);
        assert!((0..5).all(|_| values.value().len() == 4 << 20));
    }
}
