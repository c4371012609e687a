//! The worked example of docs/table-format.md, byte by byte.
//!
//! `tests/golden/table-v1.hex` has the bytes: each line is an offset, bytes in
//! hex, and a remark behind `|`. Other lines start with `#`.

use std::path::Path;
use std::sync::Arc;

use olive_core::internals::format::edit::TableMeta;
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::key::{InternalKey, Kind, SeqNo, Tag};
use olive_core::internals::table::{
    Table, TableReadOptions, TableWriter, TableWriterOptions, filter_hash,
};
use olive_core::internals::vfs::{OsVfs, Vfs, read_file, write_all_at};
use olive_core::{ChecksumPolicy, Report, TableIo};

const DUMP: &str = include_str!("../golden/table-v1.hex");
const DOCUMENT: &str = include_str!("../../docs/table-format.md");
const TABLE_ID: u128 = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;

fn entries() -> Vec<(&'static [u8], Tag, &'static [u8])> {
    let tag = |seq, kind| Tag::new(SeqNo(seq), kind);
    vec![
        (b"\x01apple", tag(7, Kind::Put), b"red"),
        (b"\x01apple", tag(3, Kind::Delete), b""),
        (b"\x01apple-blossom", tag(5, Kind::Put), b"pink"),
        (b"\x01banana", tag(6, Kind::Put), b"yellow"),
        (b"\x01cherry-01", tag(0, Kind::Put), b"dark"),
        (b"\x01cherry-02", tag(0, Kind::Put), b"light"),
    ]
}

fn dumped() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in DUMP.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let fields = line.split('|').next().unwrap();
        let mut words = fields.split_whitespace();
        let offset = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        assert_eq!(offset, bytes.len(), "{line}");
        bytes.extend(words.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

fn write(dir: &Path) -> (TableMeta, Vec<u8>) {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let options = TableWriterOptions { block_bytes: 140, filter_bits_per_key: 10 };
    let mut writer = TableWriter::create(&vfs, dir, 1, options).unwrap().with_id(TABLE_ID);
    for (key, tag, value) in entries() {
        writer.add(InternalKey::new(key, tag), value).unwrap();
    }
    writer.note_tombstone_time(1_700_000_000_000);
    let meta = writer.finish().unwrap();
    let bytes = read_file(&*vfs, &dir.join("000001.sst"), 1 << 20).unwrap();
    (meta, bytes)
}

#[test]
fn the_writer_gives_the_documented_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bytes) = write(dir.path());
    let expected = dumped();
    if bytes != expected {
        let at = bytes.iter().zip(&expected).position(|(a, b)| a != b);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{} bytes, the first other one at {at:?}:\n{}", bytes.len(), hex.join(" "));
    }
}

#[test]
fn the_documented_bytes_read_as_the_example_says() {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let (meta, _) = write(dir.path());
    let meta = TableMeta { number: 2, ..meta };
    let file = vfs.create(&dir.path().join("000002.sst")).unwrap();
    write_all_at(&*file, 0, &dumped()).unwrap();
    for io in [TableIo::Mapped, TableIo::Read] {
        let options = TableReadOptions { io, checksum_policy: ChecksumPolicy::FirstRead };
        let table = Table::new(Arc::clone(&vfs), dir.path(), meta.clone(), options);
        let mut iter = table.iter();
        let mut more = iter.seek_to_first().unwrap();
        for (key, tag, value) in entries() {
            assert!(more);
            assert_eq!((iter.key(), iter.value()), (InternalKey::new(key, tag), value));
            assert!(table.may_contain(filter_hash(key)).unwrap());
            let found = table.get(key, tag.seq()).unwrap().unwrap();
            assert_eq!((found.tag, found.bytes()), (tag, value));
            more = iter.next().unwrap();
        }
        assert!(!more);
        assert_eq!(table.properties().unwrap().oldest_tombstone_ms, Some(1_700_000_000_000));
        let mut report = Report::default();
        table.verify(&mut report).unwrap();
        assert!(report.is_clean() && report.entries == 6 && report.blocks == 2, "{report:?}");
    }
}

#[test]
fn the_document_shows_the_same_dump() {
    assert!(DOCUMENT.contains(DUMP.trim_end()), "docs/table-format.md shows another dump");
}
