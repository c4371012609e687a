//! The program itself: its start, its options, its logs.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use olive_client::{Client, ClientOptions, Error, protocol::ErrorKind};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running olive-server; killed when the test ends.
pub(crate) struct Process {
    pub(crate) addr: String,
    child: Child,
    log: Receiver<String>,
}

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_olive-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OLIVE_")) {
        command.env_remove(name);
    }
    command.arg("--data").arg(data.join("db"));
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(args).stdin(Stdio::null());
    command
}

impl Process {
    pub(crate) fn start(data: &Path, args: &[&str]) -> Process {
        Process::spawn(command(data, args).stderr(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Process {
        let mut child = command.spawn().unwrap();
        let (tell, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut process = Process { addr: String::new(), child, log };
        let line = process.wait_for("listens on ");
        let (_, rest) = line.split_once("listens on ").unwrap();
        process.addr = rest.split(',').next().unwrap().to_owned();
        process
    }

    /// The first line of the log, from here on, that has `text`.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut seen = String::new();
        loop {
            match self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen += &format!("{line}\n"),
                Err(error) => panic!("no {text:?} in the log: {error}\n{seen}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line of /proc/PID/status, in KiB.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it where it cannot start; what it says.
fn refused(data: &Path, args: &[&str]) -> String {
    let output = command(data, args).output().unwrap();
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn one_line_says_address_folder_durability_and_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(dir.path(), &["--durability", "sync"]);
    let process = Process::spawn(command.stderr(Stdio::piped()));
    assert!(process.addr.starts_with("127.0.0.1:"));
    drop(process);
    let mut command = self::command(dir.path(), &["--log-format", "json"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    let text = object["text"].as_str().unwrap();
    let data = dir.path().canonicalize().unwrap().join("db");
    for part in
        [env!("CARGO_PKG_VERSION"), "127.0.0.1:", data.to_str().unwrap(), "durability buffered"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(object["level"], "info");
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("olive.toml");
    std::fs::write(&file, "max_key_bytes = 10\nmax_value_bytes = \"1KiB\"\nmax_line_bytes = 300\n")
        .unwrap();
    let mut command = command(dir.path(), &["--max-key-bytes", "12"]);
    command
        .env("OLIVE_CONFIG", &file)
        .env("OLIVE_MAX_KEY_BYTES", "11")
        .env("OLIVE_MAX_VALUE_BYTES", "2KiB");
    let process = Process::spawn(command.stderr(Stdio::piped()));
    let mut socket = crate::support::socket(&process.addr);
    socket.write_all(b"HELLO 1\nQUIT\n").unwrap();
    let hello = crate::support::text(&crate::support::rest(&mut socket));
    for part in ["key_bytes_max=12\n", "value_bytes_max=2048\n", "line_bytes_max=300\n"] {
        assert!(hello.contains(part), "{hello}");
    }
}

#[test]
fn what_it_cannot_do_is_said_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("olive.toml");
    std::fs::write(&file, "max_conections = 10\n").unwrap();
    let says = refused(dir.path(), &["--config", file.to_str().unwrap()]);
    assert!(says.contains("max_conections"), "{says}");
    let says = refused(dir.path(), &["--listen", "0.0.0.0:0"]);
    assert!(says.contains("--token-file") && says.contains("--insecure"), "{says}");
    let says = refused(dir.path(), &["--token-file", "/nonexistent/tokens"]);
    assert!(says.contains("/nonexistent/tokens"), "{says}");
    assert!(!dir.path().join("db").exists(), "nothing was opened");
    let process = Process::start(dir.path(), &[]);
    let says = refused(dir.path(), &[]);
    assert!(says.contains("cannot open the database"), "{says}");
    let says = refused(dir.path(), &["--listen", &process.addr]);
    assert!(says.contains("cannot listen on"), "{says}");
}

#[test]
fn why_it_cannot_start_is_one_line_said_once_without_a_backtrace() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "data = \"x\"\nmax_conections = 10\n").unwrap();
    let locked = dir.path().join("locked");
    std::fs::create_dir_all(locked.join("db/LOCK")).unwrap();
    let path = file.to_str().unwrap();
    for (data, args, says) in [
        (dir.path(), &["--max-value-bytes", "65MiB"][..], "--max-value-bytes is 68157440"),
        (
            dir.path(),
            &["--sync-interval-ms", "0"],
            "--sync-interval-ms is 0: it must be 1 to 3600000",
        ),
        (dir.path(), &["--token-file", "/nonexistent/tokens"], "No such file"),
        (dir.path(), &["--config", path], "line 2: unknown field `max_conections`"),
        (&file, &[], "lies under a file"),
        (&locked, &[], "it is a folder, not a regular file"),
        (&locked, &["--log-level", "off"], "it is a folder, not a regular file"),
    ] {
        let run = command(data, args).env("RUST_BACKTRACE", "1").output().unwrap();
        assert_eq!(run.status.code(), Some(1));
        let text = String::from_utf8(run.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert_eq!(text.matches(says).count(), 1, "{args:?}: {text}");
    }
}

#[test]
fn insecure_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(dir.path(), &["--listen", "0.0.0.0:0", "--insecure"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.contains("WARN") && line.contains("anybody"), "{line}");
}

#[test]
fn tokens_are_asked_for_and_never_logged() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "open sesame\n").unwrap();
    let args = ["--token-file", tokens.to_str().unwrap(), "--log-level", "trace"];
    let mut process = Process::start(dir.path(), &args);
    let error = Client::connect(&process.addr).unwrap().get(b"k").unwrap_err();
    assert!(matches!(error, Error::Server { kind: ErrorKind::Auth, .. }), "{error:?}");
    let error = ClientOptions::default().token("open says me").connect(&process.addr).unwrap_err();
    assert!(matches!(error, Error::Server { kind: ErrorKind::Auth, .. }), "{error:?}");
    let mut client = ClientOptions::default()
        .token("open sesame")
        .name("a test")
        .connect(&process.addr)
        .unwrap();
    client.put(b"k", b"v").unwrap();
    assert!(client.stats().unwrap().contains("\"connections\""));
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    let log: Vec<String> = process.log.iter().collect();
    assert!(log.iter().any(|line| line.contains("calls itself a test")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("open s")), "{log:?}");
}

#[test]
fn a_damaged_table_is_an_error_line_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    let mut client = Client::connect(&process.addr).unwrap();
    for at in 0..2_000_u32 {
        client.put(&at.to_be_bytes(), &[7; 100]).unwrap();
    }
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    let table = std::fs::read_dir(dir.path().join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "sst"))
        .expect("the flush made a table");
    let mut bytes = std::fs::read(&table).unwrap();
    for byte in &mut bytes[8_000..12_000] {
        *byte ^= 0xff;
    }
    std::fs::write(&table, bytes).unwrap();
    let process = Process::start(dir.path(), &[]);
    let mut client = Client::connect(&process.addr).unwrap();
    let alone: Vec<bool> = (0..2_000_u32).map(|at| client.get(&at.to_be_bytes()).is_ok()).collect();
    let mut pipeline = client.pipeline();
    for at in 0..2_000_u32 {
        pipeline.get(&at.to_be_bytes());
    }
    let answers = pipeline.run();
    let together: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(together, alone, "those that came together fail one by one");
    let errors: Vec<Error> = answers.into_iter().filter_map(Result::err).collect();
    assert!(!errors.is_empty() && errors.len() < 2_000);
    for error in errors {
        assert!(matches!(error, Error::Server { kind: ErrorKind::Corruption, .. }), "{error:?}");
    }
    client.ping().unwrap();
}

#[test]
fn a_thousand_idle_connections_are_cheap() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &[]);
    let before = process.memory_kib("VmRSS");
    let mut sockets: Vec<_> = (0..1_000).map(|_| crate::support::socket(&process.addr)).collect();
    for socket in &mut sockets {
        socket.write_all(b"PUT k 1\nvGET k\n").unwrap();
    }
    for socket in &mut sockets {
        assert_eq!(crate::support::some(socket, 9), b"OK\nOK 1\nv");
    }
    let more = process.memory_kib("VmRSS") - before;
    println!("1,000 connections take {more} KiB more than {before} KiB");
    assert!(more < 100_000, "{more} KiB");
}

/// The server under a limit of open files that the shell sets.
fn with_open_files(data: &Path, ulimit: &str) -> Command {
    let server = command(data, &["--max-connections", "300"]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {ulimit} && exec \"$0\" \"$@\"")).arg(server.get_program());
    shell.args(server.get_args()).stdin(Stdio::null()).stderr(Stdio::piped());
    shell
}

#[test]
fn the_limit_of_open_files_is_raised_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::spawn(&mut with_open_files(dir.path(), "-S -n 100"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft >= 1_324, "{line}");
    drop(process);
    let mut child = with_open_files(dir.path(), "-n 200").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.contains("the limit of open files is 200"), "{line}");
}
