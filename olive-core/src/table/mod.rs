//! SSTables: sorted, immutable files of entries.
//!
//! ```text
//! TableWriter ──add──► BlockBuilder ──► data blocks ─┐
//!      └─finish──► index, filter, properties, section list, footer ──► file, synced
//!
//! Table ──first use──► Core: index and filter in memory, data mapped (or read by pread)
//!   get:  filter line ─► index heads ─► block (checked once) ─► its heads ─► value in place
//!   iter, scan ─► TableIter
//! ```
//!
//! docs/table-format.md has the bytes; the modules of [`format`](crate::format) that
//! a table is made of each draw theirs.

mod ahead;
mod fit;
mod iter;
mod open;
mod pins;
mod residency;
mod verify;
mod writer;

use std::path::{Path, PathBuf};

pub use crate::format::filter::filter_hash;
pub use crate::format::properties::Properties;
pub use iter::TableIter;
pub use writer::{TableWriter, TableWriterOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::TableMeta;
use crate::format::file_names::FileKind;
use crate::format::index::BlockAt;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::options::{ChecksumPolicy, TableIo};
use crate::stats::Report;
use crate::sync::{Arc, OnceLock};
use crate::value::Value;
use crate::vfs::{self, Vfs};

use self::open::{Core, Held};

/// How tables are read.
#[derive(Debug, Clone, Copy)]
pub struct TableReadOptions {
    /// Mapped, or by `pread`.
    pub io: TableIo,
    /// When blocks are checked.
    pub checksum_policy: ChecksumPolicy,
}

/// An SSTable; opened at first use.
#[derive(Debug)]
pub struct Table {
    meta: TableMeta,
    path: PathBuf,
    vfs: Arc<dyn Vfs>,
    options: TableReadOptions,
    core: OnceLock<Core>,
    /// Why it can never be opened: damage does not heal, an I/O error may.
    damage: OnceLock<Error>,
}

/// An entry that a point read found.
#[derive(Debug)]
pub struct Found<'a> {
    /// The version that was found; it may be a tombstone.
    pub tag: Tag,
    held: Held<'a>,
    start: usize,
    len: usize,
}

impl Found<'_> {
    /// The value in place.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.held.mapping().get(self.start..self.start + self.len).unwrap_or(&[])
    }

    /// The value as a handle, which pins the table's mapping, or the block that was
    /// read.
    #[must_use]
    #[inline]
    pub fn into_value(self) -> Value {
        Value::mapped(self.held.into_handle(), self.start, self.len)
    }
}

/// A search on its way: its block is known, and the lines that are read first have been
/// asked for, so that they may come while other searches take this step.
#[derive(Debug)]
pub struct Approach<'t, 'k> {
    core: &'t Core,
    path: &'t Path,
    target: InternalKey<'k>,
    /// Its number, and where it stands.
    block: Option<(usize, BlockAt)>,
}

impl<'t> Approach<'t, '_> {
    /// Asks for the block where it may not be in memory: for who begins several searches
    /// before the first of them goes on, so that the disk reads for all of them at once.
    #[inline]
    pub fn will_need(&self) {
        if let Some((_, at)) = self.block {
            self.core.will_need(at);
        }
    }

    /// What [`Table::get`] gives.
    #[inline]
    pub fn get(&self) -> Result<Option<Found<'t>>> {
        match self.block {
            Some(block) => self.core.get(self.path, self.target, block),
            None => Ok(None),
        }
    }
}

impl Table {
    /// The table that `meta` describes, in `dir`. Nothing is read yet.
    #[must_use]
    pub fn new(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        meta: TableMeta,
        options: TableReadOptions,
    ) -> Arc<Table> {
        let path = dir.join(FileKind::Table(meta.number).name());
        let (core, damage) = (OnceLock::new(), OnceLock::new());
        Arc::new(Table { meta, path, vfs, options, core, damage })
    }

