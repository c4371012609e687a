//! PROTOCOL.md's transcripts against a running server, byte by byte.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::support::{Running, end, rest, socket};
use crate::transcript::{self, Transcript};

/// Long enough for the server to have read what was sent, nearly always.
const BETWEEN: Duration = Duration::from_micros(300);

fn replay(server: &Running, transcript: &Transcript, pieces: &[&[u8]], how: &str) {
    let mut socket = socket(&server.addr);
    for (nth, piece) in pieces.iter().enumerate() {
        if nth > 0 {
            thread::sleep(BETWEEN);
        }
        // The server may have closed after an earlier piece: what it said counts.
        if socket.write_all(piece).is_err() {
            break;
        }
    }
    if transcript.ends {
        end(&socket);
    }
    let answers = rest(&mut socket);
    assert!(
        transcript.matches(&answers),
        "PROTOCOL.md, line {}, {how}:\n  {}\ninstead of\n  {:?}",
        transcript.line,
        answers.escape_ascii(),
        transcript.answers.iter().map(|part| part.escape_ascii().to_string()).collect::<Vec<_>>(),
    );
    empty(server, transcript);
}

/// Each transcript begins with an empty database.
fn empty(server: &Running, transcript: &Transcript) {
    let mut client = match &transcript.token {
        Some(token) => olive_client::ClientOptions::default()
            .token(token.as_str())
            .connect(&server.addr)
            .unwrap(),
        None => server.client(),
    };
    let keys: Vec<_> = client.scan(..).unwrap().map(|entry| entry.unwrap().0).collect();
    for key in keys {
        client.delete(&key).unwrap();
    }
}

fn server_for(transcript: &Transcript) -> Running {
    let Some(token) = &transcript.token else { return Running::start() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("another\n{token}\n")).unwrap();
    Running::with(|layer| layer.token_file = Some(file.path().to_owned()))
}

/// Replays all transcripts with and without a token, each on one of two servers.
fn on_servers(replay: impl Fn(&Running, &Transcript) + Sync) {
    let all = transcript::all();
    let (with, without): (Vec<_>, Vec<_>) = all.iter().partition(|t| t.token.is_some());
    thread::scope(|scope| {
        // Four connections wait at a time, each on a server of its own.
        let quarter = without.len().div_ceil(4);
        for transcripts in without.chunks(quarter).chain([&with[..]]) {
            let replay = &replay;
            scope.spawn(move || {
                let server = server_for(transcripts[0]);
                transcripts.iter().for_each(|transcript| replay(&server, transcript));
            });
        }
    });
}

#[test]
fn transcripts_whole() {
    on_servers(|server, transcript| replay(server, transcript, &[&transcript.sent], "whole"));
}

#[test]
fn transcripts_byte_by_byte() {
    on_servers(|server, transcript| {
        if transcript.sent.len() < 400 {
            let pieces: Vec<&[u8]> = transcript.sent.chunks(1).collect();
            replay(server, transcript, &pieces, "byte by byte");
        }
    });
}

#[test]
fn transcripts_cut_at_every_byte() {
    on_servers(|server, transcript| {
        let sent = &transcript.sent;
        // The long ones are all keys.
        let step = 1 + sent.len() / 400;
        for cut in (1..sent.len()).step_by(step) {
            let pieces = [&sent[..cut], &sent[cut..]];
            replay(server, transcript, &pieces, &format!("cut at {cut}"));
        }
    });
}

#[test]
fn the_line_for_netcat() {
    let server = Running::start();
    assert_eq!(server.talk(b"PUT a 1\nxGET a\nQUIT\n"), b"OK\nOK 1\nxOK\n");
}
