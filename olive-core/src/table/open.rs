//! An open table: index and filter in memory, data blocks mapped or read.
//!
//! ```text
//! file    data blocks ............ │ index │ filter │ properties │ list │ footer
//!         mapped, RANDOM advice    │ read once by pread, checked, decoded
//! ```
//!
//! What every get touches is in anonymous memory, so that a cold get is one fault
//! of one page, or one read of all pages of a longer block. A block is checked the first
//! time it is read: one bit a block.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::block::{self, Block, Layout};
use crate::format::edit::TableMeta;
use crate::format::filter::{FILTER_KIND_BLOCKED_BLOOM, Filter};
use crate::format::index::{BlockAt, Index};
use crate::format::properties::Properties;
use crate::format::sections::{FOOTER_BYTES, Footer, Section, Sections};
use crate::format::{BadBytes, checksum};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::options::{ChecksumPolicy, TableIo};
use crate::sync::{Arc, AtomicU64, Ordering, OwnLines};
use crate::table::ahead::Warmth;
use crate::table::pins::Pins;
use crate::table::residency::Residency;
use crate::table::{Found, TableReadOptions};
use crate::value::MappingHandle;
use crate::vfs::{self, Access, Mapping, Vfs, VfsFile};

/// From here on a block is asked for at every read, whether or not others were in memory:
/// the call is little beside the value.
const LARGE_BLOCK_BYTES: u32 = 256 << 10;
/// The same for one that was not checked yet, so that all of it is read.
const UNCHECKED_BYTES: u32 = 2 * PAGE_BYTES as u32;
const PAGE_BYTES: usize = 4096;

/// The error of bytes that stand at `base` in the file.
#[cold]
pub(super) fn damaged(path: &Path, base: u64, bad: BadBytes) -> Error {
    let offset = base.saturating_add(bad.offset);
    if bad.unsupported {
        let text = format!(
            "{} at offset {offset}: {}: it needs a newer version of this program",
            path.display(),
            bad.what
        );
        return Error::new(ErrorKind::Unsupported, text);
    }
    Error::corruption(path, offset, bad.what)
}

/// What stands behind the data blocks, checked and decoded.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) index_bytes: Vec<u8>,
    pub(super) index: Index,
    pub(super) filter: Option<Filter>,
    pub(super) properties: Properties,
    pub(super) data_bytes: u64,
}

impl Ends {
    /// Reads and checks the end of the file that `meta` describes.
    pub(super) fn read(file: &dyn VfsFile, path: &Path, meta: &TableMeta) -> Result<Ends> {
        let sections = read_sections(file, path, meta)?;
        let data_bytes = sections.data.len;
        let index_bytes = read_section(file, path, sections.index, "the index")?;
        let index = Index::decode(&index_bytes, data_bytes)
            .map_err(|bad| damaged(path, sections.index.offset, bad))?;
        let filter = match sections.filter {
            None => None,
            Some(section) => {
                let bytes = read_section(file, path, section, "the filter")?;
                let filter = Filter::decode(&bytes);
                Some(filter.map_err(|bad| damaged(path, section.offset, bad))?)
            }
        };
        let at = sections.properties;
        let properties = read_section(file, path, at, "the properties")?;
        let properties = Properties::decode(&properties)
            .and_then(|properties| agree(&properties, meta, filter.is_some()).map(|()| properties))
            .map_err(|bad| damaged(path, at.offset, bad))?;
        Ok(Ends { index_bytes, index, filter, properties, data_bytes })
    }
}

