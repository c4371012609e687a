//! sled. Its log is buffered in the process and written by a thread every half second
//! (the default), so a write that is not synced may be lost with the process: a weaker
//! class than the others', which the report says, and does not rank.

use std::path::Path;

use anyhow::Result;
use olive_benches::entries::touch;
use sled::{Batch, Db, Mode};

use super::{Cursor, Engine, Seen, Settings, crate_version, option};

pub(crate) struct Sled {
    db: Db,
    settings: Settings,
}

impl Engine for Sled {
    type Cursor<'a> = Db;
    type Batch = ();

    fn open(dir: &Path, settings: Settings) -> Result<Sled> {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(settings.cache_bytes)
            .mode(Mode::HighThroughput)
            .open()?;
        Ok(Sled { db, settings })
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.settings.sync {
            "flush after each write"
        } else {
            "WEAKER: buffered in the process, written each 500 ms (default)"
        };
        vec![
            option("version", crate_version("sled")),
            option("durability", durability),
            option("cache", format!("{} MiB", self.settings.cache_bytes >> 20)),
            option("mode", "HighThroughput"),
            option("compression", "none"),
        ]
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert(key, value)?;
        if self.settings.sync {
            self.db.flush()?;
        }
        Ok(())
    }

    fn put_all<'e>(
        &self,
        (): &mut (),
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in entries {
            batch.insert(key, value);
        }
        self.db.apply_batch(batch)?;
        if self.settings.sync {
            self.db.flush()?;
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get(key)?.map(|value| touch(&value)))
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut Db) -> Result<T>) -> Result<T> {
        use_it(&mut self.db.clone())
    }

    fn flush(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }
}

/// There is no cursor that seeks twice: an iterator for each seek.
impl Cursor for Db {
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut entries = self.range(key..);
        while seen.entries < count
            && let Some(entry) = entries.next()
        {
            let (key, value) = entry?;
            seen.add(&key, &value);
        }
        Ok(seen)
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.iter() {
            let (key, value) = entry?;
            seen.add(&key, &value);
        }
        Ok(seen)
    }
}
