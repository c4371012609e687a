//! A table with some bytes changed, or bytes as a table: opening and reading it in
//! every way ends in an error or an answer, never in a panic or a walk without an end.
//!
//! ```text
//! byte 0       bit 0: checksums are made right again, so that the fields behind them
//!              are reached
//!              bits 1, 2: which good table
//!              bit 7: the rest is a table of its own
//! the rest     changes: offset u16, what u8, byte
//! ```

use std::path::Path;
use std::sync::{Arc, OnceLock};

use olive_core::internals::format::checksum::{crc32, place_mask};
use olive_core::internals::format::coding::{u32_at, u64_at};
use olive_core::internals::format::edit::TableMeta;
use olive_core::internals::format::sections::FOOTER_BYTES;
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::key::{InternalKey, Kind, SeqNo, Tag};
use olive_core::internals::table::{
    Table, TableReadOptions, TableWriter, TableWriterOptions, filter_hash,
};
use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{ChecksumPolicy, Report, TableIo};

const ENTRIES: u64 = 60;
const FILE: &str = "/000001.sst";
/// Block length, filter bits a key, longest value.
const SHAPES: [(usize, u32, usize); 4] = [(200, 10, 5), (64, 0, 9), (4096, 1, 40), (256, 20, 700)];

fn key(i: u64) -> Vec<u8> {
    format!("\x01{}{}", "key".repeat(i as usize % 4), i / 2).into_bytes()
}

/// The good table of each shape, and what a manifest would say of it.
fn good(which: usize) -> &'static (TableMeta, Vec<u8>) {
    static GOOD: OnceLock<Vec<(TableMeta, Vec<u8>)>> = OnceLock::new();
    &GOOD.get_or_init(|| (0..SHAPES.len()).map(write).collect())[which % SHAPES.len()]
}

/// Writes the good table of a shape.
pub fn write(shape: usize) -> (TableMeta, Vec<u8>) {
    let (block_bytes, filter_bits_per_key, value_bytes_max) = SHAPES[shape];
    let disk = SimVfs::new(1);
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let options = TableWriterOptions { block_bytes, filter_bits_per_key };
    let mut writer =
        TableWriter::create(&vfs, Path::new("/"), 1, options).expect("a table").with_id(7);
    let mut entries: Vec<_> = (0..ENTRIES)
        .map(|i| {
            let kind = if i % 5 == 0 { Kind::Delete } else { Kind::Put };
            // In one of them all sequence numbers are zero.
            let seq = if i % 3 == 0 || shape == 2 { 0 } else { i };
            (key(i), std::cmp::Reverse(Tag::new(SeqNo(seq), kind)))
        })
        .collect();
    entries.sort();
    entries.dedup_by(|a, b| a.0 == b.0 && a.1.0.seq() == b.1.0.seq());
    for (i, (key, tag)) in entries.iter().enumerate() {
        let is_delete = tag.0 == Tag::new(tag.0.seq(), Kind::Delete);
        let len = if is_delete { 0 } else { i * 7 % value_bytes_max };
        writer.add(InternalKey::new(key, tag.0), &vec![i as u8; len]).expect("an entry");
    }
    let meta = writer.finish().expect("a whole table");
    (meta, disk.read_raw(Path::new(FILE)))
}

/// Changes a table as `input` says, and reads it.
pub fn run(input: &[u8]) {
    let Some((&flags, rest)) = input.split_first() else { return };
    let (meta, good) = good(usize::from(flags >> 1 & 3));
    let mut meta = meta.clone();
    let mut bytes = match flags & 0x80 {
        0 => changed(good, rest),
        _ => rest.to_vec(),
    };
    meta.bytes = bytes.len() as u64;
    if flags & 1 != 0 {
        let _ = mend_checksums(&mut bytes);
    }
    let disk = SimVfs::new(1);
    disk.write_raw(Path::new(FILE), &bytes);
    let vfs: Arc<dyn Vfs> = Arc::new(disk);
    for (io, checksum_policy) in
        [(TableIo::Mapped, ChecksumPolicy::FirstRead), (TableIo::Read, ChecksumPolicy::EveryRead)]
    {
        let options = TableReadOptions { io, checksum_policy };
        read(&Table::new(Arc::clone(&vfs), Path::new("/"), meta.clone(), options));
    }
}

