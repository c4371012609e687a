//! The option sets that every script can run on.

use std::time::Duration;

use olive_core::{ChecksumPolicy, Durability, Maintenance, Options, TableIo, WalIo};

/// Where the database lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Simulated,
    Real,
}

/// Which keyspaces there are beside the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyspaces {
    /// Those that the script makes and drops.
    Scripted,
    /// None, whatever the script says.
    None,
    /// All names from the beginning on, and then as the script says.
    All,
}

pub(super) struct OptionSet {
    pub(super) name: &'static str,
    pub(super) disk: Disk,
    pub(super) threads: bool,
    pub(super) durable: bool,
    pub(super) keyspaces: Keyspaces,
    options: fn(Options) -> Options,
}

impl OptionSet {
    const fn keyspaces(self, keyspaces: Keyspaces) -> OptionSet {
        OptionSet { keyspaces, ..self }
    }

    pub(super) fn options(&self) -> Options {
        let maintenance = if self.threads { Maintenance::Threads } else { Maintenance::Manual };
        let durability = if self.durable { Durability::Sync } else { Durability::Buffered };
        let all = Options::default().maintenance(maintenance).durability(durability);
        (self.options)(all.sync_interval(SYNC_INTERVAL).wal_segment_bytes_max(64 << 10))
    }
}

pub(super) const SYNC_INTERVAL: Duration = Duration::from_millis(1000);

/// Everything as small as it can be, so that a short script fills several levels.
fn tiny(options: Options) -> Options {
    options
        .memtable_bytes(1 << 10)
        .memtables_max(2)
        .block_bytes(64)
        .table_bytes(1 << 10)
        .level_base_bytes(1 << 10)
        .level_multiplier(2)
        .level0_tables(1)
}

const fn set(
    name: &'static str,
    disk: Disk,
    threads: bool,
    durable: bool,
    options: fn(Options) -> Options,
) -> OptionSet {
    OptionSet { name, disk, threads, durable, keyspaces: Keyspaces::Scripted, options }
}

use Disk::{Real, Simulated};

