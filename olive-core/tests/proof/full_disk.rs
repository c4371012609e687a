//! A disk that fills up under several writers: each is told, reads go on and are
//! right, and when there is room again writes go on without a reopen.
//!
//! ```text
//! round   ballast takes the room but for some │ writers write until each is refused
//!         │ reads, forward, backward, verify  │ more writes are refused, or taken
//!         │ the ballast goes                  │ writers go on │ (reopened) │ all is there
//! moment  no room during a flush, a compaction, an open, a close: done or refused
//! ```
//!
//! On file systems that are mounted for the purpose (which needs root), and in the
//! short form on the simulated disk with a limit.

mod disk;
mod moments;
mod writers;

use std::time::Duration;

use olive_core::{Db, Durability, ErrorKind, Maintenance, Options, WalIo};

use self::disk::{Disk, FileSystem, Mount};
use self::moments::Scene;
use self::writers::{Checked, Writer, check, with_room};
use crate::support::Random;
use crate::tally::{Tally, seed};

const WRITERS: usize = 4;
/// The name of the options that do not fit the disk.
const DEFAULTS: &str = "defaults";

/// What is run on one disk.
struct Proof<'a> {
    disk: &'a Disk,
    seed: u64,
    /// Rounds for each set of options.
    rounds: u64,
    /// Amounts of room, in parts of the disk, with which each moment is tried.
    lefts: &'a [u64],
    tally: &'a Tally,
}

impl Proof<'_> {
    fn run(&self) {
        for (name, options) in self.sets() {
            self.disk.clear();
            let outcome = match name.as_str() {
                DEFAULTS => self.lone_rounds(&options),
                _ => self.rounds(&options).and_then(|()| self.moments(&options)),
            };
            // Whatever went wrong must not be in the next one's way.
            self.disk.free();
            if let Err(what) = outcome {
                self.tally.bad(format!("{name}: {what}"));
            }
            self.tally.add("option sets", 1);
        }
    }

    /// The defaults, but for sizes that fit the disk; and, where it is large enough for
    /// a few log segments, the defaults themselves: the log takes all the room then,
    /// long before a memtable is full.
    fn sets(&self) -> Vec<(String, Options)> {
        let bytes = self.disk.bytes();
        let fitting = Options::default()
            .maintenance(Maintenance::Threads)
            .memtable_bytes((bytes / 32) as usize)
            .wal_segment_bytes_max(bytes / 32)
            .table_bytes(bytes / 64)
            .level_base_bytes(bytes / 8);
        let mut sets = Vec::new();
        if let Disk::Mounted(_) = self.disk {
            sets.push((DEFAULTS.to_owned(), Options::default()));
        }
        for wal in [WalIo::Mapped, WalIo::Write] {
            for durability in [Durability::Buffered, Durability::Sync] {
                let options = fitting.clone().wal_io(wal).durability(durability);
                sets.push((format!("{wal:?} {durability:?}"), options));
            }
        }
        let options = fitting.wal_io(WalIo::Mapped).wal_mapped_record_bytes_max(0);
        sets.push(("reserved only".to_owned(), options));
        sets
    }

    fn moments(&self, options: &Options) -> Checked {
        let (disk, tally) = (self.disk, self.tally);
        for (nth, part) in self.lefts.iter().enumerate() {
            let left = part * disk.bytes() / 1024;
            let seed = self.seed ^ nth as u64;
            Scene { disk, options, seed, left, tally }.all()?;
        }
        Ok(())
    }

    /// Rounds that each begin with an empty folder. What was given back may be less
    /// than a flush of all that is in the log takes beside the log.
    fn lone_rounds(&self, options: &Options) -> Checked {
        let mut random = Random(self.seed);
        for round in 0..self.rounds {
            self.disk.clear();
            let db = self.disk.open(options.clone()).map_err(told("a new database"))?;
            let mut writers = self.writers();
            let left = self.disk.room() * (1 + random.below(8)) / 32;
            self.round(&db, &mut writers, left)
                .map_err(|what| format!("round {round}, {left} bytes left: {what}"))?;
            match db.close() {
                Err(error) if error.kind() != ErrorKind::DiskFull => {
                    return Err(told("a close")(error));
                }
                closed => self.tally.add("closes refused", u64::from(closed.is_err())),
            }
            drop(db);
            let copy = self.disk.copy();
            let db = copy.open(options).map_err(told("a reopen with room"))?;
            check(&db, &writers).map_err(|what| format!("round {round}, reopened: {what}"))?;
            self.tally.add("reopened", 1);
            self.tally.add("rounds", 1);
        }
        Ok(())
    }

    fn writers(&self) -> Vec<Writer> {
        (0..WRITERS).map(|name| Writer::new(name, self.seed)).collect()
    }

    fn rounds(&self, options: &Options) -> Checked {
        let mut random = Random(self.seed);
        let mut writers = self.writers();
        let mut db = self.disk.open(options.clone()).map_err(told("a new database"))?;
        for round in 0..self.rounds {
            // Up to a quarter of the room: what the ballast gives back holds it all again.
            let left = self.disk.room() * (1 + random.below(8)) / 32;
            self.round(&db, &mut writers, left)
                .map_err(|what| format!("round {round}, {left} bytes left: {what}"))?;
            with_room("a flush", || db.flush())?;
            if round % 2 == 1 {
                db.close().map_err(told("a close"))?;
                drop(db);
                db = self.disk.open(options.clone()).map_err(told("a reopen"))?;
                check(&db, &writers).map_err(|what| format!("round {round}, reopened: {what}"))?;
                self.tally.add("reopened", 1);
            }
            writers.iter_mut().try_for_each(|writer| writer.thin_out(&db))?;
            with_room("a compaction", || db.compact_range(..))?;
            self.tally.add("rounds", 1);
        }
        db.close().map_err(told("a last close"))
    }

    /// Full, and not full any more.
    fn round(&self, db: &Db, writers: &mut [Writer], left: u64) -> Checked {
        let value_bytes_max = self.disk.bytes() / 2048;
        self.disk.fill(left);
        let written = together(writers, |writer| writer.fill(db, value_bytes_max))?;
        check(db, writers).map_err(|what| format!("full: {what}"))?;
        self.tally.add("checks while full", 1);
        let refused = together(writers, |writer| writer.insist(db, 20, value_bytes_max))?;
        check(db, writers).map_err(|what| format!("full, insisted: {what}"))?;
        self.disk.free();
        let resumed = together(writers, |writer| writer.resume(db, 50, value_bytes_max))?;
        check(db, writers).map_err(|what| format!("resumed: {what}"))?;
        let slowest = resumed.into_iter().max().unwrap_or_default();
        let counts = [
            ("writes", written.iter().sum::<u64>() + 50 * WRITERS as u64),
            ("refused", refused.iter().sum::<u64>() + WRITERS as u64),
            ("resumed at once", u64::from(slowest < Duration::from_millis(100))),
            ("resumed within 10 s", u64::from(slowest >= Duration::from_millis(100))),
        ];
        counts.into_iter().for_each(|(name, count)| self.tally.add(name, count));
        Ok(())
    }
}

