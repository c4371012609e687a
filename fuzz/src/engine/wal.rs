//! Bytes as log segments: decoding never panics, a header that decodes encodes to
//! the same bytes, a record's promise is the one that the search finds, and replay
//! in every mode ends in an answer, the looser modes in no less.
//!
//! The bytes are tried as one segment as they are; and, with headers and checksums
//! made right, as one segment and as two, the second from where byte 0 says.

use std::path::Path;

use olive_core::RecoveryMode;
use olive_core::internals::format::edit::DatabaseId;
use olive_core::internals::format::wal_record::{
    RECORD_ALIGN, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, encode_record,
    promise_at, record_at,
};
use olive_core::internals::key::SeqNo;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::internals::wal::{ReplayPlan, replay};

/// Segments of fuzzed logs have this length, so that a short input has a tail.
const SEGMENT_BYTES: usize = 4096;
const DATABASE: DatabaseId = DatabaseId(1);

/// Decodes and replays `bytes`.
pub fn run(bytes: &[u8]) {
    let header = SegmentHeader::decode(bytes);
    if let Ok(header) = &header {
        assert_eq!(header.encode()[..], bytes[..SEGMENT_HEADER_BYTES]);
    }
    let header = header.unwrap_or_else(|_| header_of(2));
    let seed = header.seed();
    // As they are, and with checksums made right, so that the fields are reached.
    let mut mended = bytes.to_vec();
    for offset in (SEGMENT_HEADER_BYTES..mended.len()).step_by(RECORD_ALIGN) {
        read(bytes, offset, seed);
        mend(&mut mended, offset, seed);
        read(&mended, offset, seed);
    }
    let records = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    replay_all(&[segment(1, records)]);
    if let Some((&at, records)) = records.split_first() {
        let at = records.len() * usize::from(at) / 256;
        let (first, second) = records.split_at(at);
        replay_all(&[segment(1, first), segment(2, second)]);
    }
}

fn header_of(number: u64) -> SegmentHeader {
    let len = SEGMENT_BYTES as u64;
    SegmentHeader { database: DATABASE, number, predecessor: number - 1, salt: 7 * number, len }
}

/// A whole segment with what looks like the start of a record made one.
fn segment(number: u64, records: &[u8]) -> Vec<u8> {
    let header = header_of(number);
    let mut segment = header.encode().to_vec();
    segment.extend_from_slice(records);
    segment.resize(SEGMENT_BYTES, 0);
    for offset in (SEGMENT_HEADER_BYTES..SEGMENT_BYTES).step_by(RECORD_ALIGN) {
        // Nothing else, so that payloads stay whole.
        if segment.get(offset + 16).is_some_and(|kind| (1..=3).contains(kind)) {
            mend(&mut segment, offset, header.seed());
        }
    }
    segment
}

/// Replays segments in every mode: each ends in an answer; what is not refused is
/// not cut, and a cut log is a prefix of a salvaged one.
fn replay_all(segments: &[Vec<u8>]) {
    let disk = SimVfs::new(1);
    for (number, segment) in (1..).zip(segments) {
        disk.write_raw(Path::new(&format!("/{number:06}.wal")), segment);
    }
    let found: Vec<u64> = (1..).take(segments.len()).collect();
    let whole = replayed(&disk, &found, RecoveryMode::Strict);
    let cut = replayed(&disk, &found, RecoveryMode::PointInTime);
    let salvaged = replayed(&disk, &found, RecoveryMode::Salvage);
    if let Some(whole) = &whole {
        assert_eq!(cut.as_ref(), Some(whole), "what is taken whole is cut");
    }
    if let (Some(cut), Some(salvaged)) = (cut, salvaged) {
        assert!(salvaged.starts_with(&cut));
    }
}

/// The records that replay gives, by first sequence number and count; `None`: refused.
fn replayed(disk: &SimVfs, found: &[u64], mode: RecoveryMode) -> Option<Vec<(u64, u64)>> {
    let plan = ReplayPlan {
        dir: Path::new("/"),
        database: DATABASE,
        oldest: 1,
        found,
        sealed: None,
        flushed: SeqNo::ZERO,
        mode,
    };
    let mut records = Vec::new();
    let answer = replay(disk, &plan, &mut |_, _| {}, &mut |record| {
        records.push((record.first.0, u64::from(record.count)));
        Ok(())
    });
    let last = answer.ok()?.last;
    if mode != RecoveryMode::Salvage {
        // One behind the other, without a gap.
        let mut next = 1;
        for (first, count) in &records {
            assert_eq!(*first, next, "{records:?}");
            next += count;
        }
    }
    if let Some((first, count)) = records.last() {
        assert_eq!(last.0, first + count - 1);
    }
    Some(records)
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
