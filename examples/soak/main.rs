//! Many threads on one database, every answer checked.
//!
//! ```text
//! cargo run --release --example soak -- DB [--seconds 60] [--keys 100000]
//!
//!   2 writers    own the keys between them; single writes, deletes, batches, syncs
//!   4 readers    get, get_with, contains_key, multi_get
//!   2 scanners   ranges of a snapshot: forwards, backwards, a cursor that turns
//!   1 holder     holds a snapshot over flushes and reads the same again
//!   1 watcher    anonymous memory against memtables + 64 MiB, rates
//! ```
//!
//! How an answer is known to be right: `board.rs`. At the end the database is
//! opened again and every key must have its last version. The exit code is not 0
//! after a wrong answer, a lost key, or too much memory.

mod board;
mod memory;
mod roles;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use olive_core::{Db, Options};
use olive_examples::arguments::Arguments;
use olive_examples::system::disk_bytes;
use olive_examples::text::{count, mebibytes, megabytes, rate};

use crate::board::Board;
use crate::memory::{ALLOWANCE_BYTES, Memory};
use crate::roles::{Done, Soak};

const USAGE: &str = "soak DB [--seconds 60] [--keys 100000]";
const WRITERS: u32 = 2;
const READERS: u32 = 4;
const SCANNERS: u32 = 2;
/// Keys have 8 decimal digits.
const KEYS_MAX: u64 = 100_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            for text in &wrong {
                eprintln!("WRONG: {text}");
            }
            eprintln!("FAILED: {} wrong", wrong.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives what was wrong.
fn run() -> Result<Vec<String>> {
    let mut arguments = Arguments::of_process();
    let seconds = arguments.number("--seconds", 60).map_err(anyhow::Error::msg)?;
    let keys = arguments.number("--keys", 100_000).map_err(anyhow::Error::msg)?;
    let path = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    ensure!((1..=KEYS_MAX).contains(&keys), "--keys must be 1 to {KEYS_MAX}");

    let db = Options::default().open(&path)?;
    ensure!(
        db.iter()?.next().is_none(),
        "{} has entries: the soak needs a database of its own",
        path.display()
    );
    let soak = Soak {
        db,
        board: Board::new(keys as u32),
        writers: WRITERS,
        stop: AtomicBool::new(false),
        wrong: Mutex::default(),
        done: Done::default(),
    };
    // Two arrays of the board, and two of each scanner's window and what it met twice.
    let own_bytes = keys * 4 * (2 + u64::from(SCANNERS) * 5);
    let mut memory = Memory { own_bytes, ..Memory::default() };
    let started = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let soak = &soak;
        let mut threads = Vec::new();
        threads.extend(
            (0..WRITERS).map(|n| scope.spawn(move || stopping(soak, roles::writer(soak, n)))),
        );
        threads.extend(
            (0..READERS).map(|n| scope.spawn(move || stopping(soak, roles::reader(soak, n)))),
        );
        threads.extend(
            (0..SCANNERS).map(|n| scope.spawn(move || stopping(soak, roles::scanner(soak, n)))),
        );
        threads.push(scope.spawn(move || stopping(soak, roles::holder(soak))));
        let watched = watch(soak, &mut memory, Duration::from_secs(seconds));
        soak.stop.store(true, Relaxed);
        for thread in threads {
            thread.join().expect("no role panics")?;
        }
        watched
    })?;
    report(&soak, &memory, started.elapsed())?;
    soak.db.close()?;
    let disk_bytes = disk_bytes(&path).context("cannot measure the folder")?;
    println!("closed: {} on disk", megabytes(disk_bytes));
    let Soak { board, wrong, .. } = soak;
    let mut wrong = wrong.into_inner().expect("no holder panics");

    let started = Instant::now();
    let db = Db::open(&path)?;
    println!("reopened in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    wrong.extend(
        roles::verify(&db, &board)?.into_iter().map(|text| format!("after reopen: {text}")),
    );
    let report = db.verify()?;
    wrong.extend(report.damage.iter().map(|text| format!("verify: {text}")));
    db.close()?;
    println!("{} keys verified after reopen, {} wrong in all", count(keys), wrong.len());
    if memory.is_past_limit() {
        wrong.push(format!("{} beside memtables", mebibytes(memory.beside_bytes)));
    }
    Ok(wrong)
}

/// One thread that fails stops all.
fn stopping(soak: &Soak, ended: Result<()>) -> Result<()> {
    soak.stop.store(true, Relaxed);
    ended
}

/// Samples memory and prints rates until the time is over.
fn watch(soak: &Soak, memory: &mut Memory, time: Duration) -> Result<()> {
    let every = Duration::from_secs(5);
    let (started, mut printed, mut last) = (Instant::now(), Instant::now(), [0; 3]);
    while started.elapsed() < time && !soak.stop.load(Relaxed) {
        thread::sleep(Duration::from_millis(50));
        memory.sample(&soak.db)?;
        if printed.elapsed() >= every {
            let now = [&soak.done.writes, &soak.done.reads, &soak.done.scanned]
                .map(|counter| counter.load(Relaxed));
            let rates: [String; 3] =
                std::array::from_fn(|at| rate(now[at] - last[at], printed.elapsed()));
            println!(
                "{:4} s: {} writes/s, {} reads/s, {} scanned/s, {} anonymous at most",
                started.elapsed().as_secs(),
                rates[0],
                rates[1],
                rates[2],
                mebibytes(memory.peak_bytes)
            );
            (printed, last) = (Instant::now(), now);
        }
    }
    Ok(())
}

fn report(soak: &Soak, memory: &Memory, time: Duration) -> Result<()> {
    let done = &soak.done;
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
    println!("{:.1} s:", time.as_secs_f64());
    println!(
        "  {} writes ({}/s), {} of them synced",
        count(load(&done.writes)),
        rate(load(&done.writes), time),
        count(load(&done.syncs))
    );
    println!("  {} reads ({}/s)", count(load(&done.reads)), rate(load(&done.reads), time));
    println!(
        "  {} scans, {} entries ({}/s)",
        count(load(&done.scans)),
        count(load(&done.scanned)),
        rate(load(&done.scanned), time)
    );
    println!(
        "  {} snapshots held for seconds, over {} flushes",
        count(load(&done.held)),
        count(load(&done.flushes_held_over))
    );
    let stats = soak.db.stats()?;
    println!(
        "  {} flushes, {} compactions, write amplification {:.2}",
        count(stats.flushes),
        count(stats.compactions),
        stats.write_amplification
    );
    for stall in &stats.stalls {
        let ms = stall.time_ns as f64 / 1e6;
        println!("  held back by {}: {} times, {ms:.1} ms", stall.cause, count(stall.count));
    }
    println!(
        "  anonymous memory: {} at most; beside memtables (at most {}) and own arrays ({}): {}, limit {}",
        mebibytes(memory.peak_bytes),
        mebibytes(memory.memtables_bytes),
        mebibytes(memory.own_bytes),
        mebibytes(memory.beside_bytes),
        mebibytes(ALLOWANCE_BYTES)
    );
    Ok(())
}
