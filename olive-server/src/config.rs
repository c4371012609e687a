//! What a server can be told, and where: flags before `OLIVE_…` variables before the
//! TOML file before defaults.
//!
//! A [`Layer`] is one of these places; [`Config`] is what comes out of all of them, every
//! option with a value in its range.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use olive_client::protocol::{
    BODY_BYTES_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX, Limits, VALUE_BYTES_MAX,
};
use olive_core::Options;

use crate::layer::{Durability, Layer, LogFormat, LogLevel, Recovery};
use crate::size::Size;
use crate::tokens::Tokens;

/// The range of times that are the server's own.
const A_DAY_MS: RangeInclusive<u64> = 1..=86_400_000;

/// Every option with its value.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the database.
    pub data: PathBuf,
    /// Where to listen: the addresses of one name, of which one is taken.
    pub listen: Vec<SocketAddr>,
    /// Tokens, if clients must give one.
    pub tokens: Option<Tokens>,
    /// Whether anybody who reaches the port may do anything.
    pub open_to_all: bool,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// How long a write may be held back.
    pub write_deadline: Duration,
    /// How many connections there may be.
    pub connections_max: usize,
    /// What a request may have.
    pub limits: Limits,
    /// The longest body of an answer, in bytes.
    pub reply_bytes_max: usize,
    /// The buffers of all connections together, in bytes.
    pub buffer_bytes_max: usize,
    /// How long a request may take to arrive, and an answer to be taken.
    pub request_timeout: Duration,
    /// And for each MiB of it.
    pub request_timeout_per_mib: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    engine: Options,
}

impl Config {
    /// Takes the defaults for what the layer does not say, and checks all of it.
    ///
    /// # Errors
    ///
    /// An option out of its range, a file that cannot be read, and listening to
    /// everybody without a token.
    pub fn resolve(layer: Layer) -> Result<Config> {
        let listen = layer.listen.as_deref().unwrap_or("127.0.0.1:7411");
        let listen: Vec<SocketAddr> = listen
            .to_socket_addrs()
            .with_context(|| format!("cannot listen on {listen:?}: it must be ADDRESS:PORT"))?
            .collect();
        let tokens = layer.token_file.as_deref().map(Tokens::from_file).transpose()?;
        let exposed = listen.iter().find(|addr| !addr.ip().is_loopback());
        let open_to_all = exposed.is_some() && tokens.is_none();
        if let (Some(addr), true, false) = (exposed, open_to_all, layer.insecure == Some(true)) {
            bail!(
                "{addr} is not a loopback address, and without a token everybody who reaches it \
                 could read and change everything: give a --token-file, or --insecure if that \
                 is meant"
            );
        }
        let limits = Limits {
            line_bytes_max: size(layer.max_line_bytes, "max-line-bytes", 128..=LINE_BYTES_MAX)?,
            key_bytes_max: size(layer.max_key_bytes, "max-key-bytes", 1..=KEY_BYTES_MAX)?,
            value_bytes_max: size(layer.max_value_bytes, "max-value-bytes", 1..=VALUE_BYTES_MAX)?,
            body_bytes_max: size(layer.max_request_bytes, "max-request-bytes", 1..=BODY_BYTES_MAX)?,
        };
        let auth_bytes = tokens.as_ref().map_or(0, |tokens| "AUTH ".len() + tokens.bytes_max());
        ensure!(
            auth_bytes <= limits.line_bytes_max,
            "--max-line-bytes is {}: a token of the token file takes a line of {auth_bytes}",
            limits.line_bytes_max
        );
        let connections_max =
            within(layer.max_connections.unwrap_or(1_024), "max-connections", 1..=100_000)?;
        Ok(Config {
            engine: engine_options(&layer)?,
            data: layer.data.unwrap_or_else(|| PathBuf::from("./olive-data")),
            listen,
            tokens,
            open_to_all,
            durability: layer.durability.unwrap_or_default(),
            write_deadline: ms(layer.write_deadline_ms, 10_000, "write-deadline-ms", A_DAY_MS)?,
            connections_max,
            limits,
            reply_bytes_max: size(
                layer.max_reply_bytes,
                "max-reply-bytes",
                1_024..=BODY_BYTES_MAX,
            )?,
            buffer_bytes_max: buffers(layer.max_buffer_bytes)?,
            request_timeout: ms(layer.request_timeout_ms, 30_000, "request-timeout-ms", A_DAY_MS)?,
            request_timeout_per_mib: ms(
                layer.request_timeout_ms_per_mib,
                1_000,
                "request-timeout-ms-per-mib",
                A_DAY_MS,
            )?,
            idle_timeout: ms(layer.idle_timeout_ms, 300_000, "idle-timeout-ms", A_DAY_MS)?,
            log_level: layer.log_level.unwrap_or_default(),
            log_format: layer.log_format.unwrap_or_default(),
        })
    }

