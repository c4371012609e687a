//! Stores a folder in a database and proves that it came back whole.
//!
//! ```text
//! cargo run --release --example ingest_tree -- FOLDER DB [--kill [--kills N] [--seed N]]
//! ```
//!
//! 1. Walk FOLDER (symlinks are not followed). For each file one atomic batch:
//!    its bytes into the keyspace "contents", a record of length, times, mode and
//!    checksum into the keyspace "meta", both under its path.
//! 2. Every acknowledged file goes into a ledger in memory.
//! 3. Close, reopen, and compare: database against ledger, strictly; disk against
//!    database, byte by byte, wherever the file's status says that it is unchanged.
//!
//! With `--kill` a child process does step 1 and tells of each acknowledged file
//! through a pipe. It is killed with SIGKILL at moments that a seed chooses; after
//! each kill the parent opens the database and checks everything that was
//! acknowledged so far, and the next child goes on over the same database.
//!
//! The exit code is not 0 if anything differs.

mod child;
mod compare;
mod ingest;
mod record;
mod walk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use olive_core::{Db, Keyspace};
use olive_examples::arguments::Arguments;
use olive_examples::text::{count, megabytes, rate};

use crate::ingest::{Counts, Ingest};
use crate::record::Record;

const USAGE: &str = "ingest_tree FOLDER DB [--kill [--kills N] [--seed N]]";

/// What was acknowledged, by path: what the database must hold.
type Ledger = HashMap<Vec<u8>, Record>;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(differences) => {
            eprintln!("FAILED: {} differences", count(differences));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line asks for; gives the number of differences.
fn run() -> Result<u64> {
    let mut arguments = Arguments::of_process();
    if arguments.flag(child::FLAG) {
        let paths = arguments.paths(2, USAGE).map_err(anyhow::Error::msg)?;
        return child::run(&paths[0], &paths[1]).map(|()| 0);
    }
    let kill = arguments.flag("--kill");
    let kills = arguments.number("--kills", 5).map_err(anyhow::Error::msg)?;
    let seed = arguments.number("--seed", 1).map_err(anyhow::Error::msg)?;
    let paths = arguments.paths(2, USAGE).map_err(anyhow::Error::msg)?;
    let (folder, db) = (canonical(&paths[0])?, paths[1].clone());
    // The database may lie within the folder: it is not stored in itself.
    std::fs::create_dir_all(&db).with_context(|| format!("cannot create {}", db.display()))?;
    let db = canonical(&db)?;
    if folder.starts_with(&db) {
        bail!("{} lies within the database folder", folder.display());
    }

    let found = walk::walk(&folder, &db).filter(Result::is_ok).count() as u64;
    println!("{}: {} files", folder.display(), count(found));
    let started = Instant::now();
    let bar = bar(found, "ingest");
    let (ledger, counts, mut differences) = if kill {
        child::ingest_with_kills(&folder, &db, found, kills, seed, &bar)?
    } else {
        let (ledger, counts) = ingest_here(&folder, &db, &bar)?;
        (ledger, counts, 0)
    };
    bar.finish_and_clear();
    report("stored", &counts, started.elapsed());
    let found_stored = ledger.len() as u64 - counts.files;
    if found_stored > 0 {
        println!("{} files stood there already", count(found_stored));
    }

    let started = Instant::now();
    let stores = Stores::open(&db)?;
    println!("reopened in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    differences += compare::ledger(&stores, &ledger)?;
    differences += compare::disk(&stores, &ledger, &self::bar(ledger.len() as u64, "compare"))?;
    stores.db.close()?;
    println!("{} differences", count(differences));
    Ok(differences)
}

/// Ingests in this process.
fn ingest_here(folder: &Path, db: &Path, bar: &ProgressBar) -> Result<(Ledger, Counts)> {
    let stores = Stores::open(db)?;
    let mut ledger = Ledger::new();
    let mut ingest = Ingest::new(&stores);
    for found in walk::walk(folder, db) {
        if let Some((path, record)) = ingest.file(found)? {
            ledger.insert(path, record);
            bar.inc(1);
        }
    }
    let counts = ingest.counts;
    stores.db.close()?;
    Ok((ledger, counts))
}

/// The database and its two keyspaces.
struct Stores {
    db: Db,
    contents: Keyspace,
    meta: Keyspace,
}

impl Stores {
    fn open(path: &Path) -> Result<Stores> {
        let db = Db::open(path)?;
        let (contents, meta) = (db.keyspace("contents")?, db.keyspace("meta")?);
        Ok(Stores { db, contents, meta })
    }
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot open {}", path.display()))
}

/// A progress bar that counts files; hidden where stderr is not a terminal.
fn bar(files: u64, what: &'static str) -> ProgressBar {
    let style = "{prefix:8} {wide_bar} {pos}/{len} {per_sec}";
    let style = ProgressStyle::with_template(style).expect("the template is right");
    ProgressBar::new(files).with_style(style).with_prefix(what)
}

fn report(done: &str, counts: &Counts, time: Duration) {
    println!(
        "{done} {} files, {} in {:.1} s: {} files/s, {}/s",
        count(counts.files),
        megabytes(counts.bytes),
        time.as_secs_f64(),
        rate(counts.files, time),
        megabytes((counts.bytes as f64 / time.as_secs_f64().max(1e-9)) as u64),
    );
    println!(
        "left out: {} unreadable, {} not plain files, {} over the value limit, {} kept changing",
        count(counts.unreadable),
        count(counts.special),
        count(counts.too_large),
        count(counts.unsteady),
    );
}
