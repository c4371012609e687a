//! Each limit is an option, and has its error.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use olive_client::protocol::ErrorKind;
use olive_client::{Client, Error};
use olive_server::Size;

use crate::support::{Running, end, rest, some, text};

#[test]
fn one_connection_too_many_is_told_and_closed() {
    let server = Running::with(|layer| layer.max_connections = Some(2));
    let mut first = server.client();
    let _second = server.socket();
    // The second is in its thread now, or this one is: there are two.
    first.ping().unwrap();
    let answer = text(&rest(&mut server.socket()));
    assert_eq!(answer, "ERROR busy there are 2 connections already\n");
    let error = Client::connect(&server.addr).unwrap_err();
    assert!(matches!(error, Error::Server { kind: ErrorKind::Busy, .. }), "{error:?}");
    drop(_second);
    let began = Instant::now();
    while Client::connect(&server.addr).is_err() {
        assert!(began.elapsed() < Duration::from_secs(5), "the place is not free again");
    }
    first.ping().unwrap();
}

#[test]
fn lines_keys_values_and_bodies_have_limits() {
    let server = Running::with(|layer| {
        layer.max_line_bytes = Some(Size(200));
        layer.max_key_bytes = Some(Size(100));
        layer.max_value_bytes = Some(Size(1_000));
        layer.max_request_bytes = Some(Size(1_050));
    });
    let key = |bytes: usize| "k".repeat(bytes);
    for (sent, says) in [
        (format!("GET {}\n", key(197)), "a line has more than 200 bytes"),
        (key(201), "a line has more than 200 bytes"),
        (format!("GET {}\n", key(101)), "the key has 101 bytes, over the limit of 100"),
        (format!("PUT {} 1\nv", key(101)), "the key has 101 bytes"),
        ("PUTB 101 1\n".to_owned(), "the key has 101 bytes"),
        ("PUT k 1001\n".to_owned(), "the value has 1001 bytes, over the limit of 1000"),
        ("PUTB 51 1000\n".to_owned(), "the body has 1051 bytes, over the limit of 1050"),
        ("BATCH 1 1051\n".to_owned(), "the body has 1051 bytes"),
        ("SCAN 102 0 1\n".to_owned(), "the start has 102 bytes, over the limit of 101"),
    ] {
        let answer = text(&server.talk(format!("PING\n{sent}PING\n").as_bytes()));
        assert!(answer.starts_with("OK\nERROR toolarge "), "{answer}");
        assert!(answer.contains(says) && answer.ends_with('\n'), "{answer}");
    }
    let within = format!("PUTB 50 1000\n{}{}QUIT\n", key(50), key(1_000));
    assert_eq!(text(&server.talk(within.as_bytes())), "OK\nOK\n");
    let hello = text(&server.talk(b"HELLO 1\nQUIT\n"));
    assert!(hello.contains("key_bytes_max=100\nvalue_bytes_max=1000\n"), "{hello}");
}

#[test]
fn an_answer_over_its_limit_is_an_error_and_the_connection_goes_on() {
    let server = Running::with(|layer| layer.max_reply_bytes = Some(Size(100_000)));
    let mut client = server.client();
    client.put(b"a", &[0; 60_000]).unwrap();
    client.put(b"b", &[0; 100_001]).unwrap();
    let sent = b"GET b\nMGETB 2 6\n1\na1\naMGETB 1 3\n1\nbSCAN 1 0 9\nbPING\nSCAN 0 0 9\nQUIT\n";
    let answer = server.talk(sent);
    let (errors, page) = answer.split_at(answer.len() - 60_000 - "OK 60009\n1 60000\naOK\n".len());
    let errors = text(errors);
    assert_eq!(errors.matches("ERROR toolarge the answer has ").count(), 4, "{errors}");
    assert!(errors.ends_with("\nOK\n"), "{errors}");
    assert!(page.starts_with(b"OK 60009\n1 60000\na"), "the page ends before what is too large");
}

#[test]
fn an_answer_that_would_be_copied_has_the_limit_too() {
    let server = Running::with(|layer| layer.max_reply_bytes = Some(Size(2_000)));
    let mut client = server.client();
    client.put(b"a", &[b'a'; 2_000]).unwrap();
    client.put(b"b", &[b'b'; 2_001]).unwrap();
    // One alone, and several that are looked up together.
    for sent in [&b"GET b\nPING\nGET a\nQUIT\n"[..], b"GET a\nGET b\nGET b\nGET a\nQUIT\n"] {
        let answer = text(&server.talk(sent));
        let asked = text(sent).matches("GET b").count();
        let refused = "ERROR toolarge the answer has 2001 bytes or more, over the limit of 2000\n";
        assert_eq!(answer.matches(refused).count(), asked, "{answer}");
        assert!(!answer.contains("bbb"), "{answer}");
        assert_eq!(answer.matches("OK 2000\n").count(), text(sent).matches("GET a").count());
    }
}

#[test]
fn a_batch_of_very_many_small_operations_takes_more_memory_than_it_is_long() {
    let server = Running::with(|layer| layer.max_buffer_bytes = Some(Size(3 << 20)));
    let batch = |operations: usize| {
        let body = b"DELB 0\n".repeat(operations);
        let mut sent = format!("BATCH {operations} {}\n", body.len()).into_bytes();
        sent.extend_from_slice(&body);
        sent.extend_from_slice(b"PING\nQUIT\n");
        text(&server.talk(&sent))
    };
    let answer = batch(60_000);
    assert!(answer.starts_with("ERROR toolarge a batch of 60000 operations takes "), "{answer}");
    assert!(answer.ends_with("\nOK\nOK\n"), "the connection goes on: {answer}");
    assert_eq!(batch(20_000), "OK\nOK\nOK\n");
}

