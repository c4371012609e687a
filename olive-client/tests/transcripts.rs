//! PROTOCOL.md's transcripts against the parsers alone: a server made of a map, which
//! is given the requests whole, cut at every byte, and one byte at a time.

mod transcript;

use std::collections::BTreeMap;
use std::ops::Bound;

use olive_client::protocol::{
    Command, ErrorKind, Limits, Operation, Parsed, ParsedResponse, Refusal, RequestParser,
    Response, ResponseLimits, ResponseParser, VERSION,
};
use transcript::Transcript;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

struct Model {
    map: Map,
    token: Option<String>,
    parser: RequestParser,
    input: Vec<u8>,
    output: Vec<u8>,
    closed: bool,
}

impl Model {
    fn new(token: Option<String>) -> Model {
        let parser = match token {
            Some(_) => {
                RequestParser::before_auth(Limits { line_bytes_max: 4_096, ..Limits::default() })
            }
            None => RequestParser::new(Limits::default()),
        };
        let (input, output) = (Vec::new(), Vec::new());
        Model { map: Map::new(), token, parser, input, output, closed: false }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut taken = 0;
        while !self.closed {
            let mut parser = self.parser.clone();
            let parsed = parser.parse(&input[taken..]);
            self.parser = parser;
            match parsed {
                Parsed::Incomplete { .. } => break,
                Parsed::Skip { bytes } => taken += bytes,
                Parsed::Command { command, bytes } => {
                    taken += bytes;
                    if let Err(refusal) = self.execute(command) {
                        self.refuse(&refusal);
                    }
                }
                Parsed::Refused { refusal, bytes } => {
                    taken += bytes;
                    self.refuse(&refusal);
                }
            }
        }
        input.drain(..taken);
        self.input = input;
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let Refusal { kind, ref text, closes } = *refusal;
        self.answer(Response::Error { kind, text });
        self.closed = closes;
    }

    fn answer(&mut self, response: Response<'_>) {
        response.write_to(&mut self.output);
    }

    fn execute(&mut self, command: Command<'_>) -> Result<(), Refusal> {
        match command {
            Command::Get { key } => match self.map.get(key).cloned() {
                Some(value) => self.answer(Response::Body(&value)),
                None => self.answer(Response::NotFound),
            },
            Command::Put { key, value } => {
                self.map.insert(key.to_vec(), value.to_vec());
                self.answer(Response::Ok);
            }
            Command::Delete { key } => {
                self.map.remove(key);
                self.answer(Response::Ok);
            }
            Command::Batch(operations) => {
                for operation in operations {
                    match operation {
                        Operation::Put { key, value } => {
                            self.map.insert(key.to_vec(), value.to_vec());
                        }
                        Operation::Delete { key } => {
                            self.map.remove(key);
                        }
                    }
                }
                self.answer(Response::Ok);
            }
            Command::MultiGet(keys) => {
                let mut body = Vec::new();
                for key in keys {
                    match self.map.get(key) {
                        Some(value) => {
                            body.extend_from_slice(format!("{}\n", value.len()).as_bytes());
                            body.extend_from_slice(value);
                        }
                        None => body.extend_from_slice(b"-1\n"),
                    }
                }
                self.answer(Response::Body(&body));
            }
            Command::Scan { start, end, limit, reverse } => {
                let body = self.page(start, end, limit, reverse);
                self.answer(Response::Body(&body));
            }
            Command::Ping => self.answer(Response::Ok),
            Command::Stats => self.answer(Response::Body(b"{}")),
            Command::Hello { version: VERSION, .. } => {
                self.answer(Response::Body(b"version=1\nserver=model\nfeatures=none\n"));
            }
            Command::Hello { version, .. } => {
                let text = format!("version {version} is not spoken here, only {VERSION}");
                return Err(Refusal::going_on(ErrorKind::Protocol, text));
            }
            Command::Auth { token } => match &self.token {
                Some(right) if right.as_bytes() != token => {
                    return Err(Refusal::closing(ErrorKind::Auth, "the token is wrong"));
                }
                _ => {
                    self.parser = RequestParser::new(Limits::default());
                    self.answer(Response::Ok);
                }
            },
            Command::Quit => {
                self.answer(Response::Ok);
                self.closed = true;
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn page(&self, start: &[u8], end: &[u8], limit: u64, reverse: bool) -> Vec<u8> {
        let mut body = Vec::new();
        if !end.is_empty() && end <= start {
            return body;
        }
        let end = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        let range = self.map.range::<[u8], _>((Bound::Included(start), end));
        let entries: Vec<_> = if reverse { range.rev().collect() } else { range.collect() };
        for (key, value) in entries.into_iter().take(limit as usize) {
            body.extend_from_slice(format!("{} {}\n", key.len(), value.len()).as_bytes());
            body.extend_from_slice(key);
            body.extend_from_slice(value);
        }
        body
    }
}

fn replay(transcript: &Transcript, pieces: &[&[u8]], how: &str) {
    let mut model = Model::new(transcript.token.clone());
    for piece in pieces {
        model.receive(piece);
    }
    assert!(model.closed || transcript.ends, "line {}, {how}: not closed", transcript.line);
    assert!(
        transcript.matches(&model.output),
        "PROTOCOL.md, line {}, {how}:\n  {}\ninstead of\n  {:?}",
        transcript.line,
        model.output.escape_ascii(),
        transcript.answers.iter().map(|part| part.escape_ascii().to_string()).collect::<Vec<_>>(),
    );
}

#[test]
fn transcripts_come_out_the_same_however_they_are_cut() {
    for transcript in transcript::all() {
        let sent = &transcript.sent;
        replay(&transcript, &[sent], "whole");
        let single: Vec<&[u8]> = sent.chunks(1).collect();
        replay(&transcript, &single, "byte by byte");
        // The long ones are all keys: a cut at each of their bytes would show nothing.
        let step = 1 + sent.len() / 500;
        for cut in (0..sent.len()).step_by(step) {
            replay(&transcript, &[&sent[..cut], &sent[cut..]], &format!("cut at {cut}"));
        }
    }
}

#[test]
fn the_answers_are_answers() {
    for transcript in transcript::all() {
        let mut model = Model::new(transcript.token.clone());
        model.receive(&transcript.sent);
        let mut parser = ResponseParser::new(ResponseLimits::default());
        let mut left = &model.output[..];
        while !left.is_empty() {
            match parser.parse(left).unwrap() {
                ParsedResponse::Response { bytes, .. } => left = &left[bytes..],
                incomplete => panic!("line {}: {incomplete:?}", transcript.line),
            }
        }
    }
}
