//! The process that is killed: opens, shows what it found, and writes with 8 threads
//! until it dies.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use olive_core::{Db, Durability, Options, WalIo, WriteBatch};
use olive_examples::ledger::script::{WRITERS, operation, value};

use crate::wire::{COMPACTION, FLUSH, Said};

/// How a life writes: by its number, so that all forms come in turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) durability: Durability,
    pub(crate) wal_io: WalIo,
    /// Memtables and segments that fill in some milliseconds; otherwise some dozen.
    is_small: bool,
    /// Segments for large records, if they are mapped at all, since all are large.
    pub(crate) is_large: bool,
}

impl Form {
    pub(crate) fn of(life: u64) -> Form {
        Form {
            durability: if life & 1 == 0 { Durability::Buffered } else { Durability::Sync },
            wal_io: if life & 2 == 0 { WalIo::Mapped } else { WalIo::Write },
            is_small: life & 4 == 0,
            is_large: life & 8 != 0,
        }
    }

    pub(crate) fn options(self) -> Options {
        let (memtable_bytes, segment_bytes) =
            if self.is_small { (48 << 10, 16 << 10) } else { (256 << 10, 128 << 10) };
        Options::default()
            .durability(self.durability)
            .wal_io(self.wal_io)
            .memtable_bytes(memtable_bytes)
            .wal_segment_bytes_max(segment_bytes)
            .wal_mapped_record_bytes_max(if self.is_large { 0 } else { 8 << 10 })
            .table_bytes(32 << 10)
            .block_bytes(1 << 10)
            .level0_tables(2)
            .level_base_bytes(128 << 10)
            .level_multiplier(4)
    }
}

/// The child's life. It ends by being killed; returning is an error.
pub(crate) fn run(path: &Path, seed: u64, life: u64) -> Result<()> {
    // Not `Stdout`, which buffers: each frame is to be a `write` of its own.
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    Said::Opening.write(&mut out)?;
    let began = Instant::now();
    let db = Form::of(life).options().open(path)?;
    let micros = began.elapsed().as_micros() as u64;
    Said::Opened { micros }.write(&mut out)?;
    show(&db, &out)?;
    let numbers = order()?;
    let (tell, ended) = channel();
    for (writer, &first) in (0..WRITERS).zip(&numbers) {
        let (db, mut out, tell) = (db.clone(), out.try_clone()?, tell.clone());
        thread::spawn(move || {
            let outcome = (first..).try_for_each(|number| {
                write(&db, seed, writer, number)?;
                let phases = phases(&db)?;
                Said::Acknowledged { writer, number, phases }.write(&mut out)?;
                Ok::<(), anyhow::Error>(())
            });
            let _ = tell.send(outcome);
        });
    }
    ended.recv()?.context("a writer")?;
    bail!("a writer has come to its end")
}

/// Shows all entries, read forwards, backwards and one by one.
fn show(db: &Db, out: &File) -> Result<()> {
    let mut out = BufWriter::new(out);
    let mut backwards = db.iter()?.rev().collect::<olive_core::Result<Vec<_>>>()?;
    let count = backwards.len() as u64;
    for entry in db.iter()? {
        let (key, value) = entry?;
        let back = backwards.pop().context("a backward scan shows less")?;
        ensure!(back == (key.clone(), value.clone()), "{key:?}: backward, another entry");
        ensure!(db.get(&key)?.is_some_and(|got| got == value), "{key:?}: a get shows another");
        Said::Entry { key: key.to_vec(), value: value.to_vec() }.write(&mut out)?;
    }
    ensure!(backwards.is_empty(), "a backward scan shows more");
    Said::EntriesEnd { count }.write(&mut out)?;
    out.flush()?;
    Ok(())
}

/// The number that each writer begins with: one line, which comes once the parent is
/// content with what was shown.
fn order() -> Result<Vec<u64>> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    ensure!(numbers.len() == usize::from(WRITERS), "no order came: {line:?}");
    Ok(numbers)
}

fn write(db: &Db, seed: u64, writer: u8, number: u64) -> Result<()> {
    let operation = operation(seed, writer, number);
    match operation.changes[..] {
        [(key, true)] => db.put(key.bytes(), value(seed, writer, number, key))?,
        [(key, false)] => db.delete(key.bytes())?,
        ref changes => {
            let mut batch = WriteBatch::new();
            for (key, is_put) in changes {
                if *is_put {
                    batch.put(key.bytes(), value(seed, writer, number, *key));
                } else {
                    batch.delete(key.bytes());
                }
            }
            db.write(&batch)?;
        }
    }
    Ok(())
}

/// What is under way now. A memtable that waits is being flushed: a thread does nothing
/// else.
fn phases(db: &Db) -> Result<u8> {
    let stats = db.stats()?;
    ensure!(stats.background_errors == 0, "{:?}", stats.last_background_error);
    let flush = if stats.immutable_bytes > 0 { FLUSH } else { 0 };
    let compaction = if stats.compactions_running > 0 { COMPACTION } else { 0 };
    Ok(flush | compaction)
}
