//! What each thread does, over and over, until it is told to stop.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use olive_core::{Cursor, Db, Durability, Snapshot, WriteBatch, WriteOptions};
use olive_examples::random::Random;

use crate::board::{self, Board, check, is_delete, key_bytes, key_number, make_value};

/// After so many wrong answers the rest is not worth waiting for.
const WRONG_MAX: usize = 20;
/// How many keys a batch of a writer has at most.
const BATCH_KEYS_MAX: u64 = 8;
/// How many keys the snapshot holder remembers.
const HELD_KEYS: usize = 256;

/// What the threads share.
pub(crate) struct Soak {
    pub(crate) db: Db,
    pub(crate) board: Board,
    pub(crate) writers: u32,
    pub(crate) stop: AtomicBool,
    pub(crate) wrong: Mutex<Vec<String>>,
    pub(crate) done: Done,
}

/// How much was done.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) scans: AtomicU64,
    pub(crate) scanned: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) flushes_held_over: AtomicU64,
}

impl Soak {
    /// Takes the wrong answer down, if it is one.
    fn judge<T>(&self, role: &str, answer: Result<T, String>) -> Option<T> {
        match answer {
            Ok(right) => Some(right),
            Err(text) => {
                let mut wrong = self.wrong.lock().expect("no holder panics");
                wrong.push(format!("{role}: {text}"));
                if wrong.len() >= WRONG_MAX {
                    self.stop.store(true, Relaxed);
                }
                None
            }
        }
    }

    fn running(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    /// Waits, but not past the end.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.running() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn random_key(&self, random: &mut Random) -> u32 {
        random.below(u64::from(self.board.keys())) as u32
    }
}

/// Writes new versions of its own keys: mostly single ones, batches, and now and
/// then a synced one. In a batch it also writes one stamp under two keys.
pub(crate) fn writer(soak: &Soak, number: u32) -> Result<()> {
    let mut random = Random::new(0x0001_0000 + u64::from(number));
    let synced = WriteOptions::default().durability(Durability::Sync);
    let (mut value, mut batch, mut stamp) = (Vec::new(), WriteBatch::new(), 0_u64);
    while soak.running() {
        let mut keys = Vec::with_capacity(BATCH_KEYS_MAX as usize);
        let many = if random.below(10) == 0 { 1 + random.below(BATCH_KEYS_MAX) } else { 1 };
        while keys.len() < many as usize {
            let key = soak.random_key(&mut random);
            if board::owner(key, soak.writers) == number && !keys.contains(&key) {
                keys.push(key);
            }
        }
        batch.clear();
        for &key in &keys {
            let version = soak.board.begin(key);
            if is_delete(key, version) {
                batch.delete(key_bytes(key));
            } else {
                make_value(key, version, &mut value);
                batch.put(key_bytes(key), &value);
            }
        }
        if many > 1 {
            stamp += 1;
            let [left, right] = stamp_keys(number);
            batch.put(left, stamp.to_le_bytes()).put(right, stamp.to_le_bytes());
        }
        if random.below(2000) == 0 {
            soak.db.write_with(&batch, &synced)?;
            soak.done.syncs.fetch_add(1, Relaxed);
        } else if many > 1 {
            soak.db.write(&batch)?;
        } else if is_delete(keys[0], soak.board.writing(keys[0])) {
            soak.db.delete(key_bytes(keys[0]))?;
        } else {
            soak.db.put(key_bytes(keys[0]), &value)?;
        }
        for &key in &keys {
            soak.board.acknowledge(key);
        }
        soak.done.writes.fetch_add(many, Relaxed);
    }
    Ok(())
}

/// The keys of one writer's stamps; they sort behind all others.
fn stamp_keys(writer: u32) -> [String; 2] {
    [format!("stamp/{writer}/left"), format!("stamp/{writer}/right")]
}

