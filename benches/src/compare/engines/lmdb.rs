//! LMDB through heed.
//!
//! Its transactions are used so that each operation means what it means elsewhere: a put
//! is a write transaction of its own, a get a read transaction of its own, since it sees
//! what was put last. A kept cursor keeps its transaction. `NO_SYNC` writes pages to the
//! file by `pwrite` at commit, so that a commit survives the process.

use std::path::Path;

use anyhow::Result;
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls};
use olive_benches::entries::touch;

use super::{Cursor, Engine, Seen, Settings, crate_version, option};

type Entries = Database<'static, Bytes, Bytes>;

/// Address space, not memory or disk.
const MAP_BYTES: usize = 256 << 30;

pub(crate) struct Lmdb {
    env: Env<WithTls>,
    db: Entries,
    sync: bool,
}

impl Engine for Lmdb {
    type Cursor<'a> = LmdbCursor<'a>;
    type Batch = ();

    fn open(dir: &Path, settings: Settings) -> Result<Lmdb> {
        std::fs::create_dir_all(dir)?;
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        let env = open_env(&mut options, dir, settings.sync)?;
        let txn = env.write_txn()?;
        let db = env
            .create_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
                let db = opener.create_database::<Bytes, Bytes>(txn, None)?;
                Ok(CommitOrAbort::<_, ()>::Commit(db))
            })?
            .unwrap_commit();
        Ok(Lmdb { env, db, sync: settings.sync })
    }

    fn effective(&self) -> Vec<(String, String)> {
        let durability = if self.sync {
            "each transaction synced (default)"
        } else {
            "NO_SYNC: pages written at commit, survives the process"
        };
        vec![
            option(
                "version",
                format!("{} (heed {})", heed::lmdb_version().string, crate_version("heed")),
            ),
            option("durability", durability),
            option("transactions", "one a put, one a get; one for a kept cursor"),
            option("cache", "none: the file is mapped"),
            option("compression", "none"),
        ]
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        self.db.put(&mut txn, key, value)?;
        Ok(txn.commit()?)
    }

    fn put_all<'e>(
        &self,
        (): &mut (),
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in entries {
            self.db.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<u64>> {
        let txn = self.env.read_txn()?;
        Ok(self.db.get(&txn, key)?.map(touch))
    }

    fn with_cursor<T>(&self, use_it: impl FnOnce(&mut LmdbCursor<'_>) -> Result<T>) -> Result<T> {
        use_it(&mut LmdbCursor { txn: self.env.read_txn()?, db: self.db })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

#[expect(unsafe_code, reason = "heed's open is unsafe, as is NO_SYNC")]
fn open_env(options: &mut EnvOpenOptions<WithTls>, dir: &Path, sync: bool) -> Result<Env<WithTls>> {
    if !sync {
        // SAFETY: a power cut may damage the file; it is of one measurement.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: the folder is this measurement's own; no other process writes to the file.
    Ok(unsafe { options.open(dir)? })
}

pub(crate) struct LmdbCursor<'a> {
    txn: RoTxn<'a, WithTls>,
    db: Entries,
}

impl Cursor for LmdbCursor<'_> {
    #[inline]
    fn read_from(&mut self, key: &[u8], count: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let from = (std::ops::Bound::Included(key), std::ops::Bound::Unbounded);
        let mut entries = self.db.range(&self.txn, &from)?;
        while seen.entries < count
            && let Some(entry) = entries.next()
        {
            let (key, value) = entry?;
            seen.add(key, value);
        }
        Ok(seen)
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.db.iter(&self.txn)? {
            let (key, value) = entry?;
            seen.add(key, value);
        }
        Ok(seen)
    }
}