pub(super) const SETS: [OptionSet; 28] = [
    set("tiny", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Mapped).table_io(TableIo::Mapped)
    }),
    set("tiny, read and written by calls", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Write).table_io(TableIo::Read).filter_bits_per_key(0)
    }),
    set("tiny, synced", Simulated, false, true, |o| {
        tiny(o).checksum_policy(ChecksumPolicy::EveryRead).filter_bits_per_key(1)
    }),
    set("tiny segments, mapped", Simulated, false, false, |o| {
        o.memtable_bytes(8 << 10)
            .wal_io(WalIo::Mapped)
            .wal_segment_bytes_max(4 << 10)
            .block_bytes(128)
            .table_bytes(4 << 10)
            .level_base_bytes(4 << 10)
            .level_multiplier(2)
    }),
    set("tiny segments, written", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Write).wal_segment_bytes_max(4 << 10).memtables_max(4)
    }),
    set("all in the memtable", Simulated, false, false, |o| o.memtable_bytes(1 << 20)),
    set("one wide level 0", Simulated, false, false, |o| {
        o.memtable_bytes(2 << 10).level0_tables(16).memtables_max(8).block_bytes(256)
    }),
    set("a large memtable cut into small tables", Simulated, false, false, |o| {
        o.memtable_bytes(64 << 10).table_bytes(1 << 10).level_base_bytes(1 << 10).block_bytes(64)
    }),
    set("middling, every read checked", Simulated, false, false, |o| {
        o.memtable_bytes(4 << 10)
            .block_bytes(256)
            .table_bytes(4 << 10)
            .level_base_bytes(8 << 10)
            .level_multiplier(4)
            .level0_tables(2)
            .table_io(TableIo::Read)
            .checksum_policy(ChecksumPolicy::EveryRead)
            .filter_bits_per_key(1)
    }),
    set("large blocks in small tables", Simulated, false, false, |o| {
        tiny(o).block_bytes(4 << 10).memtable_bytes(2 << 10).level_multiplier(10)
    }),
    set("synced, written, small segments", Simulated, false, true, |o| {
        tiny(o).wal_io(WalIo::Write).wal_segment_bytes_max(4 << 10).filter_bits_per_key(20)
    }),
    set("middling, mapped", Simulated, false, false, |o| {
        o.memtable_bytes(4 << 10)
            .table_bytes(2 << 10)
            .level_base_bytes(4 << 10)
            .level_multiplier(3)
            .level0_tables(3)
            .block_bytes(512)
            .wal_segment_bytes_max(16 << 10)
    }),
    set("tiny, threads", Simulated, true, false, |o| tiny(o).wal_io(WalIo::Mapped)),
    set("tiny, synced, three compacting threads", Simulated, true, true, |o| {
        tiny(o).compaction_threads(3).table_io(TableIo::Read).wal_io(WalIo::Write)
    }),
    set("tiny segments, threads", Simulated, true, false, |o| {
        tiny(o).compaction_threads(3).wal_segment_bytes_max(4 << 10).memtables_max(3)
    }),
    set("real disk, stepping", Real, false, false, tiny),
    set("real disk, threads", Real, true, false, |o| {
        tiny(o)
            .wal_io(WalIo::Mapped)
            .wal_mapped_record_bytes_max(100)
            .sync_interval(Duration::from_millis(20))
    }),
    set("real disk, three compacting threads, calls", Real, true, false, |o| {
        tiny(o)
            .compaction_threads(3)
            .table_io(TableIo::Read)
            .wal_io(WalIo::Write)
            .checksum_policy(ChecksumPolicy::EveryRead)
            .filter_bits_per_key(0)
    }),
    set("written, tables mapped, no filters", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Write).table_io(TableIo::Mapped).filter_bits_per_key(0)
    }),
    set("mapped, tables read, every read checked", Simulated, false, false, |o| {
        tiny(o)
            .wal_io(WalIo::Mapped)
            .wal_mapped_record_bytes_max(0)
            .table_io(TableIo::Read)
            .checksum_policy(ChecksumPolicy::EveryRead)
    }),
    set("synced, mapped, large blocks", Simulated, false, true, |o| {
        tiny(o).wal_io(WalIo::Mapped).block_bytes(4 << 10).filter_bits_per_key(20)
    }),
    set("synced, written, tables read, every read checked", Simulated, false, true, |o| {
        tiny(o)
            .wal_io(WalIo::Write)
            .wal_segment_bytes_max(4 << 10)
            .table_io(TableIo::Read)
            .checksum_policy(ChecksumPolicy::EveryRead)
            .filter_bits_per_key(0)
    }),
    set("tiny blocks in large tables", Simulated, false, false, |o| {
        o.memtable_bytes(8 << 10)
            .block_bytes(64)
            .table_bytes(64 << 10)
            .level_base_bytes(64 << 10)
            .level0_tables(4)
    }),
    set("a deep level 0, read", Simulated, false, false, |o| {
        tiny(o).level0_tables(8).table_bytes(4 << 10).table_io(TableIo::Read)
    }),
    set("steep levels", Simulated, false, false, |o| {
        tiny(o).level_base_bytes(2 << 10).level_multiplier(20).memtables_max(6)
    }),
    set("a sync is due at once", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Write).sync_interval(Duration::from_millis(1)).level0_tables(3)
    }),
    set("no keyspace but the default one", Simulated, false, false, |o| {
        tiny(o).wal_io(WalIo::Write).table_io(TableIo::Mapped).filter_bits_per_key(5)
    })
    .keyspaces(Keyspaces::None),
    set("many keyspaces from the beginning on", Simulated, false, false, |o| {
        tiny(o).memtable_bytes(2 << 10).block_bytes(128).table_io(TableIo::Read)
    })
    .keyspaces(Keyspaces::All),
];
