//! One contiguous piece of memory that is handed out front to back and given
//! back as a whole.
//!
//! ```text
//! offset 0        root_bytes                  root_bytes + used        root_bytes + capacity
//! | root          | node | node | node | ...  | free, not touched yet  |
//! ```
//!
//! Places are 32-bit offsets in units of 8 bytes, so an arena ends at 32 GiB.
//! Every pointer is made from the one base pointer, and memory is never moved or
//! given out twice, so what was written once stays readable for as long as the
//! arena lives. Large arenas are anonymous mappings, which take memory only where
//! they are touched, by huge pages where the system gives them: the bump pointer
//! touches them in order, so that at most one huge page is taken in vain. Small
//! ones come from the allocator.
//!
//! The system zeroes a page when it is touched, which is a good part of what an insert
//! costs, and for a huge page a wait that its writer feels. So another thread may touch
//! the next ones before ([`Arena::populate_ahead`]), and the mapping of an arena that is
//! dropped is kept for the next one of its size ([`Spare`]), as it is: who needs zeros
//! asks for them. What is kept in vain has a limit: of a large one only the first part
//! stays in memory. Where nothing was kept, the other thread makes one once an arena is
//! half full, so that the first entries of the next find their memory in place.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;

use super::ArenaGauge;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicUsize, Ordering, OwnLines};

/// Offsets count in units of this many bytes, and everything is aligned to it.
pub(super) const UNIT_BYTES: usize = 8;
/// The most bytes that 32-bit offsets reach: 32 GiB.
const ARENA_BYTES_MAX: usize = (u32::MAX as usize) * UNIT_BYTES;
/// From here on an arena is a mapping of its own.
const MAPPED_BYTES_MIN: usize = 256 << 10;
/// From here on it asks for huge pages.
const HUGE_BYTES_MIN: usize = 4 << 20;
/// From so many bytes on, and at most so many, pages are touched ahead of their use.
const AHEAD_BYTES_MIN: usize = 1 << 20;
const AHEAD_BYTES_MAX: usize = 8 << 20;
/// So much behind its root stays in memory of a mapping that waits for the next arena,
const KEPT_BYTES: usize = 4 << 20;
/// and so much in all.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Large arenas tell the gauge in steps of this many bytes.
const GAUGE_STEP_BYTES: usize = 64 << 10;

/// Memory handed out front to back.
pub(super) struct Arena {
    base: NonNull<u8>,
    backing: Backing,
    root_bytes: usize,
    capacity_bytes: usize,
    reserve_bytes: usize,
    /// Written with each entry, and not read by searches.
    used: OwnLines<AtomicUsize>,
    gauge: ArenaGauge,
    gauged: AtomicUsize,
}

enum Backing {
    Heap(Layout),
    /// `None` once it was given back.
    Mapped(Option<Mapped>),
}

/// A large arena's memory.
struct Mapped {
    map: memmap2::MmapMut,
    /// How much of it, from its start on, need not be asked for any more.
    populated: AtomicUsize,
}

/// The memory of an arena that was dropped, for the next one of the same size.
#[derive(Default)]
pub(super) enum Spare {
    /// There is none.
    #[default]
    Empty,
    Kept(KeptMemory),
    /// And none is taken any more.
    Closed,
}

/// Its root is zeroed.
pub(super) struct KeptMemory(Mapped);

impl Spare {
    fn take(&mut self, bytes: usize) -> Option<Mapped> {
        match std::mem::take(self) {
            Spare::Kept(KeptMemory(mapped)) if mapped.map.len() == bytes => Some(mapped),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Keeps `mapped`, and gives back what is not kept: what has less in memory.
    fn put(&mut self, mapped: Mapped) -> Option<Mapped> {
        match self {
            Spare::Empty => {
                *self = Spare::Kept(KeptMemory(mapped));
                None
            }
            Spare::Kept(KeptMemory(kept)) if kept.populated() < mapped.populated() => {
                Some(std::mem::replace(kept, mapped))
            }
            _ => Some(mapped),
        }
    }

    /// Bytes in memory that no arena uses.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Spare::Kept(KeptMemory(mapped)) => mapped.populated(),
            Spare::Empty | Spare::Closed => 0,
        }
    }
}

