//! The process that ingests until it is killed, and the one that kills it.
//!
//! ```text
//! pipe    one line a file, written after its batch is acknowledged:
//!         path in hex, space, record in hex
//!         and at the end: "done", and the counts
//! ```
//!
//! What stands in the pipe when the child dies was acknowledged, and is read to
//! its end; a last line without its end is nothing.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use olive_examples::random::Random;
use olive_examples::text::count;

use crate::ingest::{Counts, Ingest};
use crate::record::Record;
use crate::{Ledger, Stores, compare, walk};

/// The argument by which the child knows what it is.
pub(crate) const FLAG: &str = "--child-that-is-killed";

const SIGKILL: i32 = 9;

/// The child: ingests, and tells of each acknowledged file.
pub(crate) fn run(folder: &Path, db: &Path) -> Result<()> {
    let stores = Stores::open(db)?;
    let mut ingest = Ingest::new(&stores);
    // One `write` a line: a buffer would die with the process.
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    for found in walk::walk(folder, db) {
        if let Some((path, record)) = ingest.file(found)? {
            line.clear();
            push_hex(&mut line, &path);
            line.push(b' ');
            push_hex(&mut line, &record.encode());
            line.push(b'\n');
            out.write_all(&line)?;
            out.flush()?;
        }
    }
    let Counts { files, bytes, unreadable, special, too_large, unsteady } = ingest.counts;
    writeln!(out, "done {files} {bytes} {unreadable} {special} {too_large} {unsteady}")?;
    stores.db.close()?;
    Ok(())
}

/// Lets children ingest and kills them `kills` times, then lets one finish.
/// Gives what was acknowledged, the counts, and the differences met on the way.
pub(crate) fn ingest_with_kills(
    folder: &Path,
    db: &Path,
    files: u64,
    kills: u64,
    seed: u64,
    bar: &ProgressBar,
) -> Result<(Ledger, Counts, u64)> {
    let mut random = Random::new(seed);
    let (mut ledger, mut differences) = (Ledger::new(), 0);
    let share = (files / (kills + 1)).max(1);
    let mut killed = 0;
    for life in 1..=kills {
        // Somewhere in this life's share of the files that are not stored yet.
        let acknowledgements = ledger.len() as u64 + 1 + random.below(share);
        let end = life_of_child(folder, db, &mut ledger, Some(acknowledgements), bar)?;
        let stores = Stores::open(db)?;
        let wrong = compare::ledger(&stores, &ledger)? + compare::whole_batches(&stores)?;
        stores.db.close()?;
        differences += wrong;
        let how = if end.is_none() { "killed" } else { "finished before the kill" };
        killed += u64::from(end.is_none());
        bar.suspend(|| {
            let acknowledged = count(ledger.len() as u64);
            println!("life {life}: {how}; {acknowledged} acknowledged so far, {wrong} differences");
        });
    }
    let end = life_of_child(folder, db, &mut ledger, None, bar)?;
    let mut counts = end.context("the last child did not finish")?;
    // The last child passed over what stood there; the ledger has all.
    counts.files = ledger.len() as u64;
    counts.bytes = ledger.values().map(|record| record.status.length).sum();
    println!("{killed} kills");
    if killed == 0 && kills > 0 {
        bail!("no child lived long enough to be killed in the middle: take a larger folder");
    }
    Ok((ledger, counts, differences))
}

/// One life: until the child is done, or its `kill_at`th acknowledgement is read
/// and it is killed. Gives the counts if it came to its end.
fn life_of_child(
    folder: &Path,
    db: &Path,
    ledger: &mut Ledger,
    kill_at: Option<u64>,
    bar: &ProgressBar,
) -> Result<Option<Counts>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .args([FLAG.as_ref(), folder.as_os_str(), db.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let out = child.stdout.take().context("the child has no pipe")?;
    bar.set_position(0);
    let heard = listen(&mut child, out, ledger, kill_at, bar);
    // Whatever happened, no child stays behind.
    if heard.is_err() {
        child.kill().ok();
    }
    let status = child.wait()?;
    let Heard { counts, kill_sent } = heard?;
    match counts {
        Some(counts) if status.success() => Ok(Some(counts)),
        // Also in its close, when the last line was already in the pipe.
        _ if kill_sent && status.signal() == Some(SIGKILL) => Ok(None),
        _ => bail!("the child ended by itself: {status}"),
    }
}

/// What came through the pipe until its end.
struct Heard {
    counts: Option<Counts>,
    kill_sent: bool,
}

fn listen(
    child: &mut Child,
    out: ChildStdout,
    ledger: &mut Ledger,
    kill_at: Option<u64>,
    bar: &ProgressBar,
) -> Result<Heard> {
    let mut out = BufReader::new(out);
    let (mut line, mut acknowledgements) = (Vec::new(), 0);
    let mut heard = Heard { counts: None, kill_sent: false };
    loop {
        line.clear();
        out.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(heard);
        }
        if let Some(done) = line.strip_prefix(b"done ") {
            heard.counts = Some(parse_counts(done).context("the child's last line is wrong")?);
            continue;
        }
        let (path, record) = parse_line(&line).context("a line of the child is wrong")?;
        ledger.insert(path, record);
        acknowledgements += 1;
        bar.set_position(acknowledgements);
        if kill_at == Some(acknowledgements) {
            // On Unix this is SIGKILL.
            child.kill().context("cannot kill the child")?;
            heard.kill_sent = true;
        }
    }
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Record)> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let record = Record::decode(&hex_bytes(line.get(space + 1..)?)?)?;
    Some((hex_bytes(line.get(..space)?)?, record))
}

fn parse_counts(line: &[u8]) -> Option<Counts> {
    let mut numbers = std::str::from_utf8(line).ok()?.split(' ').map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(Counts {
        files: number()?,
        bytes: number()?,
        unreadable: number()?,
        special: number()?,
        too_large: number()?,
        unsteady: number()?,
    })
}

fn push_hex(line: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |number: u8| b"0123456789abcdef"[usize::from(number)];
    line.extend(bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn hex_bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let number = |digit: u8| char::from(digit).to_digit(16);
    pairs.iter().map(|&[high, low]| Some((number(high)? << 4 | number(low)?) as u8)).collect()
}
