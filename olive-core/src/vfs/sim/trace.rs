//! Names for what is done to the simulated disk, and who decides on it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::sync::Arc;

/// Numbers of the errors that Linux gives.
pub mod errno {
    /// No such file or folder.
    pub const ENOENT: i32 = 2;
    /// Interrupted: to be tried again.
    pub const EINTR: i32 = 4;
    /// The device failed.
    pub const EIO: i32 = 5;
    /// Not open for that.
    pub const EBADF: i32 = 9;
    /// Not permitted by the file's mode.
    pub const EACCES: i32 = 13;
    /// The name exists.
    pub const EEXIST: i32 = 17;
    /// Not a folder.
    pub const ENOTDIR: i32 = 20;
    /// A folder.
    pub const EISDIR: i32 = 21;
    /// What was asked makes no sense.
    pub const EINVAL: i32 = 22;
    /// Longer than a file can be.
    pub const EFBIG: i32 = 27;
    /// No room.
    pub const ENOSPC: i32 = 28;
    /// The folder holds something.
    pub const ENOTEMPTY: i32 = 39;

    pub(in super::super) fn error(errno: i32) -> std::io::Error {
        std::io::Error::from_raw_os_error(errno)
    }
}

/// A call, or a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// `Vfs::create`, and a lock file that was missing.
    Create,
    /// `Vfs::create_dir`.
    CreateDir,
    /// `Vfs::open`.
    Open,
    /// `VfsFile::len`.
    Len,
    /// `VfsFile::read_at`.
    Read,
    /// `VfsFile::write_at`.
    Write,
    /// `SharedMap::store`: a mutation that cannot fail, so not a counted call.
    Store,
    /// `SharedMap::populate`.
    Populate,
    /// `VfsFile::reserve`.
    Reserve,
    /// `VfsFile::sync`.
    Sync,
    /// `VfsFile::write_back`, which makes nothing durable.
    WriteBack,
    /// The mutation that a failed `VfsFile::sync` is.
    FailedSync,
    /// `Vfs::sync_dir`.
    SyncDir,
    /// `Vfs::rename`.
    Rename,
    /// `Vfs::unlink`.
    Unlink,
    /// `Vfs::remove_dir`.
    RemoveDir,
    /// `Vfs::hard_link`.
    Link,
    /// `Vfs::list`.
    List,
    /// `Vfs::metadata`.
    Metadata,
    /// `VfsFile::map`.
    Map,
    /// `VfsFile::map_shared`.
    MapShared,
    /// `Vfs::lock`.
    Lock,
}

/// One mutation of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEntry {
    /// Its number, from 1 on.
    pub number: u64,
    /// What was done.
    pub kind: OpKind,
    /// The path that was named, or by which the file was opened.
    pub path: PathBuf,
    /// The second path of a rename or link.
    pub to: Option<PathBuf>,
    /// Bytes of a write, store, reservation or sync; empty otherwise.
    pub range: Range<u64>,
    /// Whether a filter left it out.
    pub skipped: bool,
}

/// What a filter decides on a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is done.
    Do,
    /// It answers that it was done, and is not; its number is used up, so that
    /// numbers agree with those of a run without the filter. A `Create` is done
    /// all the same.
    Skip,
    /// It fails with this error ([`errno`]); a store is done all the same.
    Fail(i32),
}

/// Decides on each mutation before it is done.
pub type Filter = Arc<dyn Fn(&TraceEntry) -> Action + Send + Sync>;

#[derive(Clone)]
pub(super) struct AskFilter(pub(super) Filter);

impl fmt::Debug for AskFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}
