//! Log segments and their records; `docs/wal-format.md` has a worked example.
//!
//! ```text
//! segment   header (64 bytes) · record* · zeros up to the reserved length
//!
//! header     0  "OLIVEWAL"                 32  segment number     u64
//!            8  format version    u32      40  predecessor        u64, 0: none
//!           12  checksum          u32      48  salt               u64, random
//!           16  database id       u128     56  reserved length    u64
//!
//! record    header (32 bytes) · payload · zeros up to a multiple of 8
//!            0  header checksum   u32      16  number << 8 | kind u64
//!            4  payload checksum  u32      24  promise: segment   u32
//!            8  payload length    u32      28  promise: offset/8  u32
//!           12  count             u32
//!
//! kinds      1 operations: number is the sequence number of the first of `count`
//!            2 promise:    nothing but the promise; number, count, length are 0
//!            3 end mark:   number is the segment in which the log goes on
//! ```
//!
//! All numbers are little-endian. Checksums are CRC-32 (IEEE): of a segment header
//! over all of it but the checksum; of a record header over its bytes 4 to 32; of a
//! payload with the zeros behind it. Those of a record start from the salt's lower
//! half (header) or upper half (payload), exclusive-or the record's offset / 8, so
//! that a record passes only at its own place in its own segment.
//!
//! A header of zeros is no record, whatever its checksum: some salt and offset make
//! zero the checksum of zeros.

use byteorder::{ByteOrder, LittleEndian};

use super::BadBytes;
use super::edit::DatabaseId;
use crate::batch::Ops;
use crate::key::{Kind, SeqNo};

/// Bytes of a segment's header: where its first record starts.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a record's header, and of a whole record without a payload.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Records start at multiples of this.
pub const RECORD_ALIGN: usize = 8;
/// The version of this format.
pub const FORMAT_VERSION: u32 = 1;
/// The longest segment, in bytes: offsets / 8 fit in 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = (u32::MAX as u64) * RECORD_ALIGN as u64;

const MAGIC: &[u8; 8] = b"OLIVEWAL";

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose log it is part of.
    pub database: DatabaseId,
    /// Its number, which is also in its name.
    pub number: u64,
    /// The segment before it, which announces it in its end mark; 0: none.
    pub predecessor: u64,
    /// Random; every checksum in the segment starts from it.
    pub salt: u64,
    /// Reserved length in bytes; the file is never shorter.
    pub len: u64,
}

impl SegmentHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        LittleEndian::write_u32(&mut bytes[8..12], FORMAT_VERSION);
        LittleEndian::write_u128(&mut bytes[16..32], self.database.0);
        LittleEndian::write_u64(&mut bytes[32..40], self.number);
        LittleEndian::write_u64(&mut bytes[40..48], self.predecessor);
        LittleEndian::write_u64(&mut bytes[48..56], self.salt);
        LittleEndian::write_u64(&mut bytes[56..], self.len);
        let checksum = segment_checksum(&bytes);
        LittleEndian::write_u32(&mut bytes[12..16], checksum);
        bytes
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// No whole header; `unsupported` where it is whole but of another version.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, BadBytes> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(BadBytes::new(
                0,
                format!("a segment header of 64 bytes expected, {} found", bytes.len()),
            ));
        };
        if header[..8] != *MAGIC {
            return Err(BadBytes::new(0, "not a log segment: it does not start with OLIVEWAL"));
        }
        let (written, computed) =
            (LittleEndian::read_u32(&header[12..16]), segment_checksum(header));
        if written != computed {
            return Err(mismatch(12, "segment header", written, computed));
        }
        let version = LittleEndian::read_u32(&header[8..12]);
        if version != FORMAT_VERSION {
            return Err(BadBytes::unsupported(
                8,
                format!("log format version {version}; this program knows {FORMAT_VERSION}"),
            ));
        }
        let len = LittleEndian::read_u64(&header[56..]);
        if !(SEGMENT_HEADER_BYTES as u64..=SEGMENT_BYTES_MAX).contains(&len) {
            return Err(BadBytes::new(56, format!("a reserved length of {len} bytes")));
        }
        Ok(SegmentHeader {
            database: DatabaseId(LittleEndian::read_u128(&header[16..32])),
            number: LittleEndian::read_u64(&header[32..40]),
            predecessor: LittleEndian::read_u64(&header[40..48]),
            salt: LittleEndian::read_u64(&header[48..56]),
            len,
        })
    }

    /// What the checksums of its records start from.
    #[must_use]
    pub fn seed(&self) -> Seed {
        Seed { header: self.salt as u32, payload: (self.salt >> 32) as u32 }
    }
}

