//! First figures: how fast the parts of daily work are on this machine.
//!
//! ```text
//! cargo run --release --example figures -- DB [--ops 2_000_000]
//!
//! fillseq, fillrandom        ops puts into an empty database
//! overwrite                  ops puts over what fillrandom left
//! readrandom, readmissing    ops gets: keys that are there, keys that lie between them
//! seek + 10 next             ops / 4 seeks of a cursor, 10 steps each
//! full scan                  all entries, by cursor and by iter()
//! ```
//!
//! 16-byte keys (decimal, zero-padded, uniform random over ops numbers), 100-byte
//! values that compress to half, one thread, log on, no sync a write. Throughput is
//! taken in one pass and the latency of each operation in another, since a clock
//! costs as much as a fast get; a filling pass has a database of its own. Figures
//! of different runs or machines do not compare.

mod measure;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use olive_core::Db;
use olive_examples::arguments::Arguments;
use olive_examples::random::{Random, fill, mix};
use olive_examples::system::disk_bytes;
use olive_examples::text::{count, mebibytes, megabytes};

use crate::measure::{PeakMemory, Row, header, latency, throughput};

const USAGE: &str = "figures DB [--ops 2_000_000]";
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;

fn main() -> Result<()> {
    let mut arguments = Arguments::of_process();
    let ops = arguments.number("--ops", 2_000_000).map_err(anyhow::Error::msg)?;
    let path = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    ensure!(ops >= 1000, "--ops must be 1000 or more");
    let folders = ["fillseq", "fillseq-latency", "fillrandom-latency", "fillrandom"]
        .map(|name| path.join(name));
    for folder in &folders {
        ensure!(
            !folder.exists(),
            "{} is there already: figures need new folders",
            folder.display()
        );
    }
    std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;

    let values = Values::new();
    println!("{} operations, keys of 16 bytes, values of 100 bytes, one thread", count(ops));
    println!("{}", header());
    let [seq, seq_latency, random_latency, random] = folders;
    fill_pair("fillseq", ops, [seq, seq_latency], &values, |step| step)?;
    let uniform = |step| random_number(step, ops);
    let db = fill_random(ops, [random_latency, random.clone()], &values, uniform)?;

    reads(&db, ops)?;
    scans(&db)?;
    overwrite(&db, ops, &values)?;
    settle_and_close(db, &random, "overwrite")?;
    std::fs::remove_dir_all(&random).context("cannot remove the last database")?;
    Ok(())
}

/// The number that step `step` of fillrandom writes.
fn random_number(step: u64, ops: u64) -> u64 {
    ((u128::from(mix(step ^ 0x5EED)) * u128::from(ops)) >> 64) as u64
}

fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    let mut rest = number;
    for byte in key.iter_mut().rev() {
        *byte += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Values cut from one pool, so that making them costs nothing.
struct Values(Vec<u8>);

impl Values {
    fn new() -> Values {
        let mut pool = vec![0; 1 << 20];
        fill(1, &mut pool);
        Values(pool)
    }

    fn at(&self, step: u64) -> &[u8] {
        let start = (step as usize * 16) % (self.0.len() - VALUE_BYTES);
        &self.0[start..start + VALUE_BYTES]
    }
}

/// Fills two new databases, one for each pass, and removes them.
fn fill_pair(
    name: &str,
    ops: u64,
    folders: [PathBuf; 2],
    values: &Values,
    number: impl Fn(u64) -> u64,
) -> Result<()> {
    let mut row = Row::new(name);
    for (folder, is_latency) in folders.iter().zip([false, true]) {
        let db = Db::open(folder)?;
        let put = |step| Ok(db.put(key(number(step)), values.at(step))?);
        if is_latency {
            row.latency(latency(ops, put)?)
        } else {
            row.rate(throughput(ops, put)?)
        }
        db.close()?;
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    println!("{row}");
    Ok(())
}

/// Fills two new databases, one for each pass; the second one is settled, measured
/// and kept for the workloads that follow.
fn fill_random(
    ops: u64,
    [for_latency, kept]: [PathBuf; 2],
    values: &Values,
    number: impl Fn(u64) -> u64,
) -> Result<Db> {
    let mut row = Row::new("fillrandom");
    let db = Db::open(&for_latency)?;
    row.latency(latency(ops, |step| Ok(db.put(key(number(step)), values.at(step))?))?);
    db.close()?;
    drop(db);
    std::fs::remove_dir_all(&for_latency).context("cannot remove a database")?;

    let memory = PeakMemory::start();
    let db = Db::open(&kept)?;
    row.rate(throughput(ops, |step| Ok(db.put(key(number(step)), values.at(step))?))?);
    println!("{row}");
    let peak_bytes = memory.stop();
    settle_and_close(db, &kept, "fillrandom")?;
    match peak_bytes {
        Some(bytes) => println!("  anonymous memory in fillrandom: {} at most", mebibytes(bytes)),
        None => println!("  anonymous memory in fillrandom: this system does not tell"),
    }
    Ok(Db::open(kept)?)
}

fn reads(db: &Db, ops: u64) -> Result<()> {
    let mut row = Row::new("readrandom");
    let mut random = Random::new(7);
    let mut get = |_| {
        let number = random_number(random.below(ops), ops);
        let found = db.get(key(number))?;
        ensure!(found.is_some_and(|value| value.len() == VALUE_BYTES), "key {number} is lost");
        Ok(())
    };
    row.rate(throughput(ops, &mut get)?);
    row.latency(latency(ops, &mut get)?);
    println!("{row}");

    let mut row = Row::new("readmissing");
    let mut get = |_| {
        // ':' sorts behind '9': between two keys, so that no table's range excludes it.
        let mut missing = key(random.below(ops));
        missing[KEY_BYTES - 1] = b':';
        ensure!(db.get(missing)?.is_none(), "a key is there that nobody put");
        Ok(())
    };
    row.rate(throughput(ops, &mut get)?);
    row.latency(latency(ops, &mut get)?);
    println!("{row}");
    Ok(())
}

fn scans(db: &Db) -> Result<()> {
    let started = Instant::now();
    let mut cursor = db.cursor()?;
    let (mut entries, mut valid) = (0, cursor.seek_to_first()?);
    while valid {
        black_box((cursor.key(), cursor.value()));
        entries += 1;
        valid = cursor.next()?;
    }
    let mut row = Row::new("full scan, cursor");
    row.rate((entries, started.elapsed()));
    println!("{row}");

    let started = Instant::now();
    let mut by_iter = 0;
    for entry in db.iter()? {
        black_box(&entry?);
        by_iter += 1;
    }
    ensure!(by_iter == entries, "iter() has {by_iter} entries, the cursor {entries}");
    let mut row = Row::new("full scan, iter()");
    row.rate((by_iter, started.elapsed()));
    println!("{row}");

    let mut random = Random::new(8);
    let mut seek = |_| {
        let mut valid = cursor.seek(key(random.below(entries)))?;
        for _ in 0..10 {
            if !valid {
                break;
            }
            black_box((cursor.key(), cursor.value()));
            valid = cursor.next()?;
        }
        Ok(())
    };
    let mut row = Row::new("seek + 10 next");
    row.rate(throughput(entries / 4, &mut seek)?);
    row.latency(latency(entries / 4, &mut seek)?);
    println!("{row}");
    Ok(())
}

fn overwrite(db: &Db, ops: u64, values: &Values) -> Result<()> {
    let mut row = Row::new("overwrite");
    let mut random = Random::new(9);
    let mut put = |step| Ok(db.put(key(random.below(ops)), values.at(step + 1))?);
    row.rate(throughput(ops, &mut put)?);
    row.latency(latency(ops, &mut put)?);
    println!("{row}");
    Ok(())
}

/// Waits until nothing is left to compact, closes, and prints what it took.
fn settle_and_close(db: Db, folder: &Path, name: &str) -> Result<()> {
    let started = Instant::now();
    db.flush()?;
    let mut calm = 0;
    let mut last = db.stats()?;
    while calm < 3 {
        thread::sleep(Duration::from_millis(50));
        let stats = db.stats()?;
        let settled = stats.levels.iter().all(|level| level.score < 1.0)
            && stats.immutable_bytes == 0
            && stats.compactions == last.compactions;
        calm = if settled { calm + 1 } else { 0 };
        last = stats;
    }
    let settled = started.elapsed();
    db.close()?;
    drop(db);
    let bytes = disk_bytes(folder).context("cannot measure the folder")?;
    println!(
        "  after {name}: settled in {:.1} s, {} on disk when closed, write amplification {:.2}",
        settled.as_secs_f64(),
        megabytes(bytes),
        last.write_amplification
    );
    for stall in &last.stalls {
        let ms = stall.time_ns as f64 / 1e6;
        println!("  held back by {}: {} times, {ms:.1} ms", stall.cause, count(stall.count));
    }
    Ok(())
}
