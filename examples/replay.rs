//! How fast a log is replayed after a kill.
//!
//! ```text
//! cargo run --release --example replay -- DB [--megabytes 512]
//! ```
//!
//! For entries of 116 bytes and of 4 KiB in turn: a child fills memtables that
//! nobody flushes, so that everything is in the log alone, and kills itself with
//! SIGKILL; the parent opens the database, which replays the log into tables, and
//! reads a sample back. Exits with 1 where an entry is wrong.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use olive_core::{Maintenance, Options, WriteBatch};
use olive_examples::arguments::Arguments;
use olive_examples::random::{fill, mix};
use olive_examples::text::count;

const USAGE: &str = "replay DB [--megabytes 512]";
const KEY_BYTES: usize = 16;

fn main() -> Result<()> {
    let mut arguments = Arguments::of_process();
    let megabytes = arguments.number("--megabytes", 512).map_err(anyhow::Error::msg)?;
    let child = arguments.number("--child-value-bytes", 0).map_err(anyhow::Error::msg)?;
    let path = arguments.paths(1, USAGE).map_err(anyhow::Error::msg)?.remove(0);
    if child > 0 {
        return fill_and_die(&path, megabytes, child as usize);
    }
    for value_bytes in [100, 4096 - KEY_BYTES] {
        let folder = path.join(format!("values-of-{value_bytes}"));
        ensure!(!folder.exists(), "{} is there already", folder.display());
        std::fs::create_dir_all(&path)?;
        let status = run_child(&folder, megabytes, value_bytes)?;
        ensure!(!status.success(), "the child was to be killed, and ended: {status}");
        measure(&folder, megabytes, value_bytes)?;
    }
    Ok(())
}

fn run_child(folder: &Path, megabytes: u64, value_bytes: usize) -> Result<ExitStatus> {
    Command::new(std::env::current_exe()?)
        .arg(folder)
        .args(["--megabytes", &megabytes.to_string()])
        .args(["--child-value-bytes", &value_bytes.to_string()])
        .status()
        .context("cannot start the child")
}

fn entries(megabytes: u64, value_bytes: usize) -> u64 {
    megabytes * 1_000_000 / (KEY_BYTES + value_bytes) as u64
}

fn entry(number: u64, value: &mut [u8]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let digits = format!("{:016}", mix(number) % 10_u64.pow(16));
    key.copy_from_slice(digits.as_bytes());
    fill(number, value);
    key
}

fn fill_and_die(folder: &Path, megabytes: u64, value_bytes: usize) -> Result<()> {
    let db = Options::default()
        .maintenance(Maintenance::Manual)
        .memtable_bytes(1 << 30)
        .memtables_max(64)
        .open(folder)?;
    let mut value = vec![0; value_bytes];
    let mut batch = WriteBatch::new();
    for number in 0..entries(megabytes, value_bytes) {
        let key = entry(number, &mut value);
        if value_bytes < 1000 {
            db.put(key, &value)?;
        } else {
            batch.clear();
            db.write(batch.put(key, &value))?;
        }
    }
    let status = Command::new("kill").args(["-9", &std::process::id().to_string()]).status()?;
    anyhow::bail!("still alive after kill -9: {status}")
}

fn measure(folder: &Path, megabytes: u64, value_bytes: usize) -> Result<()> {
    let began = Instant::now();
    let db = Options::default().open(folder)?;
    let seconds = began.elapsed().as_secs_f64();
    let total = entries(megabytes, value_bytes);
    let bytes = total * (KEY_BYTES + value_bytes) as u64;
    println!(
        "entries of {} bytes: {} replayed in {seconds:.2} s, {:.0} MB/s of keys and values",
        KEY_BYTES + value_bytes,
        count(total),
        bytes as f64 / 1e6 / seconds,
    );
    let mut value = vec![0; value_bytes];
    for number in (0..total).step_by((total / 10_000).max(1) as usize) {
        let key = entry(number, &mut value);
        let found = db.get(key)?;
        ensure!(found.is_some_and(|found| found == value), "entry {number} is wrong");
    }
    db.close()?;
    Ok(())
}
