//! The names of a database's files.
//!
//! ```text
//! CURRENT            the name of the manifest in force, and a newline
//! CURRENT.tmp        the next CURRENT, before it is renamed
//! CHECKPOINT.tmp     the folder is one that a checkpoint makes, before it is renamed
//! LOCK               held by the process that has the database open
//! MANIFEST-000007    a manifest: JSON lines
//! 000008.wal         a log segment
//! 000009.sst         an SSTable
//! ```
//!
//! Numbers are decimal, at least six digits, from 1 to 2^32 - 1, shared by all sorts
//! and never used again. A file with another name is not ours and left alone.

/// The name of the manifest in force is in here.
pub const CURRENT: &str = "CURRENT";
/// Where the next CURRENT is written before it is renamed.
pub const CURRENT_TMP: &str = "CURRENT.tmp";
/// Marks a folder that a checkpoint is making, or has left unfinished.
pub const CHECKPOINT_TMP: &str = "CHECKPOINT.tmp";
/// The file whose lock marks the database as open.
pub const LOCK: &str = "LOCK";

/// The largest number of a file.
pub const FILE_NUMBER_MAX: u64 = u32::MAX as u64;
/// So many of the last numbers are left for opens: a database that is running does not
/// use them.
pub const FILE_NUMBERS_RESERVED: u64 = 1 << 20;

/// What a file of a database folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Names the manifest in force.
    Current,
    /// Left by a switch of CURRENT that did not end.
    CurrentTmp,
    /// The mark of a checkpoint that has not ended.
    CheckpointTmp,
    /// The lock.
    Lock,
    /// A manifest of this number.
    Manifest(u64),
    /// A log segment of this number.
    Segment(u64),
    /// An SSTable of this number.
    Table(u64),
}

impl FileKind {
    /// What the file of this name is; `None`: it is not one of ours.
    #[must_use]
    pub fn of(name: &str) -> Option<FileKind> {
        match name {
            CURRENT => return Some(FileKind::Current),
            CURRENT_TMP => return Some(FileKind::CurrentTmp),
            CHECKPOINT_TMP => return Some(FileKind::CheckpointTmp),
            LOCK => return Some(FileKind::Lock),
            _ => {}
        }
        let kind = if let Some(digits) = name.strip_prefix("MANIFEST-") {
            FileKind::Manifest(number(digits)?)
        } else {
            match name.rsplit_once('.')? {
                (digits, "wal") => FileKind::Segment(number(digits)?),
                (digits, "sst") => FileKind::Table(number(digits)?),
                _ => return None,
            }
        };
        (kind.name() == name).then_some(kind)
    }

    /// The name of such a file.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            FileKind::Current => CURRENT.to_owned(),
            FileKind::CurrentTmp => CURRENT_TMP.to_owned(),
            FileKind::CheckpointTmp => CHECKPOINT_TMP.to_owned(),
            FileKind::Lock => LOCK.to_owned(),
            FileKind::Manifest(number) => format!("MANIFEST-{number:06}"),
            FileKind::Segment(number) => format!("{number:06}.wal"),
            FileKind::Table(number) => format!("{number:06}.sst"),
        }
    }

    /// Its number, for those that have one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            FileKind::Manifest(n) | FileKind::Segment(n) | FileKind::Table(n) => Some(n),
            _ => None,
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = if plain { digits.parse().ok() } else { None };
    number.filter(|number| (1..=FILE_NUMBER_MAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_go_both_ways() {
        for kind in [
            FileKind::Current,
            FileKind::CurrentTmp,
            FileKind::CheckpointTmp,
            FileKind::Lock,
            FileKind::Manifest(1),
            FileKind::Segment(999_999),
            FileKind::Table(12_345_678),
            FileKind::Table(FILE_NUMBER_MAX),
        ] {
            assert_eq!(FileKind::of(&kind.name()), Some(kind));
        }
        for other in [
            "",
            "000001",
            "1.sst",
            "0000001.sst",
            "+00001.sst",
            "000001.SST",
            "MANIFEST-1",
            "000000.sst",
            "4294967296.wal",
            "18446744073709551615.sst",
            "20261122120505.sst",
        ] {
            assert_eq!(FileKind::of(other), None, "{other}");
        }
    }
}
