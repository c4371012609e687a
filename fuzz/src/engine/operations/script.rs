//! Operations out of bytes; whatever the bytes are, there is a script in them.

use olive_core::internals::vfs::sim::{CrashMode, Effect, Fault, Fill, OpKind, errno};
use olive_core::{ChecksumPolicy, Durability, Maintenance, Options, TableIo, WalIo};

/// What is done; a number chooses among what there is.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// One write of puts (with a value's length) and deletes, by space and key.
    Write {
        changes: Vec<(u8, u8, Option<usize>)>,
        durable: bool,
    },
    DropSpace,
    Flush,
    Compact,
    Maintain(u8),
    Sync,
    Advance(u8),
    Snapshot,
    Release,
    /// Compares everything, forward and backward, snapshots too.
    Compare,
    Checkpoint,
    Fault(Fault),
    Heal,
    /// So many bytes are left on the disk.
    Room(u64),
    Reopen,
    ReadOnly,
    /// So many mutations ago; `None`: the process was killed, the system goes on.
    Crash {
        mode: Option<CrashMode>,
        back: u64,
    },
}

pub(super) struct Script<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl Script<'_> {
    pub(super) fn new(bytes: &[u8]) -> Script<'_> {
        Script { bytes: bytes.iter() }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    pub(super) fn options(&mut self) -> Options {
        let (ways, sizes) = (self.byte(), self.byte());
        let wal_io = if ways & 1 == 0 { WalIo::Mapped } else { WalIo::Write };
        let table_io = if ways & 2 == 0 { TableIo::Mapped } else { TableIo::Read };
        let durability = if ways & 4 == 0 { Durability::Buffered } else { Durability::Sync };
        let policy =
            if ways & 8 == 0 { ChecksumPolicy::FirstRead } else { ChecksumPolicy::EveryRead };
        let size = |shift: u8| 1_usize << (10 + (sizes >> shift & 3));
        Options::default()
            .maintenance(Maintenance::Manual)
            .wal_io(wal_io)
            .table_io(table_io)
            .durability(durability)
            .checksum_policy(policy)
            .filter_bits_per_key(u32::from(ways >> 4 & 3) * 5)
            .level0_tables(1 + usize::from(ways >> 6))
            .memtable_bytes(size(0))
            .table_bytes(size(2) as u64)
            .block_bytes(64 << (sizes >> 4 & 3))
            .wal_segment_bytes_max(4096 << (sizes >> 6 & 1))
            .wal_mapped_record_bytes_max(if sizes >> 7 == 0 { 8 << 10 } else { 40 })
            .level_base_bytes(size(2) as u64)
            .level_multiplier(2)
    }

    /// The next one; `None` at the end of the bytes.
    pub(super) fn op(&mut self) -> Option<Op> {
        let code = *self.bytes.next()?;
        Some(match code % 32 {
            0..12 => {
                let count = if code % 32 < 8 { 1 } else { 1 + self.byte() % 6 };
                let changes = (0..count).map(|_| self.change()).collect();
                Op::Write { changes, durable: code & 0x80 != 0 }
            }
            12 => Op::DropSpace,
            13 => Op::Flush,
            14 => Op::Compact,
            15..18 => Op::Maintain(1 + self.byte() % 16),
            18 => Op::Sync,
            19 => Op::Advance(self.byte()),
            20 => Op::Snapshot,
            21 => Op::Release,
            22 => Op::Compare,
            23 => Op::Checkpoint,
            24 | 25 => Op::Fault(self.fault()),
            26 => Op::Heal,
            27 => Op::Room(u64::from(self.byte()) * 128),
            28 => Op::Reopen,
            29 => Op::ReadOnly,
            _ => {
                let mode = self.mode();
                Op::Crash { mode, back: u64::from(self.byte()) }
            }
        })
    }

    /// Byte one: space and key; byte two: what becomes of it.
    fn change(&mut self) -> (u8, u8, Option<usize>) {
        let (key, what) = (self.byte(), self.byte());
        let len = match what {
            0..64 => None,
            64..240 => Some(usize::from(what - 64)),
            _ => Some(usize::from(what - 239) * 400),
        };
        (key >> 6, key & 0x3F, len)
    }

    fn fault(&mut self) -> Fault {
        const KINDS: [Option<OpKind>; 16] = [
            None,
            Some(OpKind::Create),
            Some(OpKind::Open),
            Some(OpKind::Read),
            Some(OpKind::Write),
            Some(OpKind::Write),
            Some(OpKind::Populate),
            Some(OpKind::Reserve),
            Some(OpKind::Sync),
            Some(OpKind::Sync),
            Some(OpKind::SyncDir),
            Some(OpKind::Rename),
            Some(OpKind::Unlink),
            Some(OpKind::Link),
            Some(OpKind::List),
            Some(OpKind::Metadata),
        ];
        let (what, nth) = (self.byte(), self.byte());
        let effect = match what >> 4 & 3 {
            0 => Effect::Error(errno::EIO),
            1 => Effect::Error(errno::ENOSPC),
            2 => Effect::Error(errno::EINTR),
            _ => Effect::Short,
        };
        // From then on a call that is only interrupted, or short, never ends.
        let lasts = matches!(effect, Effect::Error(errno::EIO | errno::ENOSPC));
        let forever = what & 0x40 != 0 && lasts;
        Fault { kind: KINDS[usize::from(what & 15)], nth: 1 + u64::from(nth), forever, effect }
    }

    fn mode(&mut self) -> Option<CrashMode> {
        let seed = u64::from(self.byte());
        Some(match seed % 8 {
            0 => return None,
            1 => CrashMode::Synced,
            2 => CrashMode::Everything,
            3 => CrashMode::Torn { bytes: seed * 2 },
            4 => CrashMode::Tail(if seed & 16 == 0 { Fill::Zeros } else { Fill::Garbage { seed } }),
            5 => CrashMode::Spoiled(if seed & 16 == 0 {
                Fill::Zeros
            } else {
                Fill::Garbage { seed }
            }),
            _ => CrashMode::Random { seed },
        })
    }
}
