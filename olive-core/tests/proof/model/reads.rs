//! Everything that reads, against the reference as of the write that it sees.

use std::collections::VecDeque;
use std::ops::Bound;

use olive_core::{Cursor, Db, ErrorKind, Iter, Keyspace, Result, Snapshot, Value};

use super::ops::{From, Move, Op, key_bytes};
use super::reference::{Bytes, DEFAULT, Dump, Space, show, show_value};
use super::world::{NAMES, Outcome, World, ensure, text};

const SNAPSHOTS_MAX: usize = 6;
const WALKS_MAX: usize = 4;
const VALUES_MAX: usize = 16;

/// A snapshot, the keyspace that its own calls read, and what it sees.
pub(super) struct HeldSnapshot {
    pub(super) snapshot: Snapshot,
    space: Space,
    seen: usize,
    flushes: u64,
    compactions: u64,
}

/// A cursor and where it must stand.
pub(super) struct HeldCursor {
    pub(super) cursor: Cursor,
    entries: Vec<(Vec<u8>, Bytes)>,
    at: Option<usize>,
    last: Option<Move>,
}

/// An iterator and what it must still give.
pub(super) struct HeldIter {
    pub(super) iter: Iter,
    left: VecDeque<(Vec<u8>, Bytes)>,
}

/// Something to read from, and the write up to which it sees.
struct Source {
    reader: AnyReader,
    space: Space,
    seen: usize,
}

enum AnyReader {
    Db(Db),
    Keyspace(Keyspace),
    Snapshot(Snapshot),
}

/// `Reader` takes generic keys, so it cannot be an object.
macro_rules! with {
    ($any:expr, $reader:ident => $call:expr) => {
        match $any {
            AnyReader::Db($reader) => $call,
            AnyReader::Keyspace($reader) => $call,
            AnyReader::Snapshot($reader) => $call,
        }
    };
}

