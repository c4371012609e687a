//! A second database folder that shares this one's tables.
//!
//! All that was written before the call is flushed, so that the checkpoint is
//! tables alone: no log segment, least of all a live one, is shared. The tables of
//! one version are linked (or copied, where the other folder is on another file
//! system) into a temporary folder beside the target (`temporary.rs`), which gets a
//! manifest and a CURRENT of its own, is synced, and is renamed.

mod temporary;

use std::io;
use std::path::{Path, PathBuf};

use super::Engine;
use super::folder::absolute;
use super::view::View;
use crate::error::{Error, Result};
use crate::format::edit::VersionEdit;
use crate::format::file_names::FileKind;
use crate::key::SeqNo;
use crate::sync::Arc;
use crate::version::{Manifest, Version};
use crate::vfs::{Access, Vfs, uninterrupted, write_all_at};
use temporary::Temporary;

const COPY_BYTES: usize = 1 << 20;

impl Engine {
    /// Makes a database in `target`, which must not exist, of all that was written
    /// before the call, and perhaps some of what was written during it.
    pub(crate) fn checkpoint(&self, target: &Path) -> Result<()> {
        let target = &*absolute(&*self.vfs, target)?;
        if !self.read_only {
            self.flush()?;
        }
        self.check_open()?;
        if self.vfs.metadata(target).is_ok() {
            let text = format!("{} exists: a checkpoint makes a new folder", target.display());
            return Err(Error::invalid(text));
        }
        let temporary = Temporary::claim(&self.vfs, target)?;
        if let Err(error) = self.fill_checkpoint(temporary.path()) {
            temporary.give_up();
            return Err(error);
        }
        temporary.name(target)
    }

    fn fill_checkpoint(&self, dir: &Path) -> Result<()> {
        let (view, flushed) = loop {
            let (view, flushed, is_short) = self.tables_as_of();
            if !is_short || self.read_only {
                break (view, flushed);
            }
            // What was dropped since the flush may be gone from the tables already, and only
            // the log says why.
            self.flush()?;
        };
        // A close meanwhile leaves an empty view behind.
        self.check_open()?;
        if self.read_only && !view.immutables.is_empty() {
            let text = "a read-only handle with unflushed writes cannot make a checkpoint";
            return Err(Error::invalid(text));
        }
        for (_, table) in view.version.tables() {
            let name = FileKind::Table(table.meta().number).name();
            link_or_copy(&*self.vfs, &self.dir.join(&name), &dir.join(&name))?;
        }
        let flushed = flushed.unwrap_or_else(|| self.published());
        let number = self.next_number()?;
        let state = checkpoint_state(&view.version, flushed, number);
        Manifest::create_unseen(&self.vfs, dir, number, self.database, &state)
    }

    /// A view, which holds its tables (they are not unlinked while it lives), the last number
    /// that is in them, and whether a keyspace was dropped behind that.
    fn tables_as_of(&self) -> (Arc<View>, Option<SeqNo>, bool) {
        // Nothing of a dropped keyspace goes before the drop is noted, nor without this lock.
        let manifest = self.manifest.lock();
        let flushed = manifest.as_ref().map(|records| records.flushed_seq);
        let is_short = flushed.is_some_and(|seq| self.dropped.lock().values().any(|at| *at > seq));
        (self.view.load_full(), flushed, is_short)
    }
}

/// All in tables, and no log: the clean mark of a database that was closed.
fn checkpoint_state(version: &Version, flushed: SeqNo, number: u64) -> VersionEdit {
    VersionEdit {
        added: version.tables().map(|(level, table)| (level, table.meta().clone())).collect(),
        flushed_seq: Some(flushed),
        last_seq: Some(flushed),
        next_file: Some(number + 1),
        clean_segment: Some(number),
        ..VersionEdit::default()
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn link_or_copy(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<()> {
    match vfs.hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::CrossesDevices
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::TooManyLinks
            ) =>
        {
            copy(vfs, from, to)
        }
        Err(e) => Err(Error::io("link into a checkpoint", to, e)),
    }
}

fn copy(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<()> {
    let source = vfs.open(from, Access::Read).map_err(|e| Error::io("open", from, e))?;
    let target = vfs.create(to).map_err(|e| Error::io("create", to, e))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let read = uninterrupted(|| source.read_at(offset, &mut buffer))
            .map_err(|e| Error::io("read", from, e))?;
        if read == 0 {
            break;
        }
        write_all_at(&*target, offset, &buffer[..read]).map_err(|e| Error::io("write", to, e))?;
        offset += read as u64;
    }
    target.sync().map_err(|e| Error::io("sync", to, e))
}
