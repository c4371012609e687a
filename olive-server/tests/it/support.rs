//! Servers and sockets for the tests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use olive_client::protocol::ErrorKind;
use olive_client::{Client, ClientOptions, Error};
use olive_server::{Config, Layer, Server, Stopper};
use tempfile::TempDir;

/// A server in this process, on a port of its own; it ends with the test.
pub(crate) struct Running {
    pub(crate) addr: String,
    stopper: Stopper,
    server: Option<Server>,
    _dir: TempDir,
}

impl Running {
    pub(crate) fn start() -> Running {
        Running::with(|_| {})
    }

    pub(crate) fn with(set: impl FnOnce(&mut Layer)) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = Layer {
            data: Some(dir.path().join("db")),
            listen: Some("127.0.0.1:0".to_owned()),
            ..Layer::default()
        };
        set(&mut layer);
        let server = Server::start(Config::resolve(layer).unwrap()).unwrap();
        let (addr, stopper) = (server.addr().to_string(), server.stopper());
        Running { addr, stopper, server: Some(server), _dir: dir }
    }

    pub(crate) fn client(&self) -> Client {
        ClientOptions::default().timeout(Duration::from_secs(60)).connect(&self.addr).unwrap()
    }

    pub(crate) fn socket(&self) -> TcpStream {
        socket(&self.addr)
    }

    /// Sends bytes, and reads all that comes until the server closes.
    pub(crate) fn talk(&self, sent: &[u8]) -> Vec<u8> {
        let mut socket = self.socket();
        socket.write_all(sent).unwrap();
        rest(&mut socket)
    }

    /// A number of STATS, by the path to it.
    pub(crate) fn stat(&self, path: &str) -> u64 {
        self.stat_unless_busy(path).unwrap()
    }

    /// The same, or `None` while all buffers are taken: then the one who asks is told
    /// that the server is busy, as anybody is.
    pub(crate) fn stat_unless_busy(&self, path: &str) -> Option<u64> {
        let options = ClientOptions::default().timeout(Duration::from_secs(60));
        let asked = options.connect(&self.addr).and_then(|mut client| client.stats());
        let text = match asked {
            Err(Error::Server { kind: ErrorKind::Busy, .. }) => return None,
            asked => asked.unwrap(),
        };
        let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
        stats.pointer(path).and_then(serde_json::Value::as_u64)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

pub(crate) fn socket(addr: &str) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// All that comes until the server closes.
pub(crate) fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut answers = Vec::new();
    match socket.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) => panic!("after {:?}: {error}", answers.escape_ascii().to_string()),
    }
    answers
}

/// The next `count` bytes.
pub(crate) fn some(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut answer = vec![0; count];
    socket.read_exact(&mut answer).unwrap();
    answer
}

pub(crate) fn end(socket: &TcpStream) {
    socket.shutdown(Shutdown::Write).unwrap();
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
