//! What a reader pins: one consistent set of memtables and tables.

use crate::internal_iter::InternalIter;
use crate::iter::Merge;
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::version::{LEVELS, Source, Version};

/// The memtable that takes writes, those that wait for their flush, and the tree.
/// Replaced as a whole, never changed.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) memtable: Arc<Memtable>,
    /// Newest first.
    pub(crate) immutables: Vec<Arc<Memtable>>,
    pub(crate) version: Arc<Version>,
}

impl View {
    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.memtable).chain(&self.immutables)
    }

    /// All of it as one sorted run.
    pub(crate) fn merged(&self) -> Merge<Source> {
        let mut sources: Vec<Source> = self
            .memtables()
            .filter(|memtable| !memtable.is_empty())
            .map(|memtable| Source::Memtable(memtable.iter()))
            .collect();
        for table in self.version.level(0) {
            sources.push(Source::table(Arc::clone(table)));
        }
        for level in 1..LEVELS {
            if !self.version.level(level).is_empty() {
                sources.push(Source::level(Arc::clone(&self.version), level));
            }
        }
        Merge::new(sources)
    }
}

/// What iterators and cursors walk.
pub(crate) type ViewIter = Merge<Source>;

const _: fn() = || {
    fn walks<I: InternalIter + Send + 'static>() {}
    walks::<ViewIter>();
};
