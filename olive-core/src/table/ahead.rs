//! What an iterator asks the system for before it gets there.
//!
//! ```text
//! blocks   0   1   2   3   4   5   6 ...
//!          each a page by itself   │ 64 KiB asked for, then 128, then 256 at a time
//! ```
//!
//! Tables are mapped under RANDOM advice, so that a get reads one page; who walks would
//! wait for each of its pages. But every page that is asked for costs the system a look
//! into its cache, which most walks, being short or over pages that are there, would pay
//! for nothing.

use crate::vfs::Mapping;

/// How much an iterator asks for ahead once it goes from block to block: this at first,
/// twice as much each time, at most that.
const ITER_AHEAD_BYTES: (usize, usize) = (64 << 10, 256 << 10);
/// How much a scan asks for ahead.
const SCAN_AHEAD_BYTES: usize = 2 << 20;
/// Blocks one behind the other after which an iterator asks ahead.
const SEQUENTIAL_BLOCKS: u32 = 5;

/// Decides what to ask for ahead, in either direction.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// +1: from block to the next one; -1: to the one before; 0: neither.
    direction: i8,
    /// Steps in a row in this direction.
    steps: u32,
    /// How far was asked for.
    edge: usize,
    /// How much was asked for last.
    window: usize,
}

impl Ahead {
    /// Goes from block `before` to block `i`, which starts at `here`.
    pub(super) fn step(
        &mut self,
        mapping: &Mapping,
        (before, i): (Option<usize>, usize),
        here: usize,
        scan: bool,
    ) {
        let direction = match before {
            Some(before) if before + 1 == i => 1,
            Some(before) if i + 1 == before => -1,
            None if scan => 1,
            _ => 0,
        };
        if direction == 0 || direction != self.direction {
            *self = Ahead { direction, steps: 0, edge: here, window: 0 };
        }
        self.steps += 1;
        let steps_min = if scan { 1 } else { SEQUENTIAL_BLOCKS };
        if direction == 0 || self.steps < steps_min {
            return;
        }
        let (least, most) = ITER_AHEAD_BYTES;
        let window = if scan { SCAN_AHEAD_BYTES } else { (2 * self.window).clamp(least, most) };
        if direction > 0 && here + self.window / 2 >= self.edge {
            let start = self.edge.max(here);
            mapping.will_need(start, window);
            self.edge = start + window;
            self.window = window;
        } else if direction < 0 && here <= self.edge + self.window / 2 {
            let end = self.edge.min(here);
            let start = end.saturating_sub(window);
            mapping.will_need(start, end - start);
            self.edge = start;
            self.window = window;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks from block to block and gives, for each, how far was asked for.
    fn edges(blocks: impl Iterator<Item = usize>, scan: bool) -> Vec<usize> {
        let mapping = Mapping::owned(vec![0; 1 << 20]);
        let mut ahead = Ahead::default();
        let mut before = None;
        let mut edges = Vec::new();
        for i in blocks {
            ahead.step(&mapping, (before, i), i * 4096, scan);
            before = Some(i);
            edges.push(ahead.edge / 1024);
        }
        edges
    }

    #[test]
    fn short_walks_ask_for_nothing_and_long_ones_for_more_each_time() {
        assert_eq!(edges(10..15, false), [40, 44, 44, 44, 44], "the first step is a seek");
        let forward = edges(10..100, false);
        assert_eq!(forward[5..14], [[60 + 64; 8].as_slice(), &[60 + 64 + 128]].concat());
        let mut asked: Vec<usize> = forward.windows(2).map(|pair| pair[1] - pair[0]).collect();
        asked.retain(|&kib| kib > 4);
        assert_eq!(asked, [80, 128, 256, 256]);
        let backward = edges((10..100).rev(), false);
        assert_eq!(backward[4], 98 * 4, "nothing before the fifth step");
        assert!(backward[5] == 94 * 4 - 64 && backward[89] < 10 * 4);
        assert_eq!(edges([5, 90, 6, 7, 30, 31, 32].into_iter(), false)[6], 31 * 4, "jumps");
        assert_eq!(edges(0..2, true), [2048, 2048], "a scan knows at once");
    }
}
