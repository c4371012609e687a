//! Kills a database's process over and over, and looks after each kill whether all that
//! it had acknowledged is there.
//!
//! ```text
//! cargo run --release --example kill_loop -- DB [--kills 500] [--seed N]
//! ```
//!
//! A child opens DB, shows every entry that it finds, and writes with 8 threads: puts,
//! deletes and batches, of keys that each thread has for itself and of keys that all
//! share. After each write that has returned it says so through a pipe; this process
//! keeps the ledger of that, kills the child with SIGKILL, hears the pipe to its end, and
//! starts the next child on the same folder. No child ever closes the database, so each
//! open is a recovery. Durability and the form of the log change with every life.
//!
//! No kill falls before a life's first 1,000 acknowledgements, but for those of a child
//! that still recovers from the kill before it. Each kill is aimed at one of five phases
//! in turn, at a moment that a seed chooses, and counted once, under what it did hit:
//!
//! ```text
//! recovery     the child had not said that its open returned
//! rotation     the log's files, read after the kill, stand between two segments
//! flush        the last acknowledgement said that a full memtable was being flushed
//! compaction   or else that a compaction ran
//! append       or none of these: 8 writers at work
//! ```
//!
//! The exit code is not 0 if anything acknowledged is lost, anything deleted is back, a
//! batch is there by half, a value is wrong, or a child fails or hangs. DB is kept.

mod child;
mod life;
mod log_end;
mod wire;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use olive_core::{Db, Durability, WalIo};
use olive_examples::arguments::Arguments;
use olive_examples::ledger::{Found, Ledger};
use olive_examples::random::Random;
use olive_examples::text::count;

use crate::child::Form;
use crate::life::{Killed, Killer};

const USAGE: &str = "kill_loop DB [--kills 500] [--seed N]";

/// The argument by which the child knows what it is.
const CHILD_FLAG: &str = "--child-that-is-killed";

/// How many wrong things are told in full.
const TOLD_MAX: usize = 20;

/// What was under way at a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Append,
    Rotation,
    Flush,
    Compaction,
    Recovery,
}

impl Phase {
    const ALL: [Phase; 5] =
        [Phase::Append, Phase::Rotation, Phase::Flush, Phase::Compaction, Phase::Recovery];
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(bad) => {
            eprintln!("FAILED: {} bad", count(bad));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line asks for; gives how much was bad.
fn run() -> Result<u64> {
    let mut arguments = Arguments::of_process();
    let is_child = arguments.flag(CHILD_FLAG);
    let life = arguments.number("--life", 0).map_err(anyhow::Error::msg)?;
    let kills = arguments.number("--kills", 500).map_err(anyhow::Error::msg)?;
    let seed = arguments.number("--seed", 1).map_err(anyhow::Error::msg)?;
    let db = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    if is_child {
        return child::run(&db, seed, life).map(|()| 0);
    }
    ensure!(!db.exists(), "{} is there already", db.display());
    if let Some(parent) = db.parent() {
        std::fs::create_dir_all(parent)?;
    }
    println!("seed {seed}");
    let mut ledger = Ledger::new(seed);
    let mut counts = kill(&db, seed, kills, &mut ledger)?;
    counts.judge(&look_last(&db, &mut ledger)?);
    counts.print(&ledger);
    Ok(counts.bad)
}

/// All lives but the last.
fn kill(db: &Path, seed: u64, kills: u64, ledger: &mut Ledger) -> Result<Counts> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} kills, {per_sec}")?;
    let bar = ProgressBar::new(kills).with_style(style);
    let open_time = Duration::from_millis(10);
    let mut killer = Killer { db, seed, random: Random::new(seed), open_time };
    let mut counts = Counts::default();
    let mut life = 0;
    while counts.kills() < kills {
        let form = Form::of(life);
        let aim = Phase::ALL[life as usize % Phase::ALL.len()];
        let killed = match aim {
            Phase::Recovery => killer.kill_recovery(life)?,
            _ => killer.kill_writers(life, aim, ledger)?,
        };
        counts.judge(&killed.wrong);
        counts.take(&killed, form);
        bar.set_position(counts.kills());
        life += 1;
    }
    bar.finish_and_clear();
    Ok(counts)
}

/// After the last kill, in this process: recovered, verified, closed, and opened again.
fn look_last(path: &Path, ledger: &mut Ledger) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for _ in 0..2 {
        let db = Form::of(0).options().open(path)?;
        wrong.extend(ledger.judge(&entries(&db)?));
        wrong.extend(db.verify()?.damage);
        db.close()?;
    }
    Ok(wrong)
}

fn entries(db: &Db) -> Result<Found> {
    let entries = db.iter()?.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())));
    Ok(entries.collect::<olive_core::Result<Found>>()?)
}

/// What the kills hit, and what was wrong.
#[derive(Debug, Default)]
struct Counts {
    by_phase: [u64; Phase::ALL.len()],
    both: u64,
    missed: u64,
    /// By durability, then form of the log.
    by_form: [[u64; 2]; 2],
    /// Of those that are mapped, with segments that are reserved only.
    reserved: u64,
    bad: u64,
}

impl Counts {
    fn kills(&self) -> u64 {
        self.by_phase.iter().sum()
    }

    fn take(&mut self, killed: &Killed, form: Form) {
        let Some(phase) = killed.phase else {
            self.missed += 1;
            return;
        };
        self.by_phase[phase as usize] += 1;
        self.both += u64::from(killed.both);
        let is_sync = form.durability == Durability::Sync;
        let is_write = form.wal_io == WalIo::Write;
        self.by_form[usize::from(is_sync)][usize::from(is_write)] += 1;
        self.reserved += u64::from(form.is_large && !is_write);
    }

    fn judge(&mut self, wrong: &[String]) {
        for what in wrong.iter().take(TOLD_MAX.saturating_sub(self.bad as usize)) {
            eprintln!("BAD: {what}");
        }
        self.bad += wrong.len() as u64;
    }

    fn print(&self, ledger: &Ledger) {
        let [[buffered_mapped, buffered_write], [sync_mapped, sync_write]] = self.by_form;
        println!(
            "buffered: {buffered_mapped} mapped, {buffered_write} write; \
             sync: {sync_mapped} mapped, {sync_write} write; \
             {} mapped ones wrote large records into what was only reserved; \
             {} in a flush and a compaction at once; \
             {} more came after the recovery that they were aimed at",
            self.reserved, self.both, self.missed,
        );
        let [append, rotation, flush, compaction, recovery] = self.by_phase;
        println!(
            "{} kills: append {append}, rotation {rotation}, flush {flush}, \
             compaction {compaction}, recovery {recovery}; \
             {} writes acknowledged, {} keys compared, {} bad",
            count(self.kills()),
            count(ledger.acknowledged()),
            count(ledger.compared()),
            count(self.bad),
        );
    }
}
