//! The disk changed and read behind the back of whoever uses it.
//!
//! Such a change is durable at once, is not a call and has no number, so it
//! must come before [`SimVfs::record`].

use std::path::{Path, PathBuf};

use super::content::File;
use super::disk::{Dir, Disk, Node};
use super::{SimVfs, State};
use crate::sync::{Arc, MutexGuard};

impl SimVfs {
    /// Paths of all files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().disk.files().into_iter().map(|(path, _)| path).collect()
    }

    /// Bytes of all files at one moment, also while others make and unlink them.
    #[must_use]
    pub fn bytes_of_files(&self) -> u64 {
        let state = self.state();
        let files = state.disk.files();
        files
            .iter()
            .map(|(_, node)| state.disk.file(*node).map_or(0, |f| f.current.len() as u64))
            .sum()
    }

    /// What a file holds now.
    ///
    /// # Panics
    ///
    /// Where there is no such file.
    #[must_use]
    pub fn read_raw(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        match state.disk.resolve(path).ok().and_then(|node| state.disk.file(node)) {
            Some(file) => file.current.to_vec(),
            None => panic!("{}: no such file", path.display()),
        }
    }

    /// Puts `bytes` in place of what a file holds, which is created if it is
    /// missing, its folders too.
    ///
    /// # Panics
    ///
    /// While mutations are recorded, and where `path` or a part of it is of the
    /// wrong sort.
    pub fn write_raw(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.changed();
        let found = create(&mut state.disk, path);
        let file = found.ok().and_then(|node| state.disk.file_mut(node));
        let Some(file) = file else { panic!("{}: not a file", path.display()) };
        let content = Arc::new(bytes.to_vec());
        *file = File { current: Arc::clone(&content), durable: content, pending: Vec::new() };
    }

    /// Turns one bit of a file over; bit 0 is the lowest of the first byte.
    ///
    /// # Panics
    ///
    /// As [`write_raw`](SimVfs::write_raw), and past the end of the file.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut bytes = self.read_raw(path);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        self.write_raw(path, &bytes);
    }

    /// Cuts a file, or extends it with zeros, to `len` bytes.
    ///
    /// # Panics
    ///
    /// As [`write_raw`](SimVfs::write_raw).
    pub fn truncate_raw(&self, path: &Path, len: u64) {
        let mut bytes = self.read_raw(path);
        bytes.resize(len as usize, 0);
        self.write_raw(path, &bytes);
    }

    /// Takes the name of a file away.
    ///
    /// # Panics
    ///
    /// While mutations are recorded, and where there is no such file.
    pub fn remove_raw(&self, path: &Path) {
        let mut state = self.changed();
        let Ok((parent, name)) = state.disk.parent(path) else {
            panic!("{}: no such folder", path.display())
        };
        let disk = &mut state.disk;
        for op in &mut disk.names_pending {
            op.edits.retain(|edit| (edit.dir, &edit.name) != (parent, &name));
        }
        let found = disk.dir_mut(parent).and_then(|dir| {
            dir.durable.remove(&name);
            dir.current.remove(&name)
        });
        assert!(found.is_some(), "{}: no such file", path.display());
    }

    fn changed(&self) -> MutexGuard<'_, State> {
        let state = self.state();
        assert!(state.journal.is_none(), "a raw change while mutations are recorded");
        state
    }
}

/// Creates a file and the folders above it, durable names all.
fn create(disk: &mut Disk, path: &Path) -> std::io::Result<u64> {
    let names = super::disk::components(path);
    let mut parent = super::disk::ROOT;
    for (depth, name) in names.iter().enumerate() {
        let is_file = depth + 1 == names.len();
        let known = disk.dir(parent).and_then(|dir| dir.current.get(name)).copied();
        let node = known.unwrap_or(disk.next_node);
        if known.is_none() {
            disk.next_node += 1;
            let new = if is_file { Node::File(File::default()) } else { Node::Dir(Dir::default()) };
            disk.nodes.insert(node, new);
        }
        let Some(dir) = disk.dir_mut(parent) else {
            return Err(super::errno::error(super::errno::ENOTDIR));
        };
        dir.current.insert(name.clone(), node);
        dir.durable.insert(name.clone(), node);
        parent = node;
    }
    Ok(parent)
}
