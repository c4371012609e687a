//! What came of each sort of damage to each kind of file, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use super::outcome::Memory;

const OUTCOMES: [&str; 8] =
    ["refused", "detected", "verified", "verify alone", "harmless", "tail", "rolled back", "bad"];

/// Counts by (damage, kind of file) and outcome. Threads may count at once.
#[derive(Default)]
pub(super) struct Grid {
    counts: Mutex<BTreeMap<(&'static str, &'static str), [u64; OUTCOMES.len()]>>,
    memory: Mutex<Memory>,
}

impl Grid {
    pub(super) fn add(&self, damage: &'static str, kind: &'static str, outcome: &str) {
        let place = OUTCOMES.iter().position(|name| *name == outcome).expect("a known outcome");
        let mut counts = self.counts.lock().expect("not poisoned");
        counts.entry((damage, kind)).or_default()[place] += 1;
    }

    /// Notes what was asked of memory.
    pub(super) fn note(&self, memory: Memory) {
        let mut max = self.memory.lock().expect("not poisoned");
        max.largest_bytes = max.largest_bytes.max(memory.largest_bytes);
        max.peak_bytes = max.peak_bytes.max(memory.peak_bytes);
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}", "damage")?;
        for name in OUTCOMES {
            write!(f, "{name:>13}")?;
        }
        writeln!(f)?;
        for ((damage, kind), counts) in &*self.counts.lock().expect("not poisoned") {
            write!(f, "{:<18}", format!("{damage} {kind}"))?;
            for count in counts {
                write!(f, "{count:>13}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "memory, damaged: {:?}", self.memory.lock().expect("not poisoned"))
    }
}
