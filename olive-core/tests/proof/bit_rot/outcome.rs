//! A damaged database is opened and all of it read: what comes of that.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, Error, ErrorKind, Options, Reader, TableIo};

use super::subject::{KEYS, options};
use crate::allocations::Meter;
use crate::support::{DIR, Model, open_sim};

/// How a damaged database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For reading only, tables mapped.
    ReadOnly,
    /// To be written, tables read by calls.
    Normal,
}

/// What damage leads to, if to nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The open is refused, the file named.
    Refused,
    /// A read says so, and `verify`.
    Detected,
    /// `verify` says so; every read is right.
    Verified,
    /// Every read is right, and `verify` has nothing to say.
    Harmless,
    /// An earlier state, as it was after some write that may be the last one.
    Tail,
}

/// The largest request for memory, and the most that was held.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) largest_bytes: usize,
    pub(super) peak_bytes: usize,
}

/// Opens `disk` and reads everything. `tail` are the states that a tail that was cut
/// may leave; `Err` says what is wrong.
pub(super) fn outcome_of(
    disk: &SimVfs,
    mode: Mode,
    whole: &Model,
    tail: &[Model],
) -> (Result<Outcome, String>, Memory) {
    let meter = Meter::start();
    let found = catch_unwind(AssertUnwindSafe(|| {
        let opened = match mode {
            Mode::ReadOnly => {
                open_read_only_on(options(TableIo::Mapped), Arc::new(disk.clone()), DIR)
            }
            Mode::Normal => open_sim(normal(), disk),
        };
        match opened {
            Err(error) => names_a_file(&error).map(|()| Outcome::Refused),
            Ok(db) => read(&db, whole, tail),
        }
    }));
    let memory = Memory { largest_bytes: meter.largest_bytes(), peak_bytes: meter.peak_bytes() };
    let found = found.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("a panic: {}", text.unwrap_or_default()))
    });
    (found, memory)
}

fn normal() -> Options {
    options(TableIo::Read)
}

/// Whether an error says that bytes are not what was written.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported)
}

fn names_a_file(error: &Error) -> Result<(), String> {
    let text = error.to_string();
    let folder = format!("{DIR}/");
    if is_damage(error) && text.contains(&folder) {
        return Ok(());
    }
    Err(format!("an error that is no damage, or names no file: {error:?}"))
}

/// What reads against one state come to.
enum Reads {
    Right,
    /// What was answered is right; somewhere there was an error of damage.
    Damaged(Error),
    Wrong(String),
}

fn read(db: &Db, whole: &Model, tail: &[Model]) -> Result<Outcome, String> {
    let reads = match read_all(db, whole) {
        Reads::Wrong(what) => return read_tail(db, tail).ok_or(what),
        reads => reads,
    };
    let is_clean = match db.verify() {
        Ok(report) => {
            let unnamed = report.damage.iter().find(|text| !text.contains(DIR));
            if let Some(damage) = unnamed {
                return Err(format!("verify names no file: {damage}"));
            }
            report.is_clean()
        }
        Err(error) => names_a_file(&error).map(|()| false)?,
    };
    match (reads, is_clean) {
        (Reads::Right, true) => Ok(Outcome::Harmless),
        (Reads::Right, false) => Ok(Outcome::Verified),
        (Reads::Damaged(error), false) => names_a_file(&error).map(|()| Outcome::Detected),
        (Reads::Damaged(error), true) => {
            Err(format!("verify finds nothing where a read does: {error:?}"))
        }
        (Reads::Wrong(what), _) => Err(what),
    }
}

/// An earlier state, whole in all reads.
fn read_tail(db: &Db, tail: &[Model]) -> Option<Outcome> {
    let is_state = |state: &&Model| matches!(read_all(db, state), Reads::Right);
    tail.iter().rev().find(is_state)?;
    db.verify().is_ok_and(|report| report.is_clean()).then_some(Outcome::Tail)
}

/// Reads everything forward, backward and key by key.
fn read_all(db: &Db, state: &Model) -> Reads {
    let mut damage = None;
    let names: Vec<&String> = state.0.keys().filter(|name| !name.is_empty()).collect();
    match db.keyspaces() {
        Ok(found) if found.iter().eq(names) => {}
        Ok(found) => return Reads::Wrong(format!("keyspaces {found:?}")),
        Err(error) if is_damage(&error) => damage = Some(error),
        Err(error) => return Reads::Wrong(format!("{error:?}")),
    }
    for (name, entries) in &state.0 {
        let read = if name.is_empty() {
            read_one(db, entries)
        } else {
            db.keyspace(name).and_then(|keyspace| read_one(&keyspace, entries))
        };
        match read {
            Ok(None) => {}
            Ok(Some(wrong)) => return Reads::Wrong(wrong),
            Err(error) if is_damage(&error) => damage = damage.or(Some(error)),
            Err(error) => return Reads::Wrong(format!("{error:?}")),
        }
    }
    damage.map_or(Reads::Right, Reads::Damaged)
}

/// `Ok(Some(..))`: a wrong answer. The error is the first one; what could still be
/// read behind it was read, and is right.
fn read_one(
    reader: &impl Reader,
    entries: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Option<String>, Error> {
    let mut first_error = None;
    let mut forward = reader.iter()?;
    for (key, value) in entries {
        match forward.next() {
            Some(Ok(found)) if *found.0 == **key && *found.1 == **value => {}
            Some(Err(error)) => {
                first_error = Some(error);
                break;
            }
            other => return Ok(Some(format!("forward, not {}: {other:?}", key.escape_ascii()))),
        }
    }
    if first_error.is_none() {
        match forward.next() {
            None => {}
            Some(Err(error)) => first_error = Some(error),
            Some(Ok(found)) => return Ok(Some(format!("forward, too much: {found:?}"))),
        }
    }
    let mut backward = reader.iter()?.rev();
    for (key, value) in entries.iter().rev() {
        match backward.next() {
            Some(Ok(found)) if *found.0 == **key && *found.1 == **value => {}
            Some(Err(error)) => {
                first_error = first_error.or(Some(error));
                break;
            }
            other => return Ok(Some(format!("backward, not {}: {other:?}", key.escape_ascii()))),
        }
    }
    for number in 0..KEYS {
        let key = format!("key{number:04}").into_bytes();
        match reader.get(&key) {
            Ok(found) if found.as_deref() == entries.get(&key).map(|value| &value[..]) => {}
            Ok(found) => return Ok(Some(format!("a get of {number} shows {found:?}"))),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(None), Err)
}

#[test]
fn a_wrong_answer_is_seen_as_one() {
    let subject = super::subject::Subject::new(3, false);
    let last = subject.states.len() - 1;
    let outcome = |state: usize, tail: &[Model]| {
        let disk = subject.disk.kill_now();
        outcome_of(&disk, Mode::ReadOnly, &subject.states[state], tail).0
    };
    assert_eq!(outcome(last, &[]), Ok(Outcome::Harmless));
    assert!(outcome(last - 1, &[]).is_err(), "one write too much");
    assert_eq!(outcome(last - 1, &subject.states), Ok(Outcome::Tail));
    assert!(outcome(last - 1, &subject.states[..last]).is_err(), "not among those allowed");
}
