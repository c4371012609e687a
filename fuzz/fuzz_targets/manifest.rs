//! Bytes as a line of a manifest: decoding never panics, and a line that decodes
//! is the same line after it is encoded and decoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olive_core::internals::format::manifest_line::{
    CHECKED_FROM, checksum_holds, decode_line, encode_line,
};

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|&b| b == b'\n') {
        there_and_back(line);
        // With the checksum made right, so that the fields are reached.
        there_and_back(&mended(line));
    }
});

fn there_and_back(bytes: &[u8]) {
    let Ok(line) = decode_line(bytes) else { return };
    assert!(checksum_holds(bytes));
    let mut again = Vec::new();
    encode_line(&line, &mut again);
    assert_eq!(again.pop(), Some(b'\n'));
    assert!(!again.contains(&b'\n'));
    assert_eq!(decode_line(&again), Ok(line));
}

/// `fields` as the inside of a line: `"line":1,"at_ms":2` becomes a whole one.
fn mended(fields: &[u8]) -> Vec<u8> {
    let inside = fields.get(CHECKED_FROM..).unwrap_or(fields);
    let inside = inside.strip_prefix(b",").unwrap_or(inside);
    let inside = inside.strip_suffix(b"}").unwrap_or(inside);
    let checked = [b",", inside, b"}"].concat();
    let crc = crc32fast::hash(&checked);
    [format!("{{\"crc\":\"{crc:08x}\"").as_bytes(), &checked].concat()
}
