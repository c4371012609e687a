//! One TCP connection with deadlines: bytes out, answers in.
//!
//! A deadline is kept across many reads and writes: the socket's own timeouts are
//! lowered to what is left, and only when that is less than what they are set to, so
//! that an answer that comes in one piece costs no system call but its read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::options::ClientOptions;
use crate::protocol::{
    Command, ErrorKind, ParsedResponse, Response, ResponseLimits, ResponseParser, VERSION,
};

/// What is read at once at least; larger answers are read into what they need.
const READ_BYTES: usize = 16 << 10;
/// An input buffer larger than this is not kept for the next answer.
const KEPT_BYTES: usize = 1 << 20;
/// How much the clock may disagree with a socket's timeout.
const SLACK: Duration = Duration::from_millis(1);
/// A longer time is as good as none, and the clock has no name for its end.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// An owned answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Ok,
    Body(Vec<u8>),
    NotFound,
    Error { kind: ErrorKind, text: String },
}

impl Reply {
    fn of(response: Response<'_>) -> Reply {
        match response {
            Response::Ok => Reply::Ok,
            Response::Body(body) => Reply::Body(body.to_vec()),
            Response::NotFound => Reply::NotFound,
            Response::Error { kind, text } => Reply::Error { kind, text: text.to_owned() },
        }
    }
}

