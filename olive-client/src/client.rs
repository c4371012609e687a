//! [`Client`]: one connection, one call at a time.

use std::fmt;

use crate::batch::WriteBatch;
use crate::connection::{Connection, Deadline, Reply};
use crate::error::{Error, Result};
use crate::options::ClientOptions;
use crate::pipeline::Pipeline;
use crate::protocol::{
    BODY_BYTES_MAX, Command, ErrorKind, KEY_BYTES_MAX, Keys, Operations, VALUE_BYTES_MAX, Values,
};
use crate::range::KeyRange;
use crate::scan::Scan;

/// A connection to an olive-server.
///
/// A call blocks until its answer has come or its time is up
/// ([`ClientOptions::timeout`]). A connection that broke, or that the server closed
/// while it was idle, is made again by the next call before it sends anything. What was
/// sent is never sent again.
///
/// # Errors
///
/// Every call can end in `Connect`, `Timeout`, `Disconnected`, `Protocol` and `Server`,
/// and those that write in `OutcomeUnknown`; the calls name what else.
pub struct Client {
    addr: String,
    options: ClientOptions,
    connection: Option<Connection>,
    /// The request that is being made; kept for its memory.
    request: Vec<u8>,
}

impl Client {
    /// Connects to `addr`, a name or an address with a port, with the default options.
    ///
    /// # Errors
    ///
    /// As [`ClientOptions::connect`].
    pub fn connect(addr: &str) -> Result<Client> {
        ClientOptions::default().connect(addr)
    }

    pub(crate) fn with_options(addr: &str, options: ClientOptions) -> Result<Client> {
        let connection = Some(Connection::open(addr, &options)?);
        Ok(Client { addr: addr.to_owned(), options, connection, request: Vec::new() })
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the key is over 65,535 bytes.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        match self.call(&Command::Get { key })? {
            Reply::Body(value) => Ok(Some(value)),
            Reply::NotFound => Ok(None),
            _ => self.unexpected("GET"),
        }
    }

