//! [`Pipeline`]: many requests on the way at once.
//!
//! ```text
//! requests │ chunk │ chunk │ …      a chunk: requests of 32 KiB together, or one alone
//!             │ send  ▲ then all its answers, then the next chunk
//! ```
//!
//! A chunk fits into the system's buffers, so the server can stop reading while it
//! waits for its answers to be taken, and nobody waits for the other forever.

use crate::client::{Client, check_key, check_value, closes};
use crate::connection::{Connection, Reply};
use crate::error::{Error, Result};
use crate::protocol::{Command, ErrorKind};

/// How many bytes of requests may be unanswered.
const CHUNK_BYTES_MAX: usize = 32 << 10;

/// The answer to one request of a [`Pipeline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a put, a delete or a ping: done.
    Done,
    /// To a get: the value, if there is one.
    Value(Option<Vec<u8>>),
}

#[derive(Debug)]
enum Slot {
    /// A request in the buffer that ends there.
    Request { end: usize, verb: &'static str, writes: bool },
    /// One that was not put there.
    Invalid(Error),
}

/// Requests that are sent together: queue them, then [`run`](Pipeline::run).
///
/// ```no_run
/// use olive_client::{Answer, Client};
///
/// let mut client = Client::connect("127.0.0.1:7411")?;
/// let mut pipeline = client.pipeline();
/// pipeline.put(b"a", b"1").get(b"a");
/// let answers = pipeline.run();
/// assert_eq!(answers[1], Ok(Answer::Value(Some(b"1".to_vec()))));
/// # Ok::<(), olive_client::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct Pipeline<'a> {
    client: &'a mut Client,
    requests: Vec<u8>,
    slots: Vec<Slot>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(client: &'a mut Client) -> Pipeline<'a> {
        Pipeline { client, requests: Vec::new(), slots: Vec::new() }
    }

    /// Queues a get.
    pub fn get(&mut self, key: &[u8]) -> &mut Self {
        self.push(check_key(key), "GET", &Command::Get { key })
    }

    /// Queues a put.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        let checked = check_key(key).and_then(|()| check_value(value));
        self.push(checked, "PUT", &Command::Put { key, value })
    }

    /// Queues a delete.
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.push(check_key(key), "DELETE", &Command::Delete { key })
    }

    /// Queues a ping.
    pub fn ping(&mut self) -> &mut Self {
        self.push(Ok(()), "PING", &Command::Ping)
    }

    /// How many requests are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn push(
        &mut self,
        checked: Result<()>,
        verb: &'static str,
        command: &Command<'_>,
    ) -> &mut Self {
        self.slots.push(match checked {
            Ok(()) => {
                command.write_to(&mut self.requests);
                Slot::Request { end: self.requests.len(), verb, writes: command.writes() }
            }
            Err(error) => Slot::Invalid(error),
        });
        self
    }

    /// Sends all requests, and gives an answer or an error for each, in their order.
    /// It is not atomic: each request is one of its own. When the connection breaks,
    /// what was sent and not answered has that error (`OutcomeUnknown` if it writes),
    /// and so has what was not sent.
    pub fn run(self) -> Vec<Result<Answer>> {
        let answers = Vec::with_capacity(self.slots.len());
        let mut run = Run { answers, broken: None, refused: false, doubtful: false };
        let mut connection = match self.client.take_connection() {
            Ok(connection) => Some(connection),
            Err(error) => {
                run.broken = Some(error);
                None
            }
        };
        let (mut slots, mut start) = (&self.slots[..], 0);
        while !slots.is_empty() {
            let (count, end) = chunk(slots, start);
            let (now, later) = slots.split_at(count);
            match &mut connection {
                Some(connection) if run.broken.is_none() => {
                    let requests = &self.requests[start..end];
                    run.chunk(self.client, connection, now, start, requests);
                }
                _ => now.iter().for_each(|slot| run.unsent(slot)),
            }
            (slots, start) = (later, end);
        }
        if let (Some(connection), None, false) = (connection, run.broken, run.doubtful) {
            self.client.give_back(connection);
        }
        run.answers
    }
}

/// How many of the slots go together, and where their bytes end.
fn chunk(slots: &[Slot], start: usize) -> (usize, usize) {
    let mut last = start;
    for (count, slot) in slots.iter().enumerate() {
        if let Slot::Request { end, .. } = *slot {
            if end - start > CHUNK_BYTES_MAX && last > start {
                return (count, last);
            }
            last = end;
        }
    }
    (slots.len(), last)
}

struct Run {
    answers: Vec<Result<Answer>>,
    /// Why nothing can be sent or received any more.
    broken: Option<Error>,
    /// Whether the server said so itself: then it executes nothing further.
    refused: bool,
    /// Whether the connection may be closed soon, so that it cannot be used again.
    doubtful: bool,
}

impl Run {
    fn chunk(
        &mut self,
        client: &Client,
        connection: &mut Connection,
        slots: &[Slot],
        start: usize,
        requests: &[u8],
    ) {
        let deadline = client.deadline();
        let (sent, failure) = match connection.send(requests, &deadline) {
            Ok(()) => (requests.len(), None),
            Err((sent, error)) => (sent, Some(error)),
        };
        for slot in slots {
            let Slot::Request { end, verb, writes } = *slot else {
                self.unsent(slot);
                continue;
            };
            if self.broken.is_none() {
                match connection.receive(&deadline) {
                    Ok(reply) => {
                        self.answer(reply, verb);
                        continue;
                    }
                    Err(error) => self.broken = Some(failure.clone().unwrap_or(error)),
                }
            }
            if end - start <= sent && writes && !self.refused {
                let cause = self.broken.clone().unwrap_or_else(|| Error::unexpected(verb));
                self.answers.push(Err(Error::OutcomeUnknown { cause: Box::new(cause) }));
            } else {
                self.unsent(slot);
            }
        }
        if self.broken.is_none() {
            self.broken = failure;
        }
    }

    fn answer(&mut self, reply: Reply, verb: &'static str) {
        let answer = match reply {
            Reply::Body(value) if verb == "GET" => Ok(Answer::Value(Some(value))),
            Reply::NotFound if verb == "GET" => Ok(Answer::Value(None)),
            Reply::Ok if verb != "GET" => Ok(Answer::Done),
            Reply::Error { kind, text } => {
                let error = Error::Server { kind, text };
                self.doubtful |= closes(kind);
                // An answer that is too large is refused alone; all else of these closes.
                if closes(kind) && kind != ErrorKind::TooLarge {
                    self.broken = Some(error.clone());
                    self.refused = true;
                }
                Err(error)
            }
            _ => {
                let error = Error::unexpected(verb);
                self.broken = Some(error.clone());
                Err(error)
            }
        };
        self.answers.push(answer);
    }

    fn unsent(&mut self, slot: &Slot) {
        let error = match (slot, &self.broken) {
            (Slot::Invalid(error), _) | (_, Some(error)) => error.clone(),
            (Slot::Request { verb, .. }, None) => Error::unexpected(verb),
        };
        self.answers.push(Err(error));
    }
}
