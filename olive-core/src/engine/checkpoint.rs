//! A second database folder that shares this one's tables.
//!
//! All that was written before the call is flushed, so that the checkpoint is
//! tables alone: no log segment, least of all a live one, is shared. The tables of
//! one version are linked (or copied, where the other folder is on another file
//! system) into a temporary folder beside the target, which gets a manifest and a
//! CURRENT of its own, is synced, and is renamed.

use std::io;
use std::path::{Path, PathBuf};

use super::Engine;
use super::folder::absolute;
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::VersionEdit;
use crate::format::file_names::{FileKind, LOCK};
use crate::key::SeqNo;
use crate::version::{Manifest, Version};
use crate::vfs::{Access, LockGuard, Vfs, uninterrupted, write_all_at};

const COPY_BYTES: usize = 1 << 20;

impl Engine {
    /// Makes a database in `target`, which must not exist, of all that was written
    /// before the call.
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
        let temporary = temporary_beside(target)?;
        let lock = self.claim(&temporary)?;
        let result = self.fill_checkpoint(&temporary).and_then(|()| {
            self.vfs
                .rename(&temporary, target)
                .map_err(|e| Error::io("rename to its place", target, e))
        });
        if let Err(error) = result {
            remove_folder(&*self.vfs, &temporary);
            return Err(error);
        }
        drop(lock);
        let parent = parent_of(target);
        self.vfs.sync_dir(&parent).map_err(|e| Error::io("sync the folder", &parent, e))
    }

    /// Makes the temporary folder, or clears what a checkpoint left there that a crash
    /// has cut; one that is under way holds the lock that the folder will have as a
    /// database.
    fn claim(&self, temporary: &Path) -> Result<Box<dyn LockGuard>> {
        match self.vfs.create_dir(temporary) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create the folder", temporary, e)),
        }
        let path = temporary.join(LOCK);
        let lock = self.vfs.lock(&path).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => {
                let text = format!("another checkpoint is filling {}", temporary.display());
                Error::new(ErrorKind::Conflict, text)
            }
            _ => Error::io("lock", &path, e),
        });
        let cleared = lock.and_then(|lock| {
            let io = |e| Error::io("clear the folder", temporary, e);
            for name in self.vfs.list(temporary).map_err(io)? {
                if name != LOCK {
                    self.vfs.unlink(&temporary.join(name)).map_err(io)?;
                }
            }
            Ok(lock)
        });
        if let Err(error) = &cleared
            && error.kind() != ErrorKind::Conflict
        {
            remove_folder(&*self.vfs, temporary);
        }
        cleared
    }

    fn fill_checkpoint(&self, dir: &Path) -> Result<()> {
        // The view holds its tables: they are not unlinked while it lives.
        let (view, flushed) = {
            let manifest = self.manifest.lock();
            let flushed = manifest.as_ref().map(|records| records.flushed_seq);
            (self.view.load_full(), flushed)
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
        let number = self.next_number();
        let state = checkpoint_state(&view.version, flushed, number);
        Manifest::create_unseen(&self.vfs, dir, number, self.database, &state)
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

fn temporary_beside(target: &Path) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        return Err(Error::invalid(format!("{} is no name for a folder", target.display())));
    };
    let mut name = name.to_os_string();
    name.push(".checkpoint-tmp");
    Ok(parent_of(target).join(name))
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

/// Removes a checkpoint that did not end.
fn remove_folder(vfs: &dyn Vfs, dir: &Path) {
    for name in vfs.list(dir).unwrap_or_default() {
        let _ = vfs.unlink(&dir.join(name));
    }
    if let Err(error) = vfs.remove_dir(dir) {
        log::warn!("cannot remove {}: {error}", dir.display());
    }
}
