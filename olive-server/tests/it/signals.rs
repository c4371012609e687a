//! Ends of the process: SIGTERM, SIGINT, SIGKILL, under load.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use olive_client::{Client, ClientOptions, Error};
use rustix::process::Signal;

use crate::process::Process;
use crate::support::socket;

/// A whole number from the environment, for the long forms.
fn number(name: &str, short: u64) -> u64 {
    std::env::var(name).map_or(short, |text| text.parse().expect("a number"))
}

fn key(writer: u64, nth: u64) -> Vec<u8> {
    format!("writer {writer:03} key {nth:08}").into_bytes()
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    let addr = process.addr.clone();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let addr = addr.clone();
            thread::spawn(move || pipelined_until_closed(&addr, writer))
        })
        .collect();
    thread::sleep(Duration::from_millis(700));
    let began = Instant::now();
    process.signal(Signal::TERM);
    let status = process.wait();
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let acknowledged: Vec<u64> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    assert!(acknowledged.iter().all(|count| *count > 0), "{acknowledged:?}");
    let process = Process::start(dir.path(), &[]);
    let mut client = Client::connect(&process.addr).unwrap();
    for (writer, count) in acknowledged.iter().enumerate() {
        let keys: Vec<_> = (0..*count).map(|nth| key(writer as u64, nth)).collect();
        for keys in keys.chunks(1_000) {
            let values = client.multi_get(keys).unwrap();
            assert!(values.iter().all(Option::is_some), "of writer {writer}");
        }
    }
}

/// Puts 16 at a time until the server closes; how many were acknowledged. No answer may
/// be half there.
fn pipelined_until_closed(addr: &str, writer: u64) -> u64 {
    let mut socket = socket(addr);
    let (mut acknowledged, mut sent) = (0, 0);
    let mut answers = Vec::new();
    loop {
        let mut requests = Vec::new();
        for _ in 0..16 {
            let key = String::from_utf8(key(writer, sent)).unwrap();
            requests.extend(format!("PUT {key} 5\nvalue").into_bytes());
            sent += 1;
        }
        let broken = socket.write_all(&requests).is_err();
        while acknowledged < sent {
            let mut bytes = [0; 256];
            match socket.read(&mut bytes) {
                Ok(read) if read > 0 => answers.extend_from_slice(&bytes[..read]),
                _ => {
                    assert!(answers.is_empty(), "half an answer: {:?}", answers.escape_ascii());
                    return acknowledged;
                }
            }
            while let Some(rest) = answers.strip_prefix(b"OK\n") {
                answers = rest.to_vec();
                acknowledged += 1;
            }
        }
        assert!(!broken, "it answered what it had not got");
    }
}

#[test]
fn sigint_ends_an_idle_server_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(&process.addr).unwrap()).collect();
    let began = Instant::now();
    process.signal(Signal::INT);
    assert!(process.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5));
    let error = clients[0].ping().unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    let mut client = Client::connect(&process.addr).unwrap();
    client.put(b"k", b"v").unwrap();
    // It holds the stop up: a server that stops waits for it a little.
    let _idle = socket(&process.addr);
    process.signal(Signal::TERM);
    process.wait_for("stopping");
    process.signal(Signal::TERM);
    let status = process.wait();
    // Where the machine is slow to deliver it, the first one has done its work.
    assert!(status.success() || status.code() == Some(143), "{status}");
    let process = Process::start(dir.path(), &[]);
    assert_eq!(Client::connect(&process.addr).unwrap().get(b"k").unwrap().unwrap(), b"v");
}

/// The long form: OLIVE_KILLS=10 OLIVE_KILL_WRITERS=64 OLIVE_KILL_KEYS=100000.
#[test]
fn every_acknowledged_key_is_there_after_sigkill() {
    let kills = number("OLIVE_KILLS", 3);
    let writers = number("OLIVE_KILL_WRITERS", 8);
    let keys = number("OLIVE_KILL_KEYS", 6_000);
    let dir = tempfile::tempdir().unwrap();
    let process = Mutex::new(Process::start(dir.path(), &[]));
    let addr = process.lock().unwrap().addr.clone();
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for writer in 0..writers {
            let (addr, done, acknowledged) = (&addr, &done, &acknowledged);
            scope.spawn(move || {
                let share = keys / writers;
                for nth in 0..share {
                    put_until_acknowledged(addr, writer, nth);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        for kill in 1..=kills {
            let enough = keys * kill / (kills + 1);
            while acknowledged.load(Ordering::Relaxed) < enough {
                thread::sleep(Duration::from_millis(1));
            }
            let mut process = process.lock().unwrap();
            process.signal(Signal::KILL);
            process.wait();
            *process = Process::start(dir.path(), &["--listen", &addr]);
        }
    });
    let mut client = Client::connect(&addr).unwrap();
    assert_eq!(client.scan(..).unwrap().count() as u64, keys / writers * writers);
    for writer in 0..writers {
        for nth in 0..keys / writers {
            let value = client.get(&key(writer, nth)).unwrap();
            assert_eq!(value, Some(nth.to_le_bytes().to_vec()), "writer {writer}, key {nth}");
        }
    }
}

thread_local! {
    static CLIENT: std::cell::RefCell<Option<Client>> = const { std::cell::RefCell::new(None) };
}

/// Puts one key, and again where the outcome is unknown: twice is as good as once here.
fn put_until_acknowledged(addr: &str, writer: u64, nth: u64) {
    CLIENT.with_borrow_mut(|client| {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not come back");
            let Some(connected) = client else {
                *client = ClientOptions::default().connect(addr).ok();
                if client.is_none() {
                    thread::sleep(Duration::from_millis(10));
                }
                continue;
            };
            match connected.put(&key(writer, nth), &nth.to_le_bytes()) {
                Ok(()) => return,
                Err(Error::Server { kind, text }) => panic!("{kind} {text}"),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    });
}

#[test]
fn who_never_reads_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    Client::connect(&process.addr).unwrap().put(b"large", &vec![1; 8 << 20]).unwrap();
    let mut deaf = socket(&process.addr);
    deaf.write_all(&b"GET large\n".repeat(100)).unwrap();
    let mut half = socket(&process.addr);
    half.write_all(b"PUT half 100\nof it").unwrap();
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let process = Process::start(dir.path(), &[]);
    assert_eq!(Client::connect(&process.addr).unwrap().get(b"half").unwrap(), None);
}
