//! The manifest's bytes, kept: `tests/golden/manifest-v1.jsonl` is what this version
//! writes, and what every later one must read.

use std::path::Path;

use olive_core::internals::format::edit::{DatabaseId, TableMeta, VersionEdit};
use olive_core::internals::format::manifest_line::{Body, Header, Line, decode_line, encode_line};
use olive_core::internals::key::SeqNo;

const GOLDEN: &str = include_str!("../golden/manifest-v1.jsonl");
const DOCUMENT: &str = include_str!("../../docs/manifest-format.md");

/// What the golden file says.
fn lines() -> Vec<Line> {
    let flushed = TableMeta {
        number: 9,
        id: 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF,
        bytes: 4_096,
        smallest: b"\x01apple".to_vec(),
        largest: b"\x01pear".to_vec(),
        entries: 3,
        tombstones: 1,
        seq_min: SeqNo(1),
        seq_max: SeqNo(3),
    };
    let edits = [
        VersionEdit {
            oldest_segment: Some(2),
            last_seq: Some(SeqNo(0)),
            next_file: Some(8),
            ..VersionEdit::default()
        },
        VersionEdit {
            added: vec![(0, flushed.clone())],
            oldest_segment: Some(8),
            flushed_seq: Some(SeqNo(3)),
            last_seq: Some(SeqNo((1 << 53) + 1)),
            next_file: Some(10),
            ..VersionEdit::default()
        },
        VersionEdit { removed: vec![(0, 9)], added: vec![(6, flushed)], ..VersionEdit::default() },
        VersionEdit { clean_segment: Some(11), ..VersionEdit::default() },
    ];
    let header = Header {
        database: DatabaseId(0x00C0_FFEE_0000_0000_0000_0000_0000_0001),
        number: 7,
        base_lines: 2,
        ..Header::default()
    };
    let bodies = std::iter::once(Body::Header(header))
        .chain(edits.into_iter().map(|edit| Body::Edit(Box::new(edit))));
    (0..)
        .zip(bodies)
        .map(|(number, body)| Line { number, at_ms: 1_700_000_000_000 + number, body })
        .collect()
}

#[test]
fn this_version_writes_the_golden_bytes_and_reads_them() {
    let mut written = Vec::new();
    for line in lines() {
        encode_line(&line, &mut written);
    }
    assert_eq!(String::from_utf8(written).unwrap(), GOLDEN);
    let read: Vec<Line> = GOLDEN.lines().map(|l| decode_line(l.as_bytes()).unwrap()).collect();
    assert_eq!(read, lines());
}

#[test]
fn the_documents_example_is_the_golden_file() {
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest-format.md").exists());
    assert!(DOCUMENT.contains(&format!("```json\n{GOLDEN}```")), "the example differs");
}

/// A reader written from the document alone: another checksum, another parser.
#[test]
fn a_reader_made_from_the_document_reads_every_line() {
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
            })
        })
    }
    for (number, line) in GOLDEN.lines().enumerate() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let crc = format!("{:08x}", crc32(&line.as_bytes()[17..]));
        assert_eq!(json["crc"], crc);
        assert_eq!(json["line"], number);
    }
}

#[test]
fn every_flip_and_every_cut_of_a_line_is_refused() {
    for line in GOLDEN.lines() {
        for cut in 0..line.len() {
            assert!(decode_line(&line.as_bytes()[..cut]).is_err(), "{line} cut to {cut}");
        }
        for bit in 0..line.len() * 8 {
            let mut bytes = line.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_line(&bytes).is_err(), "{line} with bit {bit} flipped");
        }
    }
}
