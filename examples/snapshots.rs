//! Snapshots: one state of the database that later writes do not change.
//!
//! `cargo run --release --example snapshots` works in `./olive-data/snapshots`.
//! Two accounts pass money to and fro, while a reader adds them up: over a
//! snapshot the sum is always the same, over two plain reads it need not be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use olive_core::{Db, Value, WriteBatch};

const TOTAL: u64 = 1000;
const LOOKS: u64 = 10_000;

fn main() -> Result<()> {
    let db = Db::open("olive-data/snapshots")?;
    db.write(transfer(TOTAL, 0).put("note", "before"))?;

    // Handles are cheap to clone, and every thread may have its own.
    let done = AtomicBool::new(false);
    let torn = thread::scope(|scope| {
        let writer = scope.spawn(|| pass_to_and_fro(&db, &done));
        let torn = look(&db);
        done.store(true, Ordering::Relaxed);
        writer.join().expect("the writer does not panic")?;
        torn
    })?;
    println!("{LOOKS} looks over a snapshot: every sum was {TOTAL}");
    println!("{LOOKS} looks without one: {torn} sums were torn");

    // A snapshot is owned: it can outlive the scope and go to another thread. It
    // keeps what it sees from being dropped, so it should not be held for ever.
    let held = db.snapshot()?;
    db.put("note", "after")?;
    db.flush()?;
    let note = thread::spawn(move || held.get("note")).join().expect("no panic")?;
    println!("the snapshot says {}, the database says {}", text(note)?, text(db.get("note")?)?);
    db.close()?;
    Ok(())
}

/// Moves one coin at a time, both accounts in one batch.
fn pass_to_and_fro(db: &Db, done: &AtomicBool) -> olive_core::Result<()> {
    for step in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let left = step % (TOTAL + 1);
        db.write(&transfer(left, TOTAL - left))?;
    }
    Ok(())
}

fn transfer(left: u64, right: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put("account/left", left.to_le_bytes()).put("account/right", right.to_le_bytes());
    batch
}

/// Adds the accounts up, both ways; gives how many plain sums were wrong.
fn look(db: &Db) -> Result<u64> {
    let mut torn = 0;
    for _ in 0..LOOKS {
        let snapshot = db.snapshot()?;
        let sum = number(snapshot.get("account/left")?)? + number(snapshot.get("account/right")?)?;
        ensure!(sum == TOTAL, "the sum over a snapshot is {sum}");
        let sum = number(db.get("account/left")?)? + number(db.get("account/right")?)?;
        torn += u64::from(sum != TOTAL);
    }
    Ok(torn)
}

fn number(value: Option<Value>) -> Result<u64> {
    let value = value.context("the account is missing")?;
    Ok(u64::from_le_bytes(value[..].try_into().context("the account has 8 bytes")?))
}

fn text(value: Option<Value>) -> Result<String> {
    Ok(value.context("the note is missing")?.to_string())
}
