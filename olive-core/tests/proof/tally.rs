//! The line of counts that a proof closes with, and the seed that it began with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

/// What was tried, and what came of it, by name.
///
/// It prints as one line: `proof crash-points: images 18,204, recovered 18,204, 0 bad`.
/// Threads may count at once.
pub(crate) struct Tally {
    proof: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// In the order of their first use.
    names: Vec<String>,
    by_name: BTreeMap<String, u64>,
    /// The first few are told whole.
    bad: Vec<String>,
    bad_count: u64,
}

/// How many failures are told in full.
const TOLD_MAX: usize = 5;

impl Tally {
    pub(crate) fn new(proof: &'static str) -> Tally {
        Tally { proof, counts: Mutex::default() }
    }

    /// Adds to the count of `name`.
    pub(crate) fn add(&self, name: &str, more: u64) {
        let mut counts = self.lock();
        if !counts.by_name.contains_key(name) {
            counts.names.push(name.to_owned());
        }
        *counts.by_name.entry(name.to_owned()).or_default() += more;
    }

    /// Counts a failure.
    pub(crate) fn bad(&self, what: String) {
        let mut counts = self.lock();
        counts.bad_count += 1;
        if counts.bad.len() < TOLD_MAX {
            counts.bad.push(what);
        }
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.lock().by_name.get(name).copied().unwrap_or(0)
    }

    /// Prints the line.
    ///
    /// # Panics
    ///
    /// Where anything was bad, with the first of it.
    pub(crate) fn close(&self) {
        let line = self.to_string();
        println!("{line}");
        let (count, bad) = {
            let counts = self.lock();
            (counts.bad_count, counts.bad.join("\n"))
        };
        assert_eq!(count, 0, "{line}, the first:\n{bad}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proof {}: ", self.proof)?;
        let (lines, bad) = {
            let counts = self.lock();
            let line = |name: &String| format!("{name} {}", grouped(counts.by_name[name]));
            (counts.names.iter().map(line).collect::<Vec<_>>(), counts.bad_count)
        };
        for line in lines {
            write!(f, "{line}, ")?;
        }
        write!(f, "{bad} bad")
    }
}

/// The number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The seed of a run: `OLIVE_PROOF_SEED` if it is set, `otherwise` if not. It is printed.
///
/// # Panics
///
/// Where the variable is no number, decimal or with 0x.
pub(crate) fn seed(otherwise: u64) -> u64 {
    let seed = match std::env::var("OLIVE_PROOF_SEED") {
        Ok(text) => match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        }
        .unwrap_or_else(|error| panic!("OLIVE_PROOF_SEED={text:?}: {error}")),
        Err(_) => otherwise,
    };
    println!("OLIVE_PROOF_SEED={seed:#x}");
    seed
}

#[test]
fn a_tally_prints_one_line_and_fails_on_anything_bad() {
    let tally = Tally::new("example");
    tally.add("tried", 1_234_567);
    tally.add("refused", 7);
    tally.add("tried", 1);
    assert_eq!(tally.to_string(), "proof example: tried 1,234,568, refused 7, 0 bad");
    assert_eq!((tally.count("tried"), tally.count("never")), (1_234_568, 0));
    tally.close();
    tally.bad("a lost write".to_owned());
    assert_eq!(tally.to_string(), "proof example: tried 1,234,568, refused 7, 1 bad");
    let failed = std::panic::catch_unwind(|| tally.close()).expect_err("it must fail");
    let text = failed.downcast_ref::<String>().expect("a text");
    assert!(text.contains("a lost write"), "{text}");
    let _ = seed(7);
}
