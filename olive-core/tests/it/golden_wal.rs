//! The log's bytes: those of version 1, forever.

use std::sync::Arc;

use olive_core::RecoveryMode;
use olive_core::internals::batch::{Op, Ops};
use olive_core::internals::format::edit::DatabaseId;
use olive_core::internals::format::wal_record::{
    Promise, RecordHeader, RecordKind, SegmentHeader, encode_record, record_at,
};
use olive_core::internals::key::{Kind, SeqNo};
use olive_core::internals::vfs::{OsVfs, Vfs, write_all_at};
use olive_core::internals::wal::{ReplayPlan, replay};

const DUMP: &str = include_str!("../golden/wal-v1.hex");
const DOCUMENT: &str = include_str!("../../docs/wal-format.md");

const HEADER: SegmentHeader = SegmentHeader {
    database: DatabaseId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
    number: 5,
    predecessor: 3,
    salt: 0x0123_4567_89ab_cdef,
    len: 256,
};
const PAYLOAD: &[u8] = b"\x01\x06\x01apple\x011\x02\x05\x01plum";

/// The dump's bytes: lines of an offset, two spaces, 47 columns of hex, a note.
fn golden() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in DUMP.lines() {
        let offset = usize::from_str_radix(&line[..4], 16).unwrap();
        assert_eq!(offset, bytes.len(), "{line}");
        let hex = line[6..].get(..47).unwrap_or(&line[6..]);
        let values = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
        bytes.extend(values);
    }
    bytes
}

fn header(kind: RecordKind, number: u64, offset: u64) -> RecordHeader {
    let promise = Promise { segment: 5, offset_words: offset as u32 / 8 };
    RecordHeader { kind, number, count: 0, payload_len: 0, promise }
}

#[test]
fn the_encoder_writes_the_golden_bytes() {
    let seed = HEADER.seed();
    let mut bytes = HEADER.encode().to_vec();
    let mut operations = header(RecordKind::Operations, 1, 64);
    operations.count = 2;
    operations.payload_len = PAYLOAD.len() as u32;
    encode_record(&mut bytes, seed, 64, &operations, PAYLOAD);
    encode_record(&mut bytes, seed, 120, &header(RecordKind::Promise, 0, 120), &[]);
    encode_record(&mut bytes, seed, 152, &header(RecordKind::End, 8, 120), &[]);
    bytes.resize(256, 0);
    assert_eq!(bytes, golden());
}

#[test]
fn the_decoder_reads_the_golden_bytes() {
    let bytes = golden();
    assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
    let record = |offset| record_at(&bytes, offset, HEADER.seed()).unwrap().unwrap();
    let (first, second, third) = (record(64), record(120), record(152));
    assert_eq!((first.end, second.end, third.end), (120, 152, 184));
    let ops: Vec<Op<'_>> = Ops::new(first.payload).map(Result::unwrap).collect();
    assert_eq!(
        ops,
        [
            Op { kind: Kind::Put, scoped: b"\x01apple", value: b"1" },
            Op { kind: Kind::Delete, scoped: b"\x01plum", value: b"" },
        ]
    );
    assert_eq!(second.header, header(RecordKind::Promise, 0, 120));
    assert_eq!(third.header, header(RecordKind::End, 8, 120));
    assert_eq!(record_at(&bytes, 184, HEADER.seed()), Ok(None));
}

#[test]
fn the_golden_segment_is_replayed() {
    let temp = tempfile::tempdir().unwrap();
    let file = OsVfs::default().create(&temp.path().join("000005.wal")).unwrap();
    write_all_at(&*file, 0, &golden()).unwrap();
    let plan = ReplayPlan {
        dir: temp.path(),
        database: HEADER.database,
        oldest: 5,
        found: &[5],
        sealed: Some(5),
        flushed: SeqNo::ZERO,
        mode: RecoveryMode::Strict,
    };
    let mut records = Vec::new();
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let answer = replay(&*vfs, &plan, &mut |_, _| {}, &mut |record| {
        records.push((record.first, record.count, record.payload.to_vec()));
        Ok(())
    });
    assert_eq!(answer.unwrap().last, SeqNo(2));
    assert_eq!(records, [(SeqNo(1), 2, PAYLOAD.to_vec())]);
}

#[test]
fn the_document_shows_the_golden_bytes() {
    assert!(DOCUMENT.contains(DUMP), "docs/wal-format.md and tests/golden/wal-v1.hex differ");
}