    /// How the database is opened.
    #[must_use]
    pub fn engine(&self) -> Options {
        self.engine.clone()
    }
}

fn engine_options(layer: &Layer) -> Result<Options> {
    let mut options = Options::default()
        .durability(match layer.durability.unwrap_or_default() {
            Durability::Buffered => olive_core::Durability::Buffered,
            Durability::Sync => olive_core::Durability::Sync,
        })
        .recovery_mode(match layer.recovery.unwrap_or_default() {
            Recovery::Strict => olive_core::RecoveryMode::Strict,
            Recovery::PointInTime => olive_core::RecoveryMode::PointInTime,
            Recovery::Salvage => olive_core::RecoveryMode::Salvage,
        })
        .sync_interval(ms(
            layer.sync_interval_ms,
            1_000,
            "sync-interval-ms",
            Options::SYNC_INTERVAL_MS,
        )?);
    if let Some(Size(bytes)) = layer.memtable_bytes {
        let bytes = within(bytes, "memtable-bytes", Options::MEMTABLE_BYTES)?;
        options = options.memtable_bytes(bytes);
    }
    if let Some(threads) = layer.compaction_threads {
        let threads = within(threads, "compaction-threads", Options::COMPACTION_THREADS)?;
        options = options.compaction_threads(threads);
    }
    Ok(options)
}

/// Refuses what is out of its range, under the name of its flag.
fn within<T: PartialOrd + fmt::Display>(is: T, flag: &str, range: RangeInclusive<T>) -> Result<T> {
    let (min, max) = (range.start(), range.end());
    ensure!(range.contains(&is), "--{flag} is {is}: it must be {min} to {max}");
    Ok(is)
}

/// A limit whose default is the most that it can be.
fn size(is: Option<Size>, flag: &str, range: RangeInclusive<usize>) -> Result<usize> {
    within(is.map_or(*range.end(), |size| size.0), flag, range)
}

fn buffers(is: Option<Size>) -> Result<usize> {
    within(is.map_or(256 << 20, |size| size.0), "max-buffer-bytes", 1 << 20..=1 << 40)
}

