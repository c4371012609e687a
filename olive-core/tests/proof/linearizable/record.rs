//! Histories of one database: 8 threads, a pair of keys a history.

use std::fmt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{
    Db, Durability, Iter, Maintenance, TableIo, Value, WalIo, WriteBatch, WriteOptions,
};

use super::checker::{Event, Op, Touch};
use crate::support::{Random, Scratch, open_sim, tiny};

/// A panic would leave the other threads waiting.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) const THREADS: usize = 8;
/// Operations of each thread in a history.
pub(crate) const OPS: usize = 24;
/// Histories that share a database.
pub(crate) const HISTORIES_PER_DB: usize = 60;
/// Each so many databases one lies on the real disk.
const REAL_DISK_EVERY: usize = 20;

/// What came of one database.
pub(crate) struct Recorded {
    pub(crate) histories: Vec<Vec<Event>>,
    pub(crate) flushes: u64,
    pub(crate) compactions: u64,
}

/// Opens a database by its number in the run, and records.
pub(crate) struct Recorder {
    set: usize,
    seed: u64,
}

impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {}, seed {:#x}", self.set, self.seed)
    }
}

impl Recorder {
    pub(crate) fn new(set: usize, seed: u64) -> Recorder {
        Recorder { set, seed }
    }

    pub(crate) fn record(&self) -> Outcome<Recorded> {
        let options = tiny()
            .maintenance(Maintenance::Threads)
            .memtable_bytes([2, 4, 16][self.set % 3] << 10)
            .memtables_max(2 + self.set % 2)
            .wal_io([WalIo::Mapped, WalIo::Write][self.set % 2])
            .table_io([TableIo::Mapped, TableIo::Read][self.set / 2 % 2])
            .compaction_threads(1 + self.set % 2)
            .sync_interval(Duration::from_millis(1));
        let on_disk = self.set % REAL_DISK_EVERY == REAL_DISK_EVERY - 1;
        let scratch = on_disk.then(Scratch::new);
        let db = match &scratch {
            Some(scratch) => options.open(scratch.path())?,
            None => open_sim(options, &SimVfs::new(self.seed))?,
        };
        let (tickets, barrier) = (AtomicU64::new(0), Barrier::new(THREADS));
        let by_thread: Vec<Outcome<Vec<Vec<Event>>>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let random = Random(self.seed ^ (thread as u64 + 1) << 32);
                    let caller = Caller { db: &db, tickets: &tickets, random, thread };
                    scope.spawn(|| caller.run(&barrier))
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("a thread")).collect()
        });
        let mut histories = vec![Vec::new(); HISTORIES_PER_DB];
        for thread in by_thread {
            for (history, events) in histories.iter_mut().zip(thread?) {
                history.extend(events);
            }
        }
        let stats = db.stats()?;
        db.close()?;
        Ok(Recorded { histories, flushes: stats.flushes, compactions: stats.compactions })
    }
}

/// One thread.
struct Caller<'a> {
    db: &'a Db,
    tickets: &'a AtomicU64,
    random: Random,
    thread: usize,
}

