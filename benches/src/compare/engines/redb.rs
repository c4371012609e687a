//! redb. A put is a write transaction of its own, a get a read transaction of its own,
//! since it sees what was put last.
//!
//! `Durability::None` would lose acknowledged commits with the process, so writes that
//! need not be synced commit with `Immediate` on a file whose sync does nothing: the same
//! writes, in the page cache, and no wait for the disk.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;

use anyhow::{Context, Result};
use olive_benches::entries::touch;
use redb::backends::FileBackend;
use redb::{
    BackendError, Database, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition,
};

use super::{Cursor, Engine, Seen, Settings, crate_version, option};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

pub(crate) struct Redb {
    db: Database,
    settings: Settings,
}

impl Engine for Redb {
    type Cursor<'a> = ReadOnlyTable<&'static [u8], &'static [u8]>;
    type Batch = ();

    fn open(dir: &Path, settings: Settings) -> Result<Redb> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("redb");
        let mut builder = Database::builder();
        builder.set_cache_size(usize::try_from(settings.cache_bytes)?);
        let db = if settings.sync {
            builder.create(&path)?
        } else {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            builder.create_with_backend(Unsynced(FileBackend::new(file)?))?
        };
        let txn = db.begin_write()?;
        txn.open_table(TABLE)?;
        txn.commit()?;
        Ok(Redb { db, settings })
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.settings.sync {
            "Immediate (default)"
        } else {
            "Immediate on a file whose sync does nothing: survives the process"
        };
        vec![
            option("version", crate_version("redb")),
            option("durability", durability),
            option("transactions", "one a put, one a get; one for a kept cursor"),
            option("cache", format!("{} MiB", self.settings.cache_bytes >> 20)),
            option("compression", "none"),
        ]
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_all(&mut (), std::iter::once((key, value)))
    }

    fn put_all<'e>(
        &self,
        (): &mut (),
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let txn = self.db.begin_write()?;
        {
            let mut table = txn.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key, value)?;
            }
        }
        Ok(txn.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| touch(value.value())))
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut Self::Cursor<'_>) -> Result<T>) -> Result<T> {
        use_it(&mut self.db.begin_read()?.open_table(TABLE)?)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.db.close().context("redb closes")
    }
}

impl Cursor for ReadOnlyTable<&'static [u8], &'static [u8]> {
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut entries = self.range::<&[u8]>((Bound::Included(key), Bound::Unbounded))?;
        while seen.entries < count
            && let Some(entry) = entries.next()
        {
            let (key, value) = entry?;
            seen.add(key.value(), value.value());
        }
        Ok(seen)
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.range::<&[u8]>(..)? {
            let (key, value) = entry?;
            seen.add(key.value(), value.value());
        }
        Ok(seen)
    }
}

/// A file that takes its syncs as done.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}
