//! What an iterator asks the system for before it gets there.
//!
//! ```text
//! blocks   0   1   2   3   4   5   6 ...
//!          each a page by itself   │ 64 KiB looked at, then 128, then 256, 512 ... at a time
//!                                    and asked for if not in memory: then 256 at the most
//! ```
//!
//! Tables are mapped under RANDOM advice, so that a get reads one page; who walks would
//! wait for each of its pages. But to look costs a call to the system, as much as a short
//! walk over what is there: so walks that found all in memory spare those after them.
//! A block of several pages is asked for as a whole: see [`Residency`](super::residency).

use std::ops::Range;

use crate::sync::{AtomicU32, Ordering};
use crate::vfs::Mapping;

/// How much an iterator asks for ahead once it goes from block to block: this at first,
/// twice as much each time, at most that.
const ITER_AHEAD_BYTES: (usize, usize) = (64 << 10, 256 << 10);
/// How much a scan asks for ahead, and an iterator looks at where all is in memory.
const SCAN_AHEAD_BYTES: usize = 2 << 20;
/// Blocks one behind the other after which an iterator asks ahead.
const SEQUENTIAL_BLOCKS: u32 = 5;
/// The same where some of a table whose blocks are of several pages was found gone lately.
const SEQUENTIAL_BLOCKS_COLD: u32 = 2;
/// How many walks in a row may be spared their first look.
const SPARED_MAX: u32 = 63;

/// Whether walks over a table have found it in memory lately: how many more are spared
/// their first look, and how many were the last time.
///
/// Threads may lose each other's steps; what they count is a matter of speed only.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    spares: AtomicU32,
    last: AtomicU32,
}

impl Warmth {
    /// Takes one, if there is one.
    fn spare(&self) -> bool {
        let left = self.spares.load(Ordering::Relaxed);
        if left > 0 {
            self.spares.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// What a first look has found, which it gives back.
    fn note(&self, was_there: bool) -> bool {
        let next =
            if was_there { (2 * self.last.load(Ordering::Relaxed) + 1).min(SPARED_MAX) } else { 0 };
        self.last.store(next, Ordering::Relaxed);
        self.spares.store(next, Ordering::Relaxed);
        was_there
    }
}

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
    /// Whether that was in memory.
    was_there: bool,
}

impl Ahead {
    /// Goes from block `before` to block `i`, which starts at `here`.
    #[inline]
    pub(super) fn step(
        &mut self,
        mapping: &Mapping,
        warmth: &Warmth,
        blocks: (Option<usize>, usize),
        here: usize,
        (scan, cold): (bool, bool),
    ) {
        if self.is_due(blocks, here, (scan, cold)) {
            self.ask(mapping, warmth, here, scan);
        }
    }

    /// Whether to look ahead from here, and ask.
    #[inline]
    fn is_due(
        &mut self,
        (before, i): (Option<usize>, usize),
        here: usize,
        (scan, cold): (bool, bool),
    ) -> bool {
        let direction = match before {
            Some(before) if before + 1 == i => 1,
            Some(before) if i + 1 == before => -1,
            None if scan => 1,
            _ => 0,
        };
        if direction == 0 || direction != self.direction {
            *self = Ahead { direction, edge: here, ..Ahead::default() };
        }
        self.steps += 1;
        let steps_min = match (scan, cold) {
            (true, _) => 1,
            (_, true) => SEQUENTIAL_BLOCKS_COLD,
            _ => SEQUENTIAL_BLOCKS,
        };
        let half = self.window / 2;
        let is_near =
            if direction > 0 { here + half >= self.edge } else { here <= self.edge + half };
        direction != 0 && self.steps >= steps_min && is_near
    }

    #[cold]
    fn ask(&mut self, mapping: &Mapping, warmth: &Warmth, here: usize, scan: bool) {
        let is_first = self.window == 0 && !scan;
        let range = self.next_range(here, scan);
        self.was_there = if is_first {
            warmth.spare() || warmth.note(mapping.will_need(range.start, range.len()))
        } else {
            mapping.will_need(range.start, range.len())
        };
    }

