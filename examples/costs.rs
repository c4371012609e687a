//! What an operation costs in instructions and cache misses, counted and not timed.
//!
//! ```text
//! cargo run --release --example costs -- DB [--entries 400000] [--count 40000]
//! ```
//!
//! Needs valgrind, whose callgrind runs each operation `--count` times, and the same
//! process without it; the difference is what one costs, the loop that draws keys taken
//! off. Last-level misses are of a simulated cache, of this machine's size where
//! valgrind knows it, without prefetching: with it, many of them cost nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use olive_core::{Maintenance, Options};
use olive_examples::arguments::Arguments;
use olive_examples::random::mix;
use olive_examples::text::count;

const USAGE: &str = "costs DB [--entries 400000] [--count 40000]";
const KEYS: u64 = 1 << 20;
const VALUE: [u8; 100] = [b'v'; 100];
/// What is counted; the first is the loop alone.
const OPERATIONS: [&str; 7] = [
    "nothing",
    "put",
    "get, hit in a table",
    "get, hit in the memtable",
    "get, miss",
    "next",
    "seek",
];

fn main() -> Result<()> {
    let mut arguments = Arguments::of_process();
    let mut number = |name, default| arguments.number(name, default).map_err(anyhow::Error::msg);
    let (entries, times) = (number("--entries", 400_000)?, number("--count", 40_000)?);
    let child = number("--child", u64::MAX)?;
    let path = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    if child != u64::MAX {
        return run(&path, OPERATIONS[child as usize], entries, times);
    }
    ensure!(times > 0 && entries > 0, "usage: {USAGE}");
    ensure!(entries + times <= KEYS, "at most {KEYS} keys");
    let valgrind = Command::new("valgrind").arg("--version").output();
    ensure!(valgrind.is_ok_and(|out| out.status.success()), "valgrind is not there: install it");
    ensure!(!path.exists(), "{} is there already", path.display());
    fill(&path, entries)?;
    println!("{} entries of 16 + 100 bytes, {} operations", count(entries), count(times));
    println!("{:26} {:>12} {:>11} {:>11}", "", "instructions", "L1 misses", "LL misses");
    let mut base = Counts::default();
    for (operation, name) in OPERATIONS.iter().enumerate() {
        let one = |times| counted(&path, operation, entries, times);
        let counts = one(times)?.less(&one(0)?);
        if operation == 0 {
            base = counts;
            continue;
        }
        let each = |counted: u64| counted as f64 / times as f64;
        let Counts { instructions, first_level, last_level } = counts.less(&base);
        println!(
            "{name:26} {:12.0} {:11.2} {:11.2}",
            each(instructions),
            each(first_level),
            each(last_level)
        );
    }
    Ok(())
}

/// What callgrind counted.
#[derive(Debug, Default)]
struct Counts {
    instructions: u64,
    first_level: u64,
    last_level: u64,
}

impl Counts {
    fn less(&self, other: &Counts) -> Counts {
        Counts {
            instructions: self.instructions.saturating_sub(other.instructions),
            first_level: self.first_level.saturating_sub(other.first_level),
            last_level: self.last_level.saturating_sub(other.last_level),
        }
    }
}

/// Runs one operation in a process of its own, under callgrind.
fn counted(path: &Path, operation: usize, entries: u64, times: u64) -> Result<Counts> {
    let out = path.with_extension("callgrind");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--quiet"])
        .stderr(Stdio::null())
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .arg(path)
        .args(["--entries", &entries.to_string(), "--count", &times.to_string()])
        .args(["--child", &operation.to_string()])
        .status()?;
    ensure!(status.success(), "{} under valgrind ended with {status}", OPERATIONS[operation]);
    let text = std::fs::read_to_string(&out).context("what callgrind wrote")?;
    std::fs::remove_file(&out)?;
    let words = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    let (Some(events), Some(sums)) = (words("events:"), words("summary:")) else {
        bail!("{}: no events and summary", out.display());
    };
    let sum = |names: &[&str]| -> Result<u64> {
        let of = events.iter().zip(&sums).filter(|(event, _)| names.contains(event));
        of.map(|(_, sum)| sum.parse::<u64>().context("a sum of callgrind")).sum()
    };
    Ok(Counts {
        instructions: sum(&["Ir"])?,
        first_level: sum(&["D1mr", "D1mw"])?,
        last_level: sum(&["DLmr", "DLmw"])?,
    })
}

/// Different numbers have different keys, as long as they are below [`KEYS`].
fn key(number: u64) -> String {
    format!("{:016}", number.wrapping_mul(0x9E37_79B1) % KEYS)
}

fn options() -> Options {
    Options::default().maintenance(Maintenance::Manual).memtable_bytes(256 << 20)
}

fn fill(path: &Path, entries: u64) -> Result<()> {
    let db = options().open(path)?;
    for number in 0..entries {
        db.put(key(number), VALUE)?;
    }
    db.flush()?;
    db.compact_range(..)?;
    Ok(db.close()?)
}

/// The child: `times` operations, everything else the same whatever `times` is.
fn run(path: &Path, operation: &str, entries: u64, times: u64) -> Result<()> {
    let is_write = matches!(operation, "put" | "get, hit in the memtable");
    let fresh: PathBuf = path.with_extension("fresh");
    let db = options().open(if is_write { &fresh } else { path })?;
    // So that tables are open and their blocks checked.
    let mut cursor = db.cursor()?;
    let mut more = cursor.seek_to_first()?;
    while more {
        more = cursor.next()?;
    }
    drop(cursor);
    if is_write {
        for number in 0..entries / 4 {
            db.put(key(number), VALUE)?;
        }
    }
    let mut cursor = db.cursor()?;
    cursor.seek_to_first()?;
    let mut found = 0;
    for turn in 0..times {
        let drawn = key(match operation {
            "put" => entries + turn,
            _ => mix(turn) % if is_write { entries / 4 } else { entries },
        });
        let hit = match operation {
            "put" => db.put(drawn, VALUE).map(|()| true)?,
            "get, miss" => db.contains_key(&drawn[1..])?,
            "next" => cursor.next()? && cursor.key().len() + cursor.value().len() == 116,
            "seek" => cursor.seek(drawn)?,
            "nothing" => std::hint::black_box(&drawn).is_empty(),
            _ => db.get_with(drawn, |value| value[99] == b'v')?.unwrap_or(false),
        };
        found += u64::from(hit);
    }
    drop(cursor);
    let expected = if matches!(operation, "get, miss" | "nothing") { 0 } else { times };
    ensure!(found == expected, "{operation}: {found} of {expected}");
    // Without the flush of a close.
    std::mem::forget(db);
    if is_write {
        std::fs::remove_dir_all(fresh)?;
    }
    Ok(())
}
