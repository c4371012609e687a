//! At a terminal: the shell with its editing, and what `get` shows.

#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{PROGRAM, Running};

const PATIENCE: Duration = Duration::from_secs(30);

/// The program with a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown so far.
    shown: Vec<u8>,
    /// Up to where it was waited for.
    seen: usize,
}

impl Terminal {
    fn start(server: &Running, args: &[&str]) -> Terminal {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let no_ctty = OpenptFlags::NOCTTY.bits() as i32;
        let side = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(no_ctty)
            .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
            .unwrap();
        let child = Command::new(PROGRAM)
            .args(["--addr", &server.addr])
            .args(args)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", server.dir.path())
            .stdin(side.try_clone().unwrap())
            .stdout(side.try_clone().unwrap())
            .stderr(side)
            .spawn()
            .unwrap();
        let keys = File::from(keys);
        let mut screen = keys.try_clone().unwrap();
        let (give, get) = channel();
        thread::spawn(move || {
            let mut part = [0; 4_096];
            // It ends in an error once the other side is closed.
            while let Ok(read) = screen.read(&mut part) {
                if give.send(part[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keys, screen: get, shown: Vec::new(), seen: 0 }
    }

    /// Types at a prompt. Between two prompts the terminal edits lines by itself, and keys
    /// like Ctrl-D and the arrows mean something else to it.
    fn types_at(&mut self, prompt: &str, keys: &str) {
        self.wait_for(prompt);
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown behind what was waited for before.
    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let new = &self.shown[self.seen..];
            if let Some(at) = new.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.seen += at + text.len();
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(part) => self.shown.extend(part),
                Err(_) => panic!("{text:?} is not shown: {}", self.shown.escape_ascii()),
            }
        }
    }

    /// Waits until it has ended: then nobody has the other side open any more.
    fn status(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(part) => self.shown.extend(part),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end: {}", self.shown.escape_ascii())
                }
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_shell_edits_completes_and_remembers() {
    let server = Running::start();
    let mut terminal = Terminal::start(&server, &[]);
    let prompt = format!("olive {}> ", server.addr);
    // Tab makes a whole word of it.
    terminal.types_at(&prompt, "pu\tkey 'a b'\r");
    terminal.wait_for("\nOK\r\n");
    terminal.types_at(&prompt, "nonsense\r");
    terminal.wait_for("unrecognized subcommand 'nonsense'");
    terminal.types_at(&prompt, "get key\r");
    terminal.wait_for("\na b\r\n");
    // Given up, and the one before from the history.
    terminal.types_at(&prompt, "garbage\x03");
    terminal.wait_for("garbage");
    terminal.types_at(&prompt, "\x1b[A\r");
    terminal.wait_for("\na b\r\n");
    terminal.types_at(&prompt, "exit\r");
    assert_eq!(terminal.status(), Some(0));

    let history = server.dir.path().join("olive").join("history");
    let text = std::fs::read_to_string(&history).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["put key 'a b'", "nonsense", "get key", "exit"]);
    let mode = history.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read it: {mode:o}");

    // The next shell knows them, and the end of input ends it.
    let mut terminal = Terminal::start(&server, &[]);
    terminal.types_at(&prompt, "\x1b[A\x1b[A\r");
    terminal.wait_for("\na b\r\n");
    terminal.types_at(&prompt, "\x04");
    assert_eq!(terminal.status(), Some(0));
}

#[test]
fn a_value_is_shown_escaped() {
    let server = Running::start();
    server.client().put(b"k", "\x1b[31m\nr\u{f6}t\\".as_bytes()).unwrap();
    let mut terminal = Terminal::start(&server, &["get", "k"]);
    terminal.wait_for("\\x1b[31m\\nr\u{f6}t\\\\\r\n");
    assert_eq!(terminal.status(), Some(0));
}

#[test]
fn a_bench_shows_how_far_it_is() {
    let server = Running::start();
    let args = ["bench", "--workloads", "set", "--seconds", "2", "--connections", "2"];
    let mut terminal = Terminal::start(&server, &args);
    terminal.wait_for("requests/s");
    terminal.wait_for("| workload");
    assert_eq!(terminal.status(), Some(0));
}
