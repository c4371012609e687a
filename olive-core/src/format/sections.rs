//! The end of a table: its list of sections, and the footer that points to it.
//!
//! ```text
//! section list    u32 n, u32 0, then n × 40 bytes, in the order of the file:
//!     0  u32  kind: 1 data, 2 index, 3 filter, 4 properties
//!             (reserved: 5 range deletes, 6 value pointers)
//!     4  u8   1: critical, who does not know the kind must refuse the table
//!     5  u8   checksum: 0 none of its own (data blocks carry theirs), 1 CRC-32
//!     6  u16  0
//!     8  u64  offset          16  u64  length
//!    24  u64  checksum        32  u64  0
//!
//! footer, the last 56 bytes of the file
//!     0  u64  offset of the section list
//!     8  u32  its length         12  u32  its CRC-32
//!    16  u128 table id, random
//!    32  u64  length of the file
//!    40  u32  format version: 1
//!    44  u32  CRC-32 of bytes 0 to 43
//!    48  "OLIVESST"
//! ```

use crate::format::{BadBytes, checksum, coding};

/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 56;
/// The version of the format that this program writes, and the only one it knows.
pub const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"OLIVESST";
const RECORD_BYTES: usize = 40;
const LIST_HEADER_BYTES: usize = 8;
const CHECKSUM_NONE: u8 = 0;
const CHECKSUM_CRC32: u8 = 1;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SectionKind {
    /// Data blocks.
    Data = 1,
    /// The index over them.
    Index = 2,
    /// The filter over keys.
    Filter = 3,
    /// What is true of the table as a whole.
    Properties = 4,
}

/// Where a section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its CRC-32, but for data.
    pub crc: u32,
}

impl Section {}

/// The sections of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// Data blocks; it starts the file.
    pub data: Section,
    /// The index.
    pub index: Section,
    /// The filter, if there is one.
    pub filter: Option<Section>,
    /// The properties.
    pub properties: Section,
}

impl Sections {
    /// The section list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sections = vec![(SectionKind::Data, self.data), (SectionKind::Index, self.index)];
        sections.extend(self.filter.map(|filter| (SectionKind::Filter, filter)));
        sections.push((SectionKind::Properties, self.properties));
        let mut out = Vec::new();
        coding::push_u32(&mut out, sections.len() as u32);
        coding::push_u32(&mut out, 0);
        for (kind, section) in sections {
            let checksum = if kind == SectionKind::Data { CHECKSUM_NONE } else { CHECKSUM_CRC32 };
            coding::push_u32(&mut out, kind as u32);
            // A reader can do without a filter.
            out.extend_from_slice(&[u8::from(kind != SectionKind::Filter), checksum, 0, 0]);
            for number in [section.offset, section.len, u64::from(section.crc), 0] {
                coding::push_u64(&mut out, number);
            }
        }
        out
    }

    /// Decodes a section list that stands at `list_at` in its file: every section
    /// must end there or before. Unknown sections that are not critical are left out.
    pub fn decode(bytes: &[u8], list_at: u64) -> Result<Sections, BadBytes> {
        let count = coding::u32_at(bytes, 0).unwrap_or(0) as usize;
        let body = bytes.get(LIST_HEADER_BYTES..).unwrap_or(&[]);
        let (records, []) = body.as_chunks::<RECORD_BYTES>() else {
            return Err(BadBytes::new(0, format!("a section list of {} bytes", bytes.len())));
        };
        if records.len() != count {
            let found = records.len();
            return Err(BadBytes::new(0, format!("sections: expected {count}, found {found}")));
        }
        let mut known = [None; 4];
        for (i, record) in records.iter().enumerate() {
            let at = (LIST_HEADER_BYTES + i * RECORD_BYTES) as u64;
            if let Some((kind, section)) = decode_record(record, at, list_at)? {
                let slot = known.get_mut(kind as usize - 1).filter(|slot| slot.is_none());
                let twice = || BadBytes::new(at, format!("two sections of kind {kind:?}"));
                *slot.ok_or_else(twice)? = Some(section);
            }
        }
        let [data, index, filter, properties] = known;
        let missing = |kind| move || BadBytes::new(0, format!("no section of kind {kind:?}"));
        let data = data.ok_or_else(missing(SectionKind::Data))?;
        if data.offset != 0 {
            return Err(BadBytes::new(0, format!("data at {}: expected at 0", data.offset)));
        }
        Ok(Sections {
            data,
            index: index.ok_or_else(missing(SectionKind::Index))?,
            filter,
            properties: properties.ok_or_else(missing(SectionKind::Properties))?,
        })
    }
}