impl Mapped {
    fn new(bytes: usize) -> io::Result<Mapped> {
        let map = memmap2::MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_BYTES_MIN {
            // A kernel without huge pages refuses: then there are none.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Mapped { map, populated: AtomicUsize::new(0) })
    }

    fn populated(&self) -> usize {
        self.populated.load(Ordering::Relaxed)
    }

    /// Brings the first `end` bytes into memory, but for those that were already.
    fn populate_to(&self, end: usize) {
        let end = end.min(self.map.len());
        let from = self.populated.fetch_max(end, Ordering::Relaxed);
        #[cfg(target_os = "linux")]
        if from < end {
            // Kernels before 5.14 do not know it: then who writes first pays for it.
            let _ = self.map.advise_range(memmap2::Advice::PopulateWrite, from, end - from);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = from;
    }

    /// Gives the system back what lies past the first `bytes`.
    fn shrink_to(&self, bytes: usize) {
        let populated = self.populated();
        if populated <= bytes {
            return;
        }
        let unwanted = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: nobody uses the memory any more: the arena it belonged to is being
        // dropped. What is read there next are zeros, as in a new mapping.
        let given_back =
            unsafe { self.map.unchecked_advise_range(unwanted, bytes, populated - bytes) };
        if given_back.is_ok() {
            self.populated.store(bytes, Ordering::Relaxed);
        }
    }
}

// SAFETY: the memory belongs to the arena alone and is freed only in drop. What
// `alloc` gave out is written by the one writer before it is published through
// an atomic, and is read-only or atomic from then on (kept by tree*.rs).
unsafe impl Send for Arena {}
// SAFETY: as above; the counters are atomics.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of `capacity_bytes` behind a root of `root_bytes`, which is at
    /// offset 0, zeroed, and not counted as used. Behind the capacity are
    /// `reserve_bytes` more.
    pub(super) fn new(
        root_bytes: usize,
        capacity_bytes: usize,
        reserve_bytes: usize,
        gauge: &ArenaGauge,
    ) -> Result<Arena> {
        let reserved = capacity_bytes
            .checked_add(root_bytes + reserve_bytes + UNIT_BYTES - 1)
            .map(|bytes| bytes / UNIT_BYTES * UNIT_BYTES)
            .filter(|&bytes| bytes <= ARENA_BYTES_MAX)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "a memtable of {capacity_bytes} bytes is past the largest, {}",
                    ARENA_BYTES_MAX - root_bytes - reserve_bytes
                ))
            })?;
        let (base, backing) = if reserved < MAPPED_BYTES_MIN || cfg!(miri) {
            from_allocator(reserved)
        } else {
            from_system(reserved, gauge)
        }
        .map_err(|why| {
            Error::new(ErrorKind::Io, format!("cannot reserve {reserved} bytes of memory: {why}"))
        })?;
        Ok(Arena {
            base,
            backing,
            root_bytes,
            capacity_bytes,
            reserve_bytes,
            used: OwnLines(AtomicUsize::new(0)),
            gauge: gauge.clone(),
            gauged: AtomicUsize::new(0),
        })
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The memory it takes: with its root, once something was taken.
    pub(super) fn memory_bytes(&self) -> usize {
        self.with_root(self.used_bytes())
    }

    fn with_root(&self, used: usize) -> usize {
        if used == 0 { 0 } else { self.root_bytes + used }
    }

    /// Takes `bytes`, a multiple of [`UNIT_BYTES`]; the offset in units of where
    /// they start. What is in them is not said.
    ///
    /// # Panics
    ///
    /// Where so many are not left.
    ///
    /// # Safety
    ///
    /// One thread at a time, in an order that happens-before orders: the owner of
    /// the tree's writer.
    #[inline]
    pub(super) unsafe fn alloc(&self, bytes: usize) -> u32 {
        debug_assert_eq!(bytes % UNIT_BYTES, 0);
        let used = self.used.load(Ordering::Relaxed);
        assert!(
            bytes <= self.capacity_bytes + self.reserve_bytes - used,
            "an entry fits into its memtable"
        );
        self.used.store(used + bytes, Ordering::Relaxed);
        let gauged = self.gauged.load(Ordering::Relaxed);
        if used + bytes > gauged {
            self.grow_gauge(gauged, used + bytes);
        }
        ((self.root_bytes + used) / UNIT_BYTES) as u32
    }

    /// As [`alloc`](Arena::alloc), of zeros.
    ///
    /// # Safety
    ///
    /// As for `alloc`.
    pub(super) unsafe fn alloc_zeroed(&self, bytes: usize) -> u32 {
        // SAFETY: the caller's promise; what was taken lies within the arena, and nobody
        // else knows the place yet.
        unsafe {
            let at = self.alloc(bytes);
            self.ptr(at, 0).write_bytes(0, bytes);
            at
        }
    }

    /// Has the pages that will be used next brought into memory, as far ahead as is used
    /// already, but not too far; and those that the next arena will use first. By any
    /// thread; an arena of little use is left alone.
    pub(super) fn populate_ahead(&self) {
        if let Some((mapped, end)) = self.ahead() {
            mapped.populate_to(end);
        }
        if self.lacks_spare()
            && let Ok(mapped) = Mapped::new(self.mapped_bytes())
        {
            mapped.populate_to(kept_bytes(self.root_bytes));
            let unwanted = self.gauge.spare().put(mapped);
            drop(unwanted);
        }
    }

    /// Whether there is something for [`populate_ahead`](Arena::populate_ahead) to do.
    pub(super) fn lacks_memory_ahead(&self) -> bool {
        self.ahead().is_some() || self.lacks_spare()
    }

    /// Whether the next arena should find memory that is in place already.
    pub(super) fn wants_spare(&self) -> bool {
        self.mapped_bytes() >= HUGE_BYTES_MIN && self.used_bytes() >= self.capacity_bytes / 2
    }

    fn lacks_spare(&self) -> bool {
        self.wants_spare() && matches!(*self.gauge.spare(), Spare::Empty)
    }

    /// Bytes of its mapping; 0: it is none.
    fn mapped_bytes(&self) -> usize {
        match &self.backing {
            Backing::Mapped(Some(mapped)) => mapped.map.len(),
            _ => 0,
        }
    }

    /// Up to where the memory should be in place, where it is not.
    fn ahead(&self) -> Option<(&Mapped, usize)> {
        let Backing::Mapped(Some(mapped)) = &self.backing else { return None };
        let used = self.used_bytes();
        let end = (self.root_bytes + used + used.min(AHEAD_BYTES_MAX)).min(mapped.map.len());
        let lacks = used >= AHEAD_BYTES_MIN && mapped.populated() < end;
        lacks.then_some((mapped, end))
    }

    /// Small arenas count each byte, large ones each begun step.
    fn grow_gauge(&self, gauged: usize, used: usize) {
        let step = if self.capacity_bytes < 16 * GAUGE_STEP_BYTES { 1 } else { GAUGE_STEP_BYTES };
        let counted = used.next_multiple_of(step).min(self.capacity_bytes + self.reserve_bytes);
        self.gauged.store(counted, Ordering::Relaxed);
        self.gauge.add(self.with_root(counted) - self.with_root(gauged));
    }

    /// The address of `bytes` behind offset `at` (in units).
    ///
    /// # Safety
    ///
    /// `at` came from [`Arena::alloc`] of this arena, or lies in the root, and
    /// the place is still within what was taken there, or is its end.
    #[inline]
    pub(super) unsafe fn ptr(&self, at: u32, bytes: usize) -> *mut u8 {
        // SAFETY: within the reservation by the caller's promise.
        unsafe { self.base.as_ptr().add(at as usize * UNIT_BYTES + bytes) }
    }

    /// The address of `bytes` behind offset `at`, to prefetch and not to read.
    #[inline]
    pub(super) fn hint(&self, at: u32, bytes: usize) -> *const i8 {
        self.base.as_ptr().wrapping_add(at as usize * UNIT_BYTES + bytes).cast()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let gauged = self.with_root(self.gauged.load(Ordering::Relaxed));
        match &mut self.backing {
            // SAFETY: allocated with this layout in `from_allocator`, freed here only.
            Backing::Heap(layout) => unsafe { dealloc(self.base.as_ptr(), *layout) },
            Backing::Mapped(mapped) => {
                if let Some(mut mapped) = mapped.take() {
                    // Now, since who takes it is in a hurry.
                    mapped.map[..self.root_bytes].fill(0);
                    let used = self.root_bytes + self.used.load(Ordering::Relaxed);
                    mapped.populated.fetch_max(used, Ordering::Relaxed);
                    mapped.shrink_to(kept_bytes(self.root_bytes));
                    let unwanted = self.gauge.spare().put(mapped);
                    // Unmapping takes a while: not under the lock.
                    drop(unwanted);
                }
            }
        }
        // Last, since giving memory back takes a while, and until then it is taken.
        self.gauge.sub(gauged);
    }
}

/// How much of a mapping is kept, or made, for the next arena of its size.
fn kept_bytes(root_bytes: usize) -> usize {
    (root_bytes + KEPT_BYTES).min(KEPT_BYTES_MAX)
}

fn from_allocator(bytes: usize) -> std::result::Result<(NonNull<u8>, Backing), String> {
    // One cache line, so that nodes start where they would in a mapping.
    let layout = Layout::from_size_align(bytes.max(UNIT_BYTES), 64).map_err(|e| e.to_string())?;
    // SAFETY: the layout is not empty.
    let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or("out of memory")?;
    Ok((base, Backing::Heap(layout)))
}

fn from_system(
    bytes: usize,
    gauge: &ArenaGauge,
) -> std::result::Result<(NonNull<u8>, Backing), String> {
    let spare = gauge.spare().take(bytes);
    let mut mapped = match spare {
        Some(mapped) => mapped,
        None => Mapped::new(bytes).map_err(|e| e.to_string())?,
    };
    let base = NonNull::new(mapped.map.as_mut_ptr()).ok_or("mapped at null")?;
    Ok((base, Backing::Mapped(Some(mapped))))
}
