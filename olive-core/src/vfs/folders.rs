//! Folders that are kept open, so that syncing one needs no descriptor any more.
//!
//! ```text
//! lock    LOCK opened and locked · its folder opened and kept
//! sync    what the path names is the folder that is kept? that one: opened and synced here
//! unlock  LOCK unlocked · the folder closed
//! ```
//!
//! A process can have as many files open as it may, at any moment. A folder that cannot
//! be opened then is not synced, and an engine that took this for a sync that failed
//! would stop for nothing. The path may name another folder by now: names in that one
//! are not made durable by a sync of the one that had the path before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::sync::{Arc, Mutex};

/// The folders that hold a lock, by the path of the lock.
#[derive(Debug, Default, Clone)]
pub(super) struct Folders(Arc<Mutex<BTreeMap<PathBuf, Arc<File>>>>);

impl Folders {
    /// Opens `dir`, and keeps it open until what is returned is dropped.
    pub(super) fn keep(&self, dir: &Path) -> io::Result<KeptFolder> {
        let file = open(dir)?.map(Arc::new);
        if let Some(file) = &file {
            self.0.lock().insert(dir.to_path_buf(), Arc::clone(file));
        }
        Ok(KeptFolder { folders: self.clone(), dir: dir.to_path_buf(), file })
    }

    /// Makes the names in `dir` durable.
    pub(super) fn sync(&self, dir: &Path) -> io::Result<()> {
        let kept = self.0.lock().get(dir).cloned();
        match kept {
            Some(file) if is_at(&file, dir)? => file.sync_all(),
            _ => open(dir)?.map_or(Ok(()), |file| file.sync_all()),
        }
    }
}

/// A folder that is kept open for as long as this lives.
#[derive(Debug)]
pub(super) struct KeptFolder {
    folders: Folders,
    dir: PathBuf,
    file: Option<Arc<File>>,
}

impl Drop for KeptFolder {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let mut all = self.folders.0.lock();
        // Another folder may have come under this path, with a lock of its own.
        if all.get(&self.dir).is_some_and(|kept| Arc::ptr_eq(kept, file)) {
            all.remove(&self.dir);
        }
    }
}

/// A folder cannot be opened as a file on Windows, where names are durable by the file
/// system's own log.
fn open(dir: &Path) -> io::Result<Option<File>> {
    #[cfg(unix)]
    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    return File::open(dir).map(Some);
    #[cfg(not(unix))]
    return fs::metadata(dir).map(|_| None);
}

/// Whether `dir` names the folder that `file` is. Its number is not another's while it
/// is open.
fn is_at(file: &File, dir: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (kept, named) = (file.metadata()?, fs::metadata(dir)?);
        Ok((kept.dev(), kept.ino()) == (named.dev(), named.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, dir);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folders: &Folders, dir: &Path) -> bool {
        folders.0.lock().contains_key(dir)
    }

    #[test]
    fn a_folder_is_kept_for_as_long_as_it_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        let first = folders.keep(root.path()).unwrap();
        let second = folders.keep(root.path()).unwrap();
        drop(first);
        assert!(kept(&folders, root.path()), "the second one's");
        folders.sync(&root.path().join("")).unwrap();
        drop(second);
        assert!(!kept(&folders, root.path()));
        folders.sync(root.path()).unwrap();
    }

    #[test]
    fn a_folder_that_has_lost_its_path_is_not_synced_for_the_one_that_has_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("db");
        fs::create_dir(&dir).unwrap();
        let folders = Folders::default();
        let held = folders.keep(&dir).unwrap();
        let file = held.file.as_ref().unwrap();
        assert!(is_at(file, &dir).unwrap());
        fs::create_dir(root.path().join("other")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's own folders")]
        fs::rename(&dir, root.path().join("moved")).unwrap();
        assert_eq!(folders.sync(&dir).unwrap_err().kind(), io::ErrorKind::NotFound);
        #[expect(clippy::disallowed_methods, reason = "the test's own folders")]
        fs::rename(root.path().join("other"), &dir).unwrap();
        assert!(!is_at(file, &dir).unwrap());
        folders.sync(&dir).unwrap();
    }
}
