//! A disk that does something of a test's around some of its calls.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::vfs::{Access, LockGuard, Metadata, Patience, Vfs, VfsFile};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    CreateDir,
    SyncDir,
    Create,
    Open,
}

/// What is done around a call, which `run` is.
pub(crate) trait Around: Debug + Send + Sync + 'static {
    fn around<T>(&self, call: Call, path: &Path, run: impl FnOnce() -> T) -> T;
}

#[derive(Debug)]
pub(crate) struct Surrounded<A> {
    pub(crate) disk: Arc<dyn Vfs>,
    pub(crate) around: A,
}

impl<A: Around> Vfs for Surrounded<A> {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.absolute(path)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.around.around(Call::CreateDir, dir, || self.disk.create_dir(dir))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.around.around(Call::SyncDir, dir, || self.disk.sync_dir(dir))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.around.around(Call::Create, path, || self.disk.create(path))
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        self.around.around(Call::Open, path, || self.disk.open(path, access))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock(path)
    }
    fn honours_reservation(&self, dir: &Path) -> bool {
        self.disk.honours_reservation(dir)
    }
    fn monotonic(&self) -> Duration {
        self.disk.monotonic()
    }
    fn wall_clock_ms(&self) -> u64 {
        self.disk.wall_clock_ms()
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
    fn lower_thread_priority(&self, patience: Patience) {
        self.disk.lower_thread_priority(patience);
    }
}
