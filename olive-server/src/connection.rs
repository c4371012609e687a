//! One connection, from its first byte to its end, in a thread of its own.
//!
//! ```text
//! ┌▶ parse ─▶ execute ─▶ answer into the output     for every whole request received;
//! │                                                 small ones of a kind go together
//! │  flush                                          one write for all of their answers
//! └─ give way where many are busy, read             one read for what comes next
//!
//! close: flush, ERROR, shut the writing side, discard input for at most 2 s
//! ```

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use olive_client::protocol::{ErrorKind, Limits, Parsed, Refusal, RequestParser, Response};

use crate::buffer::{Input, NoRoom, Output};
use crate::execute::{Next, execute};
use crate::group::Group;
use crate::pace::Turns;
use crate::peers::{LINGER, Listed, Peer};
use crate::shared::Shared;

/// The longest line before AUTH has succeeded.
const LINE_BYTES_MAX_BEFORE_AUTH: usize = 4_096;
/// How long input is discarded when the server stops.
const LINGER_STOPPING_MS: u64 = 500;

pub(crate) struct Connection<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    parser: RequestParser,
    input: Input,
    writer: Writer<'a>,
    group: Group,
    turns: Turns,
    /// Not counted for STATS yet.
    requests: u64,
    /// When the request that is not whole yet began to come.
    began_ms: Option<u64>,
    /// Until when a token must have come, where one is needed: what else comes does not put it
    /// off, or those who have none could keep everybody's places.
    auth_until_ms: Option<u64>,
}

/// The way out.
pub(crate) struct Writer<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    pub(crate) output: Output,
}

/// Why a connection ends before its client wants it.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client is told.
    Refused(Refusal),
    /// Nobody is there to be told.
    Lost(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Lost(error)
    }
}

impl From<NoRoom> for Stop {
    fn from(_: NoRoom) -> Stop {
        let text = "the buffers of all connections are full: try again later";
        Stop::Refused(Refusal::closing(ErrorKind::Busy, text))
    }
}

/// Serves one connection to its end.
pub(crate) fn serve(shared: &Shared, listed: &Listed) {
    let peer = &*listed.peer;
    let (Ok(input), Ok(writer)) = (Input::new(&shared.budget), Writer::new(shared, peer)) else {
        log::warn!("{}: there is no memory for its buffers", peer.addr);
        return;
    };
    let limits = shared.config.limits;
    let parser = match shared.config.tokens {
        Some(_) => RequestParser::before_auth(Limits {
            line_bytes_max: limits.line_bytes_max.min(LINE_BYTES_MAX_BEFORE_AUTH),
            ..limits
        }),
        None => RequestParser::new(limits),
    };
    let idle_ms = shared.config.idle_timeout.as_millis() as u64;
    let connection = Connection {
        shared,
        peer,
        parser,
        input,
        writer,
        group: Group::default(),
        turns: Turns::default(),
        requests: 0,
        began_ms: None,
        auth_until_ms: shared.config.tokens.is_some().then(|| shared.peers.now_ms() + idle_ms),
    };
    connection.run();
}

