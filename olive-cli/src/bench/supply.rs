//! The next request: which key, which value, PUT or GET.

use olive_client::protocol::Command;

use super::plan::{Distribution, Plan, Work};

/// Values are parts of one buffer, which is this much longer than a value: to make one
/// costs nothing, and few keys have the same.
const POOL_EXTRA_BYTES: usize = 16 << 10;
/// The exponent that YCSB made the usual one.
const ZIPF_EXPONENT: f64 = 0.99;

/// What was asked for; enough to check the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) key: u64,
    pub(super) get: bool,
}

/// The requests of one thread.
#[derive(Debug)]
pub(super) struct Supply {
    random: Random,
    choice: Choice,
    get_percent: u32,
    key: Vec<u8>,
    key_prefix_bytes: usize,
    values: Values,
}

impl Supply {
    /// That of thread `thread`: no two threads and no two workloads have the same random
    /// numbers, and together the threads go through the keys in order if they are taken in
    /// order.
    pub(super) fn new(plan: &Plan, work: &Work, thread: usize) -> Supply {
        let mut key = plan.key_prefix.clone();
        key.resize(plan.key_bytes, b'0');
        Supply {
            random: Random(mix(plan.seed) ^ mix((work.number << 32) + thread as u64 + 1)),
            choice: Choice::new(work.distribution, plan, thread),
            get_percent: work.mix.0,
            key,
            key_prefix_bytes: plan.key_prefix.len(),
            values: Values::new(plan.seed, plan.value_bytes),
        }
    }

    /// Appends a request.
    pub(super) fn push(&mut self, out: &mut Vec<u8>) -> Asked {
        let index = self.choice.next(&mut self.random);
        let get = match self.get_percent {
            0 => false,
            100 => true,
            percent => self.random.below(100) < u64::from(percent),
        };
        let mut rest = index;
        for digit in self.key[self.key_prefix_bytes..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let key = &self.key;
        if get {
            Command::Get { key }.write_to(out);
        } else {
            Command::Put { key, value: self.values.of(index) }.write_to(out);
        }
        Asked { key: index, get }
    }

    /// The value that is put under a key.
    pub(super) fn value(&self, key: u64) -> &[u8] {
        self.values.of(key)
    }
}

#[derive(Debug)]
struct Values {
    pool: Vec<u8>,
    value_bytes: usize,
}

impl Values {
    fn new(seed: u64, value_bytes: usize) -> Values {
        let mut random = Random(mix(seed));
        let mut pool = Vec::with_capacity(value_bytes + POOL_EXTRA_BYTES + 8);
        while pool.len() < value_bytes + POOL_EXTRA_BYTES {
            pool.extend_from_slice(&random.next().to_le_bytes());
        }
        Values { pool, value_bytes }
    }

    fn of(&self, key: u64) -> &[u8] {
        let start = mix(key) as usize % POOL_EXTRA_BYTES;
        &self.pool[start..start + self.value_bytes]
    }
}

/// Which key comes next.
#[derive(Debug)]
enum Choice {
    Uniform { keys: u64 },
    Sequential { next: u64, step: u64, keys: u64 },
    Zipf(Zipf),
}

impl Choice {
    fn new(distribution: Distribution, plan: &Plan, thread: usize) -> Choice {
        let keys = plan.keys;
        match distribution {
            Distribution::Uniform => Choice::Uniform { keys },
            Distribution::Sequential => {
                Choice::Sequential { next: thread as u64 % keys, step: plan.threads as u64, keys }
            }
            Distribution::Zipf => Choice::Zipf(Zipf::new(keys)),
        }
    }

    fn next(&mut self, random: &mut Random) -> u64 {
        match self {
            Choice::Uniform { keys } => random.below(*keys),
            Choice::Sequential { next, step, keys } => {
                let key = *next;
                *next = (key + *step) % *keys;
                key
            }
            Choice::Zipf(zipf) => zipf.next(random),
        }
    }
}

/// Numbers by Zipf's law, after Gray et al., "Quickly generating billion-record synthetic
/// databases" (SIGMOD 1994); the often ones are scattered over all keys, as YCSB does.
#[derive(Debug)]
struct Zipf {
    keys: u64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(keys: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-ZIPF_EXPONENT)).sum::<f64>();
        let (all, two) = (zeta(keys), zeta(keys.min(2)));
        let eta = (1.0 - (2.0 / keys as f64).powf(1.0 - ZIPF_EXPONENT)) / (1.0 - two / all);
        Zipf { keys, zeta: all, eta }
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let scaled = u * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(ZIPF_EXPONENT) {
            return 1;
        }
        let rank = (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - ZIPF_EXPONENT));
        ((self.keys as f64 * rank) as u64).min(self.keys - 1)
    }

    fn next(&self, random: &mut Random) -> u64 {
        mix(self.rank(random)) % self.keys
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 up to but not including 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random(7);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
    }

    #[test]
    fn zipf_takes_the_first_ranks_as_often_as_its_law_says() {
        for keys in [1, 2, 3, 1_000] {
            let zipf = Zipf::new(keys);
            let mut random = Random(3);
            let mut seen = vec![0_u32; keys as usize];
            let draws = 100_000;
            for _ in 0..draws {
                seen[zipf.rank(&mut random) as usize] += 1;
            }
            for rank in 0..2.min(keys) {
                let share = ((rank + 1) as f64).powf(-ZIPF_EXPONENT) / zipf.zeta;
                let found = f64::from(seen[rank as usize]) / f64::from(draws);
                assert!((found - share).abs() < 0.01, "rank {rank} of {keys}: {found} {share}");
            }
        }
    }

    #[test]
    fn values_depend_on_seed_and_key_alone() {
        let (one, same, other) = (Values::new(1, 100), Values::new(1, 100), Values::new(2, 100));
        assert_eq!(one.of(5), same.of(5));
        assert_ne!(one.of(5), one.of(6));
        assert_ne!(one.of(5), other.of(5));
        assert_eq!(Values::new(1, 0).of(5), b"");
    }
}
