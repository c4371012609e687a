//! [`ClientOptions`]: how a client connects, and how long it waits.

use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::protocol::NAME_BYTES_MAX;

/// How a client connects: setters, then [`connect`](ClientOptions::connect).
///
/// ```no_run
/// use olive_client::ClientOptions;
/// use std::time::Duration;
///
/// let mut client = ClientOptions::default()
///     .timeout(Duration::from_secs(5))
///     .token("open sesame")
///     .name("billing")
///     .connect("db.example:7411")?;
/// client.ping()?;
/// # Ok::<(), olive_client::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) name: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            token: None,
            name: None,
        }
    }
}

impl ClientOptions {
    /// How long connecting may take: the name's lookup, all addresses, and the
    /// greeting together. At least 1 ms. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one call may take, from its first byte sent to its last received; for
    /// scans it is one page, for pipelines some 32 KiB of requests. At least 1 ms.
    /// Default: 30 s. Where a call has to connect again, `connect_timeout` comes on top.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The token for AUTH: any bytes but a newline. Default: none.
    #[must_use]
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// What the client calls itself in the server's log: 1 to 255 bytes without a
    /// newline. Default: none.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Connects to `addr`, a name or an address with a port: `"localhost:7411"`,
    /// `"[::1]:7411"`. Every address that a name resolves to is tried.
    ///
    /// # Errors
    ///
    /// `Connect`, `Timeout`; `Server` of kind auth (the token) or busy (too many
    /// connections); `Protocol`; `InvalidArgument`: an option cannot be.
    pub fn connect(self, addr: &str) -> Result<Client> {
        self.check()?;
        Client::with_options(addr, self)
    }

    fn check(&self) -> Result<()> {
        if self.timeout < Duration::from_millis(1)
            || self.connect_timeout < Duration::from_millis(1)
        {
            return Err(Error::invalid("a timeout is at least 1 ms"));
        }
        if self.token.as_ref().is_some_and(|token| token.contains(&b'\n')) {
            return Err(Error::invalid("a token must not have a newline"));
        }
        match &self.name {
            Some(name) if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\n') => {
                let what = format!("a name has 1 to {NAME_BYTES_MAX} bytes, and no newline");
                Err(Error::invalid(what))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("name", &self.name)
            .finish()
    }
}