fn read_sections(file: &dyn VfsFile, path: &Path, meta: &TableMeta) -> Result<Sections> {
    let len = file.len().map_err(|e| Error::io("find the length of", path, e))?;
    if len != meta.bytes {
        let what = format!("length of the file: expected {}, found {len}", meta.bytes);
        return Err(Error::corruption(path, len.min(meta.bytes), what));
    }
    let Some(footer_at) = len.checked_sub(FOOTER_BYTES as u64) else {
        return Err(Error::corruption(path, 0, format!("a table of {len} bytes")));
    };
    let footer = read(file, path, footer_at, FOOTER_BYTES)?;
    let footer = Footer::decode(&footer, len).map_err(|bad| damaged(path, footer_at, bad))?;
    if footer.table_id != meta.id {
        let what = format!("table id: expected {:032x}, found {:032x}", meta.id, footer.table_id);
        return Err(Error::corruption(path, footer_at + 16, what));
    }
    let list_at = footer.list_offset;
    let list = read(file, path, list_at, footer.list_len as usize)?;
    checksum::check(&list, footer.list_crc, 0, "the section list")
        .and_then(|()| Sections::decode(&list, list_at))
        .map_err(|bad| damaged(path, list_at, bad))
}

/// Sections lie within the file, so that no more than its length is allocated.
fn read_section(file: &dyn VfsFile, path: &Path, at: Section, what: &str) -> Result<Vec<u8>> {
    let bytes = read(file, path, at.offset, at.len as usize)?;
    checksum::check(&bytes, at.crc, 0, what).map_err(|bad| damaged(path, at.offset, bad))?;
    Ok(bytes)
}

fn read(file: &dyn VfsFile, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    vfs::read_exact_at(file, offset, &mut bytes).map_err(|e| Error::io("read", path, e))?;
    Ok(bytes)
}

/// The manifest and the properties tell of the same table.
fn agree(
    properties: &Properties,
    meta: &TableMeta,
    has_filter: bool,
) -> std::result::Result<(), BadBytes> {
    let expected = Properties {
        entries: meta.entries,
        tombstones: meta.tombstones,
        seq_min: meta.seq_min,
        seq_max: meta.seq_max,
        table_id: meta.id,
        smallest: meta.smallest.clone(),
        largest: meta.largest.clone(),
        ..properties.clone()
    };
    if *properties != expected {
        let what = format!("properties: the manifest has {meta:?}, the table {properties:?}");
        return Err(BadBytes::new(0, what));
    }
    match (properties.filter_kind, has_filter) {
        (0, false) | (FILTER_KIND_BLOCKED_BLOOM, true) => Ok(()),
        (0 | FILTER_KIND_BLOCKED_BLOOM, _) => {
            Err(BadBytes::new(0, "the filter section and the properties disagree"))
        }
        (kind, _) => Err(BadBytes::unsupported(0, format!("filter kind {kind}"))),
    }
}

/// Where data blocks come from.
#[derive(Debug)]
pub(super) enum Source {
    Mapped(Pins),
    File(Arc<dyn VfsFile>),
}

/// What keeps a found entry in memory.
#[derive(Debug)]
pub(super) enum Held<'a> {
    Mapped(&'a Pins),
    Read(Mapping),
}

impl Held<'_> {
    #[inline]
    pub(super) fn mapping(&self) -> &Mapping {
        match self {
            Held::Mapped(pins) => pins,
            Held::Read(mapping) => mapping,
        }
    }

    #[inline]
    pub(super) fn into_handle(self) -> MappingHandle {
        match self {
            Held::Mapped(pins) => pins.pin(),
            Held::Read(mapping) => Arc::new(OwnLines(mapping)),
        }
    }
}

/// What reads go through once the table is open. What each get looks at is side by side at
/// the front: a line more was 3 % of a get of 4 KiB.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Core {
    residency: Residency,
    /// One bit a block: it was checked since the table was opened. Empty where every
    /// read checks.
    verified: Box<[AtomicU64]>,
    source: Source,
    index: Index,
    filter: Option<Filter>,
    properties: Properties,
    data_bytes: u64,
    warmth: Warmth,
}

