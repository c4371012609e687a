//! Writes many small entries, looks at the shape of the tree, reads all back.
//!
//! ```text
//! cargo run --release --example shape -- DB [--entries 10_000_000] [--seed 1]
//!
//!   1. N entries of 116 bytes (16-byte key, 100-byte value that compresses to half)
//!      in an order without a pattern; 1 in 10 is written again, 1 in 20 deleted
//!   2. flush, wait until nothing is left to compact; levels, amplifications, space
//!   3. close, reopen (timed), read every key by get, then by cursor both ways
//!   4. delete everything, compact, print what is left
//! ```
//!
//! Which keys were written again or deleted is a function of the key, and the order
//! a permutation held in a few numbers, so that the program keeps no copy. The exit
//! code is not 0 if a key reads wrong, the database takes 50 ms or more to open, 1 MB
//! of tables or more is left at the end, or, from 10 million entries on, the space
//! amplification is above 1.2.

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use olive_core::{Cursor, Db, Stats};
use olive_examples::arguments::Arguments;
use olive_examples::random::{Permutation, fill, mix};
use olive_examples::system::{disk_bytes, rss_anon_bytes};
use olive_examples::text::{count, mebibytes, megabytes, rate};

const USAGE: &str = "shape DB [--entries 10_000_000] [--seed 1]";
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
/// The promises of this program; see the top.
const OPEN_MAX: Duration = Duration::from_millis(50);
const LEFT_BYTES_MAX: u64 = 1_000_000;
const SPACE_AMPLIFICATION_MAX: f64 = 1.2;
const ENTRIES_THAT_SHAPE: u64 = 10_000_000;
/// A tree that has not moved for so long, and is not settled, never will.
const SETTLE_STILL_MAX: Duration = Duration::from_secs(120);
/// After so many wrong answers the rest is not worth waiting for.
const WRONG_MAX: usize = 20;

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
    let entries = arguments.number("--entries", 10_000_000).map_err(anyhow::Error::msg)?;
    let seed = arguments.number("--seed", 1).map_err(anyhow::Error::msg)?;
    let path = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    let plan = Plan { entries, seed, order: Permutation::new(entries, seed) };
    let mut wrong = Vec::new();

    let db = Db::open(&path)?;
    ensure!(
        db.iter()?.next().is_none(),
        "{} has entries: shape needs an empty one",
        path.display()
    );
    write(&db, &plan)?;
    let stats = settle(&db)?;
    print_shape(&stats, &plan);
    if entries >= ENTRIES_THAT_SHAPE && stats.space_amplification > SPACE_AMPLIFICATION_MAX {
        wrong.push(format!("space amplification {:.3}", stats.space_amplification));
    }

    let db = reopen(db, &path, &mut wrong)?;
    read_all(&db, &plan, &mut wrong)?;
    walk(&db, &plan, false, &mut wrong)?;
    walk(&db, &plan, true, &mut wrong)?;
    delete_all(&db, &plan, &path, &mut wrong)?;
    if let Some(bytes) = rss_anon_bytes() {
        println!("anonymous memory at the end: {}", mebibytes(bytes));
    }
    println!("{} wrong", wrong.len());
    Ok(wrong)
}

/// What is written in which order, and what every key must hold in the end.
struct Plan {
    entries: u64,
    seed: u64,
    order: Permutation,
}

impl Plan {
    fn is_rewritten(&self, number: u64) -> bool {
        mix(self.seed ^ number).is_multiple_of(10)
    }

    fn is_deleted(&self, number: u64) -> bool {
        mix(!self.seed ^ number).is_multiple_of(20)
    }

    /// The value of a version: 0 was written first, 1 over it.
    fn value(&self, number: u64, version: u64) -> [u8; VALUE_BYTES] {
        let mut value = [0; VALUE_BYTES];
        fill(mix(self.seed ^ number) ^ version, &mut value);
        value
    }

    /// What is left in the end.
    fn last(&self, number: u64) -> Option<[u8; VALUE_BYTES]> {
        let version = u64::from(self.is_rewritten(number));
        (!self.is_deleted(number)).then(|| self.value(number, version))
    }

