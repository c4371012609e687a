//! Where iterators found nothing, and others need not look.
//!
//! A range used as a queue has all that was taken out of it before its head: tombstones,
//! and puts below them, that each look at the head walks over until compactions have
//! dropped them. So a walk over many entries of which none is shown says from where to
//! where that was, and walks to come begin behind it. What makes that right for as long as
//! it is believed is that writers look at each put:
//!
//! ```text
//!           start          end                          limit
//! keys   ─────[ shows nothing )[ nothing put since `armed` )──────►
//!               from `seq` on
//!
//! a walk as of s found nothing in [a, b)      a in [start, end], and it had all up to armed:
//!                                             end rises to b, or to limit; seq to s
//! a put of k in [start, limit)                limit falls to k, end too if it is behind k
//! the limit was reached                       armed again: limit behind all keys, armed = now
//! a walk somewhere else                       a watch of its own: of an empty range, unless
//!                                             nothing was put since
//! ```
//!
//! *Why a gap shows nothing.* A walk pins a view and loads its number `s` afterwards, so it
//! has all that was published before it began, up to `seen`, and may lack the last of what
//! `s` tells of, in a memtable that is newer than its view: it shows the moment of some number
//! between the two. Of what was put up to `seen >= armed` nothing was visible in `[end, b)`
//! then, so what hides it is at or below `s`; and whatever was put there later than `armed`
//! has lowered the limit, to which `end` is held. So as of `s`, and of any later number that
//! was published, nothing is visible: only a put could be, and that shortens the gap before
//! its number is published. A reader asks for the gaps after it has loaded its number, so it
//! is told of none that what it could read has shortened; and it goes by those from `seen` on,
//! so that the moment which it shows is not before theirs.
//!
//! Watches belong to the commit lock, under which all writes insert and publish. Where a
//! memtable is rotated, those that spared nobody a walk since the one before was are
//! forgotten: each costs each put a comparison.

use super::Engine;
use crate::iter::{Found, Gap};
use crate::key::SeqNo;
use crate::sync::{Arc, ArcSwap, AtomicBool, Ordering};

/// At most so many ranges are watched; the one that was extended longest ago gives way.
const WATCHES_MAX: usize = 8;

/// The gaps that readers go by.
#[derive(Debug)]
pub(super) struct Gaps {
    /// Whether there may be any.
    any: AtomicBool,
    known: ArcSwap<Vec<Gap>>,
}

impl Gaps {
    fn new() -> Gaps {
        Gaps { any: AtomicBool::new(false), known: ArcSwap::from_pointee(Vec::new()) }
    }

    /// Those that are known, for who reads as of a number that was loaded before.
    #[inline]
    pub(super) fn load(&self) -> Option<Arc<Vec<Gap>>> {
        self.any.load(Ordering::Relaxed).then(|| self.known.load_full())
    }
}

/// A range that writers watch.
#[derive(Debug)]
struct Watch {
    gap: Gap,
    /// No put since `armed` is in front of it and at or behind the gap's end; `None`: there
    /// was none at all behind the gap's start.
    limit: Option<Vec<u8>>,
    armed: SeqNo,
}

/// The writers' side, under the commit lock.
#[derive(Debug)]
pub(super) struct Watches {
    /// Extended longest ago first.
    watches: Vec<Watch>,
    gaps: Arc<Gaps>,
}

impl Watches {
    /// None, and what readers will know them by.
    pub(super) fn new() -> Watches {
        Watches { watches: Vec::new(), gaps: Arc::new(Gaps::new()) }
    }

    pub(super) fn gaps(&self) -> Arc<Gaps> {
        Arc::clone(&self.gaps)
    }

