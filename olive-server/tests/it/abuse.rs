//! What strangers do to a port, beside a probe whose every request must succeed.
//!
//! Seconds each; `OLIVE_ABUSE_SECONDS=60` for the long form, which also holds the
//! probe's p99 to 10 times what it is without abuse.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use olive_client::Client;

use crate::process::Process;
use crate::support::socket;

/// Above what it has when idle: the buffers' budget, and as much again for the engine.
const ANONYMOUS_KIB_MAX: u64 = 512 << 10;

fn seconds() -> Option<u64> {
    std::env::var("OLIVE_ABUSE_SECONDS").ok().map(|text| text.parse().expect("a number"))
}

/// Calls until `done`, and says how long the calls took.
fn probe(addr: &str, done: &AtomicBool) -> Vec<Duration> {
    let mut client = Client::connect(addr).unwrap();
    let mut took = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.put(b"probe", b"value").expect("the probe's put");
        assert_eq!(client.get(b"probe").expect("the probe's get").unwrap(), b"value");
        took.push(began.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    took
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() * 99 / 100]
}

/// Runs `abuse` again and again in some threads, each with a number that is new each
/// time.
fn under(name: &str, args: &[&str], abuse: impl Fn(&str, u64) + Sync) {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), args);
    let addr = &process.addr;
    Client::connect(addr).unwrap().put(b"large", &vec![1; 8 << 20]).unwrap();
    let for_some_time = |time: Duration, threads: u64| {
        let done = AtomicBool::new(false);
        let mut most_kib = 0;
        let took = thread::scope(|scope| {
            let (abuse, done) = (&abuse, &done);
            for thread in 0..threads {
                scope.spawn(move || {
                    for nth in 0.. {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        abuse(addr, nth * threads + thread);
                    }
                });
            }
            let probing = scope.spawn(|| probe(addr, done));
            let until = Instant::now() + time;
            while Instant::now() < until {
                most_kib = most_kib.max(process.memory_kib("RssAnon"));
                thread::sleep(Duration::from_millis(20));
            }
            done.store(true, Ordering::Relaxed);
            probing.join().unwrap()
        });
        (p99(took), most_kib)
    };
    let time = Duration::from_secs(seconds().unwrap_or(2));
    let (idle_p99, _) = for_some_time(time.min(Duration::from_secs(5)) / 2, 0);
    let idle_kib = process.memory_kib("RssAnon");
    let (p99, most_kib) = for_some_time(time, 4);
    println!("{name}: p99 {p99:?} (idle {idle_p99:?}), {most_kib} KiB at most (idle {idle_kib})");
    assert!(most_kib < idle_kib + ANONYMOUS_KIB_MAX, "{most_kib} KiB");
    if seconds().is_some() {
        assert!(p99 < 10 * idle_p99, "p99 {p99:?}, and {idle_p99:?} when idle");
    }
    let until = Instant::now() + Duration::from_secs(5);
    while process.memory_kib("RssAnon") > idle_kib + (16 << 10) {
        assert!(Instant::now() < until, "{} KiB after 5 s", process.memory_kib("RssAnon"));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Sends what the server may close on, and reads a little.
fn throw(addr: &str, bytes: &[u8]) -> TcpStream {
    let mut socket = socket(addr);
    let _ = socket.write_all(bytes);
    socket
}

#[test]
fn connection_flood() {
    under("connection flood", &["--max-connections", "200"], |addr, _| {
        let sockets: Vec<_> = (0..45).filter_map(|_| TcpStream::connect(addr).ok()).collect();
        drop(sockets);
    });
}

#[test]
fn slow_bytes_and_lines_without_an_end() {
    under("slow bytes", &["--request-timeout-ms", "500"], |addr, nth| {
        let mut socket =
            throw(addr, if nth % 2 == 0 { b"PUT key 1000" } else { b"BATCH 9 60000000\nPUTB" });
        for _ in 0..20 {
            if socket.write_all(b"1").is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut endless = throw(addr, &[b'x'; 70_000]);
        let mut answer = Vec::new();
        let _ = endless.read_to_end(&mut answer);
        assert!(answer.starts_with(b"ERROR toolarge "), "{:?}", answer.escape_ascii().to_string());
    });
}

#[test]
fn lengths_that_cannot_be() {
    under("lengths", &[], |addr, nth| {
        let length =
            ["9223372036854775808", "-1", "9999999999999999999", "68157441"][nth as usize % 4];
        let verb =
            ["PUT k ", "GETB ", "PUTB 1 ", "MGETB 1 ", "BATCH 1 ", "SCAN 0 "][nth as usize % 6];
        let mut socket = throw(addr, format!("{verb}{length}\n").as_bytes());
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.starts_with(b"ERROR "), "{:?}", answer.escape_ascii().to_string());
    });
}

#[test]
fn one_large_value_a_thousand_times() {
    under("one large value a thousand times", &[], |addr, _| {
        let mut client = Client::connect(addr).unwrap();
        let error = client.multi_get(vec!["large"; 1_000]).unwrap_err();
        assert!(matches!(error, olive_client::Error::Server { .. }), "{error:?}");
    });
}

#[test]
fn a_pipeline_that_never_reads_its_answers() {
    under("never reads", &["--request-timeout-ms", "500"], |addr, _| {
        let mut socket = socket(addr);
        socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = socket.write_all(&b"GET large\n".repeat(200_000));
        thread::sleep(Duration::from_millis(200));
    });
}

#[test]
fn sockets_that_are_half_closed_or_reset() {
    under("half closed and reset", &[], |addr, nth| {
        let socket = throw(addr, b"PUT key 10\nhalf");
        if nth % 3 == 0 {
            crate::support::end(&socket);
        } else {
            // Unread answers make the close a reset.
            let mut socket = throw(addr, &b"STATS\n".repeat(50));
            let _ = socket.read(&mut [0; 16]);
        }
    });
}

#[test]
fn random_bytes_and_http() {
    under("random bytes and HTTP", &["--request-timeout-ms", "500"], |addr, nth| {
        let mut state = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes: Vec<u8> = (0..2_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        bytes.push(b'\n');
        let mut socket = throw(addr, &bytes);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let mut http = throw(addr, b"GET /probe HTTP/1.1\r\nHost: localhost\r\n\r\nDELETE probe\n");
        let mut answer = Vec::new();
        let _ = http.read_to_end(&mut answer);
        assert!(
            answer.starts_with(b"ERROR protocol this is not"),
            "{:?}",
            answer.escape_ascii().to_string()
        );
    });
}