    fn live(&self) -> u64 {
        (0..self.entries).filter(|&number| !self.is_deleted(number)).count() as u64
    }
}

/// 16 decimal digits: numbers and keys sort alike.
fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    let mut rest = number;
    for byte in key.iter_mut().rev() {
        *byte += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn write(db: &Db, plan: &Plan) -> Result<()> {
    // Second writes and deletes follow the first write by half of all entries, so
    // that the versions of a key meet in a compaction and not in one memtable.
    let lag = plan.entries / 2;
    let (started, mut writes) = (Instant::now(), 0_u64);
    let (mut longest, bar) = (Duration::ZERO, bar("write", plan.entries + lag));
    for step in 0..plan.entries + lag {
        let (before, writes_before) = (Instant::now(), writes);
        if step < plan.entries {
            let number = plan.order.at(step);
            db.put(key(number), plan.value(number, 0))?;
            writes += 1;
        }
        if let Some(behind) = step.checked_sub(lag) {
            let number = plan.order.at(behind);
            if plan.is_rewritten(number) {
                db.put(key(number), plan.value(number, 1))?;
                writes += 1;
            }
            if plan.is_deleted(number) {
                db.delete(key(number))?;
                writes += 1;
            }
        }
        if writes > writes_before {
            longest = longest.max(before.elapsed() / (writes - writes_before) as u32);
        }
        tick(&bar, step);
    }
    bar.finish_and_clear();
    println!(
        "wrote {} operations: {}/s, longest {:.1} ms",
        count(writes),
        rate(writes, started.elapsed()),
        longest.as_secs_f64() * 1e3
    );
    Ok(())
}

/// Waits until nothing is left to flush or compact.
fn settle(db: &Db) -> Result<Stats> {
    let started = Instant::now();
    db.flush()?;
    let (mut last, mut moved, mut calm) = (db.stats()?, Instant::now(), 0);
    while calm < 3 {
        thread::sleep(Duration::from_millis(100));
        let stats = db.stats()?;
        let still = stats.compactions == last.compactions && stats.flushes == last.flushes;
        let settled =
            stats.immutable_bytes == 0 && stats.levels.iter().all(|level| level.score < 1.0);
        calm = if still && settled { calm + 1 } else { 0 };
        if !still {
            moved = Instant::now();
        } else if moved.elapsed() > SETTLE_STILL_MAX {
            bail!("the tree does not settle: {:?}", stats.levels);
        }
        last = stats;
    }
    println!("settled in {:.1} s", started.elapsed().as_secs_f64());
    Ok(last)
}

fn print_shape(stats: &Stats, plan: &Plan) {
    println!("level  tables        bytes       target  score");
    for level in stats.levels.iter().filter(|level| level.tables > 0) {
        println!(
            "{:5}  {:6}  {:>11}  {:>11}  {:5.2}",
            level.level,
            count(level.tables),
            megabytes(level.bytes),
            megabytes(level.target_bytes),
            level.score
        );
    }
    let live_bytes = plan.live() * (KEY_BYTES + VALUE_BYTES) as u64;
    println!("write amplification {:.2} (the log included)", stats.write_amplification);
    println!(
        "space amplification {:.3} (all levels over the last), {:.3} (tables over live keys and values)",
        stats.space_amplification,
        stats.table_bytes as f64 / live_bytes.max(1) as f64
    );
    for stall in &stats.stalls {
        let ms = stall.time_ns as f64 / 1e6;
        println!("held back by {}: {} times, {ms:.1} ms", stall.cause, count(stall.count));
    }
}

/// Closes and opens again, three times; the best counts, for noise only adds.
fn reopen(mut db: Db, path: &Path, wrong: &mut Vec<String>) -> Result<Db> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        db.close()?;
        drop(db);
        let closed = started.elapsed();
        let bytes = disk_bytes(path).context("cannot measure the folder")?;
        let started = Instant::now();
        db = Db::open(path)?;
        best = best.min(started.elapsed());
        println!(
            "closed in {:.1} ms, {} on disk; reopened in {:.1} ms",
            closed.as_secs_f64() * 1e3,
            megabytes(bytes),
            started.elapsed().as_secs_f64() * 1e3
        );
    }
    if best >= OPEN_MAX {
        wrong.push(format!("opening takes {:.1} ms", best.as_secs_f64() * 1e3));
    }
    Ok(db)
}