fn ms(is: Option<u64>, default: u64, flag: &str, range: RangeInclusive<u64>) -> Result<Duration> {
    within(is.unwrap_or(default), flag, range).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    fn flags(args: &[&str]) -> Layer {
        Layer::try_parse_from([&["olive-server"], args].concat()).unwrap()
    }

    fn refused(layer: Layer) -> String {
        format!("{:#}", Config::resolve(layer).unwrap_err())
    }

    #[test]
    fn every_option_is_a_flag_a_variable_and_a_toml_key() {
        let command = Layer::command();
        let options = command.get_arguments().filter(|arg| arg.get_long().is_some());
        let mut seen = 0;
        for option in options.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            let name = option.get_id().as_str();
            assert_eq!(option.get_long().unwrap(), name.replace('_', "-"));
            let variable = format!("OLIVE_{}", name.to_uppercase());
            assert_eq!(option.get_env().unwrap().to_str(), Some(&variable[..]));
            let error = Layer::from_toml(&format!("{name} = []")).unwrap_err().to_string();
            assert_eq!(error.contains("unknown field"), name == "config", "{name}: {error}");
            let help = option.get_help().unwrap().to_string();
            let told = help.contains("[default: ");
            assert_eq!(told, !["config", "token_file"].contains(&name), "{name}: {help}");
            seen += 1;
        }
        assert_eq!(seen, 23);
    }

    #[test]
    fn the_defaults_that_help_tells_are_the_defaults() {
        let told = |name: &str| {
            let command = Layer::command();
            let option = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
            let help = option.get_help().unwrap().to_string().replace('\n', " ");
            let (_, default) = help.split_once("[default: ").unwrap();
            default.trim_end_matches(']').to_owned()
        };
        let config = Config::resolve(Layer::default()).unwrap();
        assert_eq!(config.data.to_str(), Some(&told("data")[..]));
        assert_eq!(config.listen[0].to_string(), told("listen"));
        assert_eq!(config.connections_max.to_string(), told("max_connections"));
        for (name, bytes) in [
            ("max_line_bytes", config.limits.line_bytes_max),
            ("max_key_bytes", config.limits.key_bytes_max),
            ("max_value_bytes", config.limits.value_bytes_max),
            ("max_request_bytes", config.limits.body_bytes_max),
            ("max_reply_bytes", config.reply_bytes_max),
            ("max_buffer_bytes", config.buffer_bytes_max),
        ] {
            assert_eq!(Size(bytes), told(name).parse().unwrap(), "{name}");
        }
        for (name, time) in [
            ("write_deadline_ms", config.write_deadline),
            ("request_timeout_ms", config.request_timeout),
            ("request_timeout_ms_per_mib", config.request_timeout_per_mib),
            ("idle_timeout_ms", config.idle_timeout),
        ] {
            assert_eq!(time.as_millis().to_string(), told(name), "{name}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = Layer::from_toml("max_connections = 7\nmax_value_bytes = \"1MiB\"").unwrap();
        let config = Config::resolve(flags(&["--max-connections", "9"]).over(file)).unwrap();
        assert_eq!(config.connections_max, 9);
        assert_eq!(config.limits.value_bytes_max, 1 << 20);
        assert_eq!(config.limits.key_bytes_max, 65_535);
    }

    #[test]
    fn an_unknown_key_is_refused_by_its_name() {
        let error = Layer::from_toml("data = \"x\"\nmax_conections = 7").unwrap_err().to_string();
        assert!(error.contains("max_conections"), "{error}");
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_its_name() {
        for (args, says) in [
            (["--max-connections", "0"], "--max-connections is 0: it must be 1 to 100000"),
            (["--max-key-bytes", "65536"], "--max-key-bytes is 65536: it must be 1 to 65535"),
            (["--max-value-bytes", "65MiB"], "--max-value-bytes is 68157440: it must be 1 to"),
            (["--max-request-bytes", "0"], "--max-request-bytes is 0: it must be"),
            (["--max-reply-bytes", "1"], "--max-reply-bytes is 1: it must be 1024 to"),
            (["--max-line-bytes", "1"], "--max-line-bytes is 1: it must be 128 to"),
            (["--max-buffer-bytes", "1KiB"], "--max-buffer-bytes is 1024: it must be"),
            (["--write-deadline-ms", "0"], "--write-deadline-ms is 0: it must be"),
            (["--request-timeout-ms", "0"], "--request-timeout-ms is 0: it must be"),
            (["--request-timeout-ms-per-mib", "0"], "--request-timeout-ms-per-mib is 0: it must"),
            (["--idle-timeout-ms", "0"], "--idle-timeout-ms is 0: it must be 1 to 86400000"),
        ] {
            let error = refused(flags(&args));
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_token_that_no_line_can_carry_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "t".repeat(200)).unwrap();
        let path = file.path().to_str().unwrap();
        let error = refused(flags(&["--token-file", path, "--max-line-bytes", "204"]));
        assert!(error.starts_with("--max-line-bytes is 204: a token"), "{error}");
        assert!(Config::resolve(flags(&["--token-file", path, "--max-line-bytes", "205"])).is_ok());
    }

    /// Whether the engine takes the options; it looks at them before the folder.
    fn engine_takes(options: Options) -> bool {
        let missing = options.create_if_missing(false).open("/nonexistent/olive").unwrap_err();
        missing.to_string().contains("there is no database")
    }

    #[test]
    fn what_the_engine_refuses_is_refused_with_the_engines_range() {
        type Set = fn(u64) -> Options;
        let options: [(&str, u64, u64, Set); 3] = [
            ("--sync-interval-ms", 1, 3_600_000, |is| {
                Options::default().sync_interval(Duration::from_millis(is))
            }),
            ("--memtable-bytes", 1 << 10, 4 << 30, |is| {
                Options::default().memtable_bytes(is as usize)
            }),
            ("--compaction-threads", 1, 64, |is| {
                Options::default().compaction_threads(is as usize)
            }),
        ];
        for (flag, min, max, set) in options {
            for is in [min, max] {
                let config = Config::resolve(flags(&[flag, &is.to_string()])).unwrap();
                assert!(engine_takes(config.engine()), "{flag} {is}");
            }
            for is in [min - 1, max + 1] {
                let error = refused(flags(&[flag, &is.to_string()]));
                assert_eq!(error, format!("{flag} is {is}: it must be {min} to {max}"));
                assert!(!engine_takes(set(is)), "{flag} {is}");
            }
        }
    }

    #[test]
    fn what_the_server_takes_at_most_the_engine_takes() {
        let limits = Config::resolve(Layer::default()).unwrap().limits;
        assert_eq!(limits.key_bytes_max, olive_core::KEY_BYTES_MAX);
        assert!(limits.value_bytes_max <= olive_core::VALUE_BYTES_MAX);
        assert!(limits.body_bytes_max <= olive_core::BATCH_BYTES_MAX);
    }

    #[test]
    fn listening_to_everybody_needs_a_token_or_insecure() {
        for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7411"] {
            let error = refused(flags(&["--listen", addr]));
            assert!(error.contains("--token-file") && error.contains("--insecure"), "{error}");
            let config = Config::resolve(flags(&["--listen", addr, "--insecure"])).unwrap();
            assert!(config.open_to_all);
            refused(flags(&["--listen", addr, "--insecure=no"]));
        }
        for addr in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0"] {
            assert!(!Config::resolve(flags(&["--listen", addr])).unwrap().open_to_all);
        }
    }
}
