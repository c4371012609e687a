//! Writes a table: streams data blocks, then says where they are.
//!
//! ```text
//! add ─► BlockBuilder ─full─► buffer ──2 MiB─► file ──8 MiB─► device
//!           └ values of 64 KiB and more: a block of their own
//! finish: index · filter · properties · section list · footer ─► sync ─► read back
//! ```
//!
//! Where blocks aim at a page (4 KiB) or more they end at a page's boundary if
//! they can, so that a cold get faults one page: up to 1/16 of a page is left
//! empty for that. Values near a page would lose more than that; their blocks
//! start right behind one another.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::block_builder::{BlockBuilder, BlockFacts};
use crate::format::checksum;
use crate::format::edit::TableMeta;
use crate::format::file_names::FileKind;
use crate::format::filter::{self, FILTER_KIND_BLOCKED_BLOOM};
use crate::format::index::IndexBuilder;
use crate::format::properties::Properties;
use crate::format::sections::{FOOTER_BYTES, Footer, Section, Sections};
use crate::key::{InternalKey, Kind, SCOPED_KEY_BYTES_MAX, SeqNo, Tag, VALUE_BYTES_MAX};
use crate::sync::Arc;
use crate::table::open::Ends;
use crate::vfs::{self, Access, Vfs, VfsFile};

const PAGE_BYTES: u64 = 4096;
/// How much of a page may stay empty so that the next block starts with a page.
const PAGE_LOSS_BYTES_MAX: u64 = PAGE_BYTES / 16;
const BLOCK_ALIGN_BYTES: u64 = 8;
/// From here on a value has a block of its own, and goes past the block builder.
const LARGE_VALUE_BYTES: usize = 64 << 10;
/// Files are written in pieces of this, each at a multiple of it. A file system that keeps
/// in one piece what was written as one (XFS, ext4 from Linux 6.16 on) has huge pages of
/// them, which a mapping leads to with one entry of the processor's tables.
const WRITE_BYTES: usize = 2 << 20;
/// A piece, and what comes behind it before it is written.
const BUFFER_BYTES: usize = WRITE_BYTES + (64 << 10);
/// The device is given pieces of this while the next one is made: a sync of all at the end
/// would stall others' writes, and one after each piece the table itself.
const WRITE_BACK_BYTES: u64 = 8 << 20;

/// How tables are written.
#[derive(Debug, Clone, Copy)]
pub struct TableWriterOptions {
    /// The size that data blocks aim at, in bytes.
    pub block_bytes: usize,
    /// Bits of filter a key; 0: no filter.
    pub filter_bits_per_key: u32,
}

/// Writes one table, entry by entry in order.
///
/// After an error the file is of no use: call [`abandon`](TableWriter::abandon).
#[derive(Debug)]
pub struct TableWriter {
    vfs: Arc<dyn Vfs>,
    number: u64,
    options: TableWriterOptions,
    sink: Sink,
    block: BlockBuilder,
    /// How long the block may become.
    block_bytes_max: usize,
    index: IndexBuilder,
    hashes: Vec<u64>,
    properties: Properties,
    last: Vec<u8>,
    last_tag: Tag,
    /// The last key of the block before the one being built.
    previous: Option<(Vec<u8>, Tag)>,
}