#[test]
fn a_request_must_arrive_in_time() {
    let server = Running::with(|layer| {
        layer.request_timeout_ms = Some(400);
        layer.request_timeout_ms_per_mib = Some(1);
    });
    for start in [&b"PUT k 5\nva"[..], b"GET k", b"BATCH 1 60000\nPUTB"] {
        let began = Instant::now();
        let mut socket = server.socket();
        socket.write_all(b"PING\n").unwrap();
        assert_eq!(some(&mut socket, 3), b"OK\n");
        socket.write_all(start).unwrap();
        let answer = text(&rest(&mut socket));
        assert!(answer.starts_with("ERROR protocol the request did not arrive"), "{answer}");
        let took = began.elapsed();
        assert!(took > Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
    }
    // Byte after byte does not help.
    let mut socket = server.socket();
    let mut slow = socket.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..100 {
            if slow.write_all(b"x").is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = text(&rest(&mut socket));
    assert!(answer.starts_with("ERROR protocol the request did not arrive"), "{answer}");
    writer.join().unwrap();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = Running::with(|layer| layer.idle_timeout_ms = Some(300));
    let began = Instant::now();
    let mut socket = server.socket();
    socket.write_all(b"PING\n").unwrap();
    assert_eq!(rest(&mut socket), b"OK\n");
    assert!(began.elapsed() > Duration::from_millis(250));
    // A client notices, and connects again.
    let mut client = server.client();
    std::thread::sleep(Duration::from_millis(600));
    client.put(b"k", b"v").unwrap();
}

#[test]
fn who_has_no_token_cannot_stay_by_empty_requests() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open sesame\n").unwrap();
    let server = Running::with(|layer| {
        layer.token_file = Some(file.path().to_owned());
        layer.idle_timeout_ms = Some(2_000);
    });
    let began = Instant::now();
    let mut socket = server.socket();
    let mut read = [0; 16];
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    // An empty line every 200 ms, until the connection is closed.
    loop {
        let sent = socket.write_all(b"\n");
        match socket.read(&mut read) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            _ => assert!(began.elapsed() < Duration::from_secs(20) && sent.is_ok()),
        }
    }
    assert!(began.elapsed() > Duration::from_millis(1_500));
    // With the token it is a connection like any other.
    let mut socket = server.socket();
    socket.write_all(b"AUTH open sesame\n").unwrap();
    for _ in 0..5 {
        assert_eq!(some(&mut socket, 3), b"OK\n");
        std::thread::sleep(Duration::from_millis(500));
        socket.write_all(b"PING\n").unwrap();
    }
}

#[test]
fn answers_must_be_taken_in_time() {
    let server = Running::with(|layer| {
        layer.request_timeout_ms = Some(300);
        layer.request_timeout_ms_per_mib = Some(1);
    });
    server.client().put(b"k", &vec![0; 8 << 20]).unwrap();
    let mut socket = server.socket();
    socket.write_all(&b"GET k\n".repeat(20)).unwrap();
    let began = Instant::now();
    while server.stat("/server/connections") > 1 {
        assert!(began.elapsed() < Duration::from_secs(5), "the connection is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.stat("/server/buffer_bytes") < 100_000);
    drop(socket);
}

#[test]
fn what_needs_more_memory_than_there_is_is_told_busy_and_closed() {
    let server = Running::with(|layer| layer.max_buffer_bytes = Some(Size(3 << 20)));
    let mut probe = server.client();
    let half = vec![0; 1 << 20];
    let begin = || {
        let mut socket = server.socket();
        socket.write_all(b"PUT k 4000000\n").unwrap();
        let _ = socket.write_all(&half);
        socket
    };
    let mut first = begin();
    let mut second = begin();
    // Together they would need 8 MB. One of them at least cannot go on.
    let _ = first.write_all(&half);
    let _ = second.write_all(&half);
    let answers = [&mut first, &mut second].map(|socket| {
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        text(&answer)
    });
    assert!(answers.iter().any(|answer| answer.starts_with("ERROR busy ")), "{answers:?}");
    // Nobody else is held up, and what was taken comes back.
    probe.put(b"small", b"v").unwrap();
    drop((first, second));
    let began = Instant::now();
    while server.stat_unless_busy("/server/buffer_bytes").is_none_or(|bytes| bytes > 300_000) {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    // An answer that needs more is the same.
    probe.put(b"large", &vec![0; 1 << 20]).unwrap();
    let keys = b"MGETB 3 21\n5\nlarge5\nlarge5\nlarge";
    let answer = text(&server.talk(keys));
    assert!(answer.starts_with("ERROR busy "), "{}", &answer[..answer.len().min(80)]);
}

#[test]
fn half_a_request_is_not_applied() {
    let server = Running::start();
    for sent in
        [&b"PUT k 5\nval"[..], b"BATCH 2 22\nPUTB 1 1\nkvPUTB 1 1\nk", b"PUTB 1 1\nk", b"DELETE k"]
    {
        let mut socket = server.socket();
        socket.write_all(sent).unwrap();
        end(&socket);
        assert_eq!(rest(&mut socket), b"");
    }
    assert_eq!(server.client().get(b"k").unwrap(), None);
}

#[test]
fn requests_that_came_together_are_answered_together() {
    let server = Running::start();
    let mut socket = server.socket();
    for _ in 0..50 {
        socket.write_all(&b"PUT key 5\nvalueGET key\n".repeat(8)).unwrap();
        // One write of the server is one segment on loopback, and so one read here.
        let mut answers = [0; 4_096];
        let read = socket.read(&mut answers).unwrap();
        assert_eq!(read, 8 * "OK\nOK 5\nvalue".len());
    }
}
