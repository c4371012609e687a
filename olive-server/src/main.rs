//! `olive-server`: see `--help`.

use std::sync::OnceLock;

use anyhow::Result;
use clap::Parser;
use olive_server::{Config, Layer, Server, Stopper, files, logging};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// There once the server runs: before that, there is nothing to be stopped in order.
static STOPPER: OnceLock<Stopper> = OnceLock::new();

fn main() -> Result<()> {
    let flags = Layer::parse();
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

fn run(config: Config) -> Result<()> {
    if config.open_to_all {
        log::warn!("anybody who reaches {:?} can read and change everything", config.listen);
    }
    let data = config.data.clone();
    let durability = config.durability;
    let server = Server::start(config).inspect_err(|error| log::error!("{error:#}"))?;
    let _ = STOPPER.set(server.stopper());
    let data = data.canonicalize().unwrap_or(data);
    log::info!(
        "olive-server {} listens on {}, data in {}, durability {}",
        env!("CARGO_PKG_VERSION"),
        server.addr(),
        data.display(),
        format!("{durability:?}").to_lowercase(),
    );
    server.wait().inspect_err(|error| log::error!("{error:#}"))?;
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
