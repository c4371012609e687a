//! The database's folder: what stands in it, its names, its lock.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::file_names::{self, FileKind};
use crate::vfs::{LockGuard, Vfs};
use crate::wal;

/// What stands where a database is wanted.
pub(super) enum Place {
    Missing,
    /// Nothing, or what a creation left that did not end.
    Empty,
    Database,
}

/// `path` from the root on: what is kept of a path must name the same folder when the
/// process has changed its working folder.
pub(super) fn absolute(vfs: &dyn Vfs, path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("the path is empty: it must name a folder"));
    }
    vfs.absolute(path).map_err(|e| Error::io("find the working folder for", path, e))
}

/// Looks at the folder without changing anything.
pub(super) fn look(vfs: &dyn Vfs, dir: &Path) -> Result<Place> {
    match vfs.metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::Missing),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            let text = format!("{} lies under a file, not a folder", dir.display());
            return Err(Error::invalid(text));
        }
        Err(e) => return Err(Error::io("look at", dir, e)),
        Ok(metadata) if !metadata.is_dir => {
            let text = format!("{} is a file: a database is a folder", dir.display());
            return Err(Error::invalid(text));
        }
        Ok(_) => {}
    }
    let names = vfs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let kinds: Vec<Option<FileKind>> = names.iter().map(|name| FileKind::of(name)).collect();
    if kinds.contains(&Some(FileKind::Current)) {
        return Ok(Place::Database);
    }
    if let Some(name) = names.iter().zip(&kinds).find(|(_, kind)| kind.is_none()) {
        let text = format!(
            "{} is not an Olive database: it has no {} but a file \"{}\"",
            dir.display(),
            file_names::CURRENT,
            name.0
        );
        return Err(Error::invalid(text));
    }
    for kind in kinds.into_iter().flatten() {
        let is_loss = match kind {
            FileKind::Table(_) => true,
            FileKind::Segment(_) => wal::has_records(vfs, &dir.join(kind.name()))?,
            _ => false,
        };
        if is_loss {
            let path = dir.join(file_names::CURRENT);
            let what = format!("the file is missing, though {} is there", kind.name());
            return Err(Error::corruption(&path, 0, what));
        }
    }
    Ok(Place::Empty)
}

/// Creates `dir` and the folders above it that are missing, each name durable.
pub(super) fn create_folders(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let parent = parent_of(dir);
    if vfs.metadata(&parent).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        create_folders(vfs, &parent)?;
    }
    match vfs.create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            // Its name was there, though looking behind it found nothing.
            if vfs.metadata(dir).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                let text =
                    format!("{} is a symbolic link to a folder that does not exist", dir.display());
                return Err(Error::invalid(text));
            }
        }
        Err(e) => return Err(Error::io("create the folder", dir, e)),
    }
    vfs.sync_dir(&parent).map_err(|e| Error::io("sync the folder", &parent, e))
}

/// Makes the name of an empty folder durable, and those of the folders above it: a
/// creation that did not end may have made them and not come to that. Where one may
/// not be opened or cannot be synced, whoever made what is in it sees to it.
pub(super) fn keep_name(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let mut above = parent_of(dir);
    loop {
        let cannot_be = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::ReadOnlyFilesystem
            )
        };
        match vfs.sync_dir(&above) {
            Err(e) if cannot_be(&e) => return Ok(()),
            synced => synced.map_err(|e| Error::io("sync the folder", &above, e))?,
        }
        match above.parent() {
            Some(next) if !next.as_os_str().is_empty() => above = next.to_path_buf(),
            _ => return Ok(()),
        }
    }
}

fn parent_of(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn take_lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn LockGuard>> {
    let path = dir.join(file_names::LOCK);
    vfs.lock(&path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => Error::new(
            ErrorKind::Locked,
            format!("the database {} is open already: {} is locked", dir.display(), path.display()),
        ),
        io::ErrorKind::PermissionDenied if vfs.metadata(&path).is_ok() => Error::new(
            ErrorKind::ReadOnly,
            format!(
                "the file {} cannot be written ({e}): make it writable, or open the database \
                 read-only",
                path.display()
            ),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::new(
            ErrorKind::ReadOnly,
            format!("the folder {} cannot be written ({e}): open it read-only", dir.display()),
        ),
        _ => Error::io("lock", &path, e),
    })
}

/// Removes what a creation left that did not end; `look` has seen that nothing of
/// it holds data.
pub(super) fn remove_unfinished(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    match look(vfs, dir)? {
        Place::Empty => {}
        _ => return Err(Error::new(ErrorKind::Conflict, "somebody else creates the database")),
    }
    for name in vfs.list(dir).map_err(|e| Error::io("list", dir, e))? {
        if name != file_names::LOCK {
            let path = dir.join(name);
            vfs.unlink(&path).map_err(|e| Error::io("unlink", &path, e))?;
        }
    }
    Ok(())
}

/// Removes files of ours that are not `kept`.
pub(super) fn remove_orphans(vfs: &dyn Vfs, dir: &Path, kept: &dyn Fn(FileKind) -> bool) {
    let names = vfs.list(dir).unwrap_or_else(|error| {
        log::warn!("cannot list {}: {error}", dir.display());
        Vec::new()
    });
    for name in names {
        if FileKind::of(&name).is_some_and(|kind| !kept(kind))
            && let Err(error) = vfs.unlink(&dir.join(&name))
        {
            log::warn!("cannot unlink {}: {error}", dir.join(&name).display());
        }
    }
}
