//! How writers are slowed: smoothly, by the bytes of work that is owed.
//!
//! Four debts are measured, each from where it begins to matter (0) to where
//! writes would have to stop (1):
//!
//! ```text
//! memtables          bytes in memtables, from two that are full to as many as there may be
//! level 0            its tables, from twice its trigger to the hard limit
//! compaction debt    bytes over the levels' targets, from four to 32 base levels
//! log segment        what is used of it while the next one is not ready, from three
//!                    quarters to all
//! ```
//!
//! A level 0 at its trigger owes four base levels or more by itself, as it and what it
//! displaces sink through the levels: that is how it always is, too.
//!
//! The worst of them, `d`, sets the price of a write: `d² · 50 µs`, the same again
//! for every 4 KiB beyond the first. Prices add up as owed time, which is paid in
//! waits of 60 to 800 µs (`payments.rs`).
//!
//! One memtable that is flushed while the next one fills is how it always is, and no
//! debt. The active one counts with what it holds, so that the price does not jump when
//! it is rotated.

/// The price of a small write at the hard limit, in nanoseconds.
pub(crate) const PRICE_NS_MAX: u64 = 50_000;
/// What the preparing of segments is called, and the wait for one.
pub(super) const LOG_SEGMENT: &str = "log segment";
/// Bytes that one price covers.
const PRICE_BYTES: u64 = 4096;

/// Why a writer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Memtables,
    Level0,
    CompactionDebt,
    LogSegment,
    DiskFull,
}

impl Cause {
    pub(crate) const ALL: [Cause; 5] = [
        Cause::Memtables,
        Cause::Level0,
        Cause::CompactionDebt,
        Cause::LogSegment,
        Cause::DiskFull,
    ];

    /// The work that a writer waits for.
    pub(crate) fn awaited(self) -> &'static str {
        match self {
            Cause::Memtables | Cause::DiskFull => "flush",
            Cause::Level0 | Cause::CompactionDebt => "compaction",
            Cause::LogSegment => LOG_SEGMENT,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Cause::Memtables => "memtables",
            Cause::Level0 => "level 0",
            Cause::CompactionDebt => "compaction debt",
            Cause::LogSegment => LOG_SEGMENT,
            Cause::DiskFull => "disk full",
        }
    }
}

/// The work that is owed, and what may be owed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Debts {
    /// What the memtables hold, the active one included.
    pub(crate) held_bytes: u64,
    pub(crate) memtable_bytes: u64,
    pub(crate) memtables_max: u64,
    pub(crate) level0_tables: u64,
    pub(crate) level0_trigger: u64,
    pub(crate) compaction_bytes: u64,
    pub(crate) level_base_bytes: u64,
    /// Of the segment that takes records, while the next one is being prepared; else 0.
    pub(crate) segment_used_bytes: u64,
    pub(crate) segment_bytes: u64,
}

impl Debts {
    /// The number of level-0 tables at which writes stop.
    pub(crate) fn level0_hard_limit(trigger: u64) -> u64 {
        trigger * 6 + 12
    }

    /// The price of a small write in nanoseconds, and what it is paid for.
    pub(crate) fn price_ns(&self) -> (u64, Cause) {
        let part = |is: u64, from: u64, to: u64| -> f64 {
            is.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64
        };
        let flush = part(
            self.held_bytes,
            self.memtable_bytes * self.memtables_max.saturating_sub(1).min(2),
            self.memtable_bytes * self.memtables_max,
        );
        let level0 = part(
            self.level0_tables,
            self.level0_trigger * 2,
            Debts::level0_hard_limit(self.level0_trigger),
        );
        let base = self.level_base_bytes;
        let compaction = part(self.compaction_bytes, base * 4, base * 32);
        let segment = part(self.segment_used_bytes, self.segment_bytes / 4 * 3, self.segment_bytes);
        let (worst, cause) = [
            (segment, Cause::LogSegment),
            (flush, Cause::Memtables),
            (level0, Cause::Level0),
            (compaction, Cause::CompactionDebt),
        ]
        .into_iter()
        .fold((0.0, Cause::Memtables), |worst, debt| if debt.0 > worst.0 { debt } else { worst });
        let worst = worst.min(1.0);
        ((worst * worst * PRICE_NS_MAX as f64) as u64, cause)
    }
}

/// What a write of `bytes` owes at a price.
pub(crate) fn owed_ns(price_ns: u64, bytes: u64) -> u64 {
    price_ns * (1 + bytes / PRICE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debts() -> Debts {
        Debts {
            memtable_bytes: 64 << 20,
            memtables_max: 3,
            level0_trigger: 4,
            level_base_bytes: 256 << 20,
            ..Debts::default()
        }
    }

    #[test]
    fn without_debt_a_write_costs_nothing() {
        assert_eq!(debts().price_ns().0, 0);
        let usual = Debts { level0_tables: 6, held_bytes: 128 << 20, ..debts() };
        assert_eq!(usual.price_ns().0, 0);
        let of_two = Debts { memtables_max: 2, held_bytes: 64 << 20, ..debts() };
        assert_eq!(of_two.price_ns().0, 0);
    }

    #[test]
    fn the_price_grows_with_each_debt_up_to_its_limit_and_names_the_cause() {
        let mut last = 0;
        for tables in 8..60 {
            let (price, cause) = Debts { level0_tables: tables, ..debts() }.price_ns();
            assert!(price >= last && price <= PRICE_NS_MAX);
            assert!(tables == 8 || cause == Cause::Level0);
            last = price;
        }
        assert_eq!(last, PRICE_NS_MAX);
        let held = |mib: u64| Debts { held_bytes: mib << 20, ..debts() }.price_ns();
        assert_eq!(held(160), (PRICE_NS_MAX / 4, Cause::Memtables));
        assert_eq!(held(192), (PRICE_NS_MAX, Cause::Memtables));
        let compaction = |mib: u64| Debts { compaction_bytes: mib << 20, ..debts() }.price_ns();
        assert_eq!(compaction(1024).0, 0);
        assert_eq!(compaction(4608), (PRICE_NS_MAX / 4, Cause::CompactionDebt));
        assert_eq!(compaction(8192), (PRICE_NS_MAX, Cause::CompactionDebt));
        let segment = |mib: u64| {
            let (segment_used_bytes, segment_bytes) = (mib << 20, 64 << 20);
            Debts { segment_used_bytes, segment_bytes, ..debts() }.price_ns()
        };
        assert_eq!(segment(48).0, 0);
        assert_eq!(segment(56), (PRICE_NS_MAX / 4, Cause::LogSegment));
        assert_eq!(segment(64), (PRICE_NS_MAX, Cause::LogSegment));
    }

    #[test]
    fn large_writes_owe_in_proportion() {
        assert_eq!(owed_ns(10, 100), 10);
        assert_eq!(owed_ns(10, 1 << 20), 10 * 257);
    }
}