/// What the checksums of a segment's records start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    header: u32,
    payload: u32,
}

impl Seed {
    /// The checksum of a payload with its padding, for the record at `offset`.
    #[must_use]
    #[inline]
    pub fn payload_checksum(self, offset: u64, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.payload ^ place(offset));
        hasher.update(payload);
        let padding = padded(payload.len()) - payload.len();
        if padding > 0 {
            hasher.update(&[0; RECORD_ALIGN][..padding]);
        }
        hasher.finalize()
    }

    /// The checksum of bytes 4 to 32 of the header of the record at `offset`.
    #[must_use]
    #[inline]
    pub fn header_checksum(self, offset: u64, header: &[u8; RECORD_HEADER_BYTES]) -> u32 {
        crc32(self.header ^ place(offset), &header[4..])
    }
}

/// A place in the log, as records carry it: everything before it was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Promise {
    /// Number of the segment; 0: nothing was.
    pub segment: u32,
    /// Offset in it, in units of 8 bytes.
    pub offset_words: u32,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Operations of one batch or one group of writers.
    Operations = 1,
    /// Nothing but the promise.
    Promise = 2,
    /// The segment ends; it announces its successor.
    End = 3,
}

/// The fields of a record's header, but for the checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the record is for.
    pub kind: RecordKind,
    /// The first operation's sequence number, or the number of the segment that
    /// an end mark announces; 56 bits.
    pub number: u64,
    /// Operations in the payload.
    pub count: u32,
    /// Bytes of the payload, without padding.
    pub payload_len: u32,
    /// Up to where the log was synced when the record was written.
    pub promise: Promise,
}

impl RecordHeader {
    /// Its bytes, at `offset` of the segment.
    #[must_use]
    #[inline]
    pub fn encode(
        &self,
        seed: Seed,
        offset: u64,
        payload_checksum: u32,
    ) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        LittleEndian::write_u32(&mut bytes[4..8], payload_checksum);
        LittleEndian::write_u32(&mut bytes[8..12], self.payload_len);
        LittleEndian::write_u32(&mut bytes[12..16], self.count);
        LittleEndian::write_u64(&mut bytes[16..24], (self.number << 8) | self.kind as u64);
        LittleEndian::write_u32(&mut bytes[24..28], self.promise.segment);
        LittleEndian::write_u32(&mut bytes[28..], self.promise.offset_words);
        let checksum = seed.header_checksum(offset, &bytes);
        LittleEndian::write_u32(&mut bytes[..4], checksum);
        bytes
    }
}

/// One whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBytes<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// Its payload, without padding.
    pub payload: &'a [u8],
    /// Where the next record starts in the segment.
    pub end: usize,
}

/// Bytes that a record with such a payload takes.
#[must_use]
#[inline]
pub const fn record_bytes(payload_len: usize) -> usize {
    RECORD_HEADER_BYTES + padded(payload_len)
}

/// Appends a whole record for `offset` to `out`; `header.payload_len` must be that
/// of `payload`.
#[inline]
pub fn encode_record(
    out: &mut Vec<u8>,
    seed: Seed,
    offset: u64,
    header: &RecordHeader,
    payload: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    out.extend_from_slice(payload);
    out.resize(start + record_bytes(payload.len()), 0);
    let checksum = seed.payload_checksum(offset, &out[start + RECORD_HEADER_BYTES..]);
    let bytes = header.encode(seed, offset, checksum);
    out[start..start + RECORD_HEADER_BYTES].copy_from_slice(&bytes);
}