    /// Puts `value` under `key`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the key is over 65,535 bytes or the value over 64 MiB.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check_key(key)?;
        check_value(value)?;
        self.call_done(&Command::Put { key, value }, "PUT")
    }

    /// Deletes `key`; it need not be there.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the key is over 65,535 bytes.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        check_key(key)?;
        self.call_done(&Command::Delete { key }, "DELETE")
    }

    /// Waits for an answer, and asks for nothing else.
    ///
    /// # Errors
    ///
    /// As every call.
    pub fn ping(&mut self) -> Result<()> {
        self.call_done(&Command::Ping, "PING")
    }

    /// The values of many keys, all as of one moment, in the order of the keys.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: a key is over 65,535 bytes, or all together over 65 MiB.
    /// `Server` of kind toolarge: the values together are over 65 MiB.
    pub fn multi_get<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let (mut body, mut items) = (Vec::new(), 0);
        for key in keys {
            check_key(key.as_ref())?;
            Keys::push(&mut body, key.as_ref());
            items += 1;
            check_body(body.len())?;
        }
        let Reply::Body(body) = self.call(&Command::MultiGet(Keys::written(&body, items)))? else {
            return self.unexpected("MGETB");
        };
        match Values::parse(&body) {
            Some(values) if values.len() == items => {
                Ok(values.map(|value| value.map(<[u8]>::to_vec)).collect())
            }
            _ => self.unexpected("MGETB"),
        }
    }

    /// Writes a batch: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: a key, a value or the batch is over its limit.
    pub fn write(&mut self, batch: &WriteBatch) -> Result<()> {
        batch.check()?;
        let operations = Operations::written(batch.body(), batch.len());
        self.call_done(&Command::Batch(operations), "BATCH")
    }

    /// The entries of a range of keys, in order: asked for page by page, so that what
    /// is written meanwhile may be seen or not.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: a bound is over 65,535 bytes. All else comes from the
    /// iterator, which ends after an error.
    pub fn scan(&mut self, range: impl KeyRange) -> Result<Scan<'_>> {
        Scan::new(self, &range, false)
    }

    /// [`scan`](Self::scan) from the end of the range backwards.
    ///
    /// # Errors
    ///
    /// As `scan`.
    pub fn scan_reverse(&mut self, range: impl KeyRange) -> Result<Scan<'_>> {
        Scan::new(self, &range, true)
    }

    /// Requests to be sent together, without waiting for each answer.
    pub fn pipeline(&mut self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// What the server tells of itself and its database, as JSON.
    ///
    /// # Errors
    ///
    /// As every call.
    pub fn stats(&mut self) -> Result<String> {
        match self.call(&Command::Stats)? {
            Reply::Body(json) => match String::from_utf8(json) {
                Ok(json) => Ok(json),
                Err(_) => self.unexpected("STATS"),
            },
            _ => self.unexpected("STATS"),
        }
    }

    /// One request, one answer; an ERROR is an error.
    pub(crate) fn call(&mut self, command: &Command<'_>) -> Result<Reply> {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        command.write_to(&mut request);
        let outcome = self.exchange(&request, command.writes());
        request.shrink_to(64 << 10);
        self.request = request;
        outcome
    }

    fn exchange(&mut self, request: &[u8], writes: bool) -> Result<Reply> {
        let mut connection = self.take_connection()?;
        let deadline = self.deadline();
        // Where sending breaks, the server may have said why before it closed.
        let sent = connection.send(request, &deadline);
        if let Err((_, timeout @ Error::Timeout { .. })) = sent {
            return Err(timeout);
        }
        let reply = match (connection.receive(&deadline), sent) {
            (Ok(reply), Ok(())) => reply,
            (Ok(Reply::Error { kind, text }), Err(_)) => return Err(Error::Server { kind, text }),
            (_, Err((_, error))) => return Err(error),
            (Err(error), Ok(())) if writes => {
                return Err(Error::OutcomeUnknown { cause: Box::new(error) });
            }
            (Err(error), Ok(())) => return Err(error),
        };
        if let Reply::Error { kind, text } = reply {
            if !closes(kind) {
                self.connection = Some(connection);
            }
            return Err(Error::Server { kind, text });
        }
        self.connection = Some(connection);
        Ok(reply)
    }

    /// A connection on which the next answer is that to the next request. Who took it
    /// gives it back when that is still so.
    pub(crate) fn take_connection(&mut self) -> Result<Connection> {
        match self.connection.take() {
            Some(connection) if connection.is_usable() => Ok(connection),
            _ => Connection::open(&self.addr, &self.options),
        }
    }

    pub(crate) fn give_back(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.options.timeout)
    }

    fn call_done(&mut self, command: &Command<'_>, verb: &str) -> Result<()> {
        match self.call(command)? {
            Reply::Ok => Ok(()),
            _ => self.unexpected(verb),
        }
    }

    /// Answers and questions are out of step: the connection cannot be used again.
    pub(crate) fn unexpected<T>(&mut self, verb: &str) -> Result<T> {
        self.connection = None;
        Err(Error::unexpected(verb))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("addr", &self.addr)
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}

/// Whether the server may close after an ERROR of this kind; that it has not yet is no
/// sign that it will not.
pub(crate) fn closes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Protocol | ErrorKind::Auth | ErrorKind::TooLarge | ErrorKind::Busy)
}

pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    let bytes = key.len();
    Err(Error::invalid(format!("a key of {bytes} bytes is over the limit of {KEY_BYTES_MAX}")))
}

pub(crate) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let bytes = value.len();
    Err(Error::invalid(format!("a value of {bytes} bytes is over the limit of {VALUE_BYTES_MAX}")))
}

pub(crate) fn check_body(bytes: usize) -> Result<()> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!("a request of more than {BODY_BYTES_MAX} bytes is over the limit")))
}
