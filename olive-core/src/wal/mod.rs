//! The write-ahead log: a chain of preallocated segments.
//!
//! ```text
//!  000005.wal             000008.wal                 000009.wal
//! ┌──────┬───┬───┬─────┐ ┌──────┬───┬───┬────────┐ ┌──────┬──────────┐
//! │header│rec│rec│ end ├►│header│rec│rec│ zeros  │ │header│ zeros    │
//! └──────┴───┴───┴─────┘ └──────┴───┴───┴────────┘ └──────┴──────────┘
//!   sealed                 active   ▲   ▲            prepared: not announced yet
//!                              synced   appended
//! ```
//!
//! One [`LogWriter`], under the commit lock, appends; [`LogSync`], shared by all,
//! makes durable what was appended, without that lock. Every record carries the
//! position up to which the log had been synced: its *promise*. [`replay`] reads
//! the chain from the oldest segment that the manifest needs. The first bad or
//! missing record ends it, and is a loss only if a promise says that it was
//! synced; what was never synced may be torn in any way.
//!
//! The bytes are in [`crate::format::wal_record`].

mod pace;
mod probe;
mod replay;
mod segment;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use crate::format::file_names::FileKind;
use crate::format::wal_record::{Promise, RECORD_ALIGN};

pub use probe::has_records;
pub use replay::{Record, ReplayPlan, Replayed, replay};
pub use segment::{Segment, SegmentIo};
pub use sync::LogSync;
pub use writer::LogWriter;

/// A place in the log; later places are larger. Segment numbers fit in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WalPosition {
    /// Number of the segment; 0: before all of them.
    pub segment: u64,
    /// Offset in it, a multiple of 8.
    pub offset: u64,
}

impl WalPosition {
    /// As one number that keeps the order: segment << 32 | offset / 8. Segments are
    /// created only with a number and a length that fit.
    fn pack(self) -> u64 {
        (self.segment << 32) | (self.offset / RECORD_ALIGN as u64)
    }

    fn unpack(packed: u64) -> WalPosition {
        WalPosition {
            segment: packed >> 32,
            offset: (packed & u64::from(u32::MAX)) * RECORD_ALIGN as u64,
        }
    }

    fn promise(self) -> Promise {
        let packed = self.pack();
        Promise { segment: (packed >> 32) as u32, offset_words: packed as u32 }
    }

    fn promised(promise: Promise) -> WalPosition {
        WalPosition::unpack((u64::from(promise.segment) << 32) | u64::from(promise.offset_words))
    }
}

impl std::fmt::Display for WalPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(FileKind::Segment(number).name())
}
