//! The lines of a manifest: JSON, one object a line, each with its checksum.
//!
//! ```text
//! line      {"crc":"xxxxxxxx" , "line":n , "at_ms":t , fields... }  newline
//!           `------17-------' `---------- checked -------------'
//! line 0    the header: format, database, number, base_lines, requires
//! line 1..  edits: added, removed, oldest_segment, flushed_seq, last_seq, next_file,
//!           clean_segment, sealed_segment
//! ```
//!
//! `crc` is the CRC-32 (IEEE) of everything behind it on the line, from the comma
//! to the closing brace, as 8 lower-case hex digits; its place is fixed, so that the
//! bytes to check are found without parsing. Numbers past 2^53 are strings, since
//! common tools read numbers as doubles; keys and ids are hex.
//! `docs/manifest-format.md` has the whole of it, with an example.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::BadBytes;
use super::edit::{DatabaseId, LEVELS, TableMeta, VersionEdit};
use crate::key::SeqNo;

/// The version of the manifest's format that is written.
pub const FORMAT: u64 = 1;
/// What a manifest may require of its reader, as far as this one knows.
pub const FEATURES: &[&str] = &[];
/// Bytes of a line before those that its checksum covers.
pub const CHECKED_FROM: usize = 17;

/// The largest number that is written as a number.
const NUMBER_MAX: u64 = 1 << 53;
const CRC_BEFORE: &[u8] = b"{\"crc\":\"";

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the file; 0 is the header.
    pub number: u64,
    /// When it was written: milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// What it says.
    pub body: Body,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Line 0: whose manifest it is.
    Header(Header),
    /// A change of the version.
    Edit(Box<VersionEdit>),
}

/// The first line of a manifest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Header {
    /// Whose manifest it is.
    pub database: DatabaseId,
    /// Number of its file, as in its name.
    pub number: u64,
    /// How many lines, this one included, were durable before CURRENT named the
    /// file: none of them can be torn.
    pub base_lines: u64,
    /// Fields that this version does not know.
    pub unknown: Map<String, Value>,
}

/// Appends `line` to `out`, newline included.
pub fn encode_line(line: &Line, out: &mut Vec<u8>) {
    let start = out.len();
    let json = match &line.body {
        Body::Header(header) => write_json(out, &HeaderJson::new(line, header)),
        Body::Edit(edit) => write_json(out, &EditJson::new(line, edit)),
    };
    debug_assert!(json.is_ok(), "a line has no map with keys that are not strings");
    let crc = format!("{:08x}", crc32fast::hash(&out[start + CHECKED_FROM..]));
    out[start + CRC_BEFORE.len()..start + CRC_BEFORE.len() + 8].copy_from_slice(crc.as_bytes());
    out.push(b'\n');
}

/// The line that `bytes` are, without the newline.
///
/// # Errors
///
/// [`BadBytes`] where they are no line, or not the one that was written; its
/// `unsupported` is set where the checksum is right and the line asks for more than
/// this version knows.
pub fn decode_line(bytes: &[u8]) -> Result<Line, BadBytes> {
    check_crc(bytes)?;
    let start: StartJson = parse(bytes)?;
    let number = start.line.0;
    let at_ms = start.at_ms.0;
    let body = if number == 0 {
        Body::Header(header(bytes)?)
    } else {
        let json: EditJson<'_> = parse(bytes)?;
        Body::Edit(Box::new(json.into_edit()?))
    };
    Ok(Line { number, at_ms, body })
}

/// Whether `bytes` begin with a checksum and it is that of the rest: then they were
/// written so, whatever they say.
#[must_use]
pub fn checksum_holds(bytes: &[u8]) -> bool {
    check_crc(bytes).is_ok()
}