    /// What the manifest says of it.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &TableMeta {
        &self.meta
    }

    /// Opens it now and checks footer, properties, index and filter.
    ///
    /// # Errors
    ///
    /// Corruption: the file is missing, of another length, of another table, or
    /// damaged; Unsupported: a newer program wrote it; else an I/O error. The first
    /// two are kept and come at every later use.
    pub fn load(&self) -> Result<()> {
        self.core().map(|_| ())
    }

    /// Opens it now, and has its pages at hand: for a table that was just written, so that
    /// the first reads of it cost no more than others.
    ///
    /// # Errors
    ///
    /// As those of [`load`](Self::load).
    pub fn warm(&self) -> Result<()> {
        self.core().map(Core::populate)
    }

    /// What is true of the table as a whole; opens it.
    pub fn properties(&self) -> Result<&Properties> {
        Ok(self.core()?.properties())
    }

    /// Bytes of memory that its index and filter take; 0 before it is opened.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.core.get().map_or(0, Core::memory_bytes)
    }

    /// Whether no one but the caller's one `Arc` holds the table or its mapping.
    #[must_use]
    pub fn is_unheld(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.core.get().is_none_or(Core::is_unheld)
    }

    /// Asks for the filter line of `hash`, so that `may_contain` finds it in the
    /// cache. Does nothing before the table is opened.
    #[inline]
    pub fn prefetch_filter(&self, hash: u64) {
        if let Some(filter) = self.core.get().and_then(Core::filter) {
            vfs::prefetch(filter.line(hash));
        }
    }

    /// Whether the filter lets the key through; true where there is none.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> Result<bool> {
        Ok(self.core()?.filter().is_none_or(|filter| filter.may_contain(hash)))
    }

    /// The newest version of `scoped` at or below `seq`. The filter is not asked.
    #[inline]
    pub fn get(&self, scoped: &[u8], seq: SeqNo) -> Result<Option<Found<'_>>> {
        self.approach(scoped, seq)?.get()
    }

    /// Begins a [`get`](Self::get) that is made in steps, among those for other keys.
    #[inline]
    pub fn approach<'k>(&self, scoped: &'k [u8], seq: SeqNo) -> Result<Approach<'_, 'k>> {
        let core = self.core()?;
        let target = InternalKey::seek(scoped, seq);
        Ok(Approach { core, path: &self.path, target, block: core.locate(target) })
    }

    /// A cursor that holds the table.
    #[must_use]
    pub fn iter(self: &Arc<Self>) -> TableIter {
        TableIter::new(Arc::clone(self), false)
    }

    /// A cursor that reads ahead, leaves no trace in the block checks of others,
    /// and checks every block itself: for compactions. Where tables are not mapped,
    /// a value handle of it pins the megabyte that was read with it.
    #[must_use]
    pub fn scan(self: &Arc<Self>) -> TableIter {
        TableIter::new(Arc::clone(self), true)
    }

    /// The bytes that entries before `scoped` take in the file, about.
    pub fn offset_of(&self, scoped: &[u8]) -> Result<u64> {
        let core = self.core()?;
        Ok(if scoped > &*self.meta.largest { core.data_bytes() } else { core.offset_of(scoped) })
    }

    /// The same, nearer: of the block that `scoped` would be in, the part that lies before it
    /// by the count of entries. The block is read for that.
    pub fn offset_within_block(self: &Arc<Self>, scoped: &[u8]) -> Result<u64> {
        if scoped > &*self.meta.largest {
            return Ok(self.core()?.data_bytes());
        }
        self.iter().offset_of(InternalKey::seek(scoped, SeqNo::MAX))
    }

    /// Reads everything anew and checks it against checksums, order and properties;
    /// adds what it read to `report`, damage included. An `Err` is an I/O error
    /// that says nothing of the table.
    pub fn verify(&self, report: &mut Report) -> Result<()> {
        verify::verify(self, report)
    }

    /// What reads go through. Opening takes no lock: threads that come at the same
    /// time may each read the file's end, and one result is kept.
    #[inline]
    fn core(&self) -> Result<&Core> {
        match self.core.get() {
            Some(core) => Ok(core),
            None => self.open(),
        }
    }

    #[cold]
    fn open(&self) -> Result<&Core> {
        if let Some(damage) = self.damage.get() {
            return Err(damage.clone());
        }
        match Core::open(&*self.vfs, &self.path, &self.meta, self.options) {
            Ok(core) => Ok(self.core.get_or_init(|| core)),
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported) {
                    let _ = self.damage.set(error.clone());
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
