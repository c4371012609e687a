//! Mappings: a room of unsafe code.
//!
//! ```text
//! Mapping        bytes, len ──► pages of a file │ a Vec │ a shared Vec │ another's
//!                └ read by every deref: no branch on what stands behind
//! MappedStores   stores ──► pages of a file, shared with the page cache
//! ```
//!
//! A disk error under a mapping is a SIGBUS, as is a file that another process
//! cuts short: the folder's lock and its files' mode keep others out.
#![expect(unsafe_code, reason = "mapped files, and a prefetch instruction")]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Weak;

use memmap2::{Mmap, MmapOptions, MmapRaw};

use super::SharedMap;
use crate::sync::Arc;

/// How much is looked at, at once, before it is asked for or populated: a thread that maps
/// or unmaps something meanwhile waits for no more.
#[cfg(unix)]
const LOOK_BYTES: usize = 2 << 20;
/// How much is asked for in one call: Linux reads no more for it than the device takes at
/// once, or reads ahead, and leaves the rest out. Both are seldom less.
#[cfg(unix)]
const ASK_BYTES: usize = 128 << 10;
/// No page is smaller.
#[cfg(target_os = "linux")]
const PAGE_BYTES_MIN: usize = 4096;

/// Bytes of a file that never change: mapped, or read.
pub struct Mapping {
    /// Where the bytes of `backing` begin. Kept beside it so that a deref has
    /// no branch.
    bytes: *const u8,
    len: usize,
    backing: Backing,
}

/// What keeps the bytes of a [`Mapping`] alive. Never read through but for
/// advice, and never changed.
#[derive(Debug)]
enum Backing {
    File(Mmap),
    Owned {
        _bytes: Vec<u8>,
    },
    Of {
        _whole: Arc<Mapping>,
    },
    #[cfg(any(test, feature = "internals"))]
    Shared {
        _bytes: Arc<Vec<u8>>,
    },
}

