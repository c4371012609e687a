//! The engines behind one interface that costs nothing: loops are generic over it, so
//! that each engine's calls are inlined into a loop of its own.

mod fjall;
mod leveldb;
mod leveldb_c;
mod lmdb;
mod olive;
mod redb;
mod rocksdb;
mod rocksdb_c;
mod sled;

use std::path::Path;

use anyhow::{Result, bail};
use olive_benches::spec::{Job, Outcome};

/// What an engine is opened with. The rest is each engine's default.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Whether tables are compressed: Snappy in LevelDB, LZ4 elsewhere.
    pub compressed: bool,
    /// Whether each write is synced before it is acknowledged.
    pub sync: bool,
    /// For engines that have a cache of their own.
    pub cache_bytes: u64,
}

/// Bits of a Bloom filter a key, where there are filters.
pub(crate) const FILTER_BITS: u32 = 10;
/// A write buffer's or memtable's size, where there is one.
pub(crate) const WRITE_BUFFER_BYTES: usize = 64 << 20;
/// Threads in the background, where they can be chosen.
pub(crate) const BACKGROUND_THREADS: usize = 2;

/// An open database. What a call returns is touched within it by
/// [`touch`](olive_benches::entries::touch) or not returned at all, so that an engine that
/// lends is not made to copy; what an engine must copy, it copies.
pub(crate) trait Engine: Sized + Sync {
    /// A position in key order. May see the database as it was when it was made.
    type Cursor<'a>: Cursor
    where
        Self: 'a;
    /// A write batch that is used again.
    type Batch: Default;

    fn open(dir: &Path, settings: Settings) -> Result<Self>;
    /// The version, and every option that was set or matters.
    fn effective(&self) -> Vec<(String, String)>;
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Writes all entries at once.
    fn put_all<'e>(
        &self,
        batch: &mut Self::Batch,
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()>;
    /// The newest value, touched.
    fn get(&self, key: &[u8]) -> Result<Option<u64>>;
    /// The same by the call that returns a handle, where [`get`](Self::get) lends.
    fn get_handle(&self, key: &[u8]) -> Result<Option<u64>> {
        self.get(key)
    }
    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut Self::Cursor<'_>) -> Result<T>) -> Result<T>;
    /// Every entry by an iterator of owned ones.
    fn scan_owned(&self) -> Result<Seen> {
        bail!("only Olive has an iterator beside its cursor")
    }
    /// Moves what is in memory to tables, where there is such a call.
    fn flush(&self) -> Result<()>;
    fn close(self) -> Result<()>;
}

/// Entries that a cursor passed, and what they added up to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub entries: u64,
    pub sum: u64,
}

impl Seen {
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(
            olive_benches::entries::touch(value) + u64::from(key.last().copied().unwrap_or(0)),
        );
    }
}

pub(crate) trait Cursor {
    /// Seeks a key or the next one, and reads up to `count` entries from there.
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen>;
    /// Reads every entry.
    fn scan(&mut self) -> Result<Seen>;
}

/// Opens the job's engine and does the job.
pub(crate) fn run(job: &Job) -> Result<Outcome> {
    use crate::child::measure;
    match job.engine.as_str() {
        "olive" => measure::<olive::Olive>(job),
        "leveldb" | "leveldb-snappy" => measure::<leveldb::LevelDb>(job),
        "rocksdb" | "rocksdb-lz4" => measure::<rocksdb::RocksDb>(job),
        "fjall" | "fjall-lz4" => measure::<fjall::Fjall>(job),
        "lmdb" => measure::<lmdb::Lmdb>(job),
        "redb" => measure::<redb::Redb>(job),
        "sled" => measure::<sled::Sled>(job),
        other => bail!("no engine is called {other:?}"),
    }
}

/// One line of [`Engine::effective`].
fn option(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// The version of a crate that was built in.
fn crate_version(name: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let package = format!("name = \"{name}\"\nversion = \"");
    let versions = lock.split(&package).skip(1).filter_map(|rest| rest.split('"').next());
    versions.collect::<Vec<_>>().join(" or ")
}
