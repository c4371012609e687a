//! A small disk that can be filled: a file system mounted for the purpose, or the
//! simulated one with a limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, Options, Result};

use crate::support::DIR;

/// Bytes of a file system that is mounted.
const MOUNTED_BYTES: u64 = 32 << 20;
/// Bytes of a simulated disk.
const SIMULATED_BYTES: u64 = 4 << 20;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    Tmpfs,
    /// In an image of its own, through a loop device.
    Ext4,
}

/// Where a database lies that runs out of room.
pub(super) enum Disk {
    Mounted(Mount),
    Simulated(Mutex<SimVfs>),
}

impl Disk {
    pub(super) fn simulated(seed: u64) -> Disk {
        Disk::Simulated(Mutex::new(limited(SimVfs::new(seed))))
    }

    /// Bytes in all.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Disk::Mounted(_) => MOUNTED_BYTES,
            Disk::Simulated(_) => SIMULATED_BYTES,
        }
    }

    /// Bytes that are free.
    pub(super) fn room(&self) -> u64 {
        match self {
            Disk::Mounted(mount) => mount.room(),
            Disk::Simulated(vfs) => SIMULATED_BYTES.saturating_sub(used(&now(vfs))),
        }
    }

    pub(super) fn open(&self, options: Options) -> Result<Db> {
        match self {
            Disk::Mounted(mount) => options.open(mount.database()),
            Disk::Simulated(vfs) => open_on(options, Arc::new(now(vfs)), DIR),
        }
    }

    /// Takes all room but about `left` bytes.
    pub(super) fn fill(&self, left: u64) {
        match self {
            Disk::Mounted(mount) => mount.fill(left),
            Disk::Simulated(vfs) => {
                let vfs = now(vfs);
                vfs.set_capacity(Some(used(&vfs) + left));
            }
        }
    }

    /// Gives the room back.
    pub(super) fn free(&self) {
        match self {
            Disk::Mounted(mount) => mount.free(),
            Disk::Simulated(vfs) => drop(limited(now(vfs))),
        }
    }

    /// Removes the database.
    pub(super) fn clear(&self) {
        match self {
            Disk::Mounted(mount) => {
                if mount.database().exists() {
                    fs::remove_dir_all(mount.database()).expect("the old database goes");
                }
            }
            Disk::Simulated(vfs) => put(vfs, SimVfs::new(1)),
        }
    }

    /// The database as a kill leaves it. Nobody may work on it meanwhile.
    pub(super) fn copy(&self) -> Copy {
        match self {
            Disk::Mounted(mount) => {
                let copy = tempfile::tempdir().expect("a temporary folder");
                copy_folder(&mount.database(), copy.path());
                Copy::Folder(copy)
            }
            Disk::Simulated(vfs) => Copy::Simulated(now(vfs).kill_now()),
        }
    }

    /// The same at any time, which only a simulated disk can give; on one with room.
    pub(super) fn killed(&self) -> Option<SimVfs> {
        let Disk::Simulated(vfs) = self else { return None };
        let copy = now(vfs).kill_now();
        copy.set_capacity(None);
        Some(copy)
    }

    /// Puts a database that was copied in place of what is there.
    pub(super) fn restore(&self, copy: &Copy) {
        match (self, copy) {
            (Disk::Mounted(mount), Copy::Folder(folder)) => {
                self.clear();
                copy_folder(folder.path(), &mount.database());
            }
            (Disk::Simulated(vfs), Copy::Simulated(copy)) => put(vfs, copy.kill_now()),
            _ => unreachable!("a copy from another sort of disk"),
        }
    }

    /// Tables that stand in the folder.
    pub(super) fn tables(&self) -> usize {
        let is_table = |path: &PathBuf| path.extension().is_some_and(|name| name == "sst");
        match self {
            Disk::Mounted(mount) => {
                let entries = fs::read_dir(mount.database()).expect("a folder");
                entries.map(|entry| entry.expect("an entry").path()).filter(is_table).count()
            }
            Disk::Simulated(vfs) => now(vfs).paths().iter().filter(|path| is_table(path)).count(),
        }
    }
}

/// Bytes of all files.
fn used(vfs: &SimVfs) -> u64 {
    vfs.bytes_of_files()
}

/// A handle of the disk in the slot.
fn now(slot: &Mutex<SimVfs>) -> SimVfs {
    slot.lock().expect("not poisoned").clone()
}

fn put(slot: &Mutex<SimVfs>, vfs: SimVfs) {
    *slot.lock().expect("not poisoned") = limited(vfs);
}

fn limited(vfs: SimVfs) -> SimVfs {
    vfs.set_capacity(Some(SIMULATED_BYTES));
    vfs
}

/// A database that was copied away.
pub(super) enum Copy {
    Folder(tempfile::TempDir),
    Simulated(SimVfs),
}

impl Copy {
    /// The database in it, where there is room.
    pub(super) fn open(&self, options: &Options) -> Result<Db> {
        match self {
            Copy::Folder(folder) => options.clone().open(folder.path()),
            Copy::Simulated(vfs) => {
                vfs.set_capacity(None);
                open_on(options.clone(), Arc::new(vfs.clone()), DIR)
            }
        }
    }
}

/// A file system that is mounted until this is dropped.
pub(super) struct Mount {
    dir: tempfile::TempDir,
    /// Where its blocks lie.
    _image: Option<tempfile::NamedTempFile>,
}

impl Mount {
    /// Mounts one; the error says what the system answered.
    pub(super) fn new(what: FileSystem) -> std::result::Result<Mount, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let size = format!("size={MOUNTED_BYTES},mode=0700");
        let image = match what {
            FileSystem::Tmpfs => {
                run(Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &size, "olive"])
                    .arg(dir.path()))?;
                None
            }
            FileSystem::Ext4 => {
                let image = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
                image.as_file().set_len(MOUNTED_BYTES).map_err(|e| e.to_string())?;
                run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image.path()))?;
                run(Command::new("mount").args(["-o", "loop"]).arg(image.path()).arg(dir.path()))?;
                Some(image)
            }
        };
        Ok(Mount { dir, _image: image })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("db")
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn room(&self) -> u64 {
        let found = rustix::fs::statvfs(self.path()).expect("statvfs");
        found.f_bavail * found.f_frsize
    }

    #[expect(clippy::disallowed_methods, reason = "a file beside the database")]
    fn fill(&self, left: u64) {
        let file = fs::File::create(self.ballast()).expect("a ballast");
        let mut bytes = self.room().saturating_sub(left);
        // The file system takes some of the room for its own records of it.
        while bytes > 0 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, flags, 0, bytes) {
                Ok(()) => return,
                Err(rustix::io::Errno::NOSPC) => bytes = bytes.saturating_sub(4096),
                Err(error) => panic!("a ballast of {bytes} bytes: {error}"),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a file beside the database")]
    fn free(&self) {
        if self.ballast().exists() {
            fs::remove_file(self.ballast()).expect("the ballast goes");
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(self.path())) {
            eprintln!("{} stays mounted: {error}", self.path().display());
        }
    }
}

fn run(command: &mut Command) -> std::result::Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let cause = text.lines().next().unwrap_or_default();
    Err(format!("{command:?}: {}: {cause}", output.status))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}
