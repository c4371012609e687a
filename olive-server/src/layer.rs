//! [`Layer`]: what one place says (flags and variables, or the TOML file), each option
//! there or not.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use serde::Deserialize;

use crate::size::Size;

/// Serves one Olive database over TCP.
///
/// Every option is also a variable (OLIVE_DATA for --data) and a key of the TOML file
/// (data, max_connections); a flag wins over a variable, a variable over the file. Sizes
/// are bytes, or have a unit: 64KiB, 64MiB, 1GiB.
#[derive(Debug, Default, Clone, Parser, Deserialize)]
#[command(name = "olive-server", version, max_term_width = 100)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The folder of the database; created if it is missing [default: ./olive-data]
    #[arg(long, env = "OLIVE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:7411]
    #[arg(long, env = "OLIVE_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,

    /// A TOML file with any of these options but this
    #[arg(long, env = "OLIVE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// A file with tokens, one a line: clients must give one of them
    #[arg(long, env = "OLIVE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Listen on other than loopback addresses without a token [default: false]
    #[arg(long, env = "OLIVE_INSECURE", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", require_equals = true,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: Option<bool>,

    /// What an acknowledged write survives: the death of the process, or a power cut
    /// [default: buffered]
    #[arg(long, env = "OLIVE_DURABILITY", value_name = "HOW")]
    pub durability: Option<Durability>,

    /// How long a buffered write may wait for its sync, in ms [default: 1000]
    #[arg(long, env = "OLIVE_SYNC_INTERVAL_MS", value_name = "MS")]
    pub sync_interval_ms: Option<u64>,

    /// The size of a memtable [default: 64MiB]
    #[arg(long, env = "OLIVE_MEMTABLE_BYTES", value_name = "SIZE")]
    pub memtable_bytes: Option<Size>,

    /// How many threads compact [default: 1]
    #[arg(long, env = "OLIVE_COMPACTION_THREADS", value_name = "N")]
    pub compaction_threads: Option<usize>,

    /// What to do about a damaged log when starting [default: strict]
    #[arg(long, env = "OLIVE_RECOVERY", value_name = "MODE")]
    pub recovery: Option<Recovery>,

    /// How long a write may be held back before it is refused as stalled, in ms
    /// [default: 10000]
    #[arg(long, env = "OLIVE_WRITE_DEADLINE_MS", value_name = "MS")]
    pub write_deadline_ms: Option<u64>,

    /// How many connections there may be; the next is told ERROR busy [default: 1024]
    #[arg(long, env = "OLIVE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,

    /// The longest line of a request [default: 65600]
    #[arg(long, env = "OLIVE_MAX_LINE_BYTES", value_name = "SIZE")]
    pub max_line_bytes: Option<Size>,

    /// The longest key [default: 65535]
    #[arg(long, env = "OLIVE_MAX_KEY_BYTES", value_name = "SIZE")]
    pub max_key_bytes: Option<Size>,

    /// The longest value that is taken [default: 64MiB]
    #[arg(long, env = "OLIVE_MAX_VALUE_BYTES", value_name = "SIZE")]
    pub max_value_bytes: Option<Size>,

    /// The longest body of a request: the input buffer of a connection [default: 65MiB]
    #[arg(long, env = "OLIVE_MAX_REQUEST_BYTES", value_name = "SIZE")]
    pub max_request_bytes: Option<Size>,

    /// The longest body of an answer: the output buffer of a connection [default: 65MiB]
    #[arg(long, env = "OLIVE_MAX_REPLY_BYTES", value_name = "SIZE")]
    pub max_reply_bytes: Option<Size>,

    /// The buffers of all connections together; a request that needs more is told ERROR
    /// busy [default: 256MiB]
    #[arg(long, env = "OLIVE_MAX_BUFFER_BYTES", value_name = "SIZE")]
    pub max_buffer_bytes: Option<Size>,

    /// How long a request may take to arrive whole, and an answer to be taken, in ms
    /// [default: 30000]
    #[arg(long, env = "OLIVE_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<u64>,

    /// How much longer it may take for each MiB, in ms [default: 1000]
    #[arg(long, env = "OLIVE_REQUEST_TIMEOUT_MS_PER_MIB", value_name = "MS")]
    pub request_timeout_ms_per_mib: Option<u64>,

    /// How long a connection may stay without a request, in ms [default: 300000]
    #[arg(long, env = "OLIVE_IDLE_TIMEOUT_MS", value_name = "MS")]
    pub idle_timeout_ms: Option<u64>,

    /// What is logged to standard error [default: info]
    #[arg(long, env = "OLIVE_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,

    /// How it is logged: lines for people, or a JSON object a line [default: lines]
    #[arg(long, env = "OLIVE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// As olive-core's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The death of the process
    #[default]
    Buffered,
    /// A power cut
    Sync,
}

/// As olive-core's `RecoveryMode`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovery {
    /// Refuse to start
    #[default]
    Strict,
    /// Cut the log at the first bad record
    PointInTime,
    /// Skip bad records
    Salvage,
}

/// How much is logged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// How a log line looks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Time, level, text
    #[default]
    Lines,
    /// One JSON object a line
    Json,
}

impl Layer {
    /// Reads a TOML file. A key that is no option is refused by its name.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not what it must be.
    pub fn from_file(path: &Path) -> Result<Layer> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the file {}", path.display()))?;
        Layer::from_toml(&text).with_context(|| format!("in the file {}", path.display()))
    }

    pub(crate) fn from_toml(text: &str) -> Result<Layer> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            // Its own text is a drawing of several lines.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            anyhow!("line {line}: {}", error.message())
        })
    }

    /// What is said here, and where nothing is, what is said below.
    #[must_use]
    pub fn over(self, below: Layer) -> Layer {
        macro_rules! first {
            ($($option:ident),* $(,)?) => {
                Layer { $($option: self.$option.or(below.$option)),* }
            };
        }
        first! {
            data, listen, config, token_file, insecure, durability, sync_interval_ms,
            memtable_bytes, compaction_threads, recovery, write_deadline_ms, max_connections,
            max_line_bytes, max_key_bytes, max_value_bytes, max_request_bytes, max_reply_bytes,
            max_buffer_bytes, request_timeout_ms, request_timeout_ms_per_mib, idle_timeout_ms,
            log_level, log_format,
        }
    }
}
