//! [`Lane`]: one connection of a bench, driven by readiness.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use olive_client::Error;
use olive_client::protocol::{Command, ParsedResponse, Response, ResponseParser, VERSION};

use super::supply::{Asked, Supply};
use super::tally::Tally;

/// An input buffer has room for the answers of a batch, within these.
const INPUT_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=256 << 10;

/// What gives out requests: how many may still be sent, and until when.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) requests: u64,
    pub(super) until: Option<Instant>,
}

impl Quota {
    /// Takes up to `most` requests.
    fn take(&mut self, most: usize, now: Instant) -> usize {
        if self.until.is_some_and(|until| now >= until) {
            self.requests = 0;
        }
        let taken = self.requests.min(most as u64);
        self.requests -= taken;
        taken as usize
    }
}

/// What the lanes of a thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) supply: Supply,
    pub(super) quota: Quota,
    pub(super) tally: Tally,
    pub(super) depth: usize,
    pub(super) verify: bool,
}

/// Whether a lane waits for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waits,
    Idle,
}

/// How much of the room in an input buffer a read took.
enum Filled {
    Nothing,
    Part,
    All,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: TcpStream,
    parser: ResponseParser,
    /// A batch; up to `sent` the system has it.
    output: Vec<u8>,
    sent: usize,
    /// Received: up to `taken` it belongs to answers that were counted, from `filled` on it
    /// is room.
    input: Vec<u8>,
    taken: usize,
    filled: usize,
    /// The requests of the batch, of which so many have their answers.
    asked: Vec<Asked>,
    answered: usize,
    began: Instant,
}

impl Lane {
    /// Connects and greets, blocking.
    pub(super) fn connect(
        addr: &SocketAddr,
        token: Option<&[u8]>,
        timeout: Duration,
        batch_bytes: usize,
    ) -> Result<Lane, Error> {
        let mut stream = Blocking::connect_timeout(addr, timeout).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        stream.set_read_timeout(Some(timeout)).map_err(broken)?;
        stream.set_write_timeout(Some(timeout)).map_err(broken)?;
        greet(&mut stream, token)?;
        stream.set_nonblocking(true).map_err(broken)?;
        Ok(Lane {
            stream: TcpStream::from_std(stream),
            parser: ResponseParser::default(),
            output: Vec::new(),
            sent: 0,
            input: vec![0; batch_bytes.clamp(*INPUT_BYTES.start(), *INPUT_BYTES.end())],
            taken: 0,
            filled: 0,
            asked: Vec::new(),
            answered: 0,
            began: Instant::now(),
        })
    }

    /// How many requests have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len() - self.answered
    }

    /// Sends the next batch, if there is one.
    ///
    /// # Errors
    ///
    /// Why the connection cannot be used any more; of the other calls too.
    pub(super) fn start(&mut self, shared: &mut Shared, now: Instant) -> Result<State, String> {
        self.output.clear();
        self.sent = 0;
        self.asked.clear();
        self.answered = 0;
        let count = shared.quota.take(shared.depth, now);
        for _ in 0..count {
            self.asked.push(shared.supply.push(&mut self.output));
        }
        shared.tally.asked += count as u64;
        self.began = now;
        if count == 0 {
            return Ok(State::Idle);
        }
        self.flush()?;
        Ok(State::Waits)
    }

    /// Does all that can be done without waiting. Readiness is told once, so that a lane
    /// goes on until the system has nothing for it. `closing` says that it was told of the
    /// end as well, which stands behind the bytes and is not told again.
    pub(super) fn advance(&mut self, shared: &mut Shared, closing: bool) -> Result<State, String> {
        loop {
            self.flush()?;
            let more = match self.fill()? {
                Filled::Nothing => false,
                Filled::Part => closing,
                Filled::All => true,
            };
            let now = Instant::now();
            self.take_answers(shared, now)?;
            if self.unanswered() == 0 && self.start(shared, now)? == State::Idle {
                return Ok(State::Idle);
            }
            if !more {
                return Ok(State::Waits);
            }
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(wrote) => self.sent += wrote,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Reads once. A read that leaves room has emptied the socket of bytes, and bytes that
    /// come later are told again.
    fn fill(&mut self) -> Result<Filled, String> {
        if self.taken > 0 {
            self.input.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.filled == self.input.len() {
            // A whole answer does not fit: memory grows with what has come.
            self.input.resize(2 * self.filled, 0);
        }
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(closed().to_string()),
                Ok(read) => {
                    self.filled += read;
                    let full = self.filled == self.input.len();
                    return Ok(if full { Filled::All } else { Filled::Part });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Filled::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn take_answers(&mut self, shared: &mut Shared, now: Instant) -> Result<(), String> {
        while self.taken < self.filled {
            let parsed = self.parser.parse(&self.input[self.taken..self.filled]);
            let (response, bytes) = match parsed.map_err(|violation| violation.0)? {
                ParsedResponse::Response { response, bytes } => (response, bytes),
                ParsedResponse::Incomplete { .. } => break,
            };
            let asked = self.asked.get(self.answered);
            count(shared, asked.ok_or("an answer came to no request")?, response)?;
            shared.tally.latency(now.saturating_duration_since(self.began));
            shared.tally.ended = now;
            self.answered += 1;
            self.taken += bytes;
        }
        Ok(())
    }
}

fn count(shared: &mut Shared, asked: &Asked, response: Response<'_>) -> Result<(), String> {
    let tally = &mut shared.tally;
    match response {
        Response::Ok if !asked.get => tally.put += 1,
        Response::Body(value) if asked.get => {
            tally.hits += 1;
            if shared.verify && value != shared.supply.value(asked.key) {
                tally.mismatched += 1;
            }
        }
        Response::NotFound if asked.get => tally.missing += 1,
        Response::Error { kind, text } => tally.error(kind, text),
        _ => return Err("an answer is none to its request".to_owned()),
    }
    Ok(())
}

/// AUTH and HELLO, as the client does it.
fn greet(stream: &mut Blocking, token: Option<&[u8]>) -> Result<(), Error> {
    let mut greeting = Vec::new();
    if let Some(token) = token {
        Command::Auth { token }.write_to(&mut greeting);
    }
    Command::Hello { version: VERSION, name: Some(b"olive-cli bench") }.write_to(&mut greeting);
    // A server without room says so and closes, whether it could be written to or not.
    let sent = stream.write_all(&greeting);
    let (mut input, mut parser) = (Vec::new(), ResponseParser::default());
    let mut awaited = 1 + usize::from(token.is_some());
    while awaited > 0 {
        match parser.parse(&input)? {
            ParsedResponse::Response { response: Response::Error { kind, text }, .. } => {
                return Err(Error::Server { kind, text: text.to_owned() });
            }
            ParsedResponse::Response { bytes, .. } => {
                input.drain(..bytes);
                awaited -= 1;
            }
            ParsedResponse::Incomplete { .. } => {
                let mut part = [0; 1_024];
                match stream.read(&mut part).map_err(broken)? {
                    0 => return Err(broken(sent.err().unwrap_or_else(closed))),
                    read => input.extend_from_slice(&part[..read]),
                }
            }
        }
    }
    Ok(())
}

fn closed() -> io::Error {
    io::Error::other("the server closed it")
}

fn broken(error: io::Error) -> Error {
    let cause = match error.kind() {
        // What a socket's timeout comes back as.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    };
    Error::Disconnected { cause }
}
