//! What the server promises, on real sockets: one test binary.

mod abuse;
mod kills;
mod limits;
mod process;
mod round_trips;
mod signals;
mod support;
#[path = "../../../olive-client/tests/transcript/mod.rs"]
mod transcript;
mod transcripts;