impl World {
    pub(super) fn read(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Snapshot { space } => self.take_snapshot(*space),
            Op::Release { snapshot } => {
                if !self.snapshots.is_empty() {
                    self.count("snapshot released");
                    let index = usize::from(*snapshot) % self.snapshots.len();
                    self.snapshots.remove(index);
                }
                Ok(())
            }
            Op::Move { cursor, moves } => self.move_cursor(*cursor, moves),
            Op::Step { iter, steps, turns } => self.step_iter(*iter, *steps, *turns),
            Op::Get { from, .. }
            | Op::MultiGet { from, .. }
            | Op::Range { from, .. }
            | Op::Prefix { from, .. }
            | Op::Cursor { from }
            | Op::Iter { from, .. } => match self.source(*from)? {
                Some(source) => self.read_from(&source, op),
                None => Ok(()),
            },
            other => Err(format!("{other:?} is no read")),
        }
    }

    fn read_from(&mut self, source: &Source, op: &Op) -> Outcome {
        match op {
            Op::Get { key, .. } => self.get(source, &key_bytes(*key)),
            Op::MultiGet { keys, .. } => self.multi_get(source, keys),
            Op::Range { start, end, turns, .. } => {
                self.count("range");
                let held = self.iter(source, start, end)?;
                self.walk(held, *turns)
            }
            Op::Prefix { key, len, turns, .. } => {
                self.count("prefix");
                let mut prefix = key_bytes(*key);
                prefix.truncate(usize::from(*len));
                let iter = with!(&source.reader, r => r.prefix(&prefix)).map_err(text)?;
                let all = self.reference.entries(source.space, source.seen);
                let left = all.filter(|(key, _)| key.starts_with(&prefix));
                let left = left.map(|(key, value)| (key.clone(), value.clone())).collect();
                self.walk(HeldIter { iter, left }, *turns)
            }
            Op::Cursor { .. } => {
                self.count("cursor");
                let cursor = with!(&source.reader, r => r.cursor()).map_err(text)?;
                let all = (&Bound::Unbounded, &Bound::Unbounded);
                let entries = self.reference.range(source.space, source.seen, all.0, all.1);
                if self.cursors.len() == WALKS_MAX {
                    self.cursors.remove(0);
                }
                self.cursors.push(HeldCursor { cursor, entries, at: None, last: None });
                Ok(())
            }
            Op::Iter { start, end, .. } => {
                self.count("iterator held");
                let held = self.iter(source, start, end)?;
                if self.iters.len() == WALKS_MAX {
                    self.iters.remove(0);
                }
                self.iters.push(held);
                Ok(())
            }
            other => Err(format!("{other:?} is no read")),
        }
    }

    fn take_snapshot(&mut self, space: u8) -> Outcome {
        let handle = self.handle(space);
        let snapshot = match &handle {
            None => self.db().snapshot().map_err(text)?,
            Some(handle) => match handle.keyspace.snapshot() {
                Ok(snapshot) => {
                    ensure!(self.is_live(handle), "a snapshot of a dropped keyspace");
                    snapshot
                }
                Err(error) => return self.expect_dropped(self.is_live(handle), &error),
            },
        };
        self.count("snapshot");
        if self.snapshots.len() == SNAPSHOTS_MAX {
            self.snapshots.remove(0);
        }
        self.snapshots.push(HeldSnapshot {
            snapshot,
            space: handle.map_or(DEFAULT, |handle| handle.space),
            seen: self.reference.now(),
            flushes: self.flushes,
            compactions: self.compactions,
        });
        Ok(())
    }

    fn expect_dropped(&self, live: bool, error: &olive_core::Error) -> Outcome {
        ensure!(!live && error.kind() == ErrorKind::InvalidArgument, "{error:?}");
        Ok(())
    }

    /// What a script's `from` means now; `None`: there is no such thing.
    fn source(&mut self, from: From) -> Outcome<Option<Source>> {
        let now = self.reference.now();
        match from {
            From::Now(space) => {
                let Some(handle) = self.handle(space) else {
                    let reader = AnyReader::Db(self.db().clone());
                    return Ok(Some(Source { reader, space: DEFAULT, seen: now }));
                };
                if !self.is_live(&handle) {
                    self.count("read of a dropped keyspace");
                    for result in [
                        handle.keyspace.get("a").map(|_| ()),
                        handle.keyspace.iter().map(|_| ()),
                        handle.keyspace.cursor().map(|_| ()),
                    ] {
                        let Err(error) = result else {
                            return Err("a dropped keyspace was read".to_owned());
                        };
                        self.expect_dropped(false, &error)?;
                    }
                    return Ok(None);
                }
                let reader = AnyReader::Keyspace(handle.keyspace);
                Ok(Some(Source { reader, space: handle.space, seen: now }))
            }
            From::Then(index) => Ok(self.held_snapshot(index).map(|(snapshot, space, seen)| {
                Source { reader: AnyReader::Snapshot(snapshot), space, seen }
            })),
            From::ThenIn(index, name) => {
                let Some((snapshot, _, seen)) = self.held_snapshot(index) else { return Ok(None) };
                let name = NAMES[usize::from(name)];
                let found = snapshot.keyspace(name).map_err(text)?;
                let expected = self.reference.space(name, seen);
                ensure!(
                    found.is_some() == expected.is_some(),
                    "the snapshot of write {seen} has keyspace {name:?}: {}",
                    found.is_some()
                );
                let (Some(snapshot), Some(space)) = (found, expected) else { return Ok(None) };
                if self.reference.space(name, now) != Some(space) {
                    self.count("read of a keyspace dropped since the snapshot");
                }
                Ok(Some(Source { reader: AnyReader::Snapshot(snapshot), space, seen }))
            }
        }
    }

    fn held_snapshot(&mut self, index: u8) -> Option<(Snapshot, Space, usize)> {
        let index = usize::from(index) % self.snapshots.len().max(1);
        let held = self.snapshots.get(index)?;
        let found = (held.snapshot.clone(), held.space, held.seen);
        let (flushes, compactions) = (held.flushes, held.compactions);
        if self.flushes > flushes {
            self.count("read by a snapshot held across a flush");
        }
        if self.compactions > compactions {
            self.count("read by a snapshot held across a compaction");
        }
        Some(found)
    }

    fn get(&mut self, source: &Source, key: &[u8]) -> Outcome {
        self.count("get");
        let (value, len, there) = with!(&source.reader, r => (
            r.get(key).map_err(text)?,
            r.get_with(key, |value| value.len()).map_err(text)?,
            r.contains_key(key).map_err(text)?,
        ));
        let expected = self.reference.get(source.space, key, source.seen);
        same_value(key, value.as_ref(), expected)?;
        ensure!(len == expected.map(|value| value.len()), "get_with saw {len:?} bytes");
        ensure!(there == expected.is_some(), "contains_key said {there}");
        if let Some(value) = value {
            if self.values.len() == VALUES_MAX {
                self.values.remove(0);
            }
            let bytes = value.to_vec();
            self.values.push((value, bytes));
        }
        Ok(())
    }

    fn multi_get(&mut self, source: &Source, keys: &[u16]) -> Outcome {
        self.count("multi_get");
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key_bytes(*key)).collect();
        let values = with!(&source.reader, r => r.multi_get(&keys)).map_err(text)?;
        ensure!(values.len() == keys.len(), "{} values for {} keys", values.len(), keys.len());
        for (key, value) in keys.iter().zip(&values) {
            let expected = self.reference.get(source.space, key, source.seen);
            same_value(key, value.as_ref(), expected)?;
        }
        Ok(())
    }

    fn iter(&self, source: &Source, start: &Bound<u16>, end: &Bound<u16>) -> Outcome<HeldIter> {
        let (start, end) = (start.map(key_bytes), end.map(key_bytes));
        let left = self.reference.range(source.space, source.seen, &start, &end).into();
        let all = (&start, &end) == (&Bound::Unbounded, &Bound::Unbounded);
        let iter = with!(&source.reader, r => if all { r.iter() } else { r.range((start, end)) });
        Ok(HeldIter { iter: iter.map_err(text)?, left })
    }

    /// To its end, and past it.
    fn walk(&mut self, mut held: HeldIter, turns: u64) -> Outcome {
        if turns != 0 && turns != u64::MAX {
            self.count("iterator walked from both ends");
        }
        let steps = held.left.len() + 2;
        (0..steps).try_for_each(|i| held.step(turns >> (i % 64) & 1 == 1))
    }

    fn step_iter(&mut self, iter: u8, steps: u8, turns: u64) -> Outcome {
        let index = usize::from(iter) % self.iters.len().max(1);
        let Some(held) = self.iters.get_mut(index) else { return Ok(()) };
        (0..steps).try_for_each(|i| held.step(turns >> (i % 64) & 1 == 1))?;
        self.count("held iterator goes on");
        Ok(())
    }

    fn move_cursor(&mut self, cursor: u8, moves: &[Move]) -> Outcome {
        let index = usize::from(cursor) % self.cursors.len().max(1);
        let Some(held) = self.cursors.get_mut(index) else { return Ok(()) };
        let mut turns = 0;
        for (number, step) in moves.iter().enumerate() {
            let turned = matches!(
                (held.last, step),
                (Some(Move::Next), Move::Prev) | (Some(Move::Prev), Move::Next)
            );
            turns += u64::from(turned && held.at.is_some());
            held.step(*step).map_err(|wrong| format!("move {number}: {wrong}"))?;
        }
        *self.events.entry("cursor turns").or_default() += turns;
        self.count("cursor moved");
        Ok(())
    }

    /// All that can be seen now and by the snapshots, from both ends.
    pub(super) fn compare(&mut self) -> Outcome {
        self.count("compared whole");
        let found = dump(self.db())?;
        if let Some(difference) = self.reference.difference(self.reference.now(), &found) {
            return Err(difference);
        }
        for held in &self.snapshots {
            let entries = collect(|| held.snapshot.iter())?;
            let expected = self.reference.entries(held.space, held.seen);
            ensure!(
                entries.iter().map(|(k, v)| (k, &v[..])).eq(expected.map(|(k, v)| (k, &v[..]))),
                "the snapshot of write {} shows other entries",
                held.seen
            );
        }
        self.check_values()
    }

    /// Values that were read stay what they were.
    pub(super) fn check_values(&self) -> Outcome {
        for (value, bytes) in &self.values {
            ensure!(value == bytes, "a held value became {}", show_value(value));
        }
        Ok(())
    }
}