fn decode_record(
    record: &[u8; RECORD_BYTES],
    at: u64,
    list_at: u64,
) -> Result<Option<(SectionKind, Section)>, BadBytes> {
    let number = |offset| coding::u64_at(record, offset).unwrap_or(u64::MAX);
    let (offset, len, crc) = (number(8), number(16), number(24));
    let [k0, k1, k2, k3, critical, checksum, ..] = *record;
    let kind = match u32::from_le_bytes([k0, k1, k2, k3]) {
        1 => SectionKind::Data,
        2 => SectionKind::Index,
        3 => SectionKind::Filter,
        4 => SectionKind::Properties,
        _ if critical == 0 => return Ok(None),
        unknown => {
            let name = match unknown {
                5 => " (range deletes)",
                6 => " (value pointers)",
                _ => "",
            };
            return Err(BadBytes::unsupported(at, format!("critical section {unknown}{name}")));
        }
    };
    let expected = if kind == SectionKind::Data { CHECKSUM_NONE } else { CHECKSUM_CRC32 };
    if checksum != expected {
        let what = format!("checksum kind {checksum} of section {kind:?}");
        return Err(BadBytes::unsupported(at + 5, what));
    }
    let crc = u32::try_from(crc).map_err(|_| {
        BadBytes::new(at + 24, format!("checksum of section {kind:?} past 32 bits"))
    })?;
    if offset.checked_add(len).is_none_or(|end| end > list_at) {
        let what = format!("section {kind:?}: {len} bytes at {offset} in a file with {list_at}");
        return Err(BadBytes::new(at + 8, what));
    }
    Ok(Some((kind, Section { offset, len, crc })))
}

/// The last bytes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Where the section list starts.
    pub list_offset: u64,
    /// Its length in bytes.
    pub list_len: u32,
    /// Its CRC-32.
    pub list_crc: u32,
    /// The table's random number.
    pub table_id: u128,
    /// Length of the file in bytes, the footer included.
    pub file_bytes: u64,
}

