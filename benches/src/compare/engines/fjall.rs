//! fjall.

use std::path::Path;

use anyhow::Result;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use olive_benches::entries::touch;

use super::{
    BACKGROUND_THREADS, Cursor, Engine, FILTER_BITS, Seen, Settings, WRITE_BUFFER_BYTES,
    crate_version, option,
};

pub(crate) struct Fjall {
    db: Database,
    entries: Keyspace,
    settings: Settings,
}

impl Engine for Fjall {
    type Cursor<'a> = Keyspace;
    type Batch = ();

    fn open(dir: &Path, settings: Settings) -> Result<Fjall> {
        let db = Database::builder(dir)
            .cache_size(settings.cache_bytes)
            .worker_threads(BACKGROUND_THREADS)
            .open()?;
        let entries = db.keyspace("entries", || {
            let filter = BloomConstructionPolicy::BitsPerKey(FILTER_BITS as f32);
            let options = KeyspaceCreateOptions::default()
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(filter)))
                .max_memtable_size(WRITE_BUFFER_BYTES as u64);
            if settings.compressed {
                options.data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
            } else {
                options.data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
            }
        })?;
        Ok(Fjall { db, entries, settings })
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.settings.sync {
            "persist(SyncData) after each write"
        } else {
            "each write to the page cache (default): survives the process"
        };
        vec![
            option("version", crate_version("fjall")),
            option("durability", durability),
            option("memtable", "64 MiB (default)"),
            option("filter", "10 bits a key on all levels"),
            option("cache", format!("{} MiB", self.settings.cache_bytes >> 20)),
            option("compression", if self.settings.compressed { "LZ4" } else { "none" }),
            option("threads", BACKGROUND_THREADS),
        ]
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.entries.insert(key, value)?;
        if self.settings.sync {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn put_all<'e>(
        &self,
        (): &mut (),
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let mode = if self.settings.sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        for (key, value) in entries {
            batch.insert(&self.entries, key, value);
        }
        Ok(batch.commit()?)
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.entries.get(key)?.map(|value| touch(&value)))
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut Keyspace) -> Result<T>) -> Result<T> {
        use_it(&mut self.entries.clone())
    }

    fn flush(&self) -> Result<()> {
        Ok(self.entries.rotate_memtable_and_wait()?)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// There is no cursor that seeks twice: an iterator for each seek.
impl Cursor for Keyspace {
    #[inline]
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut entries = self.range(key..);
        while seen.entries < count
            && let Some(entry) = entries.next()
        {
            let (key, value) = entry.into_inner()?;
            seen.add(&key, &value);
        }
        Ok(seen)
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.iter() {
            let (key, value) = entry.into_inner()?;
            seen.add(&key, &value);
        }
        Ok(seen)
    }
}
