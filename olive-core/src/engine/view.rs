//! What a reader pins: one consistent set of memtables and tables.

use crate::internal_iter::InternalIter;
use crate::iter::{Merge, Visible};
use crate::key::SeqNo;
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::version::{LEVELS, Source, Version};

/// The memtable that takes writes, those that wait for their flush, and the tree.
/// Replaced as a whole, never changed.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) memtable: Arc<Memtable>,
    /// The last number before it: whatever is in it is newer.
    pub(crate) after: SeqNo,
    /// Newest first.
    pub(crate) immutables: Vec<Arc<Memtable>>,
    pub(crate) version: Arc<Version>,
}

impl View {
    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.memtable).chain(&self.immutables)
    }

    /// Those that may have what `seq` sees: where nothing was written since the last one
    /// was rotated, the first of them has nothing.
    #[inline]
    pub(crate) fn memtables_for(&self, seq: SeqNo) -> impl Iterator<Item = &Arc<Memtable>> {
        (seq > self.after).then_some(&self.memtable).into_iter().chain(&self.immutables)
    }

    /// All of it as one sorted run. The memtable is a part even if it is empty: the run
    /// may be walked again later.
    pub(crate) fn merged(&self) -> Merge<Source> {
        let levels = (1..LEVELS).filter(|&level| !self.version.level(level).is_empty());
        let runs = 1 + self.immutables.len() + self.version.level(0).len() + levels.clone().count();
        let mut sources = Vec::with_capacity(runs);
        sources.extend(self.memtables().map(|memtable| Source::Memtable(memtable.iter())));
        for table in self.version.level(0) {
            sources.push(Source::table(Arc::clone(table)));
        }
        sources.extend(levels.map(|level| Source::level(Arc::clone(&self.version), level)));
        Merge::new(sources)
    }
}

/// What iterators and cursors walk.
pub(crate) type ViewIter = Merge<Source>;

/// A walk over what one moment shows; it holds that moment's view.
#[derive(Debug)]
pub(super) struct ViewWalk {
    pub(super) iter: Visible<ViewIter>,
    pub(super) view: Arc<View>,
    pub(super) seq: SeqNo,
    /// A number that was published before the view was pinned, so that all up to it is in the
    /// view. What is newer than the last memtable of the view is not, though `seq` may be
    /// behind it: the walk shows the moment of a number between these two.
    pub(super) seen: SeqNo,
}

const _: fn() = || {
    fn walks<I: InternalIter + Send + 'static>() {}
    walks::<ViewIter>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::ArenaGauge;

    #[test]
    fn a_memtable_is_left_out_where_all_that_it_may_have_is_newer() {
        let memtable = || Memtable::new(1 << 10, &ArenaGauge::default()).unwrap().0;
        let (memtable, immutables) = (memtable(), vec![memtable()]);
        let view = View { memtable, after: SeqNo(7), immutables, version: Arc::default() };
        let seen =
            |seq| view.memtables_for(SeqNo(seq)).map(|m| Arc::ptr_eq(m, &view.memtable)).collect();
        let (without, with): (Vec<bool>, Vec<bool>) = (seen(7), seen(8));
        assert_eq!((without, with), (vec![false], vec![true, false]));
    }
}
