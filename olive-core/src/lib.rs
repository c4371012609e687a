//! Olive: an embeddable LSM-tree key-value store.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("db");
//! use olive_core::Db;
//!
//! let db = Db::open(&path)?;
//! db.put("apple", "red")?;
//! assert_eq!(db.get("apple")?.unwrap(), b"red");
//! # Ok::<(), olive_core::Error>(())
//! ```
#![cfg_attr(
    not(feature = "internals"),
    allow(unreachable_pub, reason = "pub items are exported by the feature internals")
)]
mod batch;
mod compaction;
mod cursor;
mod db;
mod engine;
mod error;
mod format;
mod handle;
mod internal_iter;
mod iter;
mod key;
mod keyspace;
mod memtable;
mod options;
mod range;
mod reader;
mod snapshot;
mod stats;
mod sync;
mod table;
#[cfg(all(test, olive_shuttle))]
mod tests;
mod value;
mod version;
mod vfs;
mod wal;

pub use batch::WriteBatch;
pub use cursor::{Cursor, Iter};
pub use db::Db;
pub use error::{Error, ErrorKind, Result};
pub use key::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use keyspace::Keyspace;
pub use options::{
    ChecksumPolicy, Durability, Maintenance, Options, RecoveryMode, RecoveryProgress, TableIo,
    WalIo, WriteOptions,
};
pub use range::KeyRange;
pub use reader::Reader;
pub use snapshot::Snapshot;
pub use stats::{Health, LevelStats, Progress, Report, StallStats, Stats};
pub use value::{Key, Value};

/// The inner floors, for this crate's own tests, benches and fuzz targets.
/// Outside the version promise.
#[cfg(feature = "internals")]
pub mod internals {
    macro_rules! floors {
        ($($floor:ident),*) => {$(
            #[doc = concat!("The module `", stringify!($floor), "`.")]
            pub mod $floor {
                pub use crate::$floor::*;
            }
        )*};
    }

    pub use crate::db::{open_on, open_read_only_on};

    floors!(
        batch,
        compaction,
        format,
        internal_iter,
        iter,
        key,
        memtable,
        table,
        version,
        vfs,
        wal
    );
}
