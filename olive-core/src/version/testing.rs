//! Versions made of numbers alone: tables that have no file.

use std::path::Path;

use super::Version;
use crate::format::edit::{TableMeta, VersionEdit};
use crate::key::SeqNo;
use crate::options::{ChecksumPolicy, TableIo};
use crate::sync::Arc;
use crate::table::{Table, TableReadOptions};
use crate::vfs::{OsVfs, Vfs};

/// Makes handles of tables whose files nobody reads.
pub(crate) fn handles() -> impl FnMut(&TableMeta) -> Arc<Table> {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let options =
        TableReadOptions { io: TableIo::Mapped, checksum_policy: ChecksumPolicy::FirstRead };
    move |meta| Table::new(Arc::clone(&vfs), Path::new("/none"), meta.clone(), options)
}

/// The key of the default keyspace that a test calls `number`.
pub(crate) fn key(number: u64) -> Vec<u8> {
    let mut scoped = vec![1];
    scoped.extend_from_slice(format!("{number:016}").as_bytes());
    scoped
}

/// A table of the keys `smallest..=largest`, with 100 entries of 1 byte each.
pub(crate) fn meta(number: u64, smallest: u64, largest: u64, seq: u64) -> TableMeta {
    TableMeta {
        number,
        id: u128::from(number),
        bytes: 100,
        smallest: key(smallest),
        largest: key(largest),
        entries: 100,
        tombstones: 0,
        seq_min: SeqNo(seq),
        seq_max: SeqNo(seq),
    }
}

/// A version of these tables.
pub(crate) fn version(tables: &[(usize, TableMeta)]) -> Version {
    let edit = VersionEdit { added: tables.to_vec(), ..VersionEdit::default() };
    Version::default().apply(&edit, &mut handles()).unwrap()
}

/// A reproducible source of numbers (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