impl Core {
    pub(super) fn open(
        vfs: &dyn Vfs,
        path: &Path,
        meta: &TableMeta,
        options: TableReadOptions,
    ) -> Result<Core> {
        let file = open_file(vfs, path)?;
        let Ends { index, filter, properties, data_bytes, .. } = Ends::read(&*file, path, meta)?;
        let source = match options.io {
            TableIo::Read => Source::File(file),
            TableIo::Mapped => {
                let mapping = file.map(data_bytes).map_err(|e| Error::io("map", path, e))?;
                // Without it a fault reads all that the device thinks fit.
                mapping.advise_random();
                Source::Mapped(Pins::new(mapping))
            }
        };
        let once =
            options.io == TableIo::Mapped && options.checksum_policy == ChecksumPolicy::FirstRead;
        let words = if once { index.blocks().div_ceil(64) } else { 0 };
        let verified = (0..words).map(|_| AtomicU64::new(0)).collect();
        Ok(Core {
            source,
            index,
            filter,
            properties,
            data_bytes,
            verified,
            warmth: Warmth::default(),
            residency: Residency::default(),
        })
    }

    #[inline]
    pub(super) fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn warmth(&self) -> &Warmth {
        &self.warmth
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn populate(&self) {
        if let Source::Mapped(mapping) = &self.source {
            mapping.populate();
        }
    }

    pub(super) fn properties(&self) -> &Properties {
        &self.properties
    }

    pub(super) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.filter.as_ref().map_or(0, Filter::memory_bytes)
    }

    pub(super) fn is_unheld(&self) -> bool {
        match &self.source {
            Source::Mapped(pins) => pins.are_unheld(),
            Source::File(_) => true,
        }
    }

    pub(super) fn offset_of(&self, scoped: &[u8]) -> u64 {
        let i = self.index.find(InternalKey::seek(scoped, SeqNo::MAX));
        self.index.block(i).map_or(0, |at| at.offset)
    }

    /// The block that may have `target`, and its number; what a search of it reads first
    /// is asked for.
    #[inline]
    pub(super) fn locate(&self, target: InternalKey<'_>) -> Option<(usize, BlockAt)> {
        let i = self.index.find(target);
        let at = self.index.block(i)?;
        if let Source::Mapped(mapping) = &self.source {
            prefetch_start(slice(mapping, at));
        }
        Some((i, at))
    }

