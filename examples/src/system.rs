//! Memory of this process and space on disk, as the system counts them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Anonymous resident memory of this process, in bytes, from
/// `/proc/self/status`; `None` where the system does not tell.
#[must_use]
pub fn rss_anon_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes that the files in `folder` (and below it) take on disk: blocks, not lengths.
///
/// # Errors
///
/// Those of reading the folder; a file that vanishes meanwhile counts nothing.
pub fn disk_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += disk_bytes(&entry.path())?,
            Ok(metadata) => bytes += metadata.blocks() * 512,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
