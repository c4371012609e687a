//! The real disk: std where it has the call, rustix where only Linux does.
//!
//! What only Linux has (`fallocate`, `statfs`, a nice value for each thread,
//! `getrandom`) stands in [`platform`], with a portable answer beside it.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::folders::{Folders, KeptFolder};
use super::mmap::{MappedStores, Mapping, WeakStores};
use super::{Access, LockGuard, Metadata, Patience, SharedMap, Vfs, VfsFile};
use crate::sync::{Arc, OnceLock};

/// The operating system's file system, clock and randomness.
///
/// Files are created with mode 0600 and folders with mode 0700, since whoever
/// can write into a mapped file can change what a reader has checked.
#[derive(Debug, Default, Clone)]
pub struct OsVfs {
    /// Those that hold a lock.
    folders: Folders,
}

impl Vfs for OsVfs {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.folders.sync(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let named = fs::symlink_metadata(path)?;
        let is_link = named.is_symlink();
        let found = if is_link { fs::metadata(path)? } else { named };
        let is_dir = found.is_dir();
        Ok(Metadata {
            len: if is_dir { 0 } else { found.len() },
            allocated_bytes: platform::allocated_bytes(&found),
            is_dir,
            is_link,
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        open_file(private(OpenOptions::new().read(true).write(true).create_new(true)), path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        check_regular(&fs::metadata(path)?)?;
        open_file(OpenOptions::new().read(true).write(access == Access::ReadWrite), path)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        match fs::metadata(path) {
            Ok(found) => check_regular(&found)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = private(&mut options).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let lock = OsLock { file, path: path.to_path_buf() };
        Ok(Box::new(OsGuard { _lock: lock, _folder: self.folders.keep(dir)? }))
    }

    fn honours_reservation(&self, dir: &Path) -> bool {
        platform::honours_reservation(dir)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs")]
    fn wall_clock_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn random(&self) -> u64 {
        platform::random()
    }

    fn lower_thread_priority(&self, patience: Patience) {
        platform::lower_thread_priority(patience);
    }
}

/// A lock, and its folder, kept open.
#[derive(Debug)]
struct OsGuard {
    _lock: OsLock,
    _folder: KeptFolder,
}

impl LockGuard for OsGuard {}

/// The lock of `flock`: it belongs to this open file, so a second handle of the
/// same process is kept out too, and it ends with the process.
struct OsLock {
    file: File,
    path: PathBuf,
}

impl Drop for OsLock {
    /// A child that the process has forked and that has not come to its exec holds the
    /// file as well: closing it here would leave the lock with that.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            log::warn!("cannot unlock {}: {error}", self.path.display());
        }
    }
}

impl fmt::Debug for OsLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OsLock").field(&self.path).finish()
    }
}

struct OsFile {
    file: File,
    path: PathBuf,
    /// The mapping by which it is stored into, once there was one.
    stores: OnceLock<WeakStores>,
}

impl fmt::Debug for OsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OsFile").field(&self.path).finish()
    }
}

impl OsFile {
    /// A mapping past the end would fault, so a file that is too short is an
    /// error here.
    fn check_len(&self, len: u64) -> io::Result<usize> {
        let found = self.len()?;
        if len > found {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{}: {found} bytes, of which {len} were to be mapped", self.path.display()),
            ));
        }
        usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput.into())
    }
}

impl VfsFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        platform::read_at(&self.file, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        platform::write_at(&self.file, offset, bytes)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        if platform::allocate(&self.file, len)? {
            return Ok(());
        }
        fill_with_zeros(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_to(&self, len: u64) -> io::Result<()> {
        match self.stores.get().and_then(WeakStores::get) {
            Some(stores) if len <= stores.len() => super::uninterrupted(|| stores.sync_to(len)),
            _ => self.sync(),
        }
    }

    fn write_back(&self, done: u64, begun: Range<u64>) -> io::Result<()> {
        super::mmap::write_back(&self.file, done, begun)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        Mapping::of_file(&self.file, self.check_len(len)?)
    }

    fn map_shared(&self, len: u64) -> io::Result<Box<dyn SharedMap>> {
        let stores = MappedStores::of_file(&self.file, self.check_len(len)?)?;
        let _ = self.stores.set(stores.downgrade());
        Ok(Box::new(stores))
    }
}

/// Refuses what is no regular file before it is opened: a pipe would wait for somebody
/// at its other end, and opening a device can have effects of its own. It is looked at
/// by name, not opened without blocking, which a lease on a regular file would refuse.
fn check_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let (kind, sort) = if found.is_dir() {
        (io::ErrorKind::IsADirectory, "a folder")
    } else {
        (io::ErrorKind::InvalidInput, platform::sort(found.file_type()))
    };
    Err(io::Error::new(kind, format!("it is {sort}, not a regular file")))
}

