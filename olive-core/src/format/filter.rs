//! The filter section: a blocked Bloom filter, one 64-byte line a key.
//!
//! ```text
//!  0  u8   kind of filter: 1, blocked Bloom over the hash below
//!  1  u8   probes k, 1 to 16
//!  2  u16  0
//!  4  u32  n, lines (at least 1)
//!  8  n × 64 bytes, lines of 512 bits
//! ```
//!
//! A key with hash h has its line and its k bits there:
//!
//! ```text
//! line     (h >> 32) · n >> 32
//! g        before probes 0, 7, 14:  g = (g ^ g >> 32) · 0x9E3779B97F4A7C15 mod 2^64, from g = h
//! bit      g >> 55, then g = g << 9:   bit (bit mod 8), lowest first, of byte (bit / 8) of the line
//! ```
//!
//! The hash is 64 bits of a scoped key, in the class of wyhash: 128-bit products,
//! folded. With fold(a, b) = low(a · b) ^ high(a · b), le = little-endian number:
//!
//! ```text
//! K0 = 0xA0761D6478BD642F   K1 = 0xE7037ED1A0B428DB   K2 = 0x8EBC6AF09C88C6E3
//! s = K0 ^ length
//! while more than 16 bytes are left:  s = fold(le64(next 8) ^ K1, le64(next 8) ^ s)
//! a, b = of what is left (1 to 16 bytes, or none in an empty key):
//!        8 or more: le64(first 8), le64(last 8)      4 or more: le32(first 4), le32(last 4)
//!        else: each byte in turn, first · 2^16 + middle · 2^8 + last (middle: index n / 2), 0
//! hash = fold(fold(a ^ K1, b ^ s) ^ K2, length ^ K1)
//! ```

use crate::format::{BadBytes, coding};

/// The number of this kind of filter.
pub const FILTER_KIND_BLOCKED_BLOOM: u8 = 1;
const HEADER_BYTES: usize = 8;
const LINE_BYTES: usize = 64;
const PROBES_MAX: u32 = 16;
/// Of 9 bits each.
const PROBES_A_MIX: u32 = 7;

