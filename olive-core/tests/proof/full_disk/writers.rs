//! Writers that remember what was acknowledged, and the check against that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use olive_core::{Db, ErrorKind, Result};

use crate::support::Random;

/// Within this time after room was made a write must succeed.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);
/// More writes than any of these disks can hold.
const WRITES_MAX: usize = 200_000;
/// How long a refused writer waits before it tries again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// What goes wrong, in words.
pub(super) type Checked<T = ()> = std::result::Result<T, String>;

/// All that was acknowledged, by key.
pub(super) type Held = BTreeMap<Vec<u8>, Vec<u8>>;

/// One writer; its keys are its own.
pub(super) struct Writer {
    name: usize,
    random: Random,
    next: u64,
    pub(super) held: Held,
}

impl Writer {
    pub(super) fn new(name: usize, seed: u64) -> Writer {
        Writer { name, random: Random(seed ^ ((name as u64) << 32)), next: 0, held: Held::new() }
    }

    /// Puts one new entry; says whether there was room for it.
    fn put(&mut self, db: &Db, value_bytes_max: u64) -> Checked<bool> {
        let key = format!("writer{} {:08}", self.name, self.next).into_bytes();
        self.next += 1;
        let len = self.random.below(value_bytes_max) as usize;
        let value = self.random.bytes(len);
        match db.put(&key, &value) {
            Ok(()) => {
                self.held.insert(key, value);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                let found = db.get(&key).map_err(|error| format!("a get: {error:?}"))?;
                match found {
                    None => Ok(false),
                    Some(_) => Err(format!("{} was refused, and is there", key.escape_ascii())),
                }
            }
            Err(error) => Err(format!("a put: {error:?}")),
        }
    }

    /// Writes until the disk is full.
    pub(super) fn fill(&mut self, db: &Db, value_bytes_max: u64) -> Checked<u64> {
        for written in 0..WRITES_MAX {
            if !self.put(db, value_bytes_max)? {
                return Ok(written as u64);
            }
        }
        Err("the disk is never full".to_owned())
    }

    /// Tries to write while there is no room; says how often it was refused.
    pub(super) fn insist(&mut self, db: &Db, times: u64, value_bytes_max: u64) -> Checked<u64> {
        let mut refused = 0;
        for _ in 0..times {
            refused += u64::from(!self.put(db, value_bytes_max)?);
        }
        Ok(refused)
    }

    /// Writes `times` entries once there is room; says how long the first one took.
    #[expect(clippy::disallowed_methods, reason = "it measures the engine from outside")]
    pub(super) fn resume(
        &mut self,
        db: &Db,
        times: u64,
        value_bytes_max: u64,
    ) -> Checked<Duration> {
        let began = Instant::now();
        let mut resumed = None;
        let mut written = 0;
        while written < times {
            if self.put(db, value_bytes_max)? {
                written += 1;
                resumed = resumed.or(Some(began.elapsed()));
            } else if began.elapsed() > RESUMES_WITHIN {
                return Err(format!("{written} writes within {RESUMES_WITHIN:?} of room"));
            } else {
                std::thread::sleep(TRY_AGAIN);
            }
        }
        Ok(resumed.unwrap_or_default())
    }

    /// Deletes all but every tenth entry, so that there is room for the next round.
    pub(super) fn thin_out(&mut self, db: &Db) -> Checked {
        let keys: Vec<Vec<u8>> = self.held.keys().cloned().collect();
        for (nth, key) in keys.into_iter().enumerate() {
            if nth % 10 != 0 {
                db.delete(&key).map_err(|error| format!("a delete: {error:?}"))?;
                self.held.remove(&key);
            }
        }
        Ok(())
    }
}

/// Does what there is room for. It may be refused at first: while a reservation fails
/// for want of room, it holds all the room there is.
#[expect(clippy::disallowed_methods, reason = "it measures the engine from outside")]
pub(super) fn with_room(what: &str, act: impl Fn() -> Result<()>) -> Checked {
    let began = Instant::now();
    loop {
        match act() {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                if began.elapsed() > RESUMES_WITHIN {
                    return Err(format!("{what} within {RESUMES_WITHIN:?} of room: {error:?}"));
                }
                std::thread::sleep(TRY_AGAIN);
            }
            Err(error) => return Err(format!("{what} with room: {error:?}")),
        }
    }
}

/// The database holds what was acknowledged, and nothing else.
pub(super) fn check(db: &Db, writers: &[Writer]) -> Checked {
    let io = |error: olive_core::Error| format!("a read: {error:?}");
    let held = || writers.iter().flat_map(|writer| &writer.held);
    let mut forward = db.iter().map_err(io)?;
    for (key, value) in held() {
        match forward.next().transpose().map_err(io)? {
            Some(found) if *found.0 == **key && *found.1 == **value => {}
            found => {
                let found = found.map(|(key, _)| key.escape_ascii().to_string());
                return Err(format!("{} was acknowledged, found {found:?}", key.escape_ascii()));
            }
        }
    }
    if let Some(more) = forward.next() {
        return Err(format!("more than was acknowledged: {:?}", more.map_err(io)?.0));
    }
    let backward = db.iter().map_err(io)?.rev().count();
    let count = held().count();
    if backward != count {
        return Err(format!("{backward} entries backward, {count} forward"));
    }
    for (key, value) in held().step_by(7) {
        if db.get(key).map_err(io)?.as_deref() != Some(&value[..]) {
            return Err(format!("a get of {} is wrong", key.escape_ascii()));
        }
    }
    let report = db.verify().map_err(io)?;
    if !report.is_clean() {
        return Err(format!("verify: {report:?}"));
    }
    match db.health().map_err(io)?.poisoned {
        None => Ok(()),
        Some(cause) => Err(format!("poisoned: {cause}")),
    }
}
