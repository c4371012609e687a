//! The server killed over and over under 8 writers, with the ledger of what it
//! acknowledged in this process: durability 4 over TCP.
//!
//! `cargo test --release -p olive-server --test it -- --ignored --nocapture fifty_kills`
//! is the long form. `OLIVE_PROOF_SEED` chooses what is written and when a kill falls.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use olive_client::{Client, ClientOptions, Error, WriteBatch};
use olive_examples::ledger::script::{WRITERS, operation, value};
use olive_examples::ledger::{Found, Ledger};
use olive_examples::random::Random;
use rustix::process::Signal;

use crate::process::Process;

/// No kill falls before so many acknowledgements of a life.
const ACKNOWLEDGEMENTS_MIN: u64 = 1_000;
/// A server, or a writer, that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn what_was_acknowledged_is_there_after_three_kills() {
    kills(3);
}

#[test]
#[ignore = "takes a minute"]
fn what_was_acknowledged_is_there_after_fifty_kills() {
    kills(50);
}

fn kills(kills: u64) {
    let seed = std::env::var("OLIVE_PROOF_SEED").map_or(4, |text| text.parse().expect("a number"));
    println!("OLIVE_PROOF_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, mut random) = (Ledger::new(seed), Random::new(seed));
    let (mut bad, mut unknown) = (Vec::new(), 0);
    for life in 0..kills {
        let durability = ["buffered", "sync"][life as usize % 2];
        // Small memtables: flushes and compactions run when a kill falls.
        let args = ["--memtable-bytes", "64KiB", "--durability", durability];
        let mut process = Process::start(dir.path(), &args);
        bad.extend(ledger.judge(&everything(&process.addr)));
        let enough = ACKNOWLEDGEMENTS_MIN + random.below(ACKNOWLEDGEMENTS_MIN);
        unknown += one_life(&mut process, seed, enough, &mut ledger);
    }
    let process = Process::start(dir.path(), &[]);
    bad.extend(ledger.judge(&everything(&process.addr)));
    println!(
        "{kills} kills over TCP: {} writes acknowledged, {unknown} of unknown outcome, \
         {} keys compared, {} bad",
        ledger.acknowledged(),
        ledger.compared(),
        bad.len(),
    );
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Writes until `enough` is acknowledged, and kills the server; gives the number of
/// writes whose outcome is unknown.
fn one_life(process: &mut Process, seed: u64, enough: u64, ledger: &mut Ledger) -> usize {
    let (tell, told) = channel();
    let writers: Vec<_> = (0..WRITERS)
        .zip(ledger.next().to_vec())
        .map(|(writer, first)| {
            let (addr, tell) = (process.addr.clone(), tell.clone());
            thread::spawn(move || write_until_killed(&addr, seed, writer, first, &tell))
        })
        .collect();
    drop(tell);
    for _ in 0..enough {
        let (writer, number) = told.recv_timeout(PATIENCE).expect("an acknowledgement");
        ledger.acknowledge(writer, number).unwrap();
    }
    process.signal(Signal::KILL);
    process.wait();
    take_the_rest(&told, ledger);
    writers.into_iter().map(|w| usize::from(w.join().unwrap())).sum()
}

fn take_the_rest(told: &Receiver<(u8, u64)>, ledger: &mut Ledger) {
    let began = Instant::now();
    while let Ok((writer, number)) = told.recv() {
        assert!(began.elapsed() < PATIENCE, "the writers go on without a server");
        ledger.acknowledge(writer, number).unwrap();
    }
}

/// Writes from number `first` on until the server is gone, and says so after each write
/// that was acknowledged. Gives whether the last one's outcome is unknown.
fn write_until_killed(
    addr: &str,
    seed: u64,
    writer: u8,
    first: u64,
    tell: &Sender<(u8, u64)>,
) -> bool {
    let mut client = ClientOptions::default().timeout(PATIENCE).connect(addr).unwrap();
    for number in first.. {
        match write(&mut client, seed, writer, number) {
            Ok(()) => tell.send((writer, number)).unwrap(),
            Err(Error::OutcomeUnknown { cause }) => {
                assert!(matches!(*cause, Error::Disconnected { .. }), "{cause}");
                return true;
            }
            Err(Error::Disconnected { .. } | Error::Connect { .. }) => return false,
            Err(error) => panic!("writer {writer}, number {number}: {error}"),
        }
    }
    unreachable!("the numbers do not end")
}

fn write(client: &mut Client, seed: u64, writer: u8, number: u64) -> olive_client::Result<()> {
    let operation = operation(seed, writer, number);
    match operation.changes[..] {
        [(key, true)] => client.put(&key.bytes(), &value(seed, writer, number, key)),
        [(key, false)] => client.delete(&key.bytes()),
        ref changes => {
            let mut batch = WriteBatch::new();
            for (key, is_put) in changes {
                if *is_put {
                    batch.put(key.bytes(), value(seed, writer, number, *key));
                } else {
                    batch.delete(key.bytes());
                }
            }
            client.write(&batch)
        }
    }
}

/// All that the server shows, by a scan and by gets.
fn everything(addr: &str) -> Found {
    let mut client = ClientOptions::default().timeout(PATIENCE).connect(addr).unwrap();
    let found: Found = client.scan(..).unwrap().collect::<olive_client::Result<_>>().unwrap();
    let entries: Vec<_> = found.iter().collect();
    for entries in entries.chunks(500) {
        let got = client.multi_get(entries.iter().map(|(key, _)| key)).unwrap();
        for ((key, value), got) in entries.iter().zip(got) {
            assert_eq!(got.as_ref(), Some(*value), "{}", key.escape_ascii());
        }
    }
    found
}