    /// What to ask for next: it counts as asked for.
    fn next_range(&mut self, here: usize, scan: bool) -> Range<usize> {
        let (least, most) = ITER_AHEAD_BYTES;
        let most = if self.was_there { SCAN_AHEAD_BYTES } else { most };
        self.window = if scan { SCAN_AHEAD_BYTES } else { (2 * self.window).clamp(least, most) };
        if self.direction > 0 {
            let start = self.edge.max(here);
            self.edge = start + self.window;
            start..self.edge
        } else {
            let end = self.edge.min(here);
            self.edge = end.saturating_sub(self.window);
            self.edge..end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks from block to block and gives, for each, how far was asked for.
    fn edges(blocks: impl Iterator<Item = usize>, scan: bool, is_there: bool) -> Vec<usize> {
        let mut ahead = Ahead::default();
        let mut before = None;
        let mut edges = Vec::new();
        for i in blocks {
            if ahead.is_due((before, i), i * 4096, (scan, false)) {
                ahead.next_range(i * 4096, scan);
                ahead.was_there = is_there;
            }
            before = Some(i);
            edges.push(ahead.edge / 1024);
        }
        edges
    }

    /// How much was asked for each time, in KiB.
    fn asked(edges: &[usize]) -> Vec<usize> {
        let steps = edges.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        steps.filter(|&kib| kib > 4).collect()
    }

    #[test]
    fn short_walks_ask_for_nothing_and_long_ones_for_more_each_time() {
        assert_eq!(edges(10..15, false, false), [40, 44, 44, 44, 44], "the first step is a seek");
        let forward = edges(10..200, false, false);
        assert_eq!(forward[5..14], [[60 + 64; 8].as_slice(), &[60 + 64 + 128]].concat());
        assert_eq!(asked(&forward), [80, 128, 256, 256, 256]);
        let backward = edges((10..100).rev(), false, false);
        assert_eq!(backward[4], 98 * 4, "nothing before the fifth step");
        assert!(backward[5] == 94 * 4 - 64 && backward[89] < 10 * 4);
        assert_eq!(edges([5, 90, 6, 7, 30, 31, 32].into_iter(), false, false)[6], 31 * 4, "jumps");
        assert_eq!(edges(0..2, true, false), [2048, 2048], "a scan knows at once");
    }

    #[test]
    fn a_walk_over_what_is_gone_asks_from_the_second_block_behind_a_seek_on() {
        let mut ahead = Ahead::default();
        let mut is_due = |before, i: usize| ahead.is_due((before, i), i * 4096, (false, true));
        let due = [(None, 10), (Some(10), 11), (Some(11), 12)].map(|(at, i)| is_due(at, i));
        assert_eq!(due, [false, false, true]);
    }

    #[test]
    fn what_is_in_memory_is_looked_at_in_larger_and_larger_windows() {
        let forward = asked(&edges(10..3000, false, true));
        assert_eq!(forward[..8], [80, 128, 256, 512, 1024, 2048, 2048, 2048]);
        let backward = asked(&edges((10..3000).rev(), false, true));
        assert_eq!(backward[..7], [80, 128, 256, 512, 1024, 2048, 2048]);
    }

    #[test]
    fn walks_over_what_is_in_memory_spare_others_their_look_until_one_finds_it_gone() {
        let warmth = Warmth::default();
        let looks = |walks: u32| {
            let mut looks = 0;
            for _ in 0..walks {
                if !warmth.spare() {
                    looks += 1;
                    warmth.note(true);
                }
            }
            looks
        };
        assert_eq!(looks(1 + 1 + 1 + 3 + 1 + 7), 3, "each spares twice as many, and one");
        assert!((10..20).contains(&looks(1000)), "at most 63");
        while warmth.spare() {}
        warmth.note(false);
        assert!(!warmth.spare(), "who finds it gone spares nobody");
        warmth.note(true);
        assert!(warmth.spare() && !warmth.spare());
    }
}