// SAFETY: `bytes` points into `backing`, which Mapping owns, which is Send
// itself, and whose bytes nobody changes.
unsafe impl Send for Mapping {}
// SAFETY: as above; through `&Mapping` the bytes can only be read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Bytes that were read rather than mapped.
    #[must_use]
    pub fn owned(bytes: Vec<u8>) -> Mapping {
        Mapping {
            bytes: bytes.as_ptr(),
            len: bytes.len(),
            backing: Backing::Owned { _bytes: bytes },
        }
    }

    /// The bytes of `whole`, held by one more reference: those to what is made here are
    /// counted apart.
    #[must_use]
    pub fn of(whole: Arc<Mapping>) -> Mapping {
        Mapping { bytes: whole.bytes, len: whole.len, backing: Backing::Of { _whole: whole } }
    }

    /// The first `len` bytes of what others hold too.
    ///
    /// # Panics
    ///
    /// Where there are fewer.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn shared(bytes: Arc<Vec<u8>>, len: usize) -> Mapping {
        assert!(len <= bytes.len(), "{len} of {} bytes", bytes.len());
        Mapping { bytes: bytes.as_ptr(), len, backing: Backing::Shared { _bytes: bytes } }
    }

    /// Maps the first `len` bytes of `file`, which has that many and must not
    /// change from now on.
    pub(super) fn of_file(file: &File, len: usize) -> io::Result<Mapping> {
        // SAFETY: the engine never writes into, cuts or overwrites a file that
        // it has mapped for reading (only unlinks it), and keeps other
        // processes out by the folder's lock and mode 0600.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Mapping { bytes: map.as_ptr(), len: map.len(), backing: Backing::File(map) })
    }

    /// Tells the system that it will be read here and there: a fault should read one
    /// page. The system may not listen.
    pub fn advise_random(&self) {
        #[cfg(unix)]
        if let Backing::File(map) = &self.backing {
            // Advice that is not taken costs time, nothing else.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// Brings into the process's page tables what is in the page cache of it, as what was
    /// just written is, so that who reads first does not fault. What is there no more, since
    /// memory is short, stays where it is: it would be read page by page.
    pub fn populate(&self) {
        #[cfg(target_os = "linux")]
        if let Backing::File(map) = &self.backing {
            for offset in (0..self.len).step_by(LOOK_BYTES) {
                let len = LOOK_BYTES.min(self.len - offset);
                // Kernels before 5.14 do not know it: then reads fault.
                if self.is_in_memory(offset, len)
                    && map.advise_range(memmap2::Advice::PopulateRead, offset, len).is_err()
                {
                    return;
                }
            }
        }
    }

    /// Asks for `offset..offset + len` to be read ahead where not all of it is in memory;
    /// what lies past the end is not asked for. Whether nothing had to be asked for.
    ///
    /// Two mebibytes at a time are looked at first, in some 1.3 µs, and 60 ns more for each
    /// page that is in the page cache only: to ask for what is there costs 60 ns a page.
    pub fn will_need(&self, offset: usize, len: usize) -> bool {
        let end = offset.saturating_add(len).min(self.len);
        let mut was_there = true;
        #[cfg(unix)]
        if let Backing::File(map) = &self.backing {
            for piece in (offset..end).step_by(LOOK_BYTES) {
                let len = LOOK_BYTES.min(end - piece);
                if !self.is_in_memory(piece, len) {
                    was_there = false;
                    for part in (piece..piece + len).step_by(ASK_BYTES) {
                        let len = ASK_BYTES.min(piece + len - part);
                        let _ = map.advise_range(memmap2::Advice::WillNeed, part, len);
                    }
                }
            }
        }
        was_there
    }

    /// Whether `offset..offset + len`, at most [`LOOK_BYTES`] that lie in the mapping, is in
    /// memory, as far as the system tells.
    #[cfg(unix)]
    fn is_in_memory(&self, offset: usize, len: usize) -> bool {
        debug_assert!(len <= LOOK_BYTES && offset + len <= self.len);
        #[cfg(target_os = "linux")]
        {
            let start = offset - offset % PAGE_BYTES_MIN;
            let pages = (offset + len - start).div_ceil(PAGE_BYTES_MIN);
            let mut states = [0_u8; LOOK_BYTES / PAGE_BYTES_MIN + 1];
            let Some(states) = states.get_mut(..pages) else { return false };
            // SAFETY: the range lies in the mapping, which self holds. A byte is written for
            // each page of it, and pages are no smaller than was reckoned. A start that is
            // not that of a page, where they are larger, is refused.
            let answer = unsafe {
                let first = self.bytes.add(start).cast_mut().cast();
                libc::mincore(first, offset + len - start, states.as_mut_ptr())
            };
            answer == 0 && states.iter().all(|state| state & 1 == 1)
        }
        #[cfg(not(target_os = "linux"))]
        false
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` and `len` were taken from `backing`, whose bytes lie
        // on the heap or in a mapping, so do not move with Mapping; it is
        // dropped with Mapping, and never changed (see the constructors).
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match &self.backing {
            Backing::File(_) => "file",
            Backing::Owned { .. } => "owned",
            Backing::Of { .. } => "of another",
            #[cfg(any(test, feature = "internals"))]
            Backing::Shared { .. } => "shared",
        };
        f.debug_struct("Mapping").field("of", &of).field("len", &self.len).finish()
    }
}

/// A range of a file that is written by stores into the page cache.
pub(super) struct MappedStores {
    map: Arc<MmapRaw>,
}

/// What the system may write at once because one page of it is to be written: it keeps
/// files in pieces of several pages.
const TAIL_BYTES: usize = 256 << 10;

/// Leads to the mapping of a [`MappedStores`] while that is there.
#[derive(Debug)]
pub(super) struct WeakStores(Weak<MmapRaw>);

/// The mapping of a [`MappedStores`], to be synced.
pub(super) struct SyncedStores(Arc<MmapRaw>);

impl WeakStores {
    pub(super) fn get(&self) -> Option<SyncedStores> {
        self.0.upgrade().map(SyncedStores)
    }
}

impl SyncedStores {
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Makes the first `len` bytes durable. Linux syncs that range of the file as an
    /// `fdatasync` would all of it, and leaves the pages behind it as they are.
    ///
    /// In two steps: a store waits where its page is being written, and would wait for all
    /// that the device was given before. By the second step the writer has mostly gone on.
    pub(super) fn sync_to(&self, len: u64) -> io::Result<()> {
        let len = len as usize;
        let before_tail = len - len % TAIL_BYTES;
        for (start, end) in [(0, before_tail), (before_tail, len)] {
            if start < end {
                self.let_go(end);
                self.0.flush_range(start, end - start)?;
            }
        }
        Ok(())
    }

    /// Takes the whole pages of the first `len` bytes out of the mapping, not out of the
    /// page cache. A sync makes each page that is still mapped read-only by itself, and
    /// interrupts every processor for it; this does so once for all.
    fn let_go(&self, len: usize) {
        #[cfg(target_os = "linux")]
        {
            let whole_pages = len - len % rustix::param::page_size();
            if whole_pages == 0 {
                return;
            }
            let unmapped = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is shared: what was stored is in the page cache, and who
            // comes to these pages again maps them from there. No reference into the
            // mapping ever exists. Advice that is not taken costs time, nothing else.
            let _ = unsafe { self.0.unchecked_advise_range(unmapped, 0, whole_pages) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = len;
    }
}

/// Waits for the first `done` bytes of `file`, and begins to write `begun`: see
/// [`VfsFile::write_back`](super::VfsFile::write_back).
pub(super) fn write_back(file: &File, done: u64, begun: Range<u64>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use libc::{SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE};
        call_sync_file_range(file, 0..done, SYNC_FILE_RANGE_WAIT_BEFORE)?;
        call_sync_file_range(file, begun, SYNC_FILE_RANGE_WRITE)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, done, begun);
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn call_sync_file_range(file: &File, range: Range<u64>, flags: libc::c_uint) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let (Ok(start), Ok(end)) = (i64::try_from(range.start), i64::try_from(range.end)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // No bytes are all up to the end of the file, for this call.
    if start >= end {
        return Ok(());
    }
    // SAFETY: it takes numbers alone, and the descriptor is open as long as `file` is.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), start, end - start, flags) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system that has no pages, a kernel or a sandbox without the call: a sync
        // does it all then.
        Some(libc::ESPIPE | libc::EINVAL | libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

impl MappedStores {
    /// Maps the first `len` bytes of `file`, which has that many.
    pub(super) fn of_file(file: &File, len: usize) -> io::Result<MappedStores> {
        Ok(MappedStores { map: Arc::new(MmapOptions::new().len(len).map_raw(file)?) })
    }

    pub(super) fn downgrade(&self) -> WeakStores {
        WeakStores(Arc::downgrade(&self.map))
    }
}

impl SharedMap for MappedStores {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    #[inline]
    fn store(&mut self, offset: u64, bytes: &[u8]) {
        let map_len = self.map.len();
        let start = usize::try_from(offset)
            .ok()
            .filter(|start| bytes.len() <= map_len && *start <= map_len - bytes.len());
        let Some(start) = start else { store_out_of_range(offset, bytes.len(), map_len) };
        // SAFETY: `start + bytes.len() <= map_len` was checked above, and the
        // mapping lives as long as self. No reference into it ever exists, so
        // `bytes` cannot overlap it; `&mut self` keeps other stores through this
        // mapping out.
        unsafe {
            let target = self.map.as_mut_ptr().add(start);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
    }

    fn populate(&self, offset: u64, len: u64) -> io::Result<()> {
        let map_len = self.len();
        let end = offset.saturating_add(len).min(map_len);
        if offset >= end {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        match self.map.advise_range(
            memmap2::Advice::PopulateWrite,
            offset as usize,
            (end - offset) as usize,
        ) {
            // Kernels before 5.14 do not know it: the first store to each page
            // pays for its fault.
            Err(e) if e.raw_os_error() == Some(EINVAL) => {}
            answer => return answer,
        }
        Ok(())
    }
}

impl fmt::Debug for MappedStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedStores").field("len", &self.map.len()).finish()
    }
}

#[cfg(target_os = "linux")]
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

#[cold]
fn store_out_of_range(offset: u64, len: usize, map_len: usize) -> ! {
    panic!("a store of {len} bytes at {offset} into a mapping of {map_len}")
}

/// Asks the processor for the cache lines of `bytes` (the first four at most).
///
/// Does nothing where the instruction is not known.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let into_line = bytes.as_ptr().addr() % LINE_BYTES;
        let lines = (into_line + bytes.len()).div_ceil(LINE_BYTES).min(LINES_MAX);
        let first = bytes.as_ptr().wrapping_sub(into_line);
        for line in 0..lines {
            // SAFETY: SSE is part of every x86_64 target, and a prefetch reads
            // nothing that the program can see, whatever its address.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE_BYTES).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;
#[cfg(target_arch = "x86_64")]
const LINES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_and_shared_bytes_are_read_where_they_lie() {
        let bytes = vec![1, 2, 3];
        let place = bytes.as_ptr();
        let owned = Box::new(Mapping::owned(bytes));
        assert_eq!((owned.as_ptr(), &owned[..]), (place, &[1, 2, 3][..]));

        let shared = Arc::new(vec![4, 5, 6]);
        let mapping = Mapping::shared(Arc::clone(&shared), 2);
        drop(shared);
        assert_eq!(&mapping[..], [4, 5]);
        assert!(Mapping::owned(Vec::new()).is_empty());
    }

    #[test]
    fn advice_and_prefetch_take_any_range() {
        let mapping = Mapping::owned(vec![0; 5000]);
        mapping.advise_random();
        mapping.populate();
        mapping.will_need(4000, usize::MAX);
        mapping.will_need(usize::MAX, 1);
        for len in [0, 1, 63, 64, 65, 5000] {
            prefetch(&mapping[..len]);
            prefetch(&mapping[5000 - len..]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_in_memory_is_not_asked_for() {
        const LEN: usize = 5 << 20;
        let mut file = tempfile::tempfile().unwrap();
        // A hole has no pages until somebody reads it.
        file.set_len(LEN as u64).unwrap();
        let mapping = Mapping::of_file(&file, LEN).unwrap();
        mapping.advise_random();
        assert!(!mapping.will_need(0, LEN));
        let read = |range: std::ops::Range<usize>| {
            range.step_by(PAGE_BYTES_MIN).map(|at| u64::from(mapping[at])).sum::<u64>()
        };
        assert_eq!(read(0..LEN), 0);
        for (offset, len) in [(0, LEN), (1, 1), (4095, 2), (LEN - 1, 1), (7, usize::MAX)] {
            assert!(mapping.will_need(offset, len), "{offset} {len}");
        }
        assert!(mapping.will_need(LEN, 1) && mapping.will_need(usize::MAX, 2), "nothing is there");
        // Written, and not read by this mapping.
        std::io::Write::write_all(&mut file, &vec![1; LEN]).unwrap();
        assert!(Mapping::of_file(&file, LEN).unwrap().will_need(4095, LEN));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_that_is_asked_for_comes() {
        const LEN: usize = 5 << 20;
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![1; LEN]).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let mapping = Mapping::of_file(&file, LEN).unwrap();
        mapping.advise_random();
        mapping.will_need(0, LEN);
        let is_there = |at| mapping.is_in_memory(at, LOOK_BYTES.min(LEN - at));
        let has_come = (0..30_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            (0..LEN).step_by(LOOK_BYTES).all(is_there)
        });
        assert!(has_come, "a part was never read");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_not_in_memory_is_not_populated() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![1; LOOK_BYTES]).unwrap();
        // And a hole, which has no pages until somebody reads it.
        file.set_len(3 * LOOK_BYTES as u64).unwrap();
        let mapping = Mapping::of_file(&file, 3 * LOOK_BYTES).unwrap();
        mapping.advise_random();
        mapping.populate();
        assert!(mapping.is_in_memory(0, LOOK_BYTES));
        for page in (LOOK_BYTES..3 * LOOK_BYTES).step_by(PAGE_BYTES_MIN) {
            assert!(!mapping.is_in_memory(page, PAGE_BYTES_MIN), "{page}");
        }
    }

    #[test]
    #[should_panic(expected = "of 9 bytes")]
    fn shared_bytes_cannot_be_longer_than_they_are() {
        let _ = Mapping::shared(Arc::new(vec![0; 9]), 10);
    }
}
