//! Olive, with its defaults; these are the common settings already.

use std::path::Path;

use anyhow::Result;
use olive_benches::entries::touch;
use olive_core::{Db, Durability, Options, WriteBatch};

use super::{Cursor, Engine, FILTER_BITS, Seen, Settings, WRITE_BUFFER_BYTES, option};

pub(crate) struct Olive {
    db: Db,
    sync: bool,
}

impl Engine for Olive {
    type Cursor<'a> = olive_core::Cursor;
    type Batch = WriteBatch;

    fn open(dir: &Path, settings: Settings) -> Result<Olive> {
        let durability = if settings.sync { Durability::Sync } else { Durability::Buffered };
        let db = Options::default()
            .durability(durability)
            .memtable_bytes(WRITE_BUFFER_BYTES)
            .filter_bits_per_key(FILTER_BITS)
            .open(dir)?;
        Ok(Olive { db, sync: settings.sync })
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.sync {
            "Sync: each write synced, concurrent writers share a sync"
        } else {
            "Buffered (default): survives the process; synced each second in the background"
        };
        vec![
            option("version", env!("CARGO_PKG_VERSION")),
            option("durability", durability),
            option("memtable", "64 MiB (default), up to 3"),
            option("filter", "10 bits a key (default)"),
            option("cache", "none: tables are mapped"),
            option("compression", "none"),
            option(
                "threads",
                "1 that flushes, 1 that compacts, 1 that syncs the log, 1 that prepares it (default)",
            ),
            option("get", "get_with, which lends the value; the handle of `get` apart"),
        ]
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put(key, value)?)
    }

    fn put_all<'e>(
        &self,
        batch: &mut WriteBatch,
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        batch.clear();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.db.write(batch)?)
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get_with(key, touch)?)
    }

    #[inline]
    fn get_handle(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get(key)?.map(|value| touch(&value)))
    }

    fn with_cursor<T>(
        &self,
        use_it: impl FnOnce(&mut olive_core::Cursor) -> Result<T>,
    ) -> Result<T> {
        use_it(&mut self.db.cursor()?)
    }

    fn scan_owned(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.db.iter()? {
            let (key, value) = entry?;
            seen.add(&key, &value);
        }
        Ok(seen)
    }

    fn flush(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn close(self) -> Result<()> {
        Ok(self.db.close()?)
    }
}

impl Cursor for olive_core::Cursor {
    #[inline]
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut valid = self.seek(key)?;
        while valid && seen.entries < count {
            seen.add(self.key(), self.value());
            valid = self.next()?;
        }
        Ok(seen)
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut valid = self.seek_to_first()?;
        while valid {
            seen.add(self.key(), self.value());
            valid = self.next()?;
        }
        Ok(seen)
    }
}