impl TableWriter {
    /// Creates the file of table `number` in `dir`.
    ///
    /// # Errors
    ///
    /// The file exists, or cannot be created; then there is nothing to abandon.
    pub fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        number: u64,
        options: TableWriterOptions,
    ) -> Result<TableWriter> {
        let path = dir.join(FileKind::Table(number).name());
        let file = vfs.create(&path).map_err(|e| Error::io("create", &path, e))?;
        let table_id = u128::from(vfs.random()) << 64 | u128::from(vfs.random());
        let properties = Properties { table_id, seq_min: SeqNo::MAX, ..Properties::default() };
        let mut writer = TableWriter {
            vfs: Arc::clone(vfs),
            number,
            options,
            sink: Sink { file, path, buffer: Vec::new(), written: 0, sent: 0 },
            block: BlockBuilder::default(),
            block_bytes_max: 0,
            index: IndexBuilder::default(),
            hashes: Vec::new(),
            properties,
            last: Vec::new(),
            last_tag: Tag(0),
            previous: None,
        };
        writer.block_bytes_max = writer.block_bytes_max_here();
        Ok(writer)
    }

    /// Gives the table a number of the caller's instead of a random one: for tables
    /// that must come out the same, byte by byte.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn with_id(mut self, id: u128) -> TableWriter {
        self.properties.table_id = id;
        self
    }

    /// Adds an entry; keys must come in ascending order.
    ///
    /// # Errors
    ///
    /// InvalidArgument: a key out of order, of an unknown kind, or an entry over its
    /// limits (nothing was added); else an I/O error.
    pub fn add(&mut self, key: InternalKey<'_>, value: &[u8]) -> Result<()> {
        self.check(key, value)?;
        let older_version = self.entries() > 0 && self.last == key.scoped;
        if !older_version && self.options.filter_bits_per_key > 0 {
            self.hashes.push(filter::filter_hash(key.scoped));
        }
        if value.len() >= LARGE_VALUE_BYTES.max(self.options.block_bytes) {
            self.cut_block()?;
            let (front, facts) =
                BlockBuilder::front_of_single(key, value, older_version, self.mask_here());
            self.place_block(key.scoped, &front, value, facts)?;
            self.note(key, value, older_version);
            self.end_block();
        } else {
            let bytes_max = self.block_bytes_max;
            if !self.block.add(key, value, older_version, bytes_max) {
                self.cut_block()?;
                let _ = self.block.add(key, value, older_version, 0);
            }
            self.note(key, value, older_version);
        }
        Ok(())
    }

    /// Says that a tombstone of this table was written at `ms` since 1970, or before:
    /// for compactions, from their inputs' properties. Without it tombstones date
    /// from when they were added.
    pub fn note_tombstone_time(&mut self, ms: u64) {
        let oldest = self.properties.oldest_tombstone_ms.get_or_insert(ms);
        *oldest = ms.min(*oldest);
    }

    /// Entries added.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.properties.entries
    }

    /// What the file would have now, in bytes, without filter and index.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.sink.offset() + self.block.bytes() as u64
    }

    /// Writes what is left, syncs the file, reads its footer and index back and
    /// checks them. The folder is not synced.
    ///
    /// # Errors
    ///
    /// InvalidArgument: there are no entries; Corruption: what was read back is not
    /// what was written; else an I/O error. The file was unlinked then.
    pub fn finish(mut self) -> Result<TableMeta> {
        match self.finish_file() {
            Ok(meta) => Ok(meta),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Gives up: unlinks the file.
    pub fn abandon(self) {
        if let Err(error) = self.vfs.unlink(&self.sink.path) {
            // What is left is an orphan, which the next open deletes.
            log::warn!("cannot unlink {}: {error}", self.sink.path.display());
        }
    }

    fn check(&self, key: InternalKey<'_>, value: &[u8]) -> Result<()> {
        if self.entries() > 0 && InternalKey::new(&self.last, self.last_tag) >= key {
            let last = InternalKey::new(&self.last, self.last_tag);
            let text = format!("table {}: {key:?} does not sort behind {last:?}", self.number);
            return Err(Error::invalid(text));
        }
        if let Err(name) = Kind::from_number(key.tag.kind_number()) {
            return Err(Error::invalid(format!("table {}: kind {name}", self.number)));
        }
        if key.scoped.len() > SCOPED_KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let (key_len, value_len) = (key.scoped.len(), value.len());
            let text = format!("an entry with {key_len} bytes of key and {value_len} of value");
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    fn note(&mut self, key: InternalKey<'_>, value: &[u8], older_version: bool) {
        let properties = &mut self.properties;
        if properties.entries == 0 {
            properties.smallest.extend_from_slice(key.scoped);
        }
        properties.entries += 1;
        properties.seq_min = properties.seq_min.min(key.tag.seq());
        properties.seq_max = properties.seq_max.max(key.tag.seq());
        properties.key_bytes += key.scoped.len() as u64;
        properties.value_bytes += value.len() as u64;
        if key.tag.is_delete() {
            properties.tombstones += 1;
        }
        if !older_version {
            self.last.clear();
            self.last.extend_from_slice(key.scoped);
        }
        self.last_tag = key.tag;
    }

    /// Writes the block that was built, if it has an entry.
    fn cut_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let (offset, mask) = (self.sink.offset(), self.mask_here());
        let first = self.block.first_key().to_vec();
        self.sink.make_room();
        let start = self.sink.buffer.len();
        let facts = self.block.encode(&mut self.sink.buffer, mask);
        let len = self.sink.buffer.len() - start;
        self.add_to_index(&first, offset, len, facts)?;
        self.sink.write_if_full()?;
        self.end_block();
        self.sink.pad_to(self.next_block_at());
        self.block_bytes_max = self.block_bytes_max_here();
        Ok(())
    }

    fn place_block(
        &mut self,
        first: &[u8],
        front: &[u8],
        value: &[u8],
        facts: BlockFacts,
    ) -> Result<()> {
        let offset = self.sink.offset();
        self.sink.append(front)?;
        self.sink.append(value)?;
        self.add_to_index(first, offset, front.len() + value.len(), facts)?;
        self.sink.pad_to(self.next_block_at());
        self.block_bytes_max = self.block_bytes_max_here();
        Ok(())
    }

    fn add_to_index(
        &mut self,
        first: &[u8],
        offset: u64,
        len: usize,
        facts: BlockFacts,
    ) -> Result<()> {
        let len = u32::try_from(len)
            .map_err(|_| Error::invalid(format!("a data block of {len} bytes")))?;
        let previous = self.previous.as_ref().map(|(key, tag)| InternalKey::new(key, *tag));
        self.index.add(previous, first, (offset, len), facts);
        Ok(())
    }

    /// What was added last ends a block.
    fn end_block(&mut self) {
        let (key, tag) = self.previous.get_or_insert((Vec::new(), Tag(0)));
        key.clear();
        key.extend_from_slice(&self.last);
        *tag = self.last_tag;
    }

    /// The mask of the checksum of a block that starts here.
    fn mask_here(&self) -> u32 {
        checksum::place_mask(self.properties.table_id, self.sink.offset())
    }

    fn next_block_at(&self) -> u64 {
        let end = self.sink.offset();
        let page = end.next_multiple_of(PAGE_BYTES);
        if self.options.block_bytes as u64 >= PAGE_BYTES && page - end <= PAGE_LOSS_BYTES_MAX {
            page
        } else {
            end.next_multiple_of(BLOCK_ALIGN_BYTES)
        }
    }

    /// A block that starts here ends at the page boundary nearest to its aim.
    fn block_bytes_max_here(&self) -> usize {
        let aim = self.options.block_bytes as u64;
        if aim < PAGE_BYTES {
            return self.options.block_bytes;
        }
        let here = self.sink.offset();
        let end = (here + aim + PAGE_BYTES / 2) / PAGE_BYTES * PAGE_BYTES;
        (end - here) as usize
    }

    fn finish_file(&mut self) -> Result<TableMeta> {
        if self.entries() == 0 {
            return Err(Error::invalid(format!("table {} has no entries", self.number)));
        }
        self.cut_block()?;
        let data = Section { offset: 0, len: self.sink.offset(), crc: 0 };
        let smallest = self.properties.smallest.clone();
        let index = self.index.encode(&smallest).ok_or_else(|| {
            Error::invalid(format!("table {} is too large for its index", self.number))
        })?;
        let index = self.sink.append_section(&index)?;
        let filter = if self.options.filter_bits_per_key > 0 {
            let bytes = filter::encode(&self.hashes, self.options.filter_bits_per_key);
            self.hashes = Vec::new();
            self.properties.filter_kind = FILTER_KIND_BLOCKED_BLOOM;
            Some(self.sink.append_section(&bytes)?)
        } else {
            None
        };
        if self.properties.tombstones == 0 {
            self.properties.oldest_tombstone_ms = None;
        } else if self.properties.oldest_tombstone_ms.is_none() {
            self.properties.oldest_tombstone_ms = Some(self.vfs.wall_clock_ms());
        }
        self.properties.largest = self.last.clone();
        let properties = self.sink.append_section(&self.properties.encode())?;
        let bytes = self.append_list_and_footer(&Sections { data, index, filter, properties })?;
        self.sink.finish()?;
        let meta = self.meta(bytes);
        self.read_back(&meta)?;
        Ok(meta)
    }

    fn append_list_and_footer(&mut self, sections: &Sections) -> Result<u64> {
        let list = sections.encode();
        let at = self.sink.append_section(&list)?;
        let file_bytes = at.offset + at.len + FOOTER_BYTES as u64;
        let footer = Footer {
            list_offset: at.offset,
            list_len: list.len() as u32,
            list_crc: at.crc,
            table_id: self.properties.table_id,
            file_bytes,
        };
        self.sink.append(&footer.encode())?;
        Ok(file_bytes)
    }

    fn meta(&self, bytes: u64) -> TableMeta {
        let properties = &self.properties;
        TableMeta {
            number: self.number,
            id: properties.table_id,
            bytes,
            smallest: properties.smallest.clone(),
            largest: properties.largest.clone(),
            entries: properties.entries,
            tombstones: properties.tombstones,
            seq_min: properties.seq_min,
            seq_max: properties.seq_max,
        }
    }

    fn read_back(&self, meta: &TableMeta) -> Result<()> {
        let path = &self.sink.path;
        let file = self.vfs.open(path, Access::Read).map_err(|e| Error::io("open", path, e))?;
        Ends::read(&*file, path, meta).map(|_| ())
    }
}

/// The file as a stream: buffered, and written to the device in steps.
#[derive(Debug)]
struct Sink {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
    /// What the device was given of it.
    sent: u64,
}

impl Sink {
    /// Where the next byte comes.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// A buffer that is not small takes all the room it will need at once: doubled, it
    /// would end at twice that.
    fn make_room(&mut self) {
        let len = self.buffer.len();
        if len >= WRITE_BYTES / 16 && self.buffer.capacity() < BUFFER_BYTES {
            self.buffer.reserve_exact(BUFFER_BYTES - len);
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() < WRITE_BYTES {
            self.make_room();
            self.buffer.extend_from_slice(bytes);
            return self.write_if_full();
        }
        // What makes whole pieces of its own is not copied.
        let missing = self.buffer.len().next_multiple_of(WRITE_BYTES) - self.buffer.len();
        let (missing, bytes) = bytes.split_at(missing);
        self.buffer.extend_from_slice(missing);
        self.write_if_full()?;
        let (whole, rest) = bytes.split_at(bytes.len() / WRITE_BYTES * WRITE_BYTES);
        whole.chunks(WRITE_BYTES).try_for_each(|piece| self.write(piece))?;
        self.buffer.extend_from_slice(rest);
        Ok(())
    }

    fn append_section(&mut self, bytes: &[u8]) -> Result<Section> {
        let offset = self.offset();
        self.append(bytes)?;
        Ok(Section { offset, len: bytes.len() as u64, crc: checksum::crc32(bytes) })
    }

    fn pad_to(&mut self, offset: u64) {
        let zeros = offset - self.offset();
        self.buffer.resize(self.buffer.len() + zeros as usize, 0);
    }

    fn write_if_full(&mut self) -> Result<()> {
        let whole = self.buffer.len() / WRITE_BYTES * WRITE_BYTES;
        if whole == 0 { Ok(()) } else { self.write_buffer(whole) }
    }

    /// Writes the first `len` bytes of the buffer.
    fn write_buffer(&mut self, len: usize) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = buffer[..len].chunks(WRITE_BYTES).try_for_each(|piece| self.write(piece));
        buffer.drain(..len);
        self.buffer = buffer;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        vfs::write_all_at(&*self.file, self.written, bytes)
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.written += bytes.len() as u64;
        if self.written - self.sent < WRITE_BACK_BYTES {
            return Ok(());
        }
        let begun = self.sent..self.written;
        // The last one may still be under way.
        let done = self.sent.saturating_sub(WRITE_BACK_BYTES);
        vfs::uninterrupted(|| self.file.write_back(done, begun.clone()))
            .map_err(|e| Error::io("write back", &self.path, e))?;
        self.sent = self.written;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write_buffer(self.buffer.len())?;
        self.file.sync().map_err(|e| Error::io("sync", &self.path, e))
    }
}