fn told(what: &'static str) -> impl Fn(olive_core::Error) -> String {
    move |error| format!("{what}: {error:?}")
}

/// Lets all writers do the same at the same time.
fn together<T: Send>(
    writers: &mut [Writer],
    act: impl Fn(&mut Writer) -> Checked<T> + Sync,
) -> Checked<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            writers.iter_mut().map(|writer| scope.spawn(|| act(writer))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// Rounds of a long run, for each set of options.
const ROUNDS: u64 = 12;
/// Amounts of room of a long run, in 1024ths of the disk.
const LEFTS: [u64; 7] = [0, 1, 4, 16, 32, 64, 128];

#[test]
fn a_simulated_full_disk() {
    let tally = Tally::new("full-disk (simulated)");
    let seed = seed(0xF011);
    let disk = Disk::simulated(seed);
    Proof { disk: &disk, seed, rounds: 2, lefts: &[0, 8, 64], tally: &tally }.run();
    tally.close();
}

/// # Panics
///
/// Where nothing can be mounted: the same is tried on the simulated disk then, which
/// shows less.
fn prove_mounted(proof: &'static str, what: FileSystem) {
    let tally = Tally::new(proof);
    let seed = seed(0xF011_D15C);
    let run = |disk: &Disk| {
        Proof { disk, seed, rounds: ROUNDS, lefts: &LEFTS, tally: &tally }.run();
        tally.close();
    };
    match Mount::new(what) {
        Ok(mount) => run(&Disk::Mounted(mount)),
        Err(cause) => {
            println!(
                "proof {proof}: cannot mount {what:?}, so the simulated disk instead: {cause}"
            );
            run(&Disk::simulated(seed));
            panic!("no real disk was filled: mounting {what:?} needs root: {cause}");
        }
    }
}

#[test]
#[ignore = "a minute, and mounts a small tmpfs: needs root"]
fn a_real_full_disk_tmpfs() {
    prove_mounted("full-disk tmpfs", FileSystem::Tmpfs);
}

#[test]
#[ignore = "minutes, and mounts a small ext4 image: needs root"]
fn a_real_full_disk_ext4() {
    prove_mounted("full-disk ext4", FileSystem::Ext4);
}
