//! The only door to the disk, the clock and randomness.
//!
//! [`Vfs`] is what the engine asks of a file system; [`OsVfs`] answers with the
//! real one, [`SimVfs`](sim::SimVfs) with one in memory that forgets what was
//! not synced, tears what was half written, and fails when it is told to.
//!
//! Names and contents are durable apart: [`VfsFile::sync`] makes the contents
//! and the length of a file durable, [`Vfs::sync_dir`] the names in a folder.

#[cfg(test)]
mod contract;
mod folders;
mod mmap;
mod os;
#[cfg(any(test, feature = "internals"))]
pub mod sim;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use mmap::{Mapping, prefetch};
pub use os::OsVfs;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// What is known of a name without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes; 0 for a folder.
    pub len: u64,
    /// Bytes of blocks that the file takes on disk.
    pub allocated_bytes: u64,
    /// Whether it is a folder, or a link to one.
    pub is_dir: bool,
    /// Whether the name is that of a symbolic link; the rest is told of what it leads to.
    pub is_link: bool,
}

/// A file system, a clock and a source of randomness.
pub trait Vfs: fmt::Debug + Send + Sync + 'static {
    /// `path` from the root on, which goes on naming the same when the process changes
    /// its working folder. Nothing is looked up: links and `..` stay as they are.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf>;
    /// Creates one folder; one that exists is an error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable. Where a lock in it is held, under the same path,
    /// this needs no file descriptor: it cannot fail for want of one.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in `dir`, in any order; a name that is not UTF-8 comes lossily.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Length and sort of what `path` names.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Creates a file that must not exist, for reading and writing, mode 0600.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Opens a file that must exist, and must be a regular one: a folder, a pipe or a
    /// device is an error, at once.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>>;
    /// Gives a file or folder another name, in place of what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes the name of a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes the lock on `path`, which is created if it is missing; dropping the
    /// guard frees it. `WouldBlock`: someone else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
    /// Whether a store into a reserved range of a mapped file in `dir` can never
    /// want for room.
    fn honours_reservation(&self, dir: &Path) -> bool;
    /// Time since some fixed moment; never runs backwards.
    fn monotonic(&self) -> Duration;
    /// Milliseconds since 1970-01-01 UTC.
    fn wall_clock_ms(&self) -> u64;
    /// Bytes that nobody can guess.
    fn random(&self) -> u64;
    /// Tells the system that the calling thread can wait for others, and how long.
    fn lower_thread_priority(&self, patience: Patience);
}

/// How long the work of a background thread can wait for a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Writers wait for it, if it falls behind.
    Short,
    /// Nobody waits for it for long.
    Long,
}

/// Frees a lock when it is dropped.
pub trait LockGuard: fmt::Debug + Send + Sync {}

/// An open file. Reads and writes take their offset, so that threads can share it.
#[cfg_attr(
    feature = "internals",
    expect(clippy::len_without_is_empty, reason = "the length of a file, not of a collection")
)]
pub trait VfsFile: fmt::Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads at most `buf.len()` bytes; 0 is the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes at most `bytes.len()` bytes and says how many.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Allocates the blocks of `0..len` and makes the file at least that long.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable, mapped stores included.
    fn sync(&self) -> io::Result<()>;
    /// Makes the length and the first `len` bytes durable, mapped stores included. What
    /// lies behind may be left as it is: a page of it that is ready for stores stays so.
    fn sync_to(&self, len: u64) -> io::Result<()>;
    /// Waits until the first `done` bytes have been written to the device, and begins to
    /// write `begun`: a sync to come then has little left to do, and the device is not
    /// given all at once. Nothing is durable by it. A system that cannot do so need not.
    ///
    /// # Errors
    ///
    /// What was begun before cannot be written: the same as a sync that failed.
    fn write_back(&self, done: u64, begun: Range<u64>) -> io::Result<()>;
    /// Maps `0..len` for reading; the file must not change from now on.
    fn map(&self, len: u64) -> io::Result<Mapping>;
    /// Maps `0..len` for stores that reach the file by themselves.
    fn map_shared(&self, len: u64) -> io::Result<Box<dyn SharedMap>>;
}

/// A range of a file that is written by stores.
#[cfg_attr(
    feature = "internals",
    expect(clippy::len_without_is_empty, reason = "the length of a range, which is never empty")
)]
pub trait SharedMap: fmt::Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;
    /// Stores `bytes` at `offset`.
    ///
    /// # Panics
    ///
    /// Where the range does not lie within the mapping.
    fn store(&mut self, offset: u64, bytes: &[u8]);
    /// Brings `offset..offset + len` into memory, ready for stores.
    fn populate(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// A call that was interrupted so often in a row is given up: a system that never
/// lets it through must not hold a writer, and the lock that it has, for ever.
const INTERRUPTS_MAX: u32 = 100;

/// Makes a call again while it is interrupted, up to a limit.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTS_MAX {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
    call()
}

/// Reads exactly `buf.len()` bytes; a shorter file is `UnexpectedEof`.
pub fn read_exact_at(file: &dyn VfsFile, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match uninterrupted(|| file.read_at(offset, buf))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buf = &mut buf[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Writes all of `bytes`; goes on after a short write.
pub fn write_all_at(file: &dyn VfsFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| file.write_at(offset, bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
        }
    }
    Ok(())
}

/// The whole of a file, at most `bytes_max` of it: a longer one is an error.
pub fn read_file(vfs: &dyn Vfs, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = vfs.open(path, Access::Read)?;
    let len = file.len()?;
    if len > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} bytes where at most {bytes_max} were expected"),
        ));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len as usize).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len as usize, 0);
    read_exact_at(&*file, 0, &mut bytes)?;
    Ok(bytes)
}
