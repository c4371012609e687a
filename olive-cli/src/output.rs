//! Answers in the format that was asked for.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::{Map, Value, json};

use crate::args::Format;
use crate::bytes::{push_hex, to_hex};
use crate::failure::{Failure, Result};
use crate::text::push_escaped;

/// Standard output. Each command ends with [`flush`](Output::flush): what cannot be
/// written is an error of the command.
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    format: Format,
    /// Whether a lone value is written as it is, with nothing around it.
    raw: bool,
    line: Vec<u8>,
}

impl Output {
    /// For one command: a value goes into a pipe or file as it is.
    pub(crate) fn standard(format: Format) -> Output {
        Output { raw: !io::stdout().is_terminal(), ..Output::lines(format) }
    }

    /// For the shell, where answers follow each other: always lines.
    pub(crate) fn lines(format: Format) -> Output {
        let to = BufWriter::with_capacity(64 << 10, io::stdout());
        Output { to, format, raw: false, line: Vec::new() }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The value of a key that was asked for alone.
    pub(crate) fn value(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self.format {
            Format::Text if self.raw => self.bytes(value),
            Format::Text => self.with_line(|line| push_escaped(line, value)),
            Format::Hex => self.with_line(|line| push_hex(line, value)),
            Format::Json => self.entry(key, Some(value)),
        }
    }

    /// A key and its value, or that it has none.
    pub(crate) fn entry(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let push = match self.format {
            Format::Text => push_escaped,
            Format::Hex => push_hex,
            Format::Json => return self.json(&entry(key, value)),
        };
        self.with_line(|line| {
            push(line, key);
            match value {
                Some(value) => {
                    line.push(b'\t');
                    push(line, value);
                }
                // No tab: keys and values have theirs escaped.
                None => line.extend(b" is missing"),
            }
        })
    }

    /// That something is done: a word for people, an object for programs.
    pub(crate) fn done(&mut self, text: &str, object: Value) -> Result<()> {
        match self.format {
            Format::Json => {
                let mut all = json!({ "ok": true });
                if let (Value::Object(all), Value::Object(more)) = (&mut all, object) {
                    all.extend(more);
                }
                self.json(&all)
            }
            _ => self.text(text),
        }
    }

    pub(crate) fn json(&mut self, value: &Value) -> Result<()> {
        self.text(&value.to_string())
    }

    /// A line, or several.
    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        self.with_line(|line| line.extend(text.as_bytes()))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(Failure::output)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(Failure::output)
    }

    fn with_line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.line.clear();
        write(&mut self.line);
        self.line.push(b'\n');
        self.to.write_all(&self.line).map_err(Failure::output)
    }
}

fn entry(key: &[u8], value: Option<&[u8]>) -> Value {
    let mut entry = Map::new();
    insert(&mut entry, "key", key);
    match value {
        Some(value) => insert(&mut entry, "value", value),
        None => {
            entry.insert("value".to_owned(), Value::Null);
        }
    }
    Value::Object(entry)
}

/// Text under the name, other bytes in hexadecimal under the name and `_hex`.
fn insert(entry: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => entry.insert(name.to_owned(), text.into()),
        Err(_) => entry.insert(format!("{name}_hex"), to_hex(bytes).into()),
    };
}
