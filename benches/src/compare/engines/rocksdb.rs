//! RocksDB through its C interface (`rocksdb/c.h`): as the system has it, or with the
//! feature `compare-rocksdb` as its crate builds it, which brings the same interface.

#![expect(unsafe_code, reason = "a C interface")]

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use anyhow::{Result, bail};
use olive_benches::entries::touch;
#[cfg(feature = "compare-rocksdb")]
use rust_librocksdb_sys as _;

use super::rocksdb_c as c;
use super::{
    BACKGROUND_THREADS, Cursor, Engine, FILTER_BITS, Seen, Settings, WRITE_BUFFER_BYTES, option,
};

const LZ4: c_int = 4;
const UNCOMPRESSED: c_int = 0;

pub(crate) struct RocksDb {
    db: *mut c::Db,
    read: *mut c::ReadOptions,
    write: *mut c::WriteOptions,
    options: *mut c::Options,
    table: *mut c::TableOptions,
    cache: *mut c::Cache,
    dir: PathBuf,
    settings: Settings,
}

// SAFETY: RocksDB's database takes calls of many threads at once; the option objects are
// not changed after open.
unsafe impl Sync for RocksDb {}

impl Engine for RocksDb {
    type Cursor<'a> = RocksIterator;
    type Batch = RocksBatch;

    fn open(dir: &Path, settings: Settings) -> Result<RocksDb> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: each pointer passed was made by the library here, and lives in the
        // answer until it is dropped; `name` and `error` live through the call.
        let db = unsafe {
            let options = c::rocksdb_options_create();
            let table = c::rocksdb_block_based_options_create();
            // The table's options own the filter policy from here on, and share the cache.
            let filter = c::rocksdb_filterpolicy_create_bloom_full(f64::from(FILTER_BITS));
            c::rocksdb_block_based_options_set_filter_policy(table, filter);
            let cache = c::rocksdb_cache_create_lru(usize::try_from(settings.cache_bytes)?);
            c::rocksdb_block_based_options_set_block_cache(table, cache);
            c::rocksdb_options_set_block_based_table_factory(options, table);
            c::rocksdb_options_set_create_if_missing(options, 1);
            c::rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER_BYTES);
            c::rocksdb_options_set_max_background_jobs(options, BACKGROUND_THREADS as c_int);
            let kind = if settings.compressed { LZ4 } else { UNCOMPRESSED };
            c::rocksdb_options_set_compression(options, kind);
            let write = c::rocksdb_writeoptions_create();
            c::rocksdb_writeoptions_set_sync(write, settings.sync.into());
            let read = c::rocksdb_readoptions_create();
            let db = c::rocksdb_open(options, name.as_ptr(), &raw mut error);
            RocksDb { db, read, write, options, table, cache, dir: dir.to_owned(), settings }
        };
        check(error)?;
        Ok(db)
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.settings.sync {
            "sync = true"
        } else {
            "sync = false (default): survives the process"
        };
        vec![
            option("version", self.version()),
            option("durability", durability),
            option("write buffer", "64 MiB"),
            option("filter", "10 bits a key"),
            option("cache", format!("{} MiB", self.settings.cache_bytes >> 20)),
            option("compression", if self.settings.compressed { "LZ4" } else { "none" }),
            option("threads", BACKGROUND_THREADS),
        ]
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles live as long as `self`; pointers and lengths are of slices.
        unsafe {
            c::rocksdb_put(
                self.db,
                self.write,
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
                &raw mut error,
            );
        }
        check(error)
    }

    fn put_all<'e>(
        &self,
        batch: &mut RocksBatch,
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles live as long as `self` and `batch`, which is borrowed alone;
        // pointers and lengths are of slices, which the batch copies.
        unsafe {
            c::rocksdb_writebatch_clear(batch.0);
            for (key, value) in entries {
                let (key, key_len) = (key.as_ptr().cast(), key.len());
                c::rocksdb_writebatch_put(
                    batch.0,
                    key,
                    key_len,
                    value.as_ptr().cast(),
                    value.len(),
                );
            }
            c::rocksdb_write(self.db, self.write, batch.0, &raw mut error);
        }
        check(error)
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        let (mut error, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the handles live as long as `self`; a slice that is not null is this
        // call's to destroy, and its value has `len` bytes until then.
        let touched = unsafe {
            let (key, key_len) = (key.as_ptr().cast(), key.len());
            let slice = c::rocksdb_get_pinned(self.db, self.read, key, key_len, &raw mut error);
            (!slice.is_null()).then(|| {
                let value = c::rocksdb_pinnableslice_value(slice, &raw mut len);
                let touched = touch(std::slice::from_raw_parts(value.cast(), len));
                c::rocksdb_pinnableslice_destroy(slice);
                touched
            })
        };
        check(error)?;
        Ok(touched)
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut RocksIterator) -> Result<T>) -> Result<T> {
        // SAFETY: the handles live as long as `self`, which is borrowed past the iterator.
        let mut iterator = RocksIterator(unsafe { c::rocksdb_create_iterator(self.db, self.read) });
        use_it(&mut iterator)
    }

    fn flush(&self) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the handle lives as long as `self`, the options through the call.
        unsafe {
            let options = c::rocksdb_flushoptions_create();
            c::rocksdb_flush(self.db, options, &raw mut error);
            c::rocksdb_flushoptions_destroy(options);
        }
        check(error)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl RocksDb {
    /// The interface does not tell; the first line of its log does.
    fn version(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("LOG")).unwrap_or_default();
        let version = log.split("RocksDB version: ").nth(1).and_then(|rest| rest.lines().next());
        version.unwrap_or("unknown").to_owned()
    }
}

