//! The wire protocol: its two parsers.

pub mod request;
pub mod response;
