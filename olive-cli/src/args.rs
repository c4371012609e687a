//! What can be said on the command line, and in a line of the shell.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::bench::BenchArgs;

/// What stands over the options that every command has.
const COMMON: &str = "Options of all commands";

const STATUS: &str = "\
Exit status: 0 done, 1 not found, 2 wrong usage, 3 server or network error.

Without a command it is a shell: at a terminal with history and completion, else it reads
commands from standard input, one a line, and ends at the first that fails with the status
of that; a key that is not found is no failure there, and makes it 1 at the end.";

/// Talks to an olive-server.
#[derive(Debug, Parser)]
#[command(name = "olive-cli", version, max_term_width = 100, after_help = STATUS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: ServerArgs,

    #[command(flatten)]
    pub(crate) form: FormArgs,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server
    #[arg(long, env = "OLIVE_ADDR", value_name = "HOST:PORT", global = true, help_heading = COMMON,
          default_value = "127.0.0.1:7411", value_parser = addr)]
    pub(crate) addr: String,

    /// A file whose first line is the token to give to the server
    #[arg(long, env = "OLIVE_TOKEN_FILE", value_name = "FILE", global = true, help_heading = COMMON)]
    pub(crate) token_file: Option<PathBuf>,

    /// How long the server may take for one answer: 5, 0.5, 5s, 500ms, 2m
    #[arg(long, env = "OLIVE_TIMEOUT", value_name = "TIME", global = true, help_heading = COMMON,
          default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// How arguments are read and answers are shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct FormArgs {
    /// How answers are shown [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", global = true, help_heading = COMMON)]
    format: Option<Format>,

    /// Keys and values among the arguments are hexadecimal
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) hex: bool,
}

impl FormArgs {
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or_default()
    }

    /// These, and what they do not say from others.
    pub(crate) fn or(self, others: FormArgs) -> FormArgs {
        FormArgs { format: self.format.or(others.format), hex: self.hex || others.hex }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: unprintable bytes are escaped as \n and \xNN; but `get` to a file or
    /// a pipe writes the value's bytes as they are
    #[default]
    Text,
    /// Keys and values as hexadecimal digits, a line each
    Hex,
    /// A JSON object a line; bytes that are no UTF-8 are in key_hex, value_hex
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Puts a value under a key
    ///
    /// Key and value may begin with `-`; only what is an option of this program needs a
    /// `--` before it.
    Put {
        /// The key, of any bytes
        #[arg(allow_hyphen_values = true)]
        key: OsString,
        /// The value; - alone takes all bytes of standard input, as they are
        #[arg(allow_hyphen_values = true)]
        value: OsString,
    },
    /// Writes the value of a key; exit status 1 if there is none
    ///
    /// To a file or a pipe it is the value's bytes and nothing else; at a terminal, a line
    /// with unprintable bytes escaped.
    Get {
        /// The key, of any bytes
        #[arg(allow_hyphen_values = true)]
        key: OsString,
    },
    /// Deletes a key, which need not be there
    Delete {
        /// The key, of any bytes
        #[arg(allow_hyphen_values = true)]
        key: OsString,
    },
    /// Lists entries in the order of their keys: key, tab, value
    Scan(ScanArgs),
    /// Writes the values of many keys, all as of one moment; exit status 1 if any is
    /// missing
    ///
    /// A line for each key: key, tab, value; or that the key is missing. A key that begins
    /// with `-` needs a `--` before it.
    Mget {
        /// The keys, of any bytes
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<OsString>,
    },
    /// Applies puts and deletes from a file: all of them, or none
    ///
    /// The file has a JSON object a line:
    ///
    ///     {"op":"put","key":"apple","value":"red"}
    ///     {"op":"put","key_hex":"00ff","value_hex":"0a"}
    ///     {"op":"delete","key":"plum"}
    ///
    /// Without "op" it is a put, so that what `scan --format json` writes can be read.
    /// Empty lines are ignored. One batch is at most 65 MiB, one line 390 MiB.
    #[command(verbatim_doc_comment)]
    Batch {
        /// The file; - is standard input
        file: PathBuf,
    },
    /// Waits for an answer, and says how long it took
    Ping,
    /// Shows what the server tells of itself and its database, as JSON
    Stats,
    /// Loads the server, and tells throughput and latencies
    Bench(BenchArgs),
    /// Writes the completions of this program for a shell
    ///
    /// For bash: source <(olive-cli completions bash)
    #[command(verbatim_doc_comment)]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// The first key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) from: Option<OsString>,
    /// The key before which it ends
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) to: Option<OsString>,
    /// Only keys that begin with this
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    pub(crate) prefix: Option<OsString>,
    /// How many entries at most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// From the last key to the first
    #[arg(long)]
    pub(crate) reverse: bool,
}

/// A command of the shell; its connection is that of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true, max_term_width = 100,
          override_usage = "COMMAND [ARGUMENTS]", after_help = LINES)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) form: FormArgs,

    #[command(subcommand)]
    pub(crate) command: LineCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LineCommand {
    #[command(flatten)]
    Command(Command),
    /// Ends the shell
    #[command(visible_alias = "quit")]
    Exit,
}

const LINES: &str = r#"Words are separated by spaces. 'Single quotes' take everything as it is; in "double
quotes" and outside of quotes \n \r \t \0 \xNN are bytes, and a backslash before any other
sign that is not a letter or a digit is that sign. A word that begins with # ends the line.
Values are shown as lines, and - is a value like others. The history is in
$XDG_STATE_HOME/olive/history; a line that begins with a space is not kept."#;

/// A server's address as it can be: what it stands for is found out when connecting.
fn addr(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(port)) if port > 0 => Ok(text.to_owned()),
        _ => Err("it must be HOST:PORT, as in localhost:7411 or [::1]:7411".to_owned()),
    }
}

/// A time: a number, and its unit if that is not seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 3] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1.0));
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| plain).map(|number| number * unit);
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) if time > DURATION_MAX => Err("it is at most a day".to_owned()),
        Some(time) if time < Duration::from_millis(1) => Err("it is at least 1ms".to_owned()),
        Some(time) => Ok(time),
        None => Err("it must be a time such as 5, 0.5, 5s, 500ms or 2m".to_owned()),
    }
}

/// Deadlines are sums of a time and now.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in
            [("5", 5_000), ("0.5", 500), ("5s", 5_000), ("500ms", 500), ("2m", 120_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1", "+1", "1h", "1e3", "inf", "NaN", "0", "0.1ms", "1441m", " 1"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        for text in ["localhost:7411", "127.0.0.1:1", "[::1]:7411"] {
            assert_eq!(addr(text).as_deref(), Ok(text));
        }
        for text in ["", "localhost", ":7411", "localhost:", "localhost:0", "localhost:70000"] {
            assert!(addr(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_and_values_may_begin_with_a_hyphen() {
        for (args, key, value) in [
            (&["-k", "-v"][..], "-k", "-v"),
            (&["--key", "-1"], "--key", "-1"),
            (&["--hex", "00", "--format", "json", "-"], "00", "-"),
            (&["--", "--hex", "--format"], "--hex", "--format"),
        ] {
            let cli = Cli::try_parse_from([&["olive-cli", "put"], args].concat()).unwrap();
            match cli.command {
                Some(Command::Put { key: k, value: v }) => {
                    assert_eq!((&*k, &*v), (key.as_ref(), value.as_ref()))
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