/// Reads single keys and several at once.
pub(crate) fn reader(soak: &Soak, number: u32) -> Result<()> {
    let mut random = Random::new(0x0002_0000 + u64::from(number));
    while soak.running() {
        let key = soak.random_key(&mut random);
        let first = soak.board.acknowledged(key);
        let right = match random.below(16) {
            0 => {
                let absent = !soak.db.contains_key(key_bytes(key))?;
                let mut versions = first..=soak.board.writing(key);
                let right = versions.any(|version| is_delete(key, version) == absent);
                right.then_some(()).ok_or_else(|| format!("contains_key of {key} is {}", !absent))
            }
            1 => multi_get(soak, &mut random)?,
            2 => {
                let versions = || first..=soak.board.writing(key);
                let with = |value: &[u8]| check(key, Some(value), versions()).map(drop);
                let answer = soak.db.get_with(key_bytes(key), with)?;
                answer.unwrap_or_else(|| check(key, None, versions()).map(drop))
            }
            _ => {
                let answer = soak.db.get(key_bytes(key))?;
                check(key, answer.as_deref(), first..=soak.board.writing(key)).map(drop)
            }
        };
        soak.judge("reader", right);
        soak.done.reads.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn multi_get(soak: &Soak, random: &mut Random) -> Result<Result<(), String>> {
    let keys: [u32; 10] = std::array::from_fn(|_| soak.random_key(random));
    let first = keys.map(|key| soak.board.acknowledged(key));
    let answers = soak.db.multi_get(keys.map(key_bytes))?;
    if answers.len() != keys.len() {
        return Ok(Err(format!("multi_get of 10 keys gave {} answers", answers.len())));
    }
    for ((key, first), answer) in keys.into_iter().zip(first).zip(answers) {
        if let Err(text) = check(key, answer.as_deref(), first..=soak.board.writing(key)) {
            return Ok(Err(format!("multi_get: {text}")));
        }
    }
    soak.done.reads.fetch_add(keys.len() as u64 - 1, Relaxed);
    Ok(Ok(()))
}

/// Scans ranges of one snapshot forwards, backwards and by a cursor that turns:
/// bounds, order, every value, no key twice or missing, and each way the same.
pub(crate) fn scanner(soak: &Soak, number: u32) -> Result<()> {
    let mut random = Random::new(0x0003_0000 + u64::from(number));
    let keys = u64::from(soak.board.keys());
    while soak.running() {
        // Many short ranges, few long ones: up to all keys.
        let len = (keys >> random.below(12)).max(1);
        let start = random.below(keys - len + 1);
        let (start, end) = (start as u32, (start + len) as u32);
        let first: Vec<u32> = (start..end).map(|key| soak.board.acknowledged(key)).collect();
        let snapshot = soak.db.snapshot()?;
        let last: Vec<u32> = (start..end).map(|key| soak.board.writing(key)).collect();
        let window = Window { start, end, first, last };

        let Some(forwards) = soak.judge("scan forwards", window.scan(&snapshot, false)?) else {
            continue;
        };
        let Some(backwards) = soak.judge("scan backwards", window.scan(&snapshot, true)?) else {
            continue;
        };
        let same = (forwards == backwards)
            .then_some(())
            .ok_or_else(|| format!("keys {start}..{end} differ forwards and backwards"));
        soak.judge("scan", same);
        soak.judge("cursor", turn(&mut snapshot.cursor()?, start, end, &forwards)?);
        for writer in 0..soak.writers {
            let [left, right] = stamp_keys(writer).map(|key| snapshot.get(key));
            let same = left? == right?;
            let text = || format!("half of a batch of writer {writer}");
            soak.judge("snapshot", same.then_some(()).ok_or_else(text));
        }
        soak.done.scans.fetch_add(1, Relaxed);
        let present = forwards.iter().filter(|&&version| version > 0).count();
        soak.done.scanned.fetch_add(3 * present as u64, Relaxed);
    }
    Ok(())
}

/// A range of keys, and which of their versions a snapshot may have.
struct Window {
    start: u32,
    end: u32,
    first: Vec<u32>,
    last: Vec<u32>,
}

impl Window {
    /// Scans it once; gives the version of each key, 0 for an absent one.
    fn scan(&self, snapshot: &Snapshot, backwards: bool) -> Result<Result<Vec<u32>, String>> {
        let mut met = vec![0; (self.end - self.start) as usize];
        // The key that comes next if none is absent; those that are passed over are.
        let mut next = if backwards { self.end } else { self.start };
        let mut entries = snapshot.range(key_bytes(self.start)..key_bytes(self.end))?;
        while let Some(entry) = if backwards { entries.next_back() } else { entries.next() } {
            let (key, value) = entry?;
            let Some(number) = key_number(&key).filter(|key| (self.start..self.end).contains(key))
            else {
                return Ok(Err(format!("{key:?} lies out of {}..{}", self.start, self.end)));
            };
            let passed = if backwards { number + 1..next } else { next..number };
            if if backwards { number >= next } else { number < next } {
                return Ok(Err(format!("key {number} comes out of order or twice")));
            }
            next = if backwards { number } else { number + 1 };
            if let Err(text) = self.absent(passed) {
                return Ok(Err(text));
            }
            match check(number, Some(&value), self.versions(number)) {
                Ok(version) => met[(number - self.start) as usize] = version.unwrap_or(0),
                Err(text) => return Ok(Err(text)),
            }
        }
        let passed = if backwards { self.start..next } else { next..self.end };
        Ok(self.absent(passed).map(|()| met))
    }

    fn absent(&self, mut keys: std::ops::Range<u32>) -> Result<(), String> {
        keys.try_for_each(|key| check(key, None, self.versions(key)).map(drop))
    }

    fn versions(&self, key: u32) -> std::ops::RangeInclusive<u32> {
        let at = (key - self.start) as usize;
        self.first[at]..=self.last[at]
    }
}

/// Walks a cursor over the window, some steps back now and then, against what
/// the scan of the same snapshot met.
fn turn(cursor: &mut Cursor, start: u32, end: u32, met: &[u32]) -> Result<Result<(), String>> {
    let wrong = |what: String| Ok(Err(what));
    let present: Vec<u32> = (start..end).filter(|key| met[(key - start) as usize] > 0).collect();
    let (mut at, mut valid) = (0, cursor.seek(key_bytes(start))?);
    let mut random = Random::new(u64::from(start) << 32 | u64::from(end));
    while let Some(&key) = present.get(at) {
        if !valid || cursor.key() != key_bytes(key) {
            return wrong(format!("a cursor in {start}..{end} does not stand on key {key}"));
        }
        if let Err(text) = check(key, Some(cursor.value()), 1..=met[(key - start) as usize]) {
            return wrong(text);
        }
        if random.below(8) == 0 && at > 0 {
            if !cursor.prev()? || cursor.key() != key_bytes(present[at - 1]) {
                return wrong(format!("a cursor that turns at key {key} goes astray"));
            }
            cursor.next()?;
        }
        at += 1;
        valid = cursor.next()?;
    }
    if valid && cursor.key() < &key_bytes(end)[..] {
        return wrong(format!("a cursor finds {:?} that the scan did not", cursor.key()));
    }
    Ok(Ok(()))
}

/// Takes a snapshot, reads, holds it for seconds while tables come and go, and
/// reads the same again.
pub(crate) fn holder(soak: &Soak) -> Result<()> {
    let mut random = Random::new(0x0004_0000);
    while soak.running() {
        let keys: Vec<u32> = (0..HELD_KEYS).map(|_| soak.random_key(&mut random)).collect();
        let first: Vec<u32> = keys.iter().map(|&key| soak.board.acknowledged(key)).collect();
        let snapshot = soak.db.snapshot()?;
        let bounds =
            keys.iter().zip(first).map(|(&key, first)| (key, first..=soak.board.writing(key)));
        let bounds: Vec<_> = bounds.collect();
        let flushes = soak.db.stats()?.flushes;
        let Some(before) = soak.judge("holder", read_all(&snapshot, &bounds)?) else { continue };
        soak.pause(Duration::from_millis(1000 + random.below(4000)));
        let Some(after) = soak.judge("holder, later", read_all(&snapshot, &bounds)?) else {
            continue;
        };
        let same = before.iter().zip(&after).zip(&keys).try_for_each(|((before, after), key)| {
            let text = || format!("key {key} moved under a snapshot: {before:?}, later {after:?}");
            (before == after).then_some(()).ok_or_else(text)
        });
        soak.judge("holder", same);
        soak.done.held.fetch_add(1, Relaxed);
        soak.done.flushes_held_over.fetch_add(soak.db.stats()?.flushes - flushes, Relaxed);
    }
    Ok(())
}

type Bounds = (u32, std::ops::RangeInclusive<u32>);

/// The version of each key, `None` for an absent one.
fn read_all(snapshot: &Snapshot, bounds: &[Bounds]) -> Result<Result<Vec<Option<u32>>, String>> {
    let mut versions = Vec::with_capacity(bounds.len());
    for (key, right) in bounds {
        let answer = snapshot.get(key_bytes(*key))?;
        match check(*key, answer.as_deref(), right.clone()) {
            Ok(version) => versions.push(version),
            Err(text) => return Ok(Err(text)),
        }
    }
    Ok(Ok(versions))
}

/// After all is written: each key has its last version, by get and by scan.
/// Gives what is wrong.
pub(crate) fn verify(db: &Db, board: &Board) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut note = |text: String| {
        wrong.push(text);
        if wrong.len() < WRONG_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    for key in 0..board.keys() {
        let last = board.writing(key);
        let answer = db.get(key_bytes(key))?;
        if let Err(text) = check(key, answer.as_deref(), board.acknowledged(key)..=last)
            && note(text).is_break()
        {
            return Ok(wrong);
        }
    }
    let (first, last): (Vec<u32>, Vec<u32>) =
        (0..board.keys()).map(|key| (board.acknowledged(key), board.writing(key))).unzip();
    let window = Window { start: 0, end: board.keys(), first, last };
    let snapshot = db.snapshot()?;
    for backwards in [false, true] {
        if let Err(text) = window.scan(&snapshot, backwards)? {
            wrong.push(text);
        }
    }
    Ok(wrong)
}
