//! Numbers, orders and bytes that look random and are the same in every run.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// The next number below `end`, which is not 0. Its bias is below 2^-32 for
    /// any `end` below 2^32.
    #[inline]
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }
}

/// A bijection of all 64-bit numbers that leaves no pattern: the end of SplitMix64.
#[inline]
#[must_use]
pub fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A checksum of `bytes`, 8 at a time; `seed` sets apart what must not be confused.
#[must_use]
pub fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = mix(seed ^ bytes.len() as u64);
    for word in words {
        sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        sum ^= sum >> 32;
    }
    for &byte in rest {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    mix(sum)
}

/// Fills `bytes` from `seed` so that they compress to about a half: each 8
/// random bytes are followed by 8 that repeat one letter.
pub fn fill(seed: u64, bytes: &mut [u8]) {
    let mut random = Random::new(seed);
    for chunk in bytes.chunks_mut(16) {
        let word = random.next_u64().to_le_bytes();
        let (noise, letter) = chunk.split_at_mut(chunk.len().min(8));
        noise.copy_from_slice(&word[..noise.len()]);
        letter.fill(b'a' + (seed % 26) as u8);
    }
}

/// An order of `0 .. len` without a pattern, held in a few numbers: a Feistel
/// network over the next larger power of 4, walked until it falls inside.
#[derive(Debug, Clone)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    seed: u64,
}

impl Permutation {
    /// The order that `seed` gives to `0 .. len`.
    #[must_use]
    pub fn new(len: u64, seed: u64) -> Permutation {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Permutation { len, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// What stands at `position`, which is below the length.
    #[inline]
    #[must_use]
    pub fn at(&self, position: u64) -> u64 {
        let mut number = position;
        loop {
            number = self.shuffle(number);
            if number < self.len {
                return number;
            }
        }
    }

    #[inline]
    fn shuffle(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for round in 0..4 {
            let key = self.seed.wrapping_add(round << 56);
            (left, right) = (right, left ^ (mix(key ^ right) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_meets_every_number_once() {
        for len in [1, 2, 3, 5, 16, 17, 1000, 4096, 4097] {
            let order = Permutation::new(len, 7);
            let mut met = vec![false; len as usize];
            for position in 0..len {
                let number = order.at(position) as usize;
                assert!(!std::mem::replace(&mut met[number], true), "{number} of {len} twice");
            }
        }
    }

    #[test]
    fn a_checksum_sees_each_bit_the_length_and_the_seed() {
        let bytes: Vec<u8> = (0..29).collect();
        let sum = checksum(1, &bytes);
        assert_ne!(sum, checksum(2, &bytes));
        assert_ne!(sum, checksum(1, &bytes[..28]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum, checksum(1, &flipped), "bit {bit}");
        }
    }

    #[test]
    fn numbers_stay_below_their_end_and_repeat_by_seed() {
        let mut random = Random::new(3);
        assert!((0..1000).all(|_| random.below(10) < 10));
        assert_eq!(Random::new(5).next_u64(), Random::new(5).next_u64());
        assert_ne!(Random::new(5).next_u64(), Random::new(6).next_u64());
    }

    #[test]
    fn filled_bytes_are_the_same_for_the_same_seed() {
        let (mut one, mut two) = ([0; 100], [0; 100]);
        fill(9, &mut one);
        fill(9, &mut two);
        assert_eq!(one, two);
        fill(10, &mut two);
        assert_ne!(one, two);
    }
}