/// Reads the record at `offset` of a segment whose bytes, header included, are
/// `segment`; `None`: zeros where a header would be, or no room for one.
///
/// Of a record of operations the operations are decoded and counted too.
///
/// # Errors
///
/// Bytes that are no record. `unsupported`: whole, but of a kind, or with
/// operations of a kind, that this program does not know.
#[inline]
pub fn record_at(
    segment: &[u8],
    offset: usize,
    seed: Seed,
) -> Result<Option<RecordBytes<'_>>, BadBytes> {
    let rest = segment.get(offset..).unwrap_or_default();
    let Some((bytes, behind)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return if rest.iter().all(|&byte| byte == 0) {
            Ok(None)
        } else {
            Err(BadBytes::new(offset as u64, "no room for a record, but bytes that are not zero"))
        };
    };
    if *bytes == [0; RECORD_HEADER_BYTES] {
        return Ok(None);
    }
    let header = decode_header(bytes, offset, seed)?;
    let bad = |what: String| BadBytes::new(offset as u64, what);
    let payload_len = header.payload_len as usize;
    let Some(with_padding) = behind.get(..padded(payload_len)) else {
        return Err(bad(format!("a payload of {payload_len} bytes, {} left", behind.len())));
    };
    let written = LittleEndian::read_u32(&bytes[4..8]);
    let computed = seed.payload_checksum(offset as u64, with_padding);
    if written != computed {
        return Err(mismatch(offset as u64, "payload", written, computed));
    }
    let payload = with_padding.get(..payload_len).unwrap_or_default();
    check_meaning(&header, payload, offset as u64)?;
    let end = offset + RECORD_HEADER_BYTES + with_padding.len();
    Ok(Some(RecordBytes { header, payload, end }))
}

/// The promise in the valid record header at `offset`, of a known kind or not, if
/// one is there. For the search behind a bad record: most places fail at one load.
#[must_use]
#[inline]
pub fn promise_at(segment: &[u8], offset: usize, seed: Seed) -> Option<Promise> {
    let bytes = segment.get(offset..)?.first_chunk::<RECORD_HEADER_BYTES>()?;
    let has_kind = LittleEndian::read_u64(&bytes[16..24]) & 0xFF != 0;
    let valid = has_kind
        && LittleEndian::read_u32(&bytes[..4]) == seed.header_checksum(offset as u64, bytes);
    valid.then(|| promise_of(bytes))
}

fn decode_header(
    bytes: &[u8; RECORD_HEADER_BYTES],
    offset: usize,
    seed: Seed,
) -> Result<RecordHeader, BadBytes> {
    let written = LittleEndian::read_u32(&bytes[..4]);
    let computed = seed.header_checksum(offset as u64, bytes);
    if written != computed {
        return Err(mismatch(offset as u64, "record header", written, computed));
    }
    let word = LittleEndian::read_u64(&bytes[16..24]);
    let kind = match word & 0xFF {
        1 => RecordKind::Operations,
        2 => RecordKind::Promise,
        3 => RecordKind::End,
        0 => return Err(BadBytes::new(offset as u64, "a record of kind 0")),
        kind => {
            return Err(BadBytes::unsupported(
                offset as u64,
                format!("a log record of kind {kind}, which this program does not know"),
            ));
        }
    };
    Ok(RecordHeader {
        kind,
        number: word >> 8,
        count: LittleEndian::read_u32(&bytes[12..16]),
        payload_len: LittleEndian::read_u32(&bytes[8..12]),
        promise: promise_of(bytes),
    })
}

fn promise_of(bytes: &[u8; RECORD_HEADER_BYTES]) -> Promise {
    Promise {
        segment: LittleEndian::read_u32(&bytes[24..28]),
        offset_words: LittleEndian::read_u32(&bytes[28..]),
    }
}

