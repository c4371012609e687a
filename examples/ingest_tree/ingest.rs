//! Puts one file after the other into the database.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use olive_core::{VALUE_BYTES_MAX, WriteBatch};

use crate::Stores;
use crate::record::{Record, Status};
use crate::walk::LeftOut;

/// How often a file that changes while it is read is tried.
const TRIES_MAX: usize = 3;

/// What was stored, and what was not and why.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) unreadable: u64,
    pub(crate) special: u64,
    pub(crate) too_large: u64,
    pub(crate) unsteady: u64,
}

/// See [`Ingest::file`].
pub(crate) struct Ingest<'a> {
    stores: &'a Stores,
    batch: WriteBatch,
    /// What was met so far.
    pub(crate) counts: Counts,
}

impl<'a> Ingest<'a> {
    pub(crate) fn new(stores: &'a Stores) -> Ingest<'a> {
        Ingest { stores, batch: WriteBatch::new(), counts: Counts::default() }
    }

    /// Stores one file: contents and record in one batch. Gives its path and
    /// record once the write is acknowledged, `None` where it was left out. A
    /// file that stands there with the same status is not stored again.
    pub(crate) fn file(
        &mut self,
        found: Result<PathBuf, LeftOut>,
    ) -> Result<Option<(Vec<u8>, Record)>> {
        let path = match found {
            Ok(path) => path,
            Err(LeftOut::Special) => return self.left_out(|counts| &mut counts.special),
            Err(LeftOut::Unreadable) => return self.left_out(|counts| &mut counts.unreadable),
        };
        let key = path.as_os_str().as_bytes();
        if let Some(record) = self.stored_already(&path, key)? {
            return Ok(Some((key.to_vec(), record)));
        }
        let (status, contents) = match read_steady(&path) {
            Ok(Reading::Steady(status, contents)) => (status, contents),
            Ok(Reading::TooLarge) => return self.left_out(|counts| &mut counts.too_large),
            Ok(Reading::Unsteady) => return self.left_out(|counts| &mut counts.unsteady),
            Err(_) => return self.left_out(|counts| &mut counts.unreadable),
        };
        let record = Record::new(key, status, &contents);
        self.batch.clear();
        self.batch.put_in(&self.stores.contents, key, &contents);
        self.batch.put_in(&self.stores.meta, key, record.encode());
        let written = self.stores.db.write(&self.batch);
        written.with_context(|| format!("cannot store {}", path.display()))?;
        self.counts.files += 1;
        self.counts.bytes += contents.len() as u64;
        Ok(Some((key.to_vec(), record)))
    }

    fn stored_already(&self, path: &Path, key: &[u8]) -> Result<Option<Record>> {
        let Some(value) = self.stores.meta.get(key)? else { return Ok(None) };
        let Ok(metadata) = path.symlink_metadata() else { return Ok(None) };
        let record = Record::decode(&value);
        Ok(record.filter(|record| record.status == Status::of(&metadata)))
    }

    fn left_out(
        &mut self,
        counter: fn(&mut Counts) -> &mut u64,
    ) -> Result<Option<(Vec<u8>, Record)>> {
        *counter(&mut self.counts) += 1;
        Ok(None)
    }
}

/// How reading one file ended.
pub(crate) enum Reading {
    /// Its bytes, and its status before and after.
    Steady(Status, Vec<u8>),
    /// It is larger than a value may be.
    TooLarge,
    /// It was another file after each try.
    Unsteady,
}

/// Reads a file whose status is the same before and after.
pub(crate) fn read_steady(path: &Path) -> io::Result<Reading> {
    for _ in 0..TRIES_MAX {
        let mut file = File::open(path)?;
        let before = Status::of(&file.metadata()?);
        if before.length > VALUE_BYTES_MAX as u64 {
            return Ok(Reading::TooLarge);
        }
        let mut contents = Vec::with_capacity(before.length as usize + 1);
        // A file that grows for ever must not be read for ever.
        Read::by_ref(&mut file).take(before.length + 1).read_to_end(&mut contents)?;
        let after = Status::of(&path.symlink_metadata()?);
        if before == after && contents.len() as u64 == before.length {
            return Ok(Reading::Steady(before, contents));
        }
    }
    Ok(Reading::Unsteady)
}
