//! A server, and the program that talks to it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use assert_cmd::Command;
use olive_client::Client;
use olive_client::protocol::{Command as Request, Limits, Parsed, RequestParser};
use olive_server::{Config, Layer, Server, Stopper};
use tempfile::TempDir;

/// A server in this process, on a port of its own; it ends with the test.
pub(crate) struct Running {
    pub(crate) addr: String,
    pub(crate) dir: TempDir,
    stopper: Stopper,
    server: Option<Server>,
}

impl Running {
    pub(crate) fn start() -> Running {
        Running::with(|_, _| {})
    }

    pub(crate) fn with(set: impl FnOnce(&mut Layer, &TempDir)) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = Layer {
            data: Some(dir.path().join("db")),
            listen: Some("127.0.0.1:0".to_owned()),
            ..Layer::default()
        };
        set(&mut layer, &dir);
        let server = Server::start(Config::resolve(layer).unwrap()).unwrap();
        let (addr, stopper) = (server.addr().to_string(), server.stopper());
        Running { addr, dir, stopper, server: Some(server) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.addr).unwrap()
    }

    /// The program, told of this server.
    pub(crate) fn cli(&self, args: &[&str]) -> Command {
        cli(&self.addr, args)
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

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_olive-cli");

/// The program with nothing in its environment that could change what it does.
pub(crate) fn cli(addr: &str, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OLIVE_") {
            command.env_remove(name);
        }
    }
    command.env("OLIVE_ADDR", addr).args(args);
    command
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }
}

pub(crate) trait Run {
    fn ran(&mut self) -> Ran;

    /// Runs it: its status, and that it writes this and no error.
    #[track_caller]
    fn gives(&mut self, status: i32, out: impl AsRef<[u8]>) {
        let ran = self.ran();
        let shown = ran.out.escape_ascii().to_string();
        assert_eq!(shown, out.as_ref().escape_ascii().to_string(), "{ran:?}");
        assert_eq!(ran.status, status, "{ran:?}");
        if status == 0 {
            assert_eq!(ran.err, "");
        }
    }

    /// Runs it: that it fails with the status, and one line with all of these.
    #[track_caller]
    fn fails(&mut self, status: i32, says: &[&str]) {
        let ran = self.ran();
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(ran.err.ends_with('\n') && ran.err.lines().count() == 1, "{ran:?}");
        for part in says {
            assert!(ran.err.contains(part), "{part:?} is not in {ran:?}");
        }
    }
}

impl Run for Command {
    fn ran(&mut self) -> Ran {
        let output = self.output().unwrap();
        Ran {
            status: output.status.code().expect("no signal ends it"),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Something that listens and answers each request with what `answer` says; `None` closes.
/// It greets by itself.
pub(crate) fn impostor(
    answer: impl FnMut(&Request<'_>) -> Option<Vec<u8>> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(Mutex::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                // Whoever talked to it may be gone, which is what some tests are about.
                let _ = pretend(stream, |request| (answer.lock().unwrap())(request));
            });
        }
    });
    addr
}

fn pretend(
    mut stream: TcpStream,
    mut answer: impl FnMut(&Request<'_>) -> Option<Vec<u8>>,
) -> io::Result<()> {
    let (mut input, mut parser) = (Vec::new(), RequestParser::new(Limits::default()));
    loop {
        while let Parsed::Command { command, bytes } = parser.parse(&input) {
            let said = match command {
                Request::Hello { .. } => Some(b"OK 10\nversion=1\n".to_vec()),
                command => answer(&command),
            };
            let Some(said) = said else { return Ok(()) };
            stream.write_all(&said)?;
            input.drain(..bytes);
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part)? {
            0 => return Ok(()),
            read => input.extend_from_slice(&part[..read]),
        }
    }
}
