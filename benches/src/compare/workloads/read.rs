//! Gets, seeks, scans.

use std::hint::black_box;

use anyhow::{Result, ensure};
use olive_benches::entries::KeyBuf;
use olive_benches::spec::{Job, Outcome, Work};

use super::clocks::Clock;
use super::{Did, Picker, together};
use crate::engines::{Cursor, Engine};

/// What a seek reads: the entry that it finds and ten next.
const SEEK_ENTRIES: u64 = 11;

pub(super) fn run<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<Outcome> {
    let Did { side, finished, .. } = match job.work {
        Work::ReadMissing => {
            gets::<C>(job, 0, |key, picker| engine.get(key.missing(picker.any())))?
        }
        Work::ReadHandle => {
            gets::<C>(job, job.ops, |key, picker| engine.get_handle(key.of(picker.there())))?
        }
        Work::Seek => seeks::<E, C>(engine, job)?,
        Work::Scan => scans::<C>(job, || engine.with_cursor(|cursor| cursor.scan()))?,
        Work::ScanOwned => scans::<C>(job, || engine.scan_owned())?,
        _ => gets::<C>(job, job.ops, |key, picker| engine.get(key.of(picker.there())))?,
    };
    Ok(Outcome { gets: Some(side), finished, ..Outcome::default() })
}

/// Gets, of which exactly `hits` must find something.
fn gets<C: Clock>(
    job: &Job,
    hits: u64,
    get: impl Fn(&mut KeyBuf, &mut Picker) -> Result<Option<u64>> + Sync,
) -> Result<Did> {
    let found = std::sync::atomic::AtomicU64::new(0);
    let did = together::<C>(job, |thread, share, clock, deadline| {
        let mut key = KeyBuf::new(job.key_bytes);
        let mut picker = Picker::new(job, 0xB0 + thread as u64);
        let (mut met, mut sum, mut done) = (0, 0_u64, share);
        for op in 0..share {
            if let Some(touched) = clock.time(|| get(&mut key, &mut picker))? {
                met += 1;
                sum = sum.wrapping_add(touched);
            }
            if deadline.passed(op) {
                done = op + 1;
                break;
            }
        }
        black_box(sum);
        found.fetch_add(met, std::sync::atomic::Ordering::Relaxed);
        Ok(done)
    })?;
    let found = found.into_inner();
    let ops = did.side.ops;
    let expected = if hits == 0 { 0 } else { ops };
    ensure!(found == expected, "{found} of {ops} gets found their key, not {expected}");
    Ok(did)
}

fn seeks<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<Did> {
    together::<C>(job, |thread, share, clock, deadline| {
        engine.with_cursor(|cursor| {
            let mut key = KeyBuf::new(job.key_bytes);
            let mut picker = Picker::new(job, 0xC0 + thread as u64);
            let mut seen = 0;
            for op in 0..share {
                let key = key.of(picker.there());
                let read = clock.time(|| cursor.read_from(key, SEEK_ENTRIES))?;
                seen += read.entries;
                black_box(read.sum);
                if deadline.passed(op) {
                    return Ok(op + 1);
                }
            }
            // Only seeks near the end find fewer.
            ensure!(seen >= share * SEEK_ENTRIES * 9 / 10, "{share} seeks saw {seen} entries");
            Ok(share)
        })
    })
}

/// Scans, until as many entries were seen as the job has operations.
fn scans<C: Clock>(
    job: &Job,
    scan: impl Fn() -> Result<crate::engines::Seen> + Sync,
) -> Result<Did> {
    together::<C>(job, |_, share, clock, _| {
        let mut entries = 0;
        while entries < share {
            let seen = clock.time(&scan)?;
            black_box(seen.sum);
            ensure!(seen.entries > 0, "a scan saw nothing");
            entries += seen.entries;
        }
        Ok(entries)
    })
}
