//! The folder that a checkpoint is made in, beside its target.
//!
//! ```text
//! claimed    NAME.checkpoint-tmp created · LOCK locked · CHECKPOINT.tmp created
//!            · folder synced
//! filled     tables, a manifest, CURRENT
//! named      renamed to NAME · folder above synced · CHECKPOINT.tmp unlinked
//! given up   the rest unlinked · folder synced · CHECKPOINT.tmp and LOCK unlinked
//!            · folder removed
//! ```
//!
//! CHECKPOINT.tmp marks a folder that nobody has got yet. It is there, on disk too, before
//! anything that it speaks for and after all of that is gone, and opening a database removes
//! it: so a folder with it is what a crash left of a checkpoint, and one without it is
//! somebody's. Only the first is cleared, and only when all in it was looked at.

use std::io;
use std::path::{Path, PathBuf};

use super::parent_of;
use crate::error::{Error, ErrorKind, Result};
use crate::format::file_names::{CHECKPOINT_TMP, CURRENT, FileKind, LOCK};
use crate::sync::Arc;
use crate::vfs::{LockGuard, Vfs};

/// The folder, empty but for its lock and its mark when it is claimed.
#[derive(Debug)]
pub(super) struct Temporary {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// The one that the folder will have as a database.
    lock: Box<dyn LockGuard>,
}

impl Temporary {
    /// Makes the folder for `target`, or clears what a checkpoint left there that a crash
    /// has cut.
    pub(super) fn claim(vfs: &Arc<dyn Vfs>, target: &Path) -> Result<Temporary> {
        let path = beside(target)?;
        let is_new = match vfs.create_dir(&path) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) => return Err(Error::io("create the folder", &path, e)),
        };
        if !is_new {
            look(&**vfs, &path)?;
        }
        let lock = match take_lock(&**vfs, &path) {
            Ok(lock) => lock,
            Err(error) => {
                // Where another checkpoint is filling it, it is not empty and stays.
                if is_new {
                    let _ = vfs.remove_dir(&path);
                }
                return Err(error);
            }
        };
        let temporary = Temporary { vfs: Arc::clone(vfs), path, lock };
        match temporary.clear() {
            Ok(()) => Ok(temporary),
            Err(error) => {
                if is_new {
                    temporary.give_up();
                }
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves only the lock and the mark, which is durable then.
    fn clear(&self) -> Result<()> {
        // Somebody may have been here between the look and the lock.
        let names = look(&*self.vfs, &self.path)?;
        let io = |e| Error::io("clear the folder", &self.path, e);
        for name in names.iter().filter(|name| ![LOCK, CHECKPOINT_TMP].contains(&name.as_str())) {
            self.vfs.unlink(&self.path.join(name)).map_err(io)?;
        }
        if !names.iter().any(|name| name == CHECKPOINT_TMP) {
            let mark = self.path.join(CHECKPOINT_TMP);
            self.vfs.create(&mark).map_err(|e| Error::io("create", &mark, e))?;
        }
        let failed = |e| Error::io("sync the folder", &self.path, e);
        self.vfs.sync_dir(&self.path).map_err(failed)
    }

    /// Gives the folder, which is filled and durable, the name `target`.
    pub(super) fn name(self, target: &Path) -> Result<()> {
        if let Err(e) = self.vfs.rename(&self.path, target) {
            self.give_up();
            return Err(Error::io("rename to its place", target, e));
        }
        let parent = parent_of(target);
        self.vfs.sync_dir(&parent).map_err(|e| Error::io("sync the folder", &parent, e))?;
        let mark = target.join(CHECKPOINT_TMP);
        if let Err(error) = self.vfs.unlink(&mark) {
            // It is in nobody's way, and the first open removes it.
            log::warn!("cannot unlink {}: {error}", mark.display());
        }
        drop(self.lock);
        Ok(())
    }

    /// Removes a checkpoint that did not end.
    pub(super) fn give_up(self) {
        if let Err(error) = self.remove() {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    fn remove(&self) -> io::Result<()> {
        let made = |name: &String| may_be_left(FileKind::of(name));
        for name in self.vfs.list(&self.path)?.iter().filter(|name| made(name)) {
            if ![LOCK, CHECKPOINT_TMP].contains(&name.as_str()) {
                self.vfs.unlink(&self.path.join(name))?;
            }
        }
        // The mark is the last to go: without it nothing may be there.
        self.vfs.sync_dir(&self.path)?;
        for name in [CHECKPOINT_TMP, LOCK] {
            match self.vfs.unlink(&self.path.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        self.vfs.remove_dir(&self.path)
    }
}

fn beside(target: &Path) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        return Err(Error::invalid(format!("{target:?} is no name for a folder")));
    };
    let mut name = name.to_os_string();
    name.push(".checkpoint-tmp");
    Ok(parent_of(target).join(name))
}

fn take_lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn LockGuard>> {
    let path = dir.join(LOCK);
    vfs.lock(&path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => {
            let text = format!("another checkpoint is filling {}", dir.display());
            Error::new(ErrorKind::Conflict, text)
        }
        _ => Error::io("lock", &path, e),
    })
}

/// What is in the folder, all of which a checkpoint left; refused where anything is
/// somebody's.
fn look(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<String>> {
    let refused = |what: String| {
        Err(Error::invalid(format!(
            "the checkpoint would be made in {}, but {what}: remove it or move it away",
            dir.display()
        )))
    };
    match vfs.metadata(dir) {
        Ok(found) if found.is_link => return refused("that is a symbolic link".to_owned()),
        Ok(found) if !found.is_dir => return refused("that is no folder".to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return refused("that is a symbolic link to nothing".to_owned());
        }
        Err(e) => return Err(Error::io("look at", dir, e)),
    }
    let mut names = vfs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    names.sort();
    let has = |wanted| names.iter().any(|name| name == wanted);
    let is_marked = has(CHECKPOINT_TMP);
    if has(CURRENT) && !is_marked {
        return refused(format!("that is a database: it has a {CURRENT} and no {CHECKPOINT_TMP}"));
    }
    for name in &names {
        let path = dir.join(name);
        let found = match vfs.metadata(&path) {
            Ok(found) => found,
            // One that is under way goes on.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("look at", &path, e)),
        };
        let kind = FileKind::of(name);
        if found.is_link || found.is_dir || !may_be_left(kind) {
            return refused(format!("it holds \"{name}\", which no checkpoint makes"));
        }
        // A crash can come before the mark, when there is nothing but an empty lock file.
        if !is_marked && (kind != Some(FileKind::Lock) || found.len > 0) {
            return refused(format!("it holds \"{name}\" and no {CHECKPOINT_TMP}"));
        }
    }
    Ok(names)
}

/// Whether a checkpoint makes such a file in its folder.
fn may_be_left(kind: Option<FileKind>) -> bool {
    match kind {
        Some(
            FileKind::Current
            | FileKind::CurrentTmp
            | FileKind::CheckpointTmp
            | FileKind::Lock
            | FileKind::Manifest(_)
            | FileKind::Table(_),
        ) => true,
        Some(FileKind::Segment(_)) | None => false,
    }
}