const K0: u64 = 0xA076_1D64_78BD_642F;
const K1: u64 = 0xE703_7ED1_A0B4_28DB;
const K2: u64 = 0x8EBC_6AF0_9C88_C6E3;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of a scoped key, computed once for all filters.
#[must_use]
#[inline]
pub fn filter_hash(scoped: &[u8]) -> u64 {
    let length = scoped.len() as u64;
    let mut state = K0 ^ length;
    let mut left = scoped;
    while left.len() > 16 {
        let (chunk, behind) = left.split_at(16);
        state = fold(le64(chunk, 0) ^ K1, le64(chunk, 8) ^ state);
        left = behind;
    }
    let (a, b) = match left.len() {
        8.. => (le64(left, 0), le64(left, left.len() - 8)),
        4.. => (le32(left, 0), le32(left, left.len() - 4)),
        len => {
            let byte = |i: usize| left.get(i).copied().map_or(0, u64::from);
            (byte(0) << 16 | byte(len / 2) << 8 | byte(len.saturating_sub(1)), 0)
        }
    };
    fold(fold(a ^ K1, b ^ state) ^ K2, length ^ K1)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn le64(bytes: &[u8], at: usize) -> u64 {
    coding::u64_at(bytes, at).unwrap_or(0)
}

#[inline]
fn le32(bytes: &[u8], at: usize) -> u64 {
    coding::u32_at(bytes, at).map_or(0, u64::from)
}

/// How many bits each key sets, for the least false hits.
#[must_use]
pub fn probes_for(bits_per_key: u32) -> u32 {
    ((bits_per_key.saturating_mul(6) + 5) / 10).clamp(1, PROBES_MAX)
}

/// The section of a filter over the keys of `hashes`, at `bits_per_key` (at least 1).
#[must_use]
pub fn encode(hashes: &[u64], bits_per_key: u32) -> Vec<u8> {
    let bits = (hashes.len() as u64).saturating_mul(u64::from(bits_per_key));
    let lines = bits.div_ceil(8 * LINE_BYTES as u64).clamp(1, u64::from(u32::MAX)) as u32;
    let probes = probes_for(bits_per_key);
    let mut filter = vec![Line([0; LINE_BYTES]); lines as usize];
    for &hash in hashes {
        if let Some(line) = filter.get_mut(line_of(hash, lines)) {
            line.set(hash, probes);
        }
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + LINE_BYTES * lines as usize);
    out.extend_from_slice(&[FILTER_KIND_BLOCKED_BLOOM, probes as u8, 0, 0]);
    coding::push_u32(&mut out, lines);
    for line in &filter {
        out.extend_from_slice(&line.0);
    }
    out
}

/// A cache line of the filter.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u8; LINE_BYTES]);

impl Line {
    fn set(&mut self, hash: u64, probes: u32) {
        each_bit(hash, probes, |byte, bit| self.0[byte] |= bit);
    }

    /// Looks at every bit: which one is the first that is not there cannot be foretold.
    #[inline]
    fn has(&self, hash: u64, probes: u32) -> bool {
        let mut all = true;
        each_bit(hash, probes, |byte, bit| all &= self.0[byte] & bit != 0);
        all
    }
}

/// Gives each probe's byte (below 64) and bit.
#[inline]
fn each_bit(hash: u64, probes: u32, mut give: impl FnMut(usize, u8)) {
    let mut g = hash;
    let mut left = probes;
    while left > 0 {
        g = (g ^ (g >> 32)).wrapping_mul(GOLDEN);
        let now = left.min(PROBES_A_MIX);
        for _ in 0..now {
            let bit = g >> 55;
            g <<= 9;
            give((bit >> 3) as usize & 63, 1 << (bit & 7));
        }
        left -= now;
    }
}

#[inline]
fn line_of(hash: u64, lines: u32) -> usize {
    (((hash >> 32) * u64::from(lines)) >> 32) as usize
}

/// A filter in memory, its lines aligned to cache lines.
#[derive(Debug)]
pub struct Filter {
    lines: Box<[Line]>,
    probes: u32,
}

impl Filter {
    /// Decodes a section.
    pub fn decode(bytes: &[u8]) -> Result<Filter, BadBytes> {
        let Some((&[kind, probes, zero_0, zero_1, ..], body)) =
            bytes.split_first_chunk::<HEADER_BYTES>()
        else {
            return Err(BadBytes::new(0, format!("a filter of {} bytes", bytes.len())));
        };
        if kind != FILTER_KIND_BLOCKED_BLOOM || zero_0 != 0 || zero_1 != 0 {
            return Err(BadBytes::unsupported(0, format!("filter kind {kind}")));
        }
        let lines = coding::u32_at(bytes, 4).unwrap_or(0);
        let expected = u64::from(lines) * LINE_BYTES as u64;
        if lines == 0 || body.len() as u64 != expected {
            let found = body.len();
            let what = format!("{lines} filter lines: expected {expected} bytes, found {found}");
            return Err(BadBytes::new(4, what));
        }
        if probes == 0 || u32::from(probes) > PROBES_MAX {
            return Err(BadBytes::new(1, format!("a filter with {probes} probes")));
        }
        let lines = body.as_chunks().0.iter().map(|line| Line(*line)).collect();
        Ok(Filter { lines, probes: u32::from(probes) })
    }

    /// Whether the key of `hash` may be among those that the filter was made of:
    /// false only if it is not.
    #[must_use]
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        match self.lines.get(line_of(hash, self.lines.len() as u32)) {
            Some(line) => line.has(hash, self.probes),
            None => true,
        }
    }

    /// The bytes that `may_contain` of this hash looks at, to be prefetched.
    #[must_use]
    #[inline]
    pub fn line(&self, hash: u64) -> &[u8] {
        match self.lines.get(line_of(hash, self.lines.len() as u32)) {
            Some(line) => &line.0,
            None => &[],
        }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that table-format.md prints.
    #[test]
    fn the_hash_gives_the_documented_values() {
        let long: Vec<u8> = (0..=255).collect();
        let keys: [&[u8]; 8] =
            [b"", b"a", b"abc", b"abcd", b"abcdefgh", b"\x010000000000000042", &long[..17], &long];
        let hashes: Vec<String> =
            keys.iter().map(|key| format!("{:016x}", filter_hash(key))).collect();
        let documented = include_str!("../../docs/table-format.md");
        for (key, hash) in keys.iter().zip(&hashes) {
            assert!(documented.contains(hash), "{:?}: {hash}", key.escape_ascii().to_string());
        }
    }

    #[test]
    fn every_bit_of_a_key_changes_half_of_the_hash() {
        for len in [1, 3, 4, 7, 8, 9, 16, 17, 31, 33, 100] {
            let key: Vec<u8> = (0..len as u8).collect();
            let mut changed = 0;
            for bit in 0..len * 8 {
                let mut other = key.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                changed += (filter_hash(&key) ^ filter_hash(&other)).count_ones();
            }
            let average = f64::from(changed) / (len * 8) as f64;
            assert!((28.0..36.0).contains(&average), "{len} bytes: {average}");
        }
    }

    fn false_hits(keys: u64, bits_per_key: u32) -> f64 {
        let hash = |i: u64| filter_hash(format!("\x01{i:016}").as_bytes());
        let hashes: Vec<u64> = (0..keys).map(hash).collect();
        let filter = Filter::decode(&encode(&hashes, bits_per_key)).unwrap();
        assert!(hashes.iter().all(|&hash| filter.may_contain(hash)), "a key is missing");
        let probes = 100_000;
        let hits = (keys..keys + probes).filter(|&i| filter.may_contain(hash(i))).count();
        hits as f64 / probes as f64
    }

    #[test]
    fn no_key_is_missing_and_false_hits_are_as_few_as_promised() {
        for keys in [1, 2, 50, 100_000] {
            let rate = false_hits(keys, 10);
            assert!(rate < 0.0135, "{keys} keys: {rate}");
        }
        assert!(false_hits(20_000, 1) < 0.75);
        assert!(false_hits(20_000, 5) < 0.12);
        assert!(false_hits(20_000, 16) < 0.002);
        assert!(false_hits(20_000, 32) < 0.0005);
    }

    #[test]
    fn bad_filters_are_refused() {
        let bytes = encode(&[1, 2, 3], 10);
        for cut in 0..bytes.len() {
            assert!(Filter::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for (at, byte) in [(0, 2), (1, 0), (1, 17), (2, 1), (4, 0), (4, 2), (7, 0xFF)] {
            let mut bad = bytes.clone();
            bad[at] = byte;
            let bad = Filter::decode(&bad).unwrap_err();
            assert_eq!(bad.unsupported, at == 0 || at == 2, "{bad}");
        }
    }
}
