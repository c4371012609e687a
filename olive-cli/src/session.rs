//! [`Session`]: the connection of the commands, made when the first of them needs it.

use std::path::Path;
use std::time::Duration;

use olive_client::{Client, ClientOptions};

use crate::args::ServerArgs;
use crate::failure::{Failure, Result};

/// Longer than that nobody waits for a connection.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    addr: String,
    timeout: Duration,
    token: Option<Vec<u8>>,
    client: Option<Client>,
}

impl Session {
    /// Reads the token, and connects to nothing yet.
    pub(crate) fn new(args: ServerArgs) -> Result<Session> {
        let token = args.token_file.as_deref().map(read_token).transpose()?;
        Ok(Session { addr: args.addr, timeout: args.timeout, token, client: None })
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    pub(crate) fn client(&mut self) -> Result<&mut Client> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        Ok(self.client.insert(client))
    }

    /// Gives up the connection; the next command makes another.
    pub(crate) fn disconnect(&mut self) {
        self.client = None;
    }

    fn connect(&self) -> Result<Client> {
        let mut options = ClientOptions::default()
            .name("olive-cli")
            .timeout(self.timeout)
            .connect_timeout(self.timeout.min(CONNECT_TIMEOUT_MAX));
        if let Some(token) = &self.token {
            options = options.token(token.clone());
        }
        Ok(options.connect(&self.addr)?)
    }
}

fn read_token(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("cannot read the --token-file {shown}: {error}"))
    })?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let token = line.strip_suffix(b"\r").unwrap_or(line);
    if token.is_empty() {
        return Err(Failure::usage(format!("the first line of the --token-file {shown} is empty")));
    }
    Ok(token.to_vec())
}