/// When a call must be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Deadline {
        Deadline { at: Instant::now() + timeout.min(LONGEST), timeout }
    }

    fn error(&self, doing: &'static str) -> Error {
        Error::Timeout { doing, after: self.timeout }
    }

    /// What is left of it.
    fn left(&self, doing: &'static str) -> Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.error(doing)) } else { Ok(left.max(SLACK)) }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    parser: ResponseParser,
    /// Received: up to `taken` it belongs to answers that were given, from `filled` on
    /// it is room.
    input: Vec<u8>,
    taken: usize,
    filled: usize,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Connection {
    /// Connects to the first address of `addr` that answers, and greets.
    pub(crate) fn open(addr: &str, options: &ClientOptions) -> Result<Connection> {
        let deadline = Deadline::after(options.connect_timeout);
        let stream = connect(addr, &deadline)?;
        let mut connection = Connection {
            stream,
            parser: ResponseParser::new(ResponseLimits::default()),
            input: Vec::new(),
            taken: 0,
            filled: 0,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        };
        connection.stream.set_nodelay(true).map_err(Error::disconnected)?;
        connection.greet(options, &deadline)?;
        Ok(connection)
    }

    fn greet(&mut self, options: &ClientOptions, deadline: &Deadline) -> Result<()> {
        let mut greeting = Vec::new();
        if let Some(token) = &options.token {
            Command::Auth { token }.write_to(&mut greeting);
        }
        let name = options.name.as_deref().map(str::as_bytes);
        Command::Hello { version: VERSION, name }.write_to(&mut greeting);
        // A server that has no room says so before it reads: its answer counts more
        // than that it does not listen.
        let sent = self.send(&greeting, deadline);
        let answers = if options.token.is_some() { 2 } else { 1 };
        for _ in 0..answers {
            match (self.receive(deadline), &sent) {
                (Ok(Reply::Ok | Reply::Body(_)), _) => {}
                (Ok(Reply::Error { kind, text }), _) => return Err(Error::Server { kind, text }),
                (Ok(Reply::NotFound), _) => return Err(Error::unexpected("HELLO")),
                (Err(_), Err((_, error))) => return Err(error.clone()),
                (Err(error), Ok(())) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether it can take a request: the server has not closed it, and has sent
    /// nothing unasked.
    pub(crate) fn is_usable(&self) -> bool {
        if self.taken != self.filled || self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let peeked = self.stream.peek(&mut [0]);
        let idle = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && idle
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// How many bytes the system took, and what happened then: a request of which not
    /// all bytes were taken cannot have been executed.
    pub(crate) fn send(&mut self, bytes: &[u8], deadline: &Deadline) -> Result<(), (usize, Error)> {
        let mut sent = 0;
        while sent < bytes.len() {
            let wrote =
                self.limit_write(deadline).and_then(|()| match self.stream.write(&bytes[sent..]) {
                    Ok(wrote) => Ok(wrote),
                    Err(error) if is_retry(&error) => Ok(0),
                    Err(error) => Err(Error::disconnected(error)),
                });
            match wrote {
                Ok(wrote) => sent += wrote,
                Err(error) => return Err((sent, error)),
            }
        }
        Ok(())
    }

    /// The next answer.
    pub(crate) fn receive(&mut self, deadline: &Deadline) -> Result<Reply> {
        loop {
            let room = match self.parser.parse(&self.input[self.taken..self.filled])? {
                ParsedResponse::Response { response, bytes } => {
                    let reply = Reply::of(response);
                    self.take(bytes);
                    return Ok(reply);
                }
                ParsedResponse::Incomplete { extent } => {
                    let pending = self.filled - self.taken;
                    // Memory grows with what has come, not with what was promised.
                    let missing = extent.map_or(0, |extent| extent - pending);
                    missing.min(pending.max(READ_BYTES)).max(READ_BYTES)
                }
            };
            self.fill(room, deadline)?;
        }
    }

    fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken == self.filled {
            self.taken = 0;
            self.filled = 0;
            if self.input.len() > KEPT_BYTES {
                self.input = Vec::new();
            }
        }
    }

    /// Reads once, into room for so many bytes.
    fn fill(&mut self, room: usize, deadline: &Deadline) -> Result<()> {
        if self.taken > 0 && self.input.len() - self.filled < room {
            self.input.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.input.len() - self.filled < room {
            self.input.resize(self.filled + room, 0);
        }
        loop {
            self.limit_read(deadline)?;
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(Error::disconnected("the server closed it")),
                Ok(read) => {
                    self.filled += read;
                    return Ok(());
                }
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(Error::disconnected(error)),
            }
        }
    }

    fn limit_read(&mut self, deadline: &Deadline) -> Result<()> {
        let left = deadline.left("answer")?;
        if needs_setting(self.read_timeout, left) {
            self.stream.set_read_timeout(Some(left)).map_err(Error::disconnected)?;
            self.read_timeout = left;
        }
        Ok(())
    }

    fn limit_write(&mut self, deadline: &Deadline) -> Result<()> {
        let left = deadline.left("room for the request")?;
        if needs_setting(self.write_timeout, left) {
            self.stream.set_write_timeout(Some(left)).map_err(Error::disconnected)?;
            self.write_timeout = left;
        }
        Ok(())
    }
}

/// Whether a timeout that is set would end too late, or far too early.
fn needs_setting(set: Duration, left: Duration) -> bool {
    set > left + SLACK || set < left / 2
}

/// A timeout of the socket comes back as one of two kinds; the deadline decides.
fn is_retry(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Tries all addresses of `addr` in turn; each gets its share of the time that is left.
fn connect(addr: &str, deadline: &Deadline) -> Result<TcpStream> {
    let failed = |cause: String| Error::Connect { addr: addr.to_owned(), cause };
    let addresses = resolve(addr, deadline)?;
    let mut causes = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let left = deadline.left("connection")?;
        let share = left / (addresses.len() - at) as u32;
        match TcpStream::connect_timeout(address, share.max(SLACK)) {
            Ok(stream) => return Ok(stream),
            Err(error) => causes.push(format!("{address}: {error}")),
        }
    }
    if causes.is_empty() {
        causes.push("the name has no address".to_owned());
    }
    Err(failed(causes.join("; ")))
}

/// The addresses of `addr`. A lookup cannot be told how long it may take, so it has a
/// thread of its own, which is left behind if it takes too long.
fn resolve(addr: &str, deadline: &Deadline) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = addr.parse() {
        return Ok(vec![address]);
    }
    let failed =
        |cause: io::Error| Error::Connect { addr: addr.to_owned(), cause: cause.to_string() };
    let (give, get) = mpsc::channel();
    let name = addr.to_owned();
    std::thread::Builder::new()
        .name("olive-resolve".to_owned())
        .spawn(move || {
            // Nobody may be waiting any more.
            let _ = give.send(name.to_socket_addrs().map(Vec::from_iter));
        })
        .map_err(failed)?;
    match get.recv_timeout(deadline.left("address")?) {
        Ok(found) => found.map_err(failed),
        Err(_) => Err(deadline.error("address")),
    }
}