impl Footer {
    /// The footer's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        coding::push_u64(&mut out, self.list_offset);
        coding::push_u32(&mut out, self.list_len);
        coding::push_u32(&mut out, self.list_crc);
        coding::push_u128(&mut out, self.table_id);
        coding::push_u64(&mut out, self.file_bytes);
        coding::push_u32(&mut out, FORMAT_VERSION);
        let crc = checksum::crc32(&out);
        coding::push_u32(&mut out, crc);
        out.extend_from_slice(MAGIC);
        out
    }

    /// Decodes the last [`FOOTER_BYTES`] of a file of `file_bytes`. The magic and the
    /// checksum stand where every version has them, so that damage and a newer
    /// version are told apart.
    pub fn decode(bytes: &[u8], file_bytes: u64) -> Result<Footer, BadBytes> {
        let whole = bytes.len() == FOOTER_BYTES;
        let (Some(fields), Some(crc), true) = (bytes.get(..44), coding::u32_at(bytes, 44), whole)
        else {
            return Err(BadBytes::new(0, format!("a footer of {} bytes", bytes.len())));
        };
        if bytes.get(48..) != Some(MAGIC) {
            let found = bytes.get(48..).unwrap_or(&[]).escape_ascii();
            let what = format!("magic: expected \"OLIVESST\", found \"{found}\"");
            return Err(BadBytes::new(48, what));
        }
        checksum::check(fields, crc, 0, "the footer")?;
        let version = coding::u32_at(bytes, 40).unwrap_or(0);
        if version != FORMAT_VERSION {
            let what = format!("table format version {version}; this program knows 1");
            return Err(BadBytes::unsupported(40, what));
        }
        let footer = Footer {
            list_offset: coding::u64_at(bytes, 0).unwrap_or(0),
            list_len: coding::u32_at(bytes, 8).unwrap_or(0),
            list_crc: coding::u32_at(bytes, 12).unwrap_or(0),
            table_id: coding::u128_at(bytes, 16).unwrap_or(0),
            file_bytes: coding::u64_at(bytes, 32).unwrap_or(0),
        };
        if footer.file_bytes != file_bytes {
            let what = format!("length: expected {}, found {file_bytes}", footer.file_bytes);
            return Err(BadBytes::new(32, what));
        }
        let list_end = footer.list_offset.checked_add(u64::from(footer.list_len));
        if list_end.and_then(|end| end.checked_add(FOOTER_BYTES as u64)) != Some(file_bytes) {
            let (at, len) = (footer.list_offset, footer.list_len);
            let what = format!("a section list of {len} bytes at {at} in a file of {file_bytes}");
            return Err(BadBytes::new(0, what));
        }
        Ok(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Sections {
        let section = |offset, len| Section { offset, len, crc: 9 };
        Sections {
            data: Section { crc: 0, ..section(0, 100) },
            index: section(100, 20),
            filter: Some(section(120, 72)),
            properties: section(192, 8),
        }
    }

    #[test]
    fn sections_read_back_and_must_lie_before_their_list() {
        let whole = sections();
        let bytes = whole.encode();
        assert_eq!(Sections::decode(&bytes, 200), Ok(whole.clone()));
        assert!(Sections::decode(&bytes, 199).is_err());
        let none = Sections { filter: None, ..whole };
        assert_eq!(Sections::decode(&none.encode(), 200), Ok(none));
        for cut in 0..bytes.len() {
            assert!(Sections::decode(&bytes[..cut], 200).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn unknown_sections_are_refused_if_critical_and_left_out_if_not() {
        let mut bytes = sections().encode();
        // The filter's record becomes one of kind 5.
        bytes[8 + 80] = 5;
        let without = Sections::decode(&bytes, 200).unwrap();
        assert_eq!(without.filter, None);
        bytes[8 + 80 + 4] = 1;
        let refused = Sections::decode(&bytes, 200).unwrap_err();
        assert!(refused.unsupported && refused.what.contains("range deletes"), "{refused}");
        let mut checksum = sections().encode();
        checksum[8 + 40 + 5] = 2;
        assert!(Sections::decode(&checksum, 200).unwrap_err().unsupported);
        let mut twice = sections().encode();
        twice[8 + 80] = 2;
        assert!(Sections::decode(&twice, 200).is_err());
    }

    #[test]
    fn every_flip_of_a_footer_is_found_and_a_newer_version_is_named() {
        let footer = Footer {
            list_offset: 1000,
            list_len: 128,
            list_crc: 5,
            table_id: 1 << 100,
            file_bytes: 1000 + 128 + 56,
        };
        let bytes = footer.encode();
        assert_eq!(bytes.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(&bytes, footer.file_bytes), Ok(footer));
        assert!(Footer::decode(&bytes, footer.file_bytes + 1).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let bad = Footer::decode(&flipped, footer.file_bytes).unwrap_err();
            assert!(!bad.unsupported, "bit {bit}: {bad}");
        }
        let mut newer = bytes;
        newer[40] = 2;
        let crc = checksum::crc32(&newer[..44]);
        newer[44..48].copy_from_slice(&crc.to_le_bytes());
        let bad = Footer::decode(&newer, footer.file_bytes).unwrap_err();
        assert!(bad.unsupported && bad.what.contains("version 2"), "{bad}");
    }
}
