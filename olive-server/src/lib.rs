//! Olive over TCP: one database, one thread a connection.
//!
//! The program `olive-server` is `main.rs` around this; the protocol is
//! `olive-client/PROTOCOL.md`.
//!
//! ```text
//! main ── config (flags, variables, TOML), logging, files (their limit)
//!   └─ server     start, accept, stop, close
//!        ├─ peers       all connections, their deadlines, the thread that keeps them
//!        └─ connection  the loop: parse, execute, flush, read; and the orderly end
//!             ├─ buffer    input and output, in mappings (spares keeps some), within the budget
//!             ├─ group     small writes that came together
//!             └─ execute   each command on the database
//! ```

mod budget;
mod buffer;
mod complaints;
pub mod config;
mod connection;
mod execute;
pub mod files;
mod group;
pub mod layer;
pub mod logging;
mod pace;
mod peers;
pub mod server;
mod shared;
mod size;
mod spares;
mod tokens;
mod workers;

pub use config::Config;
pub use layer::Layer;
pub use server::{Server, Stopper};
pub use size::Size;
pub use tokens::Tokens;
