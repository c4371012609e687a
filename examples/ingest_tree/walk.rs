//! Walks a folder in the order of names, without following symlinks.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// What cannot be stored.
pub(crate) enum LeftOut {
    /// A symlink, a socket, a device or a pipe.
    Special,
    /// A folder or an entry that cannot be read.
    Unreadable,
}

/// The plain files below `folder`, but for those below `without`.
pub(crate) fn walk(folder: &Path, without: &Path) -> Walk {
    let mut walk = Walk { open: Vec::new(), without: without.to_owned(), failed: false };
    walk.enter(folder);
    walk
}

/// See [`walk`].
pub(crate) struct Walk {
    /// The folders that are being read, outermost first.
    open: Vec<IntoIter<DirEntry>>,
    without: PathBuf,
    failed: bool,
}

impl Walk {
    fn enter(&mut self, folder: &Path) {
        let entries: std::io::Result<Vec<DirEntry>> =
            std::fs::read_dir(folder).and_then(Iterator::collect);
        match entries {
            Ok(mut entries) => {
                entries.sort_by_key(DirEntry::file_name);
                self.open.push(entries.into_iter());
            }
            Err(_) => self.failed = true,
        }
    }
}

impl Iterator for Walk {
    type Item = Result<PathBuf, LeftOut>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if std::mem::take(&mut self.failed) {
                return Some(Err(LeftOut::Unreadable));
            }
            let Some(entry) = self.open.last_mut()?.next() else {
                self.open.pop();
                continue;
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    let path = entry.path();
                    if path != self.without {
                        self.enter(&path);
                    }
                }
                Ok(kind) if kind.is_file() => return Some(Ok(entry.path())),
                Ok(_) => return Some(Err(LeftOut::Special)),
                Err(_) => return Some(Err(LeftOut::Unreadable)),
            }
        }
    }
}
