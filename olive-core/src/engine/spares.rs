//! Walks that have ended, kept to be begun again.
//!
//! ```text
//! cursor dropped  ── its view is the current one ──►  slot of this thread   (else let go)
//! cursor wanted   ◄── of the current view ──────────  slot of this thread   (else made anew)
//! view replaced   ──►  every slot emptied
//! ```
//!
//! A walk counts a reference to every memtable and table that it merges. Threads that
//! make one for each short range would wait for each other's counters, and for the
//! allocator: a kept one has its references and its buffers already.
//!
//! A kept walk must not hold what the tree has left behind. So a walk is put into its
//! slot under the slot's lock, in which the view is looked at again; whoever replaces
//! the view empties the slots afterwards, under the same locks. A rotation of the
//! memtable does not: what it leaves behind is empty, or in the tree until its flush.

use super::view::{View, ViewWalk};
use crate::sync::{Arc, ArcSwap, Mutex, thread_number};

const SLOTS: usize = 16;

/// A cache line of its own for each thread, or few.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot(Mutex<Option<Box<ViewWalk>>>);

/// At most one walk a slot.
#[derive(Debug)]
pub(super) struct Spares(Box<[Slot]>);

impl Spares {
    pub(super) fn new() -> Spares {
        Spares((0..SLOTS).map(|_| Slot::default()).collect())
    }

    /// The calling thread's, if it is of `view`.
    pub(super) fn take(&self, view: &Arc<View>) -> Option<Box<ViewWalk>> {
        let walk = self.slot().lock().take();
        walk.filter(|walk| Arc::ptr_eq(&walk.view, view))
    }

    /// Keeps a walk, if it is of the `current` view.
    pub(super) fn put(&self, mut walk: Box<ViewWalk>, current: &ArcSwap<View>) {
        walk.iter.rest();
        let mut slot = self.slot().lock();
        let not_kept =
            if Arc::ptr_eq(&current.load(), &walk.view) { slot.replace(walk) } else { Some(walk) };
        // What it holds may be large: not while others wait.
        drop(slot);
        drop(not_kept);
    }

    /// Lets go of all; after the view was replaced.
    pub(super) fn clear(&self) {
        for slot in &self.0 {
            let walk = slot.0.lock().take();
            drop(walk);
        }
    }

    fn slot(&self) -> &Mutex<Option<Box<ViewWalk>>> {
        &self.0[thread_number() % SLOTS].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iter::{Bounds, Visible};
    use crate::key::SeqNo;
    use crate::memtable::{ArenaGauge, Memtable};
    use crate::version::Version;

    fn view() -> View {
        let (memtable, _writer) = Memtable::new(1 << 10, &ArenaGauge::default()).unwrap();
        let (after, version) = (SeqNo::ZERO, Arc::new(Version::default()));
        View { memtable, after, immutables: vec![], version }
    }

    fn walk(view: &Arc<View>) -> Box<ViewWalk> {
        let iter = Visible::new(view.merged(), SeqNo(7), Bounds::default());
        Box::new(ViewWalk { iter, view: Arc::clone(view), seq: SeqNo(7), seen: SeqNo(7) })
    }

    #[test]
    fn a_walk_of_the_current_view_is_kept_and_given_once() {
        let spares = Spares::new();
        let current = ArcSwap::from_pointee(view());
        let one = current.load_full();
        assert!(spares.take(&one).is_none());
        spares.put(walk(&one), &current);
        assert_eq!(Arc::strong_count(&one), 3, "the cell, the walk, and the test");
        spares.put(walk(&one), &current);
        assert_eq!(Arc::strong_count(&one), 3, "one a thread");
        assert!(spares.take(&one).is_some());
        assert!(spares.take(&one).is_none());
        assert_eq!(Arc::strong_count(&one), 2);
    }

    #[test]
    fn what_the_tree_left_behind_is_not_held() {
        let spares = Spares::new();
        let current = ArcSwap::from_pointee(view());
        let (old, new) = (current.load_full(), Arc::new(view()));
        spares.put(walk(&old), &current);
        current.store(Arc::clone(&new));
        spares.clear();
        assert_eq!(Arc::strong_count(&old), 1, "let go of when the view is replaced");
        spares.put(walk(&old), &current);
        assert_eq!(Arc::strong_count(&old), 1, "and not taken in again");

        spares.put(walk(&new), &current);
        current.store(Arc::clone(&old));
        assert!(spares.take(&old).is_none(), "of another view");
        assert_eq!(Arc::strong_count(&new), 1);
    }
}