fn changed(good: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for change in changes.chunks_exact(4).take(32) {
        if bytes.is_empty() {
            break;
        }
        let offset = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        let byte = change[3];
        match change[2] % 5 {
            0 => bytes[offset] = byte,
            1 => bytes[offset] ^= byte,
            2 => bytes[offset] = bytes[offset].wrapping_add(byte),
            // A number, small or close to the largest.
            3 => {
                let number = (i32::from(byte as i8)).to_le_bytes();
                let end = bytes.len().min(offset + 4);
                bytes[offset..end].copy_from_slice(&number[..end - offset]);
            }
            _ => bytes.truncate(offset),
        }
    }
    bytes
}

fn read(table: &Arc<Table>) {
    for i in 0..ENTRIES {
        let _ = table.may_contain(filter_hash(&key(i)));
        if let Ok(Some(found)) = table.get(&key(i), SeqNo(i)) {
            let len = found.bytes().len();
            assert_eq!(found.into_value().len(), len);
        }
        let mut iter = table.iter();
        let target = InternalKey::seek(&key(i), SeqNo(i)).scoped.to_vec();
        if let Ok(true) = iter.seek(InternalKey::seek(&target, SeqNo(i))) {
            let _ = iter.prev();
        }
    }
    for mut iter in [table.iter(), table.scan()] {
        let mut more = iter.seek_to_first();
        let mut steps = 0;
        while let Ok(true) = more {
            assert_eq!(iter.value_handle(), iter.value());
            steps += 1;
            assert!(steps <= table.meta().bytes, "a walk without an end");
            more = iter.next();
        }
        let _ = iter.seek_to_last();
    }
    let mut report = Report::default();
    table.verify(&mut report).unwrap();
}

/// Makes the checksums of blocks, sections, list and footer those of their bytes.
fn mend_checksums(bytes: &mut [u8]) -> Option<()> {
    let footer = bytes.len().checked_sub(FOOTER_BYTES)?;
    let list = u64_at(bytes, footer)? as usize;
    for i in 0..u32_at(bytes, list)?.min(8) as usize {
        let record = list + 8 + 40 * i;
        let (kind, at) = (u32_at(bytes, record)?, u64_at(bytes, record + 8)? as usize);
        let len = u64_at(bytes, record + 16)? as usize;
        if kind == 2 {
            mend_blocks(bytes, at, footer);
        }
        if kind != 1 {
            let crc = crc32(bytes.get(at..at.checked_add(len)?)?);
            bytes.get_mut(record + 24..record + 28)?.copy_from_slice(&crc.to_le_bytes());
        }
    }
    let crc = crc32(bytes.get(list..footer)?);
    bytes.get_mut(footer + 12..footer + 16)?.copy_from_slice(&crc.to_le_bytes());
    let crc = crc32(bytes.get(footer..footer + 44)?);
    bytes.get_mut(footer + 44..footer + 48)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}

fn mend_blocks(bytes: &mut [u8], index: usize, footer: usize) -> Option<()> {
    let id =
        u128::from(u64_at(bytes, footer + 24)?) << 64 | u128::from(u64_at(bytes, footer + 16)?);
    let prefix = u32_at(bytes, index.checked_add(4)?)? as usize;
    for i in 0..u32_at(bytes, index)?.min(64) as usize {
        let record = index.checked_add(8 + prefix + 44 * i)?;
        let at = u64_at(bytes, record)? as usize;
        let len = u32_at(bytes, record + 24)? as usize;
        let crc = crc32(bytes.get(at.checked_add(4)?..at.checked_add(len)?)?);
        let crc = crc ^ place_mask(id, at as u64);
        bytes.get_mut(at..at + 4)?.copy_from_slice(&crc.to_le_bytes());
    }
    Some(())
}