    /// The entry, in the block that [`locate`](Self::locate) has named.
    #[inline]
    pub(super) fn get(
        &self,
        path: &Path,
        target: InternalKey<'_>,
        (i, at): (usize, BlockAt),
    ) -> Result<Option<Found<'_>>> {
        match &self.source {
            Source::Mapped(mapping) => {
                self.check_mapped(path, mapping, (i, at), Some(0))?;
                let found = find_in(slice(mapping, at), target)
                    .map_err(|bad| damaged(path, at.offset, bad))?;
                Ok(found.map(|(tag, start, len)| {
                    let start = at.offset as usize + start;
                    Found { tag, held: Held::Mapped(mapping), start, len }
                }))
            }
            Source::File(file) => {
                let bytes = self.read_block(&**file, path, at)?;
                let found = find_in(&bytes, target).map_err(|bad| damaged(path, at.offset, bad))?;
                Ok(found.map(|(tag, start, len)| Found {
                    tag,
                    held: Held::Read(Mapping::owned(bytes)),
                    start,
                    len,
                }))
            }
        }
    }

    /// Asks for the block at `at` where it may not be in memory.
    #[inline]
    pub(super) fn will_need(&self, at: BlockAt) {
        if let Source::Mapped(mapping) = &self.source
            && self.residency.is_look_due()
        {
            self.look(mapping, at, 0);
        }
    }

    #[cold]
    fn look(&self, mapping: &Mapping, at: BlockAt, more: u32) {
        let len = at.len as usize + more as usize;
        self.residency.note(mapping.will_need(at.offset as usize, len));
    }

    pub(super) fn residency(&self) -> &Residency {
        &self.residency
    }

    /// Checks a mapped block, unless that was done since the table was opened. One of
    /// several pages, each of which would be a read of its own under RANDOM advice, is
    /// asked for first where it may not be in memory, which pages may leave at any time,
    /// with so many bytes behind it as `ask` says; `None`: who walks has asked, but for what
    /// is large.
    #[inline]
    pub(super) fn check_mapped(
        &self,
        path: &Path,
        mapping: &Mapping,
        (i, at): (usize, BlockAt),
        ask: Option<u32>,
    ) -> Result<()> {
        let bit = 1 << (i % 64);
        let word = self.verified.get(i / 64);
        // The bytes never change, so the bit orders nothing.
        let is_checked = word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0);
        if spans_pages(at) {
            let is_large = at.len >= if is_checked { LARGE_BLOCK_BYTES } else { UNCHECKED_BYTES };
            if is_large || ask.is_some() && self.residency.is_look_due() {
                self.look(mapping, at, ask.unwrap_or(0));
            }
        }
        if !is_checked {
            self.check_first(path, mapping, at)?;
            if let Some(word) = word {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Checks a mapped block of a scan, which asks ahead, but for a long one.
    #[inline]
    pub(super) fn check_all(&self, path: &Path, mapping: &Mapping, at: BlockAt) -> Result<()> {
        if at.len > UNCHECKED_BYTES {
            mapping.will_need(at.offset as usize, at.len as usize);
        }
        self.check_first(path, mapping, at)
    }

    #[inline(never)]
    fn check_first(&self, path: &Path, mapping: &Mapping, at: BlockAt) -> Result<()> {
        self.check_block(path, at, slice(mapping, at))
    }

    /// Checks the bytes of the block at `at`.
    pub(super) fn check_block(&self, path: &Path, at: BlockAt, bytes: &[u8]) -> Result<()> {
        check_block(path, self.properties.table_id, at, bytes)
    }

    /// The block at `at`, read and checked.
    pub(super) fn read_block(
        &self,
        file: &dyn VfsFile,
        path: &Path,
        at: BlockAt,
    ) -> Result<Vec<u8>> {
        read_block(file, path, self.properties.table_id, at)
    }
}

fn check_block(path: &Path, table_id: u128, at: BlockAt, bytes: &[u8]) -> Result<()> {
    let mask = checksum::place_mask(table_id, at.offset);
    block::check(bytes, mask).map_err(|bad| damaged(path, at.offset, bad))
}

pub(super) fn open_file(vfs: &dyn Vfs, path: &Path) -> Result<Arc<dyn VfsFile>> {
    vfs.open(path, Access::Read).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::corruption(path, 0, "the file is missing"),
        _ => Error::io("open", path, e),
    })
}

/// The block at `at` of table `table_id`, read and checked.
pub(super) fn read_block(
    file: &dyn VfsFile,
    path: &Path,
    table_id: u128,
    at: BlockAt,
) -> Result<Vec<u8>> {
    let bytes = read(file, path, at.offset, at.len as usize)?;
    check_block(path, table_id, at, &bytes)?;
    Ok(bytes)
}

/// Asks for what a search of a block looks at first: the header, the heads and the offsets
/// of some 40 entries. A block that is longer than a page has few, and goes on into another
/// page, whose address takes as long to translate as all that.
#[inline]
pub(super) fn prefetch_start(block: &[u8]) {
    vfs::prefetch(block);
    vfs::prefetch(block.get(256..).unwrap_or(&[]));
    if block.len() > PAGE_BYTES {
        vfs::prefetch(&block[block.len() - 1..]);
    }
}

/// Whether the block at `at` lies in several pages.
#[inline]
pub(super) fn spans_pages(at: BlockAt) -> bool {
    at.offset as usize % PAGE_BYTES + at.len as usize > PAGE_BYTES
}

/// The block at `at` of what is mapped; the index was checked to lie in it.
#[inline]
pub(super) fn slice(mapping: &Mapping, at: BlockAt) -> &[u8] {
    let start = at.offset as usize;
    mapping.get(start..start + at.len as usize).unwrap_or(&[])
}

#[inline]
fn find_in(
    bytes: &[u8],
    target: InternalKey<'_>,
) -> std::result::Result<Option<(Tag, usize, usize)>, BadBytes> {
    let layout = Layout::parse(bytes)?;
    let entry = Block::new(bytes, &layout).find(target)?;
    Ok(entry.map(|entry| (entry.tag, entry.value.start, entry.value.len())))
}
