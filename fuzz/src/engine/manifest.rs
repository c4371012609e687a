//! Bytes as the lines of a manifest: decoding never panics, a line that decodes is
//! the same line after it is encoded and decoded again, and a manifest that is read
//! is the same state after it is written whole and read again.

use std::path::Path;
use std::sync::Arc;

use olive_core::internals::format::checksum::crc32;
use olive_core::internals::format::manifest_line::{
    CHECKED_FROM, checksum_holds, decode_line, encode_line,
};
use olive_core::internals::version::{Manifest, ManifestState};
use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::SimVfs;

const DIR: &str = "/db";
const NUMBER: u64 = 7;

/// Reads `bytes` line by line, as a file, and as a file whose lines are numbered and
/// have the checksums that they ask for.
pub fn run(bytes: &[u8]) {
    let mut mended_file = Vec::new();
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        there_and_back(line);
        there_and_back(&mended(line, None));
        if !line.is_empty() {
            mended_file.extend(mended(line, Some(number)));
            mended_file.push(b'\n');
        }
    }
    read_and_written_again(bytes);
    read_and_written_again(&mended_file);
}

fn there_and_back(bytes: &[u8]) {
    let Ok(line) = decode_line(bytes) else { return };
    assert!(checksum_holds(bytes));
    let mut again = Vec::new();
    encode_line(&line, &mut again);
    assert_eq!(again.pop(), Some(b'\n'));
    assert!(!again.contains(&b'\n'));
    assert_eq!(decode_line(&again), Ok(line));
}

fn read_and_written_again(bytes: &[u8]) {
    let disk = SimVfs::new(1);
    disk.write_raw(&Path::new(DIR).join("CURRENT"), b"MANIFEST-000007\n");
    disk.write_raw(&Path::new(DIR).join("MANIFEST-000007"), bytes);
    let Some(read) = read(&disk) else { return };
    assert_eq!(read.number, NUMBER);
    assert!(read.state.removed.is_empty(), "the edits in one leave nothing to remove");
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let (next, dir) = (NUMBER + 1, Path::new(DIR));
    let written = Manifest::create(&vfs, dir, next, read.database, &read.state);
    assert!(written.is_ok(), "what was read is refused when it is written: {written:?}");
    let again = self::read(&disk).expect("a manifest that was just written");
    assert_eq!((again.number, again.database), (next, read.database));
    assert_eq!(again.state, read.state);
    assert_eq!(again.dropped, None);
}

fn read(disk: &SimVfs) -> Option<ManifestState> {
    Manifest::read(disk, Path::new(DIR)).ok().flatten()
}

/// `fields` as the inside of a line: `"line":1,"at_ms":2` becomes a whole one. With a
/// number, the line is given that one.
fn mended(fields: &[u8], number: Option<usize>) -> Vec<u8> {
    let inside = match fields.strip_prefix(b"{\"crc\":") {
        Some(_) => fields.get(CHECKED_FROM..).unwrap_or(fields),
        None => fields,
    };
    let inside = inside.strip_prefix(b",").unwrap_or(inside);
    let inside = inside.strip_suffix(b"}").unwrap_or(inside);
    let mut checked = b",".to_vec();
    match (number, behind_number(inside)) {
        (Some(number), Some(rest)) => {
            checked.extend(format!("\"line\":{number}").into_bytes());
            checked.extend_from_slice(rest);
        }
        _ => checked.extend_from_slice(inside),
    }
    checked.push(b'}');
    let crc = crc32(&checked);
    [format!("{{\"crc\":\"{crc:08x}\"").as_bytes(), &checked].concat()
}

/// What stands behind `"line":1` at the start.
fn behind_number(inside: &[u8]) -> Option<&[u8]> {
    let digits = inside.strip_prefix(b"\"line\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    digits.get(end..)
}
