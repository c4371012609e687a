//! Numbers that workloads ask for: reproducible from a seed, cheap beside an operation.
//!
//! Zipf's are drawn as YCSB draws them (Gray et al., "Quickly generating billion-record
//! synthetic databases", SIGMOD 1994), with the popular ones spread over all numbers.

/// SplitMix64: one multiplication chain a number, no state but a counter.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts a stream; streams of different seeds have nothing in common.
    pub fn new(seed: u64) -> Rng {
        Rng(mix(seed ^ 0x5DEE_CE66_D1CE_4E5B))
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// The next number below `bound`.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.bits(), bound)
    }

    /// The next number in `0.0..1.0`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The number that the `index`th put of a random fill goes to, of `entries`: some are put
/// often and some never, as with any random fill. A function of its index, so that a
/// reader in another process knows which keys exist.
#[inline]
pub fn filled(index: u64, entries: u64) -> u64 {
    scale(mix(index.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0011_FEED), entries)
}

/// The `index`th of all numbers below `count` in an order without a pattern: each once.
///
/// Four Feistel rounds over the next even power of two, walked until the result is in.
#[inline]
pub fn permuted(index: u64, count: u64) -> u64 {
    debug_assert!(index < count);
    let bits = (64 - count.saturating_sub(1).leading_zeros()).max(2).next_multiple_of(2);
    let half = bits / 2;
    let mask = (1_u64 << half) - 1;
    let mut number = index;
    loop {
        let (mut left, mut right) = (number >> half, number & mask);
        for round in 1..=4_u64 {
            (left, right) = (right, left ^ (mix(right ^ (round << 56)) & mask));
        }
        number = left << half | right;
        if number < count {
            return number;
        }
    }
}

/// Zipf's distribution over `0..count`: number 0 is asked for most.
#[derive(Debug, Clone)]
pub struct Zipf {
    count: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
    second: f64,
}

impl Zipf {
    /// Sums `count` powers: a few tens of nanoseconds each.
    pub fn new(count: u64, theta: f64) -> Zipf {
        assert!(count > 0 && theta > 0.0 && theta < 1.0, "count {count}, theta {theta}");
        let zeta = zeta(count, theta);
        let eta =
            (1.0 - (2.0 / count as f64).powf(1.0 - theta)) / (1.0 - zeta_of_two(theta) / zeta);
        Zipf { count, zeta, alpha: 1.0 / (1.0 - theta), eta, second: 1.0 + 0.5_f64.powf(theta) }
    }

    /// The next rank.
    #[inline]
    pub fn rank(&self, rng: &mut Rng) -> u64 {
        let unit = rng.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.second {
            return 1.min(self.count - 1);
        }
        let rank = self.count as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count - 1)
    }

    /// The next number: a rank, spread so that popular numbers are no neighbours.
    #[inline]
    pub fn scrambled(&self, rng: &mut Rng) -> u64 {
        scale(mix(self.rank(rng) ^ 0x00C0_FFEE), self.count)
    }
}

fn zeta(count: u64, theta: f64) -> f64 {
    (1..=count).map(|rank| (rank as f64).powf(-theta)).sum()
}

fn zeta_of_two(theta: f64) -> f64 {
    1.0 + 0.5_f64.powf(theta)
}

/// Maps 64 random bits to a number below `bound`.
#[inline]
fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// A bijection on 64 bits that leaves no pattern (SplitMix64's).
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permuted_has_each_number_once() {
        for count in [1, 2, 3, 5, 64, 1000, 4097] {
            let mut seen = vec![false; count as usize];
            for index in 0..count {
                let number = permuted(index, count) as usize;
                assert!(!std::mem::replace(&mut seen[number], true), "{number} of {count} twice");
            }
        }
    }

    #[test]
    fn permuted_is_not_in_order() {
        let ascending = (1..1000).filter(|&i| permuted(i, 1000) > permuted(i - 1, 1000)).count();
        assert!((400..600).contains(&ascending), "{ascending} of 999 steps ascend");
    }

    #[test]
    fn a_random_fill_meets_about_63_of_100_numbers() {
        let entries = 100_000;
        let mut seen = vec![false; entries as usize];
        (0..entries).for_each(|index| seen[filled(index, entries) as usize] = true);
        let met = seen.iter().filter(|&&met| met).count();
        assert!((62_500..64_000).contains(&met), "{met}");
    }

    #[test]
    fn zipf_has_the_shares_that_it_should() {
        let (count, draws) = (1000_u64, 200_000);
        let zipf = Zipf::new(count, 0.99);
        let mut rng = Rng::new(7);
        let mut met = vec![0_u64; count as usize];
        (0..draws).for_each(|_| met[zipf.rank(&mut rng) as usize] += 1);
        let sum = zeta(count, 0.99);
        for rank in [0_u64, 1] {
            let share = met[rank as usize] as f64 / f64::from(draws);
            let expected = ((rank + 1) as f64).powf(-0.99) / sum;
            assert!((share / expected - 1.0).abs() < 0.05, "rank {rank}: {share} for {expected}");
        }
        // The approximation is close in sums, not rank by rank.
        let tail: u64 = met[100..].iter().sum();
        let expected = (zeta(count, 0.99) - zeta(100, 0.99)) / sum;
        let share = tail as f64 / f64::from(draws);
        assert!((share / expected - 1.0).abs() < 0.05, "tail: {share} for {expected}");
    }

    #[test]
    fn scrambled_numbers_are_in_range_and_spread() {
        let zipf = Zipf::new(10_000, 0.99);
        let mut rng = Rng::new(1);
        let numbers: Vec<u64> = (0..10_000).map(|_| zipf.scrambled(&mut rng)).collect();
        assert!(numbers.iter().all(|&number| number < 10_000));
        let upper = numbers.iter().filter(|&&number| number >= 5000).count();
        assert!((2000..8000).contains(&upper), "{upper} of 10,000 in the upper half");
    }

    #[test]
    fn a_zipf_of_one_number_draws_it() {
        let zipf = Zipf::new(1, 0.99);
        let mut rng = Rng::new(1);
        assert!((0..100).all(|_| zipf.rank(&mut rng) == 0));
    }
}
