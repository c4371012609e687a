//! The client against servers that misbehave: scripts on a real socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use olive_client::protocol::ErrorKind;
use olive_client::{Answer, Client, ClientOptions, Error, WriteBatch};

const TIMEOUT: Duration = Duration::from_millis(300);

/// A server that lets `script` speak with each connection, and tells all lines and
/// bodies that it is sent, in the pieces in which the script reads them.
fn server(
    mut script: impl FnMut(usize, &mut Peer) + Send + 'static,
) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (tell, told) = channel();
    thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut peer = Peer { stream: stream.unwrap(), seen: Vec::new() };
            assert!(peer.line().starts_with(b"HELLO 1"));
            peer.say(b"OK 10\nversion=1\n");
            script(nth, &mut peer);
            tell.send(peer.seen).unwrap();
        }
    });
    (addr, told)
}

struct Peer {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Peer {
    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.stream.read(&mut byte).unwrap_or(0) == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                break;
            }
        }
        self.seen.extend_from_slice(&line);
        line
    }

    fn bytes(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        self.seen.extend_from_slice(&bytes);
    }

    fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn wait_for_the_end(&mut self) {
        while !self.line().is_empty() {}
    }
}

fn client(addr: &str) -> Client {
    ClientOptions::default().timeout(TIMEOUT).connect(addr).unwrap()
}

#[test]
fn nobody_there_is_a_connect_error() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Client::connect(&addr).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains(&addr));
    assert!(matches!(Client::connect("no port"), Err(Error::Connect { .. })));
}

#[test]
fn every_address_of_a_name_is_tried() {
    // Where localhost is ::1 first, the first address refuses.
    let (addr, _told) = server(|_, peer| peer.wait_for_the_end());
    let port = addr.rsplit(':').next().unwrap();
    Client::connect(&format!("localhost:{port}")).unwrap();
}

#[test]
fn silence_is_a_timeout_and_for_a_write_an_unknown_outcome() {
    let (addr, told) = server(|_, peer| peer.wait_for_the_end());
    let began = Instant::now();
    let error = client(&addr).get(b"k").unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(began.elapsed() >= TIMEOUT && began.elapsed() < 3 * TIMEOUT);
    let Err(Error::OutcomeUnknown { cause }) = client(&addr).put(b"k", b"v") else { panic!() };
    assert!(matches!(*cause, Error::Timeout { .. }), "{cause:?}");
    assert_eq!(told.recv().unwrap(), b"HELLO 1\nGET k\n");
}

#[test]
fn a_timeout_may_be_as_long_as_can_be_said() {
    let (addr, _told) = server(|_, peer| {
        peer.line();
        peer.say(b"NOTFOUND\n");
    });
    let options = ClientOptions::default().timeout(Duration::MAX).connect_timeout(Duration::MAX);
    let mut client = options.connect(&addr).unwrap();
    assert_eq!(client.get(b"k").unwrap(), None);
}

#[test]
fn a_write_that_was_sent_is_never_sent_again() {
    let (addr, told) = server(|_, peer| {
        peer.line();
        peer.bytes(1);
    });
    let mut client = client(&addr);
    let Err(Error::OutcomeUnknown { cause }) = client.put(b"k", b"v") else { panic!() };
    assert!(matches!(*cause, Error::Disconnected { .. }), "{cause:?}");
    assert_eq!(told.recv().unwrap(), b"HELLO 1\nPUT k 1\nv");
    drop(client);
    assert!(told.recv_timeout(TIMEOUT).is_err(), "the client has connected again");
}