impl HeldCursor {
    fn step(&mut self, step: Move) -> Outcome {
        let from = |index: usize| (index < self.entries.len()).then_some(index);
        let first_at = |key: &[u8]| self.entries.partition_point(|(k, _)| k.as_slice() < key);
        let first_past = |key: &[u8]| self.entries.partition_point(|(k, _)| k.as_slice() <= key);
        let (result, at) = match step {
            Move::First => (self.cursor.seek_to_first(), from(0)),
            Move::Last => (self.cursor.seek_to_last(), self.entries.len().checked_sub(1)),
            Move::Next => (self.cursor.next(), self.at.and_then(|at| from(at + 1))),
            Move::Prev => (self.cursor.prev(), self.at.and_then(|at| at.checked_sub(1))),
            Move::Seek(key) => {
                let key = key_bytes(key);
                (self.cursor.seek(&key), from(first_at(&key)))
            }
            Move::SeekForPrev(key) => {
                let key = key_bytes(key);
                (self.cursor.seek_for_prev(&key), first_past(&key).checked_sub(1))
            }
        };
        let found = result.map_err(text)?;
        (self.at, self.last) = (at, Some(step));
        ensure!(found == self.cursor.valid(), "{step:?} said {found}, valid() not");
        let expected = at.map(|at| &self.entries[at]);
        let standing = found.then(|| (self.cursor.key(), self.cursor.value()));
        ensure!(
            standing == expected.map(|(key, value)| (&key[..], &value[..])),
            "{step:?}: {} expected, the cursor stands on {}",
            expected.map_or("none".to_owned(), |(key, value)| show(key, value)),
            standing.map_or("none".to_owned(), |(key, value)| show(key, value)),
        );
        Ok(())
    }
}