fn check_crc(bytes: &[u8]) -> Result<(), BadBytes> {
    let digits = bytes
        .strip_prefix(CRC_BEFORE)
        .and_then(|rest| rest.get(..8))
        .filter(|d| d.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .and_then(|d| std::str::from_utf8(d).ok())
        .and_then(|d| u32::from_str_radix(d, 16).ok());
    let (Some(expected), Some((b'"', checked))) =
        (digits, bytes.get(CHECKED_FROM - 1..).and_then(<[u8]>::split_first))
    else {
        return Err(BadBytes::new(0, "expected a line that begins with its crc"));
    };
    let found = crc32fast::hash(checked);
    if found != expected {
        let what = format!("expected the checksum {expected:08x}, found {found:08x}");
        return Err(BadBytes::new(0, what));
    }
    Ok(())
}

/// The header, refused by name where it asks for what this version lacks.
fn header(bytes: &[u8]) -> Result<Header, BadBytes> {
    // Format and features first: a newer format may mean something else by the rest.
    let asks: AsksJson = parse(bytes)?;
    if asks.format.0 != FORMAT {
        let what = format!("manifest format {}: this version knows {FORMAT}", asks.format.0);
        return Err(BadBytes::unsupported(0, what));
    }
    for feature in &asks.requires {
        if !FEATURES.contains(&feature.as_str()) {
            let what = format!("the database requires the feature {feature:?}");
            return Err(BadBytes::unsupported(0, what));
        }
    }
    let json: HeaderJson = parse(bytes)?;
    if json.base_lines.0 < 1 {
        return Err(BadBytes::new(0, "base_lines is 0"));
    }
    Ok(Header {
        database: DatabaseId(json.database.0),
        number: json.number.0,
        base_lines: json.base_lines.0,
        unknown: json.unknown,
    })
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadBytes> {
    serde_json::from_slice(bytes)
        .map_err(|e| BadBytes::new(e.column().saturating_sub(1) as u64, e.to_string()))
}

fn write_json(out: &mut Vec<u8>, json: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(out, json)
}

/// What stands in the place of the checksum until it is known.
const NO_CRC: &str = "00000000";

/// What every line begins with.
#[derive(Deserialize)]
struct StartJson {
    line: Num,
    at_ms: Num,
}

/// What of a header has the same meaning in every format.
#[derive(Deserialize)]
struct AsksJson {
    format: Num,
    requires: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct HeaderJson {
    crc: String,
    line: Num,
    at_ms: Num,
    format: Num,
    database: Id,
    number: Num,
    base_lines: Num,
    requires: Vec<String>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl HeaderJson {
    fn new(line: &Line, header: &Header) -> HeaderJson {
        HeaderJson {
            crc: NO_CRC.to_owned(),
            line: Num(line.number),
            at_ms: Num(line.at_ms),
            format: Num(FORMAT),
            database: Id(header.database.0),
            number: Num(header.number),
            base_lines: Num(header.base_lines),
            requires: Vec::new(),
            unknown: header.unknown.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EditJson<'a> {
    #[serde(borrow)]
    crc: Cow<'a, str>,
    line: Num,
    at_ms: Num,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<RemovedJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    added: Vec<TableJson<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oldest_segment: Option<Num>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flushed_seq: Option<Num>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seq: Option<Num>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_file: Option<Num>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clean_segment: Option<Num>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_segment: Option<Num>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct RemovedJson {
    level: Num,
    number: Num,
}

#[derive(Serialize, Deserialize)]
struct TableJson<'a> {
    level: Num,
    number: Num,
    id: Id,
    bytes: Num,
    #[serde(borrow)]
    smallest: Hex<'a>,
    #[serde(borrow)]
    largest: Hex<'a>,
    entries: Num,
    tombstones: Num,
    seq_min: Num,
    seq_max: Num,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl<'a> EditJson<'a> {
    fn new(line: &Line, edit: &'a VersionEdit) -> EditJson<'a> {
        let unknown_of = |number| edit.unknown.tables.get(&number).cloned().unwrap_or_default();
        let table = |(level, meta): &'a (usize, TableMeta)| TableJson {
            level: Num(*level as u64),
            number: Num(meta.number),
            id: Id(meta.id),
            bytes: Num(meta.bytes),
            smallest: Hex(Cow::Borrowed(&meta.smallest)),
            largest: Hex(Cow::Borrowed(&meta.largest)),
            entries: Num(meta.entries),
            tombstones: Num(meta.tombstones),
            seq_min: Num(meta.seq_min.0),
            seq_max: Num(meta.seq_max.0),
            unknown: unknown_of(meta.number),
        };
        let removed = |&(level, number): &(usize, u64)| RemovedJson {
            level: Num(level as u64),
            number: Num(number),
        };
        EditJson {
            crc: Cow::Borrowed(NO_CRC),
            line: Num(line.number),
            at_ms: Num(line.at_ms),
            removed: edit.removed.iter().map(removed).collect(),
            added: edit.added.iter().map(table).collect(),
            oldest_segment: edit.oldest_segment.map(Num),
            flushed_seq: edit.flushed_seq.map(|seq| Num(seq.0)),
            last_seq: edit.last_seq.map(|seq| Num(seq.0)),
            next_file: edit.next_file.map(Num),
            clean_segment: edit.clean_segment.map(Num),
            sealed_segment: edit.sealed_segment.map(Num),
            unknown: edit.unknown.edit.clone(),
        }
    }

    fn into_edit(self) -> Result<VersionEdit, BadBytes> {
        let mut edit = VersionEdit {
            oldest_segment: self.oldest_segment.map(|n| n.0),
            flushed_seq: self.flushed_seq.map(Num::seq).transpose()?,
            last_seq: self.last_seq.map(Num::seq).transpose()?,
            next_file: self.next_file.map(|n| n.0),
            clean_segment: self.clean_segment.map(|n| n.0),
            sealed_segment: self.sealed_segment.map(|n| n.0),
            ..VersionEdit::default()
        };
        edit.unknown.edit = self.unknown;
        for removed in self.removed {
            edit.removed.push((removed.level.level()?, removed.number.0));
        }
        for table in self.added {
            let (level, number) = (table.level.level()?, table.number.0);
            let meta = TableMeta {
                number,
                id: table.id.0,
                bytes: table.bytes.0,
                smallest: table.smallest.0.into_owned(),
                largest: table.largest.0.into_owned(),
                entries: table.entries.0,
                tombstones: table.tombstones.0,
                seq_min: table.seq_min.seq()?,
                seq_max: table.seq_max.seq()?,
            };
            meta.check().map_err(|what| BadBytes::new(0, what))?;
            edit.added.push((level, meta));
            if !table.unknown.is_empty() {
                edit.unknown.tables.insert(number, table.unknown);
            }
        }
        Ok(edit)
    }
}

/// A number, written as a string where a double could not hold it.
#[derive(Clone, Copy)]
struct Num(u64);

impl Num {
    fn seq(self) -> Result<SeqNo, BadBytes> {
        if self.0 > SeqNo::MAX.0 {
            return Err(BadBytes::new(0, format!("a sequence number of {}", self.0)));
        }
        Ok(SeqNo(self.0))
    }

    fn level(self) -> Result<usize, BadBytes> {
        match usize::try_from(self.0) {
            Ok(level) if level < LEVELS => Ok(level),
            _ => Err(BadBytes::new(0, format!("level {}: there are {LEVELS}", self.0))),
        }
    }
}

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 > NUMBER_MAX {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Num, D::Error> {
        struct NumVisitor;
        impl Visitor<'_> for NumVisitor {
            type Value = Num;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or one in a string")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Num, E> {
                Ok(Num(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Num, E> {
                let plain = text.bytes().all(|b| b.is_ascii_digit());
                match text.parse() {
                    Ok(number) if plain => Ok(Num(number)),
                    _ => Err(E::custom(format!("{text:?} is not a whole number of 64 bits"))),
                }
            }
        }
        deserializer.deserialize_any(NumVisitor)
    }
}

/// 128 bits, as 32 hex digits.
#[derive(Clone, Copy)]
struct Id(u128);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let bytes = Hex::deserialize(deserializer)?.0;
        match <[u8; 16]>::try_from(&*bytes) {
            Ok(bytes) => Ok(Id(u128::from_be_bytes(bytes))),
            Err(_) => Err(D::Error::custom("an id has 32 hex digits")),
        }
    }
}

/// Bytes, as two lower-case hex digits each.
struct Hex<'a>(Cow<'a, [u8]>);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &*self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor;
        impl Visitor<'_> for HexVisitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as lower-case hex digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
                unhex(text.as_bytes()).ok_or_else(|| E::custom("not lower-case hex digits"))
            }
        }
        deserializer.deserialize_str(HexVisitor).map(|bytes| Hex(Cow::Owned(bytes)))
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}
