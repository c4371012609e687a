//! Bytes as a log segment: decoding never panics, a header that decodes encodes to
//! the same bytes, a record's promise is the one that the search finds, and replay
//! in every mode ends in an answer.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use olive_core::RecoveryMode;
use olive_core::internals::format::edit::DatabaseId;
use olive_core::internals::format::wal_record::{
    RECORD_ALIGN, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, encode_record,
    promise_at, record_at,
};
use olive_core::internals::key::SeqNo;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::internals::vfs::{Vfs, write_all_at};
use olive_core::internals::wal::{ReplayPlan, replay};

/// Segments of fuzzed logs have this length, so that a short input has a tail.
const SEGMENT_BYTES: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let header = SegmentHeader::decode(bytes);
    if let Ok(header) = &header {
        assert_eq!(header.encode()[..], bytes[..SEGMENT_HEADER_BYTES]);
    }
    let header = header.unwrap_or(SegmentHeader {
        database: DatabaseId(1),
        number: 2,
        predecessor: 1,
        salt: 0,
        len: bytes.len() as u64,
    });
    let seed = header.seed();
    // As they are, and with checksums made right, so that the fields are reached.
    let mut mended = bytes.to_vec();
    for offset in (SEGMENT_HEADER_BYTES..mended.len()).step_by(RECORD_ALIGN) {
        read(bytes, offset, seed);
        mend(&mut mended, offset, seed);
        read(&mended, offset, seed);
    }
    replay_all(&mended);
});

/// Replays the records of `bytes` in every mode: each ends in an answer, and a cut
/// log is a prefix of a salvaged one.
fn replay_all(bytes: &[u8]) {
    let header =
        SegmentHeader { database: DatabaseId(1), number: 1, predecessor: 0, salt: 7, len: 4096 };
    let mut segment = header.encode().to_vec();
    segment.extend_from_slice(bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default());
    segment.resize(SEGMENT_BYTES, 0);
    for offset in (SEGMENT_HEADER_BYTES..SEGMENT_BYTES).step_by(RECORD_ALIGN) {
        // Only what looks like the start of a record, so that payloads stay whole.
        if segment.get(offset + 16).is_some_and(|kind| (1..=3).contains(kind)) {
            mend(&mut segment, offset, header.seed());
        }
    }
    let disk = SimVfs::new(1);
    write_all_at(&*disk.create(Path::new("/000001.wal")).unwrap(), 0, &segment).unwrap();
    let _ = replayed(&disk, RecoveryMode::Strict);
    let cut = replayed(&disk, RecoveryMode::PointInTime);
    let salvaged = replayed(&disk, RecoveryMode::Salvage);
    if let (Some(cut), Some(salvaged)) = (cut, salvaged) {
        assert!(salvaged.starts_with(&cut));
    }
}

fn replayed(disk: &SimVfs, mode: RecoveryMode) -> Option<Vec<u64>> {
    let plan = ReplayPlan {
        dir: Path::new("/"),
        database: DatabaseId(1),
        oldest: 1,
        found: &[1],
        sealed: None,
        flushed: SeqNo::ZERO,
        mode,
    };
    let mut records = Vec::new();
    let answer = replay(disk, &plan, &mut |_, _| {}, &mut |record| {
        records.push(record.first.0);
        Ok(())
    });
    answer.ok().map(|_| records)
}

fn read(segment: &[u8], offset: usize, seed: Seed) {
    let promise = promise_at(segment, offset, seed);
    let Ok(Some(record)) = record_at(segment, offset, seed) else { return };
    assert_eq!(promise, Some(record.header.promise));
    let mut again = Vec::new();
    encode_record(&mut again, seed, offset as u64, &record.header, record.payload);
    assert_eq!(again.len(), record.end - offset);
}

/// Gives the record at `offset` the checksums that its bytes ask for.
fn mend(segment: &mut [u8], offset: usize, seed: Seed) {
    let Some(rest) = segment.get_mut(offset..) else { return };
    if rest.len() < RECORD_HEADER_BYTES {
        return;
    }
    let (header, payload) = rest.split_at_mut(RECORD_HEADER_BYTES);
    let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let padded = len.next_multiple_of(RECORD_ALIGN).min(payload.len());
    let checksum = seed.payload_checksum(offset as u64, &payload[..padded]);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    let mut fixed = [0; RECORD_HEADER_BYTES];
    fixed.copy_from_slice(header);
    let checksum = seed.header_checksum(offset as u64, &fixed);
    header[..4].copy_from_slice(&checksum.to_le_bytes());
}