impl Connection<'_> {
    fn run(mut self) {
        let ended = loop {
            match self.turn() {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                Err(stop) => break Err(stop),
            }
        };
        let closed = match ended {
            Ok(()) => self.close(None),
            Err(Stop::Refused(refusal)) => self.close(Some(&refusal)),
            Err(lost) => Err(lost),
        };
        if let Err(Stop::Lost(error)) = closed {
            log::debug!("{}: {error}", self.peer.addr);
        }
    }

    /// Answers all that has come, and waits for more.
    fn turn(&mut self) -> Result<ControlFlow<()>, Stop> {
        let answered = self.answer();
        self.shared.count_requests(std::mem::take(&mut self.requests));
        let extent = match answered? {
            ControlFlow::Continue(extent) => extent,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        self.writer.flush()?;
        if self.shared.peers.is_stopping() {
            return Ok(ControlFlow::Break(()));
        }
        self.set_deadline(extent);
        let peers = &self.shared.peers;
        if self.turns.gives_way(peers.now_ms(), &peers.pace) {
            std::thread::yield_now();
        }
        let room = self.input.room(extent)?;
        let read = (&self.peer.stream).read(room);
        self.peer.no_deadline();
        match read {
            Ok(0) => self.input_ended(),
            Ok(bytes) => {
                self.input.filled(bytes);
                Ok(ControlFlow::Continue(()))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(ControlFlow::Continue(()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Executes every whole request; says how long the one is that is not, if that is
    /// known.
    fn answer(&mut self) -> Result<ControlFlow<(), Option<usize>>, Stop> {
        let (shared, writer) = (self.shared, &mut self.writer);
        loop {
            let received = self.input.received();
            let parsed = self.parser.parse(received);
            self.requests += u64::from(matches!(parsed, Parsed::Command { .. }));
            if let Parsed::Command { command, bytes } = &parsed
                && self.group.take(command, received.len() > *bytes)
            {
                self.input.take(*bytes);
                self.began_ms = None;
                continue;
            }
            self.group.execute(shared, writer)?;
            let (bytes, outcome) = match parsed {
                Parsed::Incomplete { extent } => return Ok(ControlFlow::Continue(extent)),
                Parsed::Skip { bytes } => (bytes, Ok(Next::Request)),
                Parsed::Refused { refusal, bytes } => (bytes, Err(Stop::Refused(refusal))),
                Parsed::Command { command, bytes } => (bytes, execute(shared, writer, &command)),
            };
            match outcome {
                Ok(Next::Request) => {}
                Ok(Next::Authenticated) => {
                    self.parser = RequestParser::new(shared.config.limits);
                    self.auth_until_ms = None;
                }
                Ok(Next::Quit) => return Ok(ControlFlow::Break(())),
                Err(Stop::Refused(refusal)) if !refusal.closes => writer.refuse(&refusal)?,
                Err(stop) => return Err(stop),
            }
            self.input.take(bytes);
            self.began_ms = None;
        }
    }

    /// Until when the rest of a request must have come, or the next one begun.
    fn set_deadline(&mut self, extent: Option<usize>) {
        let now_ms = self.shared.peers.now_ms();
        let until_ms = if self.input.received().is_empty() {
            now_ms + self.shared.config.idle_timeout.as_millis() as u64
        } else {
            let began_ms = *self.began_ms.get_or_insert(now_ms);
            began_ms + self.shared.transfer_ms(extent.unwrap_or(0))
        };
        self.peer.read_until(self.auth_until_ms.map_or(until_ms, |auth_ms| auth_ms.min(until_ms)));
    }

    /// The client has closed its side, or a deadline has passed, or the server stops.
    fn input_ended(&mut self) -> Result<ControlFlow<()>, Stop> {
        if self.peer.has_expired() && !self.input.received().is_empty() {
            let ms = self.shared.config.request_timeout.as_millis();
            let text =
                format!("the request did not arrive whole in time: {ms} ms, and more for each MiB");
            return Err(Stop::Refused(Refusal::closing(ErrorKind::Protocol, text)));
        }
        Ok(ControlFlow::Break(()))
    }

    /// Sends what is left and the ERROR, and then reads on for a while: were the socket
    /// closed with unread input, a reset could swallow the ERROR.
    fn close(&mut self, refusal: Option<&Refusal>) -> Result<(), Stop> {
        self.writer.flush()?;
        if let Some(refusal) = refusal {
            self.writer.refuse(refusal)?;
            self.writer.flush()?;
        }
        self.peer.stream.shutdown(Shutdown::Write)?;
        let stopping = self.shared.peers.is_stopping();
        let linger_ms = if stopping { LINGER_STOPPING_MS } else { LINGER.as_millis() as u64 };
        self.peer.cut_at(self.shared.peers.now_ms() + linger_ms);
        // Woken by its deadline, the socket is shut for reading, and every read says
        // that the input has ended though more may come.
        let late = self.peer.has_expired() && refusal.is_some();
        let mut discarded = [0; 4_096];
        while (&self.peer.stream).read(&mut discarded)? > 0 || (late && self.peer.is_timed()) {
            if late {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(shared: &'a Shared, peer: &'a Peer) -> io::Result<Writer<'a>> {
        let output = Output::new(&shared.budget, shared.config.reply_bytes_max)?;
        Ok(Writer { shared, peer, output })
    }

    /// Sends all answers.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.flush_with(&[])
    }

    /// Sends all answers, and `more` from where it lies.
    pub(crate) fn flush_with(&mut self, mut more: &[u8]) -> io::Result<()> {
        let bytes = self.output.len() + more.len();
        if bytes == 0 {
            return Ok(());
        }
        self.peer.cut_at(self.shared.peers.now_ms() + self.shared.transfer_ms(bytes));
        while self.output.len() + more.len() > 0 {
            let mut stream = &self.peer.stream;
            let answers = self.output.bytes();
            let wrote = match (answers.is_empty(), more.is_empty()) {
                (false, false) => {
                    stream.write_vectored(&[IoSlice::new(answers), IoSlice::new(more)])
                }
                (false, true) => stream.write(answers),
                (true, _) => stream.write(more),
            };
            match wrote {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => {
                    let of_answers = wrote.min(self.output.len());
                    self.output.sent(of_answers);
                    more = &more[wrote - of_answers..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.settle();
        self.peer.no_deadline();
        Ok(())
    }

    /// Sends what there is if there is not room for `bytes` more.
    pub(crate) fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if self.output.len() + bytes > crate::buffer::OUTPUT_BASE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Answers with an ERROR.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) -> Result<(), Stop> {
        self.shared.log_refusal(self.peer.addr, refusal);
        let mut line = Vec::new();
        Response::Error { kind: refusal.kind, text: &refusal.text }.write_to(&mut line);
        self.put_short(&line)
    }

    /// Answers with what fits into the base.
    pub(crate) fn put_short(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.make_room(bytes.len())?;
        Ok(self.output.push(bytes)?)
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.peer.addr
    }
}

/// Keeps a panic of one connection to that connection.
pub(crate) fn guarded(addr: std::net::SocketAddr, serve: impl FnOnce()) {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
    if caught.is_err() {
        log::error!("{addr}: the connection ended in a panic, and all others go on");
    }
}

/// What a connection's thread does.
pub(crate) fn thread(shared: &Arc<Shared>, listed: &Listed) {
    guarded(listed.peer.addr, || serve(shared, listed));
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_ends_with_its_connection() {
        super::guarded("127.0.0.1:1".parse().unwrap(), || panic!("on purpose"));
    }
}
