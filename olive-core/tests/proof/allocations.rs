//! An allocator that counts, so that a proof can say how much memory bad bytes make a
//! reader ask for. The counts are those of the calling thread.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait: this one hands on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// Bytes that a thread holds, the most that it held, and its largest single request.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    held: isize,
    peak: isize,
    largest: usize,
}

thread_local! {
    // Neither built lazily nor dropped, so that the allocator may use it at any time.
    static COUNTS: Cell<Counts> =
        const { Cell::new(Counts { held: 0, peak: 0, largest: 0 }) };
}

fn took(bytes: usize) {
    let mut counts = COUNTS.get();
    counts.held += bytes as isize;
    counts.peak = counts.peak.max(counts.held);
    counts.largest = counts.largest.max(bytes);
    COUNTS.set(counts);
}

fn gave(bytes: usize) {
    let mut counts = COUNTS.get();
    counts.held -= bytes as isize;
    COUNTS.set(counts);
}

// SAFETY: every call is handed on to the system's allocator as it came; what is done
// beside it allocates nothing and cannot panic: sums of bytes that are in memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps what `alloc_zeroed` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        gave(layout.size());
        took(bytes);
        // SAFETY: the caller keeps what `realloc` asks for, and `at` came from System.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller keeps what `dealloc` asks for, and `at` came from System.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What this thread asks for from its beginning on. One at a time.
pub(crate) struct Meter {
    held: isize,
}

impl Meter {
    pub(crate) fn start() -> Meter {
        let mut counts = COUNTS.get();
        counts.peak = counts.held;
        counts.largest = 0;
        COUNTS.set(counts);
        Meter { held: counts.held }
    }

    /// The largest single request, in bytes.
    pub(crate) fn largest_bytes(&self) -> usize {
        COUNTS.get().largest
    }

    /// The most that was held at once, over what was held at the start, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        (COUNTS.get().peak - self.held).max(0) as usize
    }
}

#[test]
fn the_meter_sees_requests_and_what_is_held_at_once() {
    let before = vec![1_u8; 100_000];
    let meter = Meter::start();
    drop(std::hint::black_box(vec![2_u8; 30_000]));
    let mut grows = std::hint::black_box(Vec::<u8>::with_capacity(20_000));
    grows.reserve_exact(50_000);
    assert_eq!(meter.largest_bytes(), 50_000);
    let peak = meter.peak_bytes();
    assert!((50_000..75_000).contains(&peak), "{peak}");
    drop((before, grows));
    assert_eq!(Meter::start().peak_bytes(), 0);
}