    /// Whether puts are to be noted.
    #[inline]
    pub(super) fn are_any(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Notes a put, before its number is published.
    pub(super) fn note_put(&mut self, scoped: &[u8]) {
        let mut changed = false;
        for watch in &mut self.watches {
            let is_within = *watch.gap.start <= *scoped
                && watch.limit.as_ref().is_none_or(|limit| *scoped < **limit);
            if !is_within {
                continue;
            }
            watch.limit = Some(scoped.to_vec());
            if *scoped < *watch.gap.end {
                watch.gap.end = scoped.to_vec();
                changed = true;
            }
        }
        if changed {
            self.publish();
        }
    }

    /// Takes in what a walk as of `seq` has found that had all up to `seen`, where `last` is
    /// the last number that was given out.
    fn note_found(&mut self, found: Found, seq: SeqNo, seen: SeqNo, last: SeqNo) {
        let Found { start, end } = found;
        let at = self.watches.iter().position(|watch| {
            let gap = &watch.gap;
            gap.start <= start && start <= gap.end
        });
        let mut watch = match at {
            Some(at) => self.watches.remove(at),
            None => {
                let used = Arc::new(AtomicBool::new(true));
                let gap = Gap { end: start.clone(), start, seq: SeqNo::ZERO, used };
                if self.watches.len() == WATCHES_MAX {
                    let oldest = self.watches.remove(0);
                    self.publish_if(!oldest.gap.is_empty());
                }
                Watch { gap, limit: None, armed: last }
            }
        };
        let is_extended = watch.extend(end, seq, seen, last);
        self.watches.push(watch);
        self.publish_if(is_extended);
    }

    /// Forgets those that nobody used since this was last called.
    pub(super) fn forget_unused(&mut self) {
        let before = self.watches.len();
        self.watches.retain(|watch| watch.gap.used.swap(false, Ordering::Relaxed));
        self.publish_if(self.watches.len() < before);
    }

    fn publish_if(&self, changed: bool) {
        if changed {
            self.publish();
        }
    }

    fn publish(&self) {
        let gaps = self.watches.iter().map(|watch| &watch.gap).filter(|gap| !gap.is_empty());
        let gaps: Vec<Gap> = gaps.cloned().collect();
        let any = !gaps.is_empty();
        self.gaps.known.store(Arc::new(gaps));
        self.gaps.any.store(any, Ordering::Relaxed);
    }
}

impl Watch {
    /// Takes in that nothing is shown as of `seq` from within the gap, or its end, up to
    /// `end`; whether the gap has become longer.
    fn extend(&mut self, end: Vec<u8>, seq: SeqNo, seen: SeqNo, last: SeqNo) -> bool {
        let limit = self.limit.as_ref();
        let is_short = limit.is_some_and(|limit| *limit < end);
        let end = if is_short { limit.cloned().unwrap_or_default() } else { end };
        let is_longer = seen >= self.armed && end > self.gap.end;
        if is_longer {
            self.gap.end = end;
            self.gap.seq = self.gap.seq.max(seq);
        }
        if is_short {
            (self.limit, self.armed) = (None, last);
        }
        is_longer
    }
}

impl Engine {
    /// Takes in what a walk as of `seq` has found that had all up to `seen`, unless a writer
    /// is at it.
    #[cold]
    pub(super) fn note_gap(&self, found: Found, seq: SeqNo, seen: SeqNo) {
        if let Some(mut guard) = self.commit.try_lock()
            && let Some(commit) = guard.as_mut()
        {
            let last = SeqNo(commit.next_seq - 1);
            commit.watches.note_found(found, seq, seen, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::version::testing::Random;

    const KEYS: u64 = 24;

    fn key(number: u64) -> Vec<u8> {
        vec![1, number as u8]
    }

    /// All that was ever written, and what readers are told of it.
    struct World {
        /// By key, then by number: whether it is a put.
        writes: BTreeMap<Vec<u8>, BTreeMap<u64, bool>>,
        last: u64,
        watches: Watches,
    }

    impl World {
        fn new() -> World {
            World { writes: BTreeMap::new(), last: 0, watches: Watches::new() }
        }

        fn write(&mut self, number: u64, is_put: bool) {
            self.last += 1;
            let scoped = key(number);
            if is_put && self.watches.are_any() {
                self.watches.note_put(&scoped);
            }
            self.writes.entry(scoped).or_default().insert(self.last, is_put);
        }

        fn shows(&self, scoped: &[u8], seq: u64) -> bool {
            let versions = self.writes.get(scoped);
            versions
                .and_then(|all| all.range(..=seq).next_back())
                .is_some_and(|(_, is_put)| *is_put)
        }

        /// What a walk as of `seq` finds from `start` on.
        fn walk(&self, start: u64, seq: u64) -> Found {
            let end = (start..KEYS).find(|&n| self.shows(&key(n), seq)).unwrap_or(KEYS);
            Found { start: key(start), end: key(end) }
        }

        /// Whatever a reader of any number could skip shows nothing; how many keys that is.
        fn check(&self, context: &str) -> usize {
            let gaps = self.watches.gaps.load().map_or(Vec::new(), |gaps| gaps.to_vec());
            let mut skipped = 0;
            for seq in 0..=self.last {
                for number in 0..KEYS {
                    let scoped = key(number);
                    let is_hidden = gaps.iter().any(|gap| gap.hides(&scoped, SeqNo(seq)));
                    assert!(
                        !is_hidden || !self.shows(&scoped, seq),
                        "{context}: {number} as of {seq}: {gaps:?}"
                    );
                    skipped += usize::from(is_hidden && seq == self.last);
                }
            }
            skipped
        }
    }

    #[test]
    fn no_gap_hides_what_is_shown_whatever_walks_and_writes_come_between() {
        let mut skipped = 0;
        for seed in 0..400 {
            let mut random = Random(seed);
            let mut world = World::new();
            // Walks that have read, and did not tell of it yet.
            let mut walks: Vec<(Found, u64, u64)> = Vec::new();
            let puts = 1 + random.below(4);
            for step in 0..120 {
                match random.below(12) {
                    0..6 => {
                        let is_put = random.below(8) < puts;
                        world.write(random.below(KEYS), is_put);
                    }
                    6..8 => {
                        let seq = world.last - random.below(1 + world.last.min(6));
                        let seen = seq - random.below(1 + seq.min(4));
                        let moment = seen + random.below(1 + seq - seen);
                        walks.push((world.walk(random.below(KEYS), moment), seq, seen));
                    }
                    8..11 if !walks.is_empty() => {
                        let at = random.below(walks.len() as u64) as usize;
                        let (found, seq, seen) = walks.swap_remove(at);
                        let last = SeqNo(world.last);
                        world.watches.note_found(found, SeqNo(seq), SeqNo(seen), last);
                    }
                    11 if random.below(8) == 0 => world.watches.forget_unused(),
                    _ => {}
                }
                skipped += world.check(&format!("seed {seed}, step {step}"));
            }
        }
        assert!(skipped > 50_000, "{skipped}: gaps are of use");
    }

    /// Puts at one end, deletes at the other, and a look at the head for each.
    #[test]
    fn a_queue_has_one_gap_that_follows_its_head() {
        let mut world = World::new();
        let waiting = 5;
        (0..waiting).for_each(|n| world.write(n, true));
        let mut head = 0;
        for number in waiting..KEYS {
            world.write(head, false);
            world.write(number, true);
            head += 1;
            let seq = world.last;
            let found = world.walk(0, seq);
            assert_eq!(found.end, key(head));
            world.watches.note_found(found, SeqNo(seq), SeqNo(seq), SeqNo(world.last));
            let skipped = world.check("queue");
            assert!(skipped as u64 >= head - 1, "{skipped} of {head}");
            assert_eq!(world.watches.watches.len(), 1);
        }
    }

    #[test]
    fn a_put_shortens_the_gap_and_what_is_not_used_is_forgotten() {
        let mut world = World::new();
        for number in 0..3 {
            let found = Found { start: key(8 * number), end: key(8 * number + 6) };
            world.watches.note_found(found, SeqNo(0), SeqNo(0), SeqNo(0));
        }
        assert_eq!(world.check("three"), 18);
        world.write(10, true);
        assert_eq!(world.check("the second is cut"), 14);
        world.write(7, true);
        world.write(23, true);
        assert_eq!(world.check("behind a gap, and between two"), 14);
        world.write(0, true);
        assert_eq!(world.check("the first is empty"), 8);
        world.watches.forget_unused();
        assert_eq!(world.check("all were new"), 8);
        world.watches.gaps.load().expect("two gaps")[0].note_use();
        world.watches.forget_unused();
        assert_eq!(world.check("one was used"), 2);
        world.watches.forget_unused();
        assert!(world.watches.gaps.load().is_none() && !world.watches.are_any());
    }

    #[test]
    fn the_watch_that_was_extended_longest_ago_gives_way() {
        let mut world = World::new();
        for number in 0..=WATCHES_MAX as u64 {
            let found = Found { start: key(2 * number), end: key(2 * number + 1) };
            world.watches.note_found(found, SeqNo(0), SeqNo(0), SeqNo(0));
        }
        let gaps = world.watches.gaps.load().expect("gaps");
        assert_eq!(gaps.len(), WATCHES_MAX);
        assert!(!gaps.iter().any(|gap| gap.hides(&key(0), SeqNo(0))));
    }
}