#[expect(clippy::disallowed_methods, reason = "this is the vfs")]
fn open_file(options: &OpenOptions, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
    let file = options.open(path)?;
    Ok(Arc::new(OsFile { file, path: path.to_path_buf(), stores: OnceLock::new() }))
}

/// Mode 0600 for what these options create.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// What stands in for `fallocate`: zeros from the end of the file up to `len`.
/// No byte that exists is touched.
fn fill_with_zeros(file: &dyn VfsFile, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut offset = file.len()?;
    while offset < len {
        let step = (len - offset).min(ZEROS.len() as u64);
        super::write_all_at(file, offset, &ZEROS[..step as usize])?;
        offset += step;
    }
    Ok(())
}

/// What Linux has.
#[cfg(target_os = "linux")]
mod platform {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;

    use super::Patience;
    pub(super) use super::portable::{read_at, sort, write_at};

    /// Added to the nice value of a thread that can wait: a third, or a tenth, of the
    /// processor time of a thread at nice 0 that wants the same core.
    const NICE_STEP: i32 = 5;
    const NICE_STEP_LONG: i32 = 10;
    const NICE_MAX: i32 = 19;

    /// `statfs` magic of file systems that overwrite an allocated block where it
    /// lies. Those that copy on write (btrfs, zfs) or stack (overlayfs) may want
    /// room for a store into a reserved range.
    const EXT_MAGIC: u64 = 0xEF53;
    const XFS_MAGIC: u64 = 0x5846_5342;
    const TMPFS_MAGIC: u64 = 0x0102_1994;

    /// Allocates `0..len`; false where the file system cannot.
    pub(super) fn allocate(file: &File, len: u64) -> io::Result<bool> {
        loop {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
    }

    pub(super) fn allocated_bytes(metadata: &Metadata) -> u64 {
        metadata.blocks() * 512
    }

    pub(super) fn honours_reservation(dir: &Path) -> bool {
        // The type's width and sign differ between targets; no magic here has
        // its top bit set.
        rustix::fs::statfs(dir).is_ok_and(|found| {
            matches!(found.f_type as u64 & 0xFFFF_FFFF, EXT_MAGIC | XFS_MAGIC | TMPFS_MAGIC)
        })
    }

    pub(super) fn random() -> u64 {
        let mut bytes = [0; 8];
        loop {
            match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
                Ok(8) => return u64::from_ne_bytes(bytes),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return super::portable::random(),
            }
        }
    }

    /// On Linux a nice value belongs to a thread, whose id stands for a process id.
    pub(super) fn lower_thread_priority(patience: Patience) {
        let step = match patience {
            Patience::Short => NICE_STEP,
            Patience::Long => NICE_STEP_LONG,
        };
        let thread = Some(rustix::thread::gettid());
        if let Ok(nice) = rustix::process::getpriority_process(thread) {
            // A system that forbids it costs fairness, nothing else.
            let _ = rustix::process::setpriority_process(thread, (nice + step).min(NICE_MAX));
        }
    }
}

/// What stands in for Linux elsewhere.
#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::Path;

    use super::Patience;
    pub(super) use super::portable::{random, read_at, sort, write_at};

    pub(super) fn allocate(_: &File, _: u64) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn allocated_bytes(metadata: &Metadata) -> u64 {
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
        #[cfg(not(unix))]
        return metadata.len();
    }

    pub(super) fn honours_reservation(_: &Path) -> bool {
        false
    }

    pub(super) fn lower_thread_priority(_: Patience) {}
}

mod portable {
    use std::fs::{File, FileType};
    use std::hash::{BuildHasher, RandomState};
    use std::io;

    pub(super) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(file, buf, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(file, buf, offset);
    }

    pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(file, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(file, bytes, offset);
    }

    /// What a name that is neither a file nor a folder is the name of.
    pub(super) fn sort(found: FileType) -> &'static str {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if found.is_fifo() {
                return "a named pipe";
            } else if found.is_socket() {
                return "a socket";
            } else if found.is_char_device() || found.is_block_device() {
                return "a device";
            }
        }
        let _ = found;
        "something else"
    }

    /// The standard library seeds its hash maps from the system's randomness.
    pub(super) fn random() -> u64 {
        RandomState::new().hash_one(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_stand_in_for_a_reservation_and_touch_no_byte() {
        let root = tempfile::tempdir().unwrap();
        let file = OsVfs::default().create(&root.path().join("a")).unwrap();
        super::super::write_all_at(&*file, 0, &[7; 1000]).unwrap();
        fill_with_zeros(&*file, 150_000).unwrap();
        fill_with_zeros(&*file, 10).unwrap();
        let mapping = file.map(150_000).unwrap();
        assert_eq!(file.len().unwrap(), 150_000);
        assert!(mapping[..1000].iter().all(|byte| *byte == 7));
        assert!(mapping[1000..].iter().all(|byte| *byte == 0));
    }
}
