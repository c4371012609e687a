//! The commands, each on a session.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Bound;
use std::path::Path;
use std::time::Instant;

use clap::CommandFactory;
use clap_complete::Shell;
use olive_client::protocol::{SCAN_LIMIT_MAX, VALUE_BYTES_MAX};
use serde_json::{Value, json};

use crate::args::{Cli, Command, Format, ScanArgs};
use crate::failure::{Failure, Result, Status, say};
use crate::output::Output;
use crate::session::Session;
use crate::text::escaped;
use crate::{batch, bench, bytes};

/// How many entries a scan asks for at once.
const PAGE_ENTRIES: u64 = 1_000;

/// Runs one command of the command line.
pub(crate) fn run(
    command: Command,
    hex: bool,
    session: &mut Session,
    output: &mut Output,
) -> Result {
    let mut commands = Commands { session, output, hex, stdin_is_free: true };
    commands.run(command)
}

/// Runs one command of the shell, whose own lines come from standard input.
pub(crate) fn run_line(
    command: Command,
    hex: bool,
    session: &mut Session,
    output: &mut Output,
) -> Result {
    let mut commands = Commands { session, output, hex, stdin_is_free: false };
    commands.run(command)
}

struct Commands<'a> {
    session: &'a mut Session,
    output: &'a mut Output,
    hex: bool,
    /// Whether `-` is standard input.
    stdin_is_free: bool,
}

impl Commands<'_> {
    fn run(&mut self, command: Command) -> Result {
        let status = match command {
            Command::Put { key, value } => self.put(&key, &value),
            Command::Get { key } => self.get(&key),
            Command::Delete { key } => self.delete(&key),
            Command::Scan(args) => self.scan(args),
            Command::Mget { keys } => self.mget(&keys),
            Command::Batch { file } => self.batch(&file),
            Command::Ping => self.ping(),
            Command::Stats => self.stats(),
            Command::Bench(args) => bench::run(&args, self.session, self.output),
            Command::Completions { shell } => self.completions(shell),
        };
        // What was written before a failure is shown before it.
        let flushed = self.output.flush();
        status.and_then(|status| flushed.map(|()| status))
    }

    fn put(&mut self, key: &OsStr, value: &OsStr) -> Result {
        let key = self.argument(key, "KEY")?;
        let value = if value == "-" && self.stdin_is_free {
            read_stdin()?
        } else {
            self.argument(value, "VALUE")?
        };
        self.session.client()?.put(&key, &value)?;
        self.done()
    }

    fn get(&mut self, key: &OsStr) -> Result {
        let key = self.argument(key, "KEY")?;
        match self.session.client()?.get(&key)? {
            Some(value) => {
                self.output.value(&key, &value)?;
                Ok(Status::Done)
            }
            None => {
                if self.output.format() == Format::Json {
                    self.output.entry(&key, None)?;
                }
                say(&format!("not found: {}", escaped(&key)));
                Ok(Status::NotFound)
            }
        }
    }

    fn delete(&mut self, key: &OsStr) -> Result {
        let key = self.argument(key, "KEY")?;
        self.session.client()?.delete(&key)?;
        self.done()
    }

    fn scan(&mut self, args: ScanArgs) -> Result {
        let range = self.range(&args)?;
        let limit = args.limit.unwrap_or(u64::MAX);
        let client = self.session.client()?;
        let scan = if args.reverse { client.scan_reverse(range) } else { client.scan(range) }?;
        // Not more than are wanted, if that is less than a page.
        let scan = scan.page_entries(limit.clamp(1, PAGE_ENTRIES.min(SCAN_LIMIT_MAX)));
        for entry in scan.take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let (key, value) = entry?;
            self.output.entry(&key, Some(&value))?;
        }
        Ok(Status::Done)
    }

    fn range(&self, args: &ScanArgs) -> Result<bytes::KeyRange> {
        if let Some(prefix) = &args.prefix {
            return Ok(bytes::prefix_range(self.argument(prefix, "--prefix")?));
        }
        let from = match &args.from {
            Some(from) => Bound::Included(self.argument(from, "--from")?),
            None => Bound::Unbounded,
        };
        let to = match &args.to {
            Some(to) => Bound::Excluded(self.argument(to, "--to")?),
            None => Bound::Unbounded,
        };
        Ok((from, to))
    }

    fn mget(&mut self, keys: &[OsString]) -> Result {
        let keys: Vec<Vec<u8>> =
            keys.iter().map(|key| self.argument(key, "KEY")).collect::<Result<_>>()?;
        let values = self.session.client()?.multi_get(&keys)?;
        for (key, value) in keys.iter().zip(&values) {
            self.output.entry(key, value.as_deref())?;
        }
        let missing = values.iter().any(Option::is_none);
        Ok(if missing { Status::NotFound } else { Status::Done })
    }

    fn batch(&mut self, file: &Path) -> Result {
        let batch = if file == Path::new("-") {
            if !self.stdin_is_free {
                let what = "batch - would read the lines of this shell; give it a file";
                return Err(Failure::usage(what));
            }
            batch::read("standard input", io::stdin().lock())
        } else {
            let shown = file.display().to_string();
            match File::open(file) {
                Ok(open) => batch::read(&shown, BufReader::new(open)),
                Err(error) => Err(format!("cannot read {shown}: {error}")),
            }
        };
        let batch = batch.map_err(Failure::Usage)?;
        self.session.client()?.write(&batch)?;
        let operations = batch.len();
        self.output
            .done(&format!("OK, {operations} operations"), json!({ "operations": operations }))?;
        Ok(Status::Done)
    }

    fn ping(&mut self) -> Result {
        let client = self.session.client()?;
        let began = Instant::now();
        client.ping()?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        self.output.done(&format!("OK, {ms:.3} ms"), json!({ "ms": ms }))?;
        Ok(Status::Done)
    }

    fn stats(&mut self) -> Result {
        let text = self.session.client()?.stats()?;
        let stats: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::trouble(format!("the server's stats are no JSON: {error}"))
        })?;
        match self.output.format() {
            Format::Json => self.output.json(&stats)?,
            _ => self.output.text(&format!("{stats:#}"))?,
        }
        Ok(Status::Done)
    }

    fn completions(&mut self, shell: Shell) -> Result {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "olive-cli", &mut script);
        self.output.bytes(&script)?;
        Ok(Status::Done)
    }

    fn done(&mut self) -> Result {
        self.output.done("OK", json!({}))?;
        Ok(Status::Done)
    }

    fn argument(&self, argument: &OsStr, name: &str) -> Result<Vec<u8>> {
        bytes::of_argument(argument, self.hex, name)
    }
}

/// A value from standard input, to its end.
fn read_stdin() -> Result<Vec<u8>> {
    let mut value = Vec::new();
    let most = VALUE_BYTES_MAX as u64;
    // One byte more tells that it is too long, whatever else would come.
    let read = io::stdin().lock().take(most + 1).read_to_end(&mut value);
    read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    if value.len() > VALUE_BYTES_MAX {
        let what = format!("standard input is over the limit of a value, {most} bytes");
        return Err(Failure::usage(what));
    }
    Ok(value)
}
