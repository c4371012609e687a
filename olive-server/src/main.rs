//! `olive-server`: see `--help`.

use std::convert::Infallible;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Error, Result};
use clap::Parser;
use olive_server::{Config, Layer, Server, Stopper, files, logging};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// There once the server runs: before that, there is nothing to be stopped in order.
static STOPPER: OnceLock<Stopper> = OnceLock::new();

fn main() -> ExitCode {
    let Err(error) = serve(Layer::parse());
    report(&error);
    ExitCode::FAILURE
}

/// Says once, in one line, why it ends: in the log, if there is one that takes errors.
fn report(error: &Error) {
    let line = format!("{error:#}").replace('\n', " ");
    if log::log_enabled!(log::Level::Error) {
        log::error!("{line}");
    } else {
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "olive-server: {line}");
    }
}

/// Serves until it is stopped, which ends the process, or cannot.
fn serve(flags: Layer) -> Result<Infallible> {
    let layer = match &flags.config {
        Some(path) => {
            let file = Layer::from_file(path)?;
            flags.over(file)
        }
        None => flags,
    };
    let config = Config::resolve(layer)?;
    logging::start(config.log_level, config.log_format);
    files::raise_limit(config.connections_max);
    watch_signals()?;
    run(config)
}

fn run(config: Config) -> Result<Infallible> {
    if config.open_to_all {
        log::warn!("anybody who reaches {:?} can read and change everything", config.listen);
    }
    let data = config.data.clone();
    let durability = config.durability;
    let server = Server::start(config)?;
    let _ = STOPPER.set(server.stopper());
    let data = data.canonicalize().unwrap_or(data);
    log::info!(
        "olive-server {} listens on {}, data in {}, durability {}",
        env!("CARGO_PKG_VERSION"),
        server.addr(),
        data.display(),
        format!("{durability:?}").to_lowercase(),
    );
    server.wait()?;
    log::info!("stopped");
    // A flush that took too long may still be running; its thread ends here.
    std::process::exit(0);
}

/// The first SIGTERM or SIGINT stops in order; the second ends at once. That loses
/// nothing: what was acknowledged is in the log, or was synced, before it was.
fn watch_signals() -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            match STOPPER.get() {
                Some(stopper) if !stopping => {
                    log::info!("stopping; a second signal ends at once");
                    stopper.stop();
                    stopping = true;
                }
                Some(_) => signal_hook::low_level::exit(128 + signal),
                // The database is being opened: nobody was promised anything yet.
                None => signal_hook::low_level::exit(0),
            }
        }
    })?;
    Ok(())
}