/// Reads every key by get, in another order than it was written in.
fn read_all(db: &Db, plan: &Plan, wrong: &mut Vec<String>) -> Result<()> {
    let order = Permutation::new(plan.entries, !plan.seed);
    let (started, bar) = (Instant::now(), bar("read", plan.entries));
    for step in 0..plan.entries {
        let number = order.at(step);
        let value = db.get(key(number))?;
        if value.as_deref() != plan.last(number).as_ref().map(|value| &value[..]) {
            wrong.push(format!("get of {number} is {value:?}"));
            if wrong.len() >= WRONG_MAX {
                return Ok(());
            }
        }
        tick(&bar, step);
    }
    bar.finish_and_clear();
    let stats = db.stats()?;
    println!(
        "read {} keys: {}/s; read amplification {:.3}",
        count(plan.entries),
        rate(plan.entries, started.elapsed()),
        stats.read_amplification
    );
    Ok(())
}

/// Walks all entries by a cursor: exactly those that are left, in order.
fn walk(db: &Db, plan: &Plan, backwards: bool, wrong: &mut Vec<String>) -> Result<()> {
    let started = Instant::now();
    let mut cursor = db.cursor()?;
    let mut valid = if backwards { cursor.seek_to_last()? } else { cursor.seek_to_first()? };
    let mut entries = 0_u64;
    for step in 0..plan.entries {
        let number = if backwards { plan.entries - 1 - step } else { step };
        let Some(value) = plan.last(number) else { continue };
        if !valid || cursor.key() != key(number) || cursor.value() != value {
            wrong.push(format!("a walk finds {} instead of {number}", standing(&cursor, valid)));
            return Ok(());
        }
        entries += 1;
        valid = if backwards { cursor.prev()? } else { cursor.next()? };
    }
    if valid {
        wrong.push(format!("a walk goes on to {}", standing(&cursor, valid)));
    }
    let direction = if backwards { "backwards" } else { "forwards" };
    let rate = rate(entries, started.elapsed());
    println!("walked {} entries {direction}: {rate}/s", count(entries));
    Ok(())
}

fn standing(cursor: &Cursor, valid: bool) -> String {
    if valid { cursor.key().escape_ascii().to_string() } else { "its end".to_owned() }
}

fn delete_all(db: &Db, plan: &Plan, path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let (started, bar) = (Instant::now(), bar("delete", plan.entries));
    for step in 0..plan.entries {
        db.delete(key(plan.order.at(step)))?;
        tick(&bar, step);
    }
    bar.finish_and_clear();
    println!("deleted: {}/s", rate(plan.entries, started.elapsed()));
    let started = Instant::now();
    db.compact_range(..)?;
    let stats = settle(db)?;
    println!(
        "compacted in {:.1} s: {} bytes of tables left, {} held",
        started.elapsed().as_secs_f64(),
        count(stats.table_bytes),
        count(stats.obsolete_bytes)
    );
    if let Some(entry) = db.iter()?.next() {
        wrong.push(format!("{:?} is left", entry?.0));
    }
    if stats.table_bytes >= LEFT_BYTES_MAX {
        wrong.push(format!("{} bytes of tables are left", count(stats.table_bytes)));
    }
    db.close()?;
    let bytes = disk_bytes(path).context("cannot measure the folder")?;
    println!("closed: {} on disk", megabytes(bytes));
    Ok(())
}

/// A progress bar; hidden where stderr is not a terminal.
fn bar(what: &'static str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:8} {wide_bar} {percent}% {per_sec}");
    ProgressBar::new(steps).with_style(style.expect("the template is right")).with_prefix(what)
}

/// Moves the bar, seldom enough to cost nothing.
fn tick(bar: &ProgressBar, step: u64) {
    if step.is_multiple_of(8192) {
        bar.set_position(step);
    }
}