/// Whether the fields fit the kind, and the operations are what is said of them.
#[inline]
fn check_meaning(header: &RecordHeader, payload: &[u8], offset: u64) -> Result<(), BadBytes> {
    let bad = |what: String| Err(BadBytes::new(offset, what));
    match header.kind {
        RecordKind::Operations => {
            let last = header.number + u64::from(header.count);
            if header.number == 0 || header.count == 0 || last - 1 > SeqNo::MAX.0 {
                return bad(format!("{} operations from {}", header.count, header.number));
            }
            check_operations(header.count, payload, offset)
        }
        RecordKind::Promise if header.number != 0 => bad("a promise with a number".to_owned()),
        _ if header.count != 0 || header.payload_len != 0 => {
            bad("a promise or end mark with a payload".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_operations(count: u32, payload: &[u8], offset: u64) -> Result<(), BadBytes> {
    let mut found = 0_u64;
    for op in Ops::new(payload) {
        let Err((at, what)) = op else {
            found += 1;
            continue;
        };
        let within = offset + (RECORD_HEADER_BYTES + at) as u64;
        let kind = payload.get(at).copied().unwrap_or_default();
        return Err(match Kind::from_number(kind) {
            // The checksum holds, so a newer program meant it.
            Err(_) if kind != 0 => BadBytes::unsupported(within, what),
            _ => BadBytes::new(within, what),
        });
    }
    if found != u64::from(count) {
        return Err(BadBytes::new(offset, format!("{found} operations where {count} are said")));
    }
    Ok(())
}

#[inline]
const fn padded(len: usize) -> usize {
    len.next_multiple_of(RECORD_ALIGN)
}

/// What the offset adds to a record's checksums.
#[inline]
fn place(offset: u64) -> u32 {
    (offset / RECORD_ALIGN as u64) as u32
}

#[inline]
fn crc32(from: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(from);
    hasher.update(bytes);
    hasher.finalize()
}

fn segment_checksum(header: &[u8; SEGMENT_HEADER_BYTES]) -> u32 {
    crc32(crc32(0, &header[..12]), &header[16..])
}

#[cold]
fn mismatch(offset: u64, of: &str, written: u32, computed: u32) -> BadBytes {
    let what = format!("the {of} has checksum {computed:08x}, {written:08x} was written");
    BadBytes::new(offset, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader =
        SegmentHeader { database: DatabaseId(7), number: 2, predecessor: 1, salt: 99, len: 4096 };

    /// A record header whose checksum is right, whatever its fields are.
    fn with_word(word: u64, seed: Seed, offset: u64) -> Vec<u8> {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        LittleEndian::write_u32(&mut bytes[4..8], seed.payload_checksum(offset, &[]));
        LittleEndian::write_u64(&mut bytes[16..24], word);
        LittleEndian::write_u32(&mut bytes[24..28], 5);
        let checksum = seed.header_checksum(offset, &bytes);
        LittleEndian::write_u32(&mut bytes[..4], checksum);
        bytes.to_vec()
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_found() {
        let bytes = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!SegmentHeader::decode(&flipped).unwrap_err().unsupported);
        }
        for len in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn a_newer_version_and_an_unknown_kind_are_unsupported_by_number() {
        let mut bytes = HEADER.encode();
        LittleEndian::write_u32(&mut bytes[8..12], 2);
        let checksum = segment_checksum(&bytes);
        LittleEndian::write_u32(&mut bytes[12..16], checksum);
        let bad = SegmentHeader::decode(&bytes).unwrap_err();
        assert!(bad.unsupported && bad.what.contains("version 2"), "{bad}");
        let seed = HEADER.seed();
        for kind in 4..=255 {
            let bytes = with_word(kind, seed, 0);
            let bad = record_at(&bytes, 0, seed).unwrap_err();
            assert!(bad.unsupported && bad.what.contains(&format!("kind {kind}")), "{bad}");
            assert_eq!(promise_at(&bytes, 0, seed).unwrap().segment, 5, "its promise counts");
        }
        let zero = with_word(7 << 8, seed, 0);
        assert!(!record_at(&zero, 0, seed).unwrap_err().unsupported);
        assert_eq!(promise_at(&zero, 0, seed), None);
        let promise_with_number = with_word((1 << 8) | 2, seed, 0);
        assert!(record_at(&promise_with_number, 0, seed).is_err());
    }

    #[test]
    fn zeros_are_no_record_even_where_their_checksum_is_zero() {
        // Backwards through 28 bytes of zeros, from the checksum 0.
        let mut state = !0_u32;
        for _ in 0..28 * 8 {
            let carry = state >> 31;
            state = ((state ^ (0xEDB8_8320 * carry)) << 1) | carry;
        }
        let seed = SegmentHeader { salt: u64::from(!state ^ 8), ..HEADER }.seed();
        let zeros = [0; 128];
        assert_eq!(seed.header_checksum(64, &[0; 32]), 0);
        assert_eq!(record_at(&zeros, 64, seed), Ok(None));
        assert_eq!(promise_at(&zeros, 64, seed), None);
    }

    #[test]
    fn an_offset_past_the_end_is_no_record() {
        let seed = HEADER.seed();
        assert_eq!(record_at(&[], 64, seed), Ok(None));
        assert_eq!(record_at(&[0; 40], 32, seed), Ok(None));
        assert!(record_at(&[1; 40], 32, seed).is_err());
        assert_eq!(promise_at(&[1; 40], 32, seed), None);
    }
}
