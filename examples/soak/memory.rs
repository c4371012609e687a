//! Watches the anonymous memory of the process against its limit.
//!
//! ```text
//! limit = what stats() says of memtables (active, immutable and pinned)
//!         + this program's own arrays + 64 MiB
//! ```

use std::time::Duration;

use anyhow::Result;
use olive_core::Db;
use olive_examples::system::rss_anon_bytes;

/// What the engine may take beside its memtables, in bytes.
pub(crate) const ALLOWANCE_BYTES: u64 = 64 << 20;
/// A memtable that is freed between two looks is no excess: so many in a row are.
const LOOKS: usize = 5;

/// The highest marks so far, in bytes.
#[derive(Default)]
pub(crate) struct Memory {
    /// Kept by this program itself.
    pub(crate) own_bytes: u64,
    /// The most that the process had.
    pub(crate) peak_bytes: u64,
    /// The most that memtables had, at any look.
    pub(crate) memtables_bytes: u64,
    /// The most that was there beside memtables and this program's arrays.
    pub(crate) beside_bytes: u64,
}

impl Memory {
    /// Takes one sample; where it is past the limit, some more.
    pub(crate) fn sample(&mut self, db: &Db) -> Result<()> {
        let mut beside_bytes = u64::MAX;
        for look in 0..LOOKS {
            let before = memtables_bytes(db)?;
            let Some(rss_bytes) = rss_anon_bytes() else { return Ok(()) };
            let memtables_bytes = before.max(memtables_bytes(db)?);
            self.peak_bytes = self.peak_bytes.max(rss_bytes);
            self.memtables_bytes = self.memtables_bytes.max(memtables_bytes);
            let beside = rss_bytes.saturating_sub(memtables_bytes + self.own_bytes);
            beside_bytes = beside_bytes.min(beside);
            if beside_bytes <= ALLOWANCE_BYTES {
                break;
            }
            if look + 1 < LOOKS {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.beside_bytes = self.beside_bytes.max(beside_bytes);
        Ok(())
    }

    pub(crate) fn is_past_limit(&self) -> bool {
        self.beside_bytes > ALLOWANCE_BYTES
    }
}

fn memtables_bytes(db: &Db) -> Result<u64> {
    let stats = db.stats()?;
    Ok(stats.memtable_bytes + stats.immutable_bytes + stats.pinned_bytes)
}