impl Caller<'_> {
    /// All histories, each begun together with the others. After an error it only waits
    /// with them.
    fn run(mut self, barrier: &Barrier) -> Outcome<Vec<Vec<Event>>> {
        let mut histories = Ok(Vec::new());
        for history in 0..HISTORIES_PER_DB {
            barrier.wait();
            if let Ok(so_far) = &mut histories {
                match self.history(history) {
                    Ok(events) => so_far.push(events),
                    Err(error) => histories = Err(error),
                }
            }
        }
        histories
    }

    fn history(&mut self, history: usize) -> Outcome<Vec<Event>> {
        let keys = [format!("{history:03}a"), format!("{history:03}b")];
        let mut events = Vec::with_capacity(OPS);
        for op in 0..OPS {
            // No two writes of a history write the same.
            let value = (self.thread * OPS + op) as u32;
            events.push(match self.random.below(20) {
                0..6 => self.write([Some(Some(value)), None], &keys)?,
                6..8 => self.write([Some(None), None], &keys)?,
                8 | 9 => self.write([Some(Some(value)), Some(Some(value))], &keys)?,
                10 => self.write([Some(Some(value)), Some(None)], &keys)?,
                11..16 => self.get(0, &keys)?,
                16 => self.get(1, &keys)?,
                17 => self.scan(&keys)?,
                _ => self.snapshot(&keys)?,
            });
            self.give_way();
        }
        Ok(events)
    }

    fn give_way(&mut self) {
        for _ in 0..self.random.below(3) {
            std::thread::yield_now();
        }
    }

    /// Draws tickets around `call`, which gives the operation only when it is asked.
    fn timed<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> olive_core::Result<T>,
    ) -> Outcome<(u64, u64, T)> {
        let began = self.tickets.fetch_add(1, Ordering::SeqCst);
        self.give_way();
        let outcome = call(self)?;
        self.give_way();
        Ok((began, self.tickets.fetch_add(1, Ordering::SeqCst), outcome))
    }

    fn write(&mut self, touch: [Touch; 2], keys: &[String; 2]) -> Outcome<Event> {
        let durability = match self.random.below(10) {
            0 => Durability::Sync,
            _ => Durability::Buffered,
        };
        let options = WriteOptions::default().durability(durability);
        let (began, ended, ()) = self.timed(|caller| match touch {
            [Some(Some(value)), None] => caller.db.put_with(&keys[0], bytes(value), &options),
            [Some(None), None] => caller.db.delete_with(&keys[0], &options),
            _ => {
                let mut batch = WriteBatch::new();
                for (key, touch) in keys.iter().zip(touch) {
                    match touch {
                        Some(Some(value)) => drop(batch.put(key, bytes(value))),
                        Some(None) => drop(batch.delete(key)),
                        None => {}
                    }
                }
                caller.db.write_with(&batch, &options)
            }
        })?;
        Ok(Event { began, ended, op: Op::Write(touch) })
    }

    fn get(&mut self, which: usize, keys: &[String; 2]) -> Outcome<Event> {
        let (began, ended, found) = self.timed(|caller| caller.db.get(&keys[which]))?;
        let mut touch = [None; 2];
        touch[which] = self::found(found)?;
        Ok(Event { began, ended, op: Op::Read(touch) })
    }

    /// Both keys by a walk; what it shows was so when it began.
    fn scan(&mut self, keys: &[String; 2]) -> Outcome<Event> {
        let (began, ended, walk) =
            self.timed(|caller| caller.db.range(keys[0].as_str()..=keys[1].as_str()))?;
        self.give_way();
        Ok(Event { began, ended, op: Op::Read(shown(walk, keys)?) })
    }

    /// Both keys by a snapshot; what it shows was so when it was taken, and stays.
    fn snapshot(&mut self, keys: &[String; 2]) -> Outcome<Event> {
        let (began, ended, snapshot) = self.timed(|caller| caller.db.snapshot())?;
        self.give_way();
        let by_gets = [found(snapshot.get(&keys[0])?)?, found(snapshot.get(&keys[1])?)?];
        self.give_way();
        let range = snapshot.range(keys[0].as_str()..=keys[1].as_str())?;
        let by_walk = shown(range, keys)?;
        if by_gets != by_walk {
            return Err(format!("a snapshot shows {by_gets:?}, then {by_walk:?}").into());
        }
        Ok(Event { began, ended, op: Op::Read(by_gets) })
    }
}

/// What a walk over both keys shows.
fn shown(walk: Iter, keys: &[String; 2]) -> Outcome<[Touch; 2]> {
    let mut shown = [Some(None); 2];
    for entry in walk {
        let (key, value) = entry?;
        let which = keys.iter().position(|known| key == known.as_bytes());
        let which = which.ok_or_else(|| format!("a walk shows {key:?}"))?;
        shown[which] = found(Some(value))?;
    }
    Ok(shown)
}

/// A value of some length that names its number.
fn bytes(number: u32) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + number as usize % 90, number as u8);
    bytes
}

/// What was read; a value must be whole.
fn found(value: Option<Value>) -> Outcome<Touch> {
    let Some(value) = value else { return Ok(Some(None)) };
    let number = value.first_chunk().map(|head| u32::from_le_bytes(*head));
    let whole = number.filter(|number| value == bytes(*number));
    let whole = whole.ok_or_else(|| format!("a value that nobody wrote: {value:?}"))?;
    Ok(Some(Some(whole)))
}
