//! A good table with some bytes changed: opening and reading it in every way ends in
//! an error or an answer, never in a panic or a walk without an end.
//!
//! The first byte of the input says whether checksums are made right again, so that
//! the fields behind them are reached; then come changes: offset u16, byte.
#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use olive_core::internals::format::checksum::crc32;
use olive_core::internals::format::coding::{u32_at, u64_at};
use olive_core::internals::format::edit::TableMeta;
use olive_core::internals::format::sections::FOOTER_BYTES;
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::key::{InternalKey, Kind, SeqNo, Tag};
use olive_core::internals::table::{
    Table, TableReadOptions, TableWriter, TableWriterOptions, filter_hash,
};
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::internals::vfs::{Vfs, read_file, write_all_at};
use olive_core::{ChecksumPolicy, Report, TableIo};

const ENTRIES: u64 = 60;

fn key(i: u64) -> Vec<u8> {
    format!("\x01{}{}", "key".repeat(i as usize % 4), i / 2).into_bytes()
}

fn good() -> &'static (TableMeta, Vec<u8>) {
    static GOOD: OnceLock<(TableMeta, Vec<u8>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new(1));
        let options = TableWriterOptions { block_bytes: 200, filter_bits_per_key: 10 };
        let mut writer = TableWriter::create(&vfs, Path::new("/"), 1, options).unwrap();
        let mut entries: Vec<_> = (0..ENTRIES)
            .map(|i| {
                let kind = if i % 5 == 0 { Kind::Delete } else { Kind::Put };
                let seq = if i % 3 == 0 { 0 } else { i };
                (key(i), std::cmp::Reverse(Tag::new(SeqNo(seq), kind)))
            })
            .collect();
        entries.sort();
        entries.dedup();
        for (key, tag) in &entries {
            writer.add(InternalKey::new(key, tag.0), b"value").unwrap();
        }
        let meta = writer.finish().unwrap();
        let bytes = read_file(&*vfs, Path::new("/000001.sst"), 1 << 20).unwrap();
        (meta, bytes)
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((&mend, changes)) = input.split_first() else { return };
    let (meta, good) = good();
    let mut bytes = good.clone();
    for change in changes.chunks_exact(3).take(32) {
        let offset = usize::from(change[0]) | usize::from(change[1]) << 8;
        let len = bytes.len();
        bytes[offset % len] = change[2];
    }
    if mend & 1 != 0 {
        let _ = mend_checksums(&mut bytes);
    }
    let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new(1));
    let file = vfs.create(Path::new("/000001.sst")).unwrap();
    write_all_at(&*file, 0, &bytes).unwrap();
    for io in [TableIo::Mapped, TableIo::Read] {
        let options = TableReadOptions { io, checksum_policy: ChecksumPolicy::FirstRead };
        read(&Table::new(Arc::clone(&vfs), Path::new("/"), meta.clone(), options));
    }
});

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
    let footer = bytes.len() - FOOTER_BYTES;
    let list = u64_at(bytes, footer)? as usize;
    for i in 0..u32_at(bytes, list)?.min(8) as usize {
        let record = list + 8 + 40 * i;
        let (kind, at) = (u32_at(bytes, record)?, u64_at(bytes, record + 8)? as usize);
        let len = u64_at(bytes, record + 16)? as usize;
        if kind == 2 {
            mend_blocks(bytes, at);
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

fn mend_blocks(bytes: &mut [u8], index: usize) -> Option<()> {
    let prefix = u32_at(bytes, index.checked_add(4)?)? as usize;
    for i in 0..u32_at(bytes, index)?.min(64) as usize {
        let record = index.checked_add(8 + prefix + 44 * i)?;
        let at = u64_at(bytes, record)? as usize;
        let len = u32_at(bytes, record + 24)? as usize;
        let crc = crc32(bytes.get(at.checked_add(4)?..at.checked_add(len)?)?);
        bytes.get_mut(at..at + 4)?.copy_from_slice(&crc.to_le_bytes());
    }
    Some(())
}
