//! The program against a server in this process.

mod bench;
mod commands;
mod failures;
mod formats;
mod shell;
mod support;
mod terminal;
