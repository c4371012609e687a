//! LevelDB through its C interface (`leveldb/c.h`), as the system has it.

#![expect(unsafe_code, reason = "a C interface")]

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use anyhow::{Result, bail};
use olive_benches::entries::touch;

use super::leveldb_c as c;
use super::{Cursor, Engine, FILTER_BITS, Seen, Settings, WRITE_BUFFER_BYTES, option};

const SNAPPY: c_int = 1;
const UNCOMPRESSED: c_int = 0;

pub(crate) struct LevelDb {
    db: *mut c::Db,
    read: *mut c::ReadOptions,
    write: *mut c::WriteOptions,
    options: *mut c::Options,
    filter: *mut c::FilterPolicy,
    cache: *mut c::Cache,
    settings: Settings,
}

// SAFETY: LevelDB's database takes calls of many threads at once; the option objects are
// not changed after open.
unsafe impl Sync for LevelDb {}

impl Engine for LevelDb {
    type Cursor<'a> = LevelIterator;
    type Batch = LevelBatch;

    fn open(dir: &Path, settings: Settings) -> Result<LevelDb> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: each pointer passed was made by the library here, and lives in the
        // answer until it is dropped; `name` and `error` live through the call.
        let db = unsafe {
            let options = c::leveldb_options_create();
            let filter = c::leveldb_filterpolicy_create_bloom(FILTER_BITS as c_int);
            let cache = c::leveldb_cache_create_lru(usize::try_from(settings.cache_bytes)?);
            c::leveldb_options_set_create_if_missing(options, 1);
            c::leveldb_options_set_write_buffer_size(options, WRITE_BUFFER_BYTES);
            c::leveldb_options_set_filter_policy(options, filter);
            c::leveldb_options_set_cache(options, cache);
            let kind = if settings.compressed { SNAPPY } else { UNCOMPRESSED };
            c::leveldb_options_set_compression(options, kind);
            let write = c::leveldb_writeoptions_create();
            c::leveldb_writeoptions_set_sync(write, settings.sync.into());
            let read = c::leveldb_readoptions_create();
            let db = c::leveldb_open(options, name.as_ptr(), &raw mut error);
            LevelDb { db, read, write, options, filter, cache, settings }
        };
        check(error)?;
        Ok(db)
    }

    fn effective(&self) -> Vec<(String, String)> {
        // SAFETY: a call without arguments.
        let (major, minor) = unsafe { (c::leveldb_major_version(), c::leveldb_minor_version()) };
        let durability = if self.settings.sync {
            "sync = true"
        } else {
            "sync = false (default): survives the process"
        };
        vec![
            option("version", format!("{major}.{minor}")),
            option("durability", durability),
            option("write buffer", "64 MiB"),
            option("filter", "10 bits a key"),
            option("cache", format!("{} MiB", self.settings.cache_bytes >> 20)),
            option("compression", if self.settings.compressed { "Snappy" } else { "none" }),
            option("threads", "1 (it has no more)"),
        ]
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles live as long as `self`; pointers and lengths are of slices.
        unsafe {
            c::leveldb_put(
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
        batch: &mut LevelBatch,
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles live as long as `self` and `batch`, which is borrowed alone;
        // pointers and lengths are of slices, which the batch copies.
        unsafe {
            c::leveldb_writebatch_clear(batch.0);
            for (key, value) in entries {
                let (key, key_len) = (key.as_ptr().cast(), key.len());
                c::leveldb_writebatch_put(
                    batch.0,
                    key,
                    key_len,
                    value.as_ptr().cast(),
                    value.len(),
                );
            }
            c::leveldb_write(self.db, self.write, batch.0, &raw mut error);
        }
        check(error)
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        let (mut error, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the handles live as long as `self`; a value that is not null has `len`
        // bytes and is this call's to free.
        let touched = unsafe {
            let key_len = key.len();
            let key = key.as_ptr().cast();
            let value =
                c::leveldb_get(self.db, self.read, key, key_len, &raw mut len, &raw mut error);
            (!value.is_null()).then(|| {
                let touched = touch(std::slice::from_raw_parts(value.cast(), len));
                c::leveldb_free(value.cast());
                touched
            })
        };
        check(error)?;
        Ok(touched)
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut LevelIterator) -> Result<T>) -> Result<T> {
        // SAFETY: the handles live as long as `self`, which is borrowed past the iterator.
        let mut iterator = LevelIterator(unsafe { c::leveldb_create_iterator(self.db, self.read) });
        use_it(&mut iterator)
    }

    /// There is no call that only flushes; a compaction of a range behind all keys flushes
    /// and then finds nothing to do.
    fn flush(&self) -> Result<()> {
        let (start, limit) = (b"\xFF", b"\xFF\xFF");
        // SAFETY: the handle lives as long as `self`; pointers and lengths are of slices.
        unsafe {
            let limit_len = limit.len();
            let limit = limit.as_ptr().cast();
            c::leveldb_compact_range(self.db, start.as_ptr().cast(), start.len(), limit, limit_len);
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for LevelDb {
    fn drop(&mut self) {
        // SAFETY: all were made in open and are nobody else's; the database goes first.
        unsafe {
            if !self.db.is_null() {
                c::leveldb_close(self.db);
            }
            c::leveldb_readoptions_destroy(self.read);
            c::leveldb_writeoptions_destroy(self.write);
            c::leveldb_options_destroy(self.options);
            c::leveldb_cache_destroy(self.cache);
            c::leveldb_filterpolicy_destroy(self.filter);
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
        c::leveldb_free(error.cast());
        text
    };
    bail!("LevelDB: {text}")
}

pub(crate) struct LevelBatch(*mut c::WriteBatch);

impl Default for LevelBatch {
    fn default() -> LevelBatch {
        // SAFETY: a call without arguments.
        LevelBatch(unsafe { c::leveldb_writebatch_create() })
    }
}

impl Drop for LevelBatch {
    fn drop(&mut self) {
        // SAFETY: made in `default`, and nobody else's.
        unsafe { c::leveldb_writebatch_destroy(self.0) }
    }
}

pub(crate) struct LevelIterator(*mut c::Iterator);

impl LevelIterator {
    fn read(&mut self, count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        // SAFETY: the iterator lives as long as `self`; key and value are read while it
        // stands on them.
        unsafe {
            while seen.entries < count && c::leveldb_iter_valid(self.0) != 0 {
                let (mut key_len, mut value_len) = (0, 0);
                let key = c::leveldb_iter_key(self.0, &raw mut key_len).cast();
                let value = c::leveldb_iter_value(self.0, &raw mut value_len).cast();
                seen.add(
                    std::slice::from_raw_parts(key, key_len),
                    std::slice::from_raw_parts(value, value_len),
                );
                c::leveldb_iter_next(self.0);
            }
            let mut error = ptr::null_mut();
            c::leveldb_iter_get_error(self.0, &raw mut error);
            check(error)?;
        }
        Ok(seen)
    }
}

impl Cursor for LevelIterator {
    #[inline]
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        // SAFETY: the iterator lives as long as `self`; pointer and length are of a slice.
        unsafe { c::leveldb_iter_seek(self.0, key.as_ptr().cast(), key.len()) };
        self.read(count)
    }

    fn scan(&mut self) -> Result<Seen> {
        // SAFETY: the iterator lives as long as `self`.
        unsafe { c::leveldb_iter_seek_to_first(self.0) };
        self.read(u64::MAX)
    }
}

impl Drop for LevelIterator {
    fn drop(&mut self) {
        // SAFETY: made in `with_cursor`, and nobody else's.
        unsafe { c::leveldb_iter_destroy(self.0) }
    }
}