impl HeldIter {
    fn step(&mut self, from_back: bool) -> Outcome {
        let (found, expected) = if from_back {
            (self.iter.next_back(), self.left.pop_back())
        } else {
            (self.iter.next(), self.left.pop_front())
        };
        let found = found.transpose().map_err(text)?;
        let same = match (&found, &expected) {
            (Some((k, v)), Some((key, value))) => k == key && v[..] == value[..],
            (None, None) => true,
            _ => false,
        };
        ensure!(
            same,
            "the iterator gave {} from the {}, {} expected",
            found.map_or("nothing".to_owned(), |(key, value)| show(&key, &value)),
            if from_back { "back" } else { "front" },
            expected.map_or("nothing".to_owned(), |(key, value)| show(&key, &value)),
        );
        Ok(())
    }
}

fn same_value(key: &[u8], found: Option<&Value>, expected: Option<&Bytes>) -> Outcome {
    ensure!(
        found.map(|value| &value[..]) == expected.map(|value| &value[..]),
        "{} is {}, expected {}",
        key.escape_ascii(),
        found.map_or("missing".to_owned(), |value| show_value(value)),
        expected.map_or("missing".to_owned(), |value| show_value(value)),
    );
    Ok(())
}

/// All that a database shows.
pub(super) fn dump(db: &Db) -> Outcome<Dump> {
    let mut dump = Dump::new();
    dump.insert(String::new(), collect(|| db.iter())?);
    for name in db.keyspaces().map_err(text)? {
        let keyspace = db.keyspace(&name).map_err(text)?;
        dump.insert(name, collect(|| keyspace.iter())?);
    }
    Ok(dump)
}

/// All entries of an iterator, which must be the same from its back.
fn collect(iter: impl Fn() -> Result<Iter>) -> Outcome<Vec<(Vec<u8>, Vec<u8>)>> {
    let forward = iter().map_err(text)?.collect::<Result<Vec<_>>>().map_err(text)?;
    let backward = iter().map_err(text)?.rev().collect::<Result<Vec<_>>>().map_err(text)?;
    ensure!(
        forward.iter().eq(backward.iter().rev()),
        "{} entries forward, {} others backward",
        forward.len(),
        backward.len()
    );
    Ok(forward.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
}