impl Drop for RocksDb {
    fn drop(&mut self) {
        // SAFETY: all were made in open and are nobody else's; the database goes first.
        unsafe {
            if !self.db.is_null() {
                c::rocksdb_close(self.db);
            }
            c::rocksdb_readoptions_destroy(self.read);
            c::rocksdb_writeoptions_destroy(self.write);
            c::rocksdb_options_destroy(self.options);
            c::rocksdb_cache_destroy(self.cache);
            c::rocksdb_block_based_options_destroy(self.table);
        }
    }
}

fn check(error: *mut c_char) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: an error that is not null is a string of the library's, ours to free.
    let text = unsafe {
        let text = std::ffi::CStr::from_ptr(error).to_string_lossy().into_owned();
        c::rocksdb_free(error.cast());
        text
    };
    bail!("RocksDB: {text}")
}

pub(crate) struct RocksBatch(*mut c::WriteBatch);

impl Default for RocksBatch {
    fn default() -> RocksBatch {
        // SAFETY: a call without arguments.
        RocksBatch(unsafe { c::rocksdb_writebatch_create() })
    }
}

impl Drop for RocksBatch {
    fn drop(&mut self) {
        // SAFETY: made in `default`, and nobody else's.
        unsafe { c::rocksdb_writebatch_destroy(self.0) }
    }
}

pub(crate) struct RocksIterator(*mut c::Iterator);

impl RocksIterator {
    fn read(&mut self, count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        // SAFETY: the iterator lives as long as `self`; key and value are read while it
        // stands on them.
        unsafe {
            while seen.entries < count && c::rocksdb_iter_valid(self.0) != 0 {
                let (mut key_len, mut value_len) = (0, 0);
                let key = c::rocksdb_iter_key(self.0, &raw mut key_len).cast();
                let value = c::rocksdb_iter_value(self.0, &raw mut value_len).cast();
                seen.add(
                    std::slice::from_raw_parts(key, key_len),
                    std::slice::from_raw_parts(value, value_len),
                );
                c::rocksdb_iter_next(self.0);
            }
            let mut error = ptr::null_mut();
            c::rocksdb_iter_get_error(self.0, &raw mut error);
            check(error)?;
        }
        Ok(seen)
    }
}

impl Cursor for RocksIterator {
    #[inline]
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        // SAFETY: the iterator lives as long as `self`; pointer and length are of a slice.
        unsafe { c::rocksdb_iter_seek(self.0, key.as_ptr().cast(), key.len()) };
        self.read(count)
    }

    fn scan(&mut self) -> Result<Seen> {
        // SAFETY: the iterator lives as long as `self`.
        unsafe { c::rocksdb_iter_seek_to_first(self.0) };
        self.read(u64::MAX)
    }
}

impl Drop for RocksIterator {
    fn drop(&mut self) {
        // SAFETY: made in `with_cursor`, and nobody else's.
        unsafe { c::rocksdb_iter_destroy(self.0) }
    }
}
