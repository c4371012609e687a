//! The client of olive-server, and the protocol that both speak.
//!
//! ```no_run
//! use olive_client::Client;
//!
//! let mut client = Client::connect("127.0.0.1:7411")?;
//! client.put(b"apple", b"red")?;
//! assert_eq!(client.get(b"apple")?.as_deref(), Some(&b"red"[..]));
//! for entry in client.scan("a".."b")? {
//!     let (key, value) = entry?;
//!     println!("{} has {} bytes", key.escape_ascii(), value.len());
//! }
//! client.delete(b"apple")?;
//! # Ok::<(), olive_client::Error>(())
//! ```
//!
//! A [`Client`] is one connection, and blocks: its calls end within its timeouts,
//! whatever the server does. [`protocol`] is the wire format without any I/O; PROTOCOL.md
//! in this folder tells it to people.

mod batch;
mod client;
mod connection;
mod error;
mod options;
mod pipeline;
pub mod protocol;
mod range;
mod scan;

pub use batch::WriteBatch;
pub use client::Client;
pub use error::{Error, Result};
pub use options::ClientOptions;
pub use pipeline::{Answer, Pipeline};
pub use range::KeyRange;
pub use scan::Scan;
