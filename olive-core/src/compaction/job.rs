//! Runs a flush or a compaction: sorted sources in, new tables out.
//!
//! ```text
//! sources ─> merge ─> retention ─> table, table, ...   cut between two keys
//! ```
//!
//! A table ends at its target size, or where it would overlap too much of the
//! level below its own. All versions of a key stay in one table. Outputs are
//! synced and checked; the caller syncs the folder and writes the edit. On any
//! error, an error of an input included, what was written is unlinked.

use std::path::Path;

use super::retain::{Readers, Retention};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::TableMeta;
use crate::format::file_names::FileKind;
use crate::internal_iter::InternalIter;
use crate::iter::Merge;
use crate::key::InternalKey;
use crate::sync::Arc;
use crate::table::{Table, TableWriter, TableWriterOptions};
use crate::version::Source;
use crate::vfs::Vfs;

/// What a job needs of the database around it.
pub struct JobContext<'a> {
    /// The disk.
    pub vfs: &'a Arc<dyn Vfs>,
    /// The database folder.
    pub dir: &'a Path,
    /// How tables are written.
    pub tables: TableWriterOptions,
    /// The size at which another table begins, in bytes.
    pub table_bytes: u64,
    /// When the oldest tombstone of the sources was written, in milliseconds since
    /// 1970; `None`: they are new.
    pub oldest_tombstone_ms: Option<u64>,
    /// Gives fresh file numbers, as long as there are any.
    pub next_number: &'a (dyn Fn() -> Result<u64> + Sync),
    /// Whether the job should end early, without a result.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl JobContext<'_> {
    fn create_table(&self) -> Result<TableWriter> {
        let number = (self.next_number)()?;
        let mut writer = TableWriter::create(self.vfs, self.dir, number, self.tables)?;
        if let Some(ms) = self.oldest_tombstone_ms {
            writer.note_tombstone_time(ms);
        }
        Ok(writer)
    }
}

/// How many bytes pass between two looks at `cancelled`, and what an entry counts for
/// besides its value.
const CANCEL_CHECK_BYTES: usize = 4 << 20;
const ENTRY_BYTES: usize = 64;

/// An output table may overlap this many times its target size in the level below.
const GRANDPARENT_OVERLAP_TIMES: u64 = 10;

/// Writes what `readers` need of `sources` to new tables, in key order.
/// `may_be_older` says whether versions of a key older than the sources' can be
/// elsewhere; it is asked in ascending order. `grandparents`: the tables of the
/// level below the output, in key order.
pub fn run(
    context: &JobContext<'_>,
    sources: Vec<Source>,
    readers: Readers,
    may_be_older: &mut dyn FnMut(&[u8]) -> bool,
    grandparents: &[Arc<Table>],
) -> Result<Vec<TableMeta>> {
    let mut output = Output {
        context,
        writer: None,
        done: Vec::new(),
        cuts: Cuts { grandparents, index: 0, overlapped_bytes: 0 },
    };
    let mut merge = Merge::new(sources);
    let result = copy(context, &mut merge, readers, may_be_older, &mut output)
        .and_then(|()| output.finish_table());
    match result {
        Ok(()) => Ok(output.done),
        Err(error) => {
            output.abandon();
            Err(error)
        }
    }
}

fn copy(
    context: &JobContext<'_>,
    merge: &mut Merge<Source>,
    readers: Readers,
    may_be_older: &mut dyn FnMut(&[u8]) -> bool,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut retention = Retention::new(readers);
    let mut since_check = 0;
    let mut more = merge.seek_to_first()?;
    while more {
        let key = merge.key();
        let another_version = retention.is_same_key(key.scoped);
        if let Some(tag) = retention.keep(key, &mut *may_be_older) {
            output.add(InternalKey::new(key.scoped, tag), merge.value(), another_version)?;
        }
        since_check += ENTRY_BYTES + merge.value().len();
        more = merge.next()?;
        if since_check < CANCEL_CHECK_BYTES {
            continue;
        }
        since_check = 0;
        if (context.cancelled)() {
            return Err(Error::new(ErrorKind::Closed, "the database is being closed"));
        }
    }
    Ok(())
}

struct Output<'a> {
    context: &'a JobContext<'a>,
    writer: Option<TableWriter>,
    done: Vec<TableMeta>,
    cuts: Cuts<'a>,
}

impl Output<'_> {
    fn add(&mut self, key: InternalKey<'_>, value: &[u8], another_version: bool) -> Result<()> {
        if !another_version {
            let wants_cut = self.cuts.pass(key.scoped, self.context.table_bytes);
            let full =
                self.writer.as_ref().is_some_and(|w| w.data_bytes() >= self.context.table_bytes);
            if wants_cut || full {
                self.finish_table()?;
            }
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.context.create_table()?),
        };
        writer.add(key, value)
    }

    fn finish_table(&mut self) -> Result<()> {
        self.cuts.overlapped_bytes = 0;
        if let Some(writer) = self.writer.take() {
            self.done.push(writer.finish()?);
        }
        Ok(())
    }

    fn abandon(self) {
        if let Some(writer) = self.writer {
            writer.abandon();
        }
        unlink(self.context, &self.done);
    }
}

/// Unlinks tables that no manifest names. What stays is an orphan, which the next
/// open unlinks.
pub(super) fn unlink(context: &JobContext<'_>, tables: &[TableMeta]) {
    for meta in tables {
        let path = context.dir.join(FileKind::Table(meta.number).name());
        if let Err(error) = context.vfs.unlink(&path) {
            log::warn!("cannot unlink {}: {error}", path.display());
        }
    }
}

/// Where outputs end because of what lies below them.
struct Cuts<'a> {
    grandparents: &'a [Arc<Table>],
    /// The first grandparent that ends at or behind the last key.
    index: usize,
    overlapped_bytes: u64,
}

impl Cuts<'_> {
    /// Whether the table should end before `scoped`.
    fn pass(&mut self, scoped: &[u8], table_bytes: u64) -> bool {
        while let Some(table) = self.grandparents.get(self.index) {
            if table.meta().largest.as_slice() >= scoped {
                break;
            }
            self.overlapped_bytes += table.meta().bytes;
            self.index += 1;
        }
        self.overlapped_bytes > table_bytes.saturating_mul(GRANDPARENT_OVERLAP_TIMES)
    }
}