#[test]
fn a_request_of_which_not_all_was_taken_was_not_executed() {
    let (addr, _told) = server(|_, _| thread::sleep(4 * TIMEOUT));
    let error = client(&addr).put(b"k", &vec![0; 64 << 20]).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[test]
fn a_connection_that_was_closed_while_idle_is_made_again_before_sending() {
    let (addr, told) = server(|nth, peer| {
        peer.line();
        peer.bytes(1);
        peer.say(b"OK\n");
        if nth == 1 {
            peer.say(b"ERROR busy the server is stopping\n");
        }
    });
    let mut client = client(&addr);
    for nth in 0..3 {
        client.put(b"k", b"v").unwrap();
        assert_eq!(told.recv().unwrap(), b"HELLO 1\nPUT k 1\nv", "connection {nth}");
        // The end of the connection reaches the client.
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_ones() {
    let (addr, _told) = server(|nth, peer| {
        peer.line();
        if nth == 0 {
            thread::sleep(2 * TIMEOUT);
            peer.say(b"OK 4\nlate");
        } else {
            peer.say(b"OK 5\nright");
        }
    });
    let mut client = client(&addr);
    assert!(matches!(client.get(b"a"), Err(Error::Timeout { .. })));
    thread::sleep(2 * TIMEOUT);
    assert_eq!(client.get(b"b").unwrap().unwrap(), b"right");
}

#[test]
fn an_answer_that_trickles_does_not_stretch_the_timeout() {
    let (addr, _told) = server(|_, peer| {
        peer.line();
        peer.say(b"OK 1000\n");
        for _ in 0..100 {
            peer.say(b"x");
            thread::sleep(TIMEOUT / 10);
        }
    });
    let mut client = client(&addr);
    let began = Instant::now();
    assert!(matches!(client.get(b"k"), Err(Error::Timeout { .. })));
    assert!(began.elapsed() < 2 * TIMEOUT, "{:?}", began.elapsed());
}

#[test]
fn what_is_no_answer_is_a_protocol_error() {
    for answer in [
        &b"+OK\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n",
        b"OK 99999999999\n",
        b"OK\n",
        b"OK 01\nx",
    ] {
        let (addr, _told) = server(move |_, peer| {
            peer.line();
            peer.say(answer);
            peer.wait_for_the_end();
        });
        let error = client(&addr).get(b"k").unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
}

#[test]
fn an_error_of_the_server_has_its_kind() {
    for kind in ErrorKind::ALL {
        let (addr, _told) = server(move |_, peer| {
            peer.line();
            peer.say(format!("ERROR {kind} because\n").as_bytes());
            peer.wait_for_the_end();
        });
        let error = client(&addr).delete(b"k").unwrap_err();
        assert_eq!(error, Error::Server { kind, text: "because".to_owned() });
    }
}

#[test]
fn what_is_over_a_limit_is_not_sent() {
    let (addr, told) = server(|_, peer| peer.wait_for_the_end());
    let mut client = client(&addr);
    let key = vec![0; 65_536];
    let mut batch = WriteBatch::new();
    batch.put("k", "v").put(&key, "v").delete("k");
    for error in [
        client.get(&key).unwrap_err(),
        client.delete(&key).unwrap_err(),
        client.put(b"k", &vec![0; (64 << 20) + 1]).unwrap_err(),
        client.multi_get([&key]).unwrap_err(),
        client.write(&batch).unwrap_err(),
        client.scan(&key[..]..).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    }
    drop(client);
    assert_eq!(told.recv().unwrap(), b"HELLO 1\n");
    assert!(matches!(
        ClientOptions::default().token("a\nb").connect(&addr),
        Err(Error::InvalidArgument { .. })
    ));
}

#[test]
fn a_key_with_a_newline_is_no_second_command() {
    let (addr, told) = server(|_, peer| {
        peer.line();
        peer.bytes(12);
        peer.say(b"NOTFOUND\n");
    });
    assert_eq!(client(&addr).get(b"a\nDELETE b\n\n").unwrap(), None);
    assert_eq!(told.recv().unwrap(), b"HELLO 1\nGETB 12\na\nDELETE b\n\n");
}

#[test]
fn a_pipeline_answers_each_request_and_knows_what_was_not_done() {
    let (addr, _told) = server(|nth, peer| {
        for _ in 0..4 {
            peer.line();
        }
        peer.say(b"NOTFOUND\nOK\n");
        if nth == 1 {
            peer.say(b"ERROR protocol no\n");
        }
        // Then it closes.
    });
    let run = |client: &mut Client| {
        let mut pipeline = client.pipeline();
        pipeline.get(b"a").delete(b"b").get(&[0; 70_000]).delete(b"c").delete(b"d");
        pipeline.run()
    };
    let mut client = client(&addr);
    let answers = run(&mut client);
    assert_eq!(answers[..2], [Ok(Answer::Value(None)), Ok(Answer::Done)]);
    assert!(matches!(answers[2], Err(Error::InvalidArgument { .. })), "{:?}", answers[2]);
    assert!(matches!(answers[3], Err(Error::OutcomeUnknown { .. })), "{:?}", answers[3]);
    assert!(matches!(answers[4], Err(Error::OutcomeUnknown { .. })), "{:?}", answers[4]);
    // Behind an ERROR that closes, nothing is executed.
    let answers = run(&mut client);
    for answer in &answers[3..] {
        assert!(matches!(answer, Err(Error::Server { kind: ErrorKind::Protocol, .. })));
    }
}
