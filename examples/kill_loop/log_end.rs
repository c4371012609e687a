//! Where the log stood when its process was killed, read from its files.
//!
//! A log rotates from one segment to the next when the next record does not fit. While
//! it does, the newest segment that has records either has too little room left, or ends
//! with an end mark; the one behind it has no record, or is not there yet. The layout is
//! that of `olive-core/docs/wal-format.md`; checksums are not looked at, since a kill
//! leaves the page cache as it was.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const SEGMENT_HEADER_BYTES: usize = 64;
const RECORD_HEADER_BYTES: usize = 32;
const END_MARK: u8 = 3;
/// What the smallest write takes: a record with 16 bytes, and the room for a promise and
/// an end mark that is kept behind it. Larger ones rotate earlier, which is not counted.
const ROOM_MIN: usize = 3 * RECORD_HEADER_BYTES + 16;

/// Whether the log in `folder` stands between two segments. It may be in use.
pub(crate) fn is_between_segments(folder: &Path) -> Result<bool> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut segments: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in listed {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "wal");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(number) = stem.filter(|_| is_segment).and_then(|stem| stem.parse().ok()) {
            segments.insert(number, path);
        }
    }
    for path in segments.values().rev() {
        let segment = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read?,
        };
        match Standing::of(&segment) {
            Standing::Empty => {}
            standing => return Ok(standing == Standing::Full),
        }
    }
    Ok(false)
}

/// How far a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No record yet.
    Empty,
    /// The next record goes here.
    Open,
    /// The next record goes into another segment.
    Full,
}

impl Standing {
    fn of(segment: &[u8]) -> Standing {
        let mut rest = segment.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let mut standing = Standing::Empty;
        while let Some(header) = rest.first_chunk::<RECORD_HEADER_BYTES>() {
            let kind = header[16];
            if kind == 0 {
                break;
            }
            if kind == END_MARK {
                return Standing::Full;
            }
            standing = Standing::Open;
            let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
            let len = RECORD_HEADER_BYTES + (len as usize).next_multiple_of(8);
            rest = rest.get(len..).unwrap_or_default();
        }
        if standing == Standing::Open && rest.len() < ROOM_MIN { Standing::Full } else { standing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload_len: usize) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_HEADER_BYTES + payload_len.next_multiple_of(8)];
        bytes[8..12].copy_from_slice(&(payload_len as u32).to_le_bytes());
        bytes[16] = kind;
        bytes
    }

    fn segment(records: &[Vec<u8>], len: usize) -> Vec<u8> {
        let mut bytes = vec![1; SEGMENT_HEADER_BYTES];
        bytes.extend(records.concat());
        bytes.resize(len, 0);
        bytes
    }

    #[test]
    fn a_segment_is_empty_open_or_full() {
        let of = |records: &[Vec<u8>], len| Standing::of(&segment(records, len));
        assert_eq!(of(&[], 0), Standing::Empty);
        assert_eq!(of(&[], 1024), Standing::Empty);
        assert_eq!(of(&[record(1, 17), record(2, 0)], 1024), Standing::Open);
        assert_eq!(of(&[record(1, 17), record(3, 0)], 1024), Standing::Full);
        assert_eq!(of(&[record(1, 17)], 64 + 56 + 111), Standing::Full);
        assert_eq!(of(&[record(1, 17)], 64 + 56 + 112), Standing::Open);
    }

    #[test]
    fn the_newest_segment_with_records_counts() {
        let folder = std::env::temp_dir().join(format!("olive-log-end-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
        write("000001.wal", segment(&[record(3, 0)], 1024));
        assert!(is_between_segments(&folder).unwrap());
        write("000003.wal", segment(&[], 1024));
        assert!(is_between_segments(&folder).unwrap(), "the next has no record yet");
        write("000003.wal", segment(&[record(1, 9)], 1024));
        assert!(!is_between_segments(&folder).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
