//! The properties section: what is true of a table as a whole.
//!
//! ```text
//! fields, each: u32 id, u32 length, that many bytes; unknown ids are left out
//!      1  u64   entries, tombstones included     2  u64   tombstones
//!      3  u64   when the oldest tombstone was written, ms since 1970 (only with tombstones)
//!      4  u64   smallest sequence number         5  u64   largest one
//!      6  u128  table id                         7  u8    filter: 0 none, 1 blocked Bloom
//!      8  bytes smallest scoped key              9  bytes largest one
//!     10  u64   bytes of all scoped keys        11  u64   bytes of all values
//! ```

use crate::format::{BadBytes, coding};
use crate::key::SeqNo;

/// What is true of a table as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// When the oldest tombstone was written, in milliseconds since 1970; `None`
    /// without tombstones.
    pub oldest_tombstone_ms: Option<u64>,
    /// The smallest sequence number.
    pub seq_min: SeqNo,
    /// The largest sequence number.
    pub seq_max: SeqNo,
    /// The table's random number.
    pub table_id: u128,
    /// Kind of filter; 0: none.
    pub filter_kind: u8,
    /// The smallest scoped key.
    pub smallest: Vec<u8>,
    /// The largest scoped key.
    pub largest: Vec<u8>,
    /// Bytes of all scoped keys.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
}

impl Properties {
    /// The section.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |id: u32, bytes: &[u8]| {
            coding::push_u32(&mut out, id);
            coding::push_u32(&mut out, bytes.len() as u32);
            out.extend_from_slice(bytes);
        };
        field(1, &self.entries.to_le_bytes());
        field(2, &self.tombstones.to_le_bytes());
        if let Some(ms) = self.oldest_tombstone_ms {
            field(3, &ms.to_le_bytes());
        }
        field(4, &self.seq_min.0.to_le_bytes());
        field(5, &self.seq_max.0.to_le_bytes());
        field(6, &self.table_id.to_le_bytes());
        field(7, &[self.filter_kind]);
        field(8, &self.smallest);
        field(9, &self.largest);
        field(10, &self.key_bytes.to_le_bytes());
        field(11, &self.value_bytes.to_le_bytes());
        out
    }

    /// Decodes a section.
    pub fn decode(bytes: &[u8]) -> Result<Properties, BadBytes> {
        let mut properties = Properties::default();
        let mut seen = 0_u32;
        let mut at = 0;
        while at < bytes.len() {
            let field = || {
                let (id, len) = (coding::u32_at(bytes, at)?, coding::u32_at(bytes, at + 4)?);
                let value = bytes.get(at + 8..(at + 8).checked_add(len as usize)?)?;
                Some((id, value))
            };
            let cut = || BadBytes::new(at as u64, "a property that is cut");
            let (id, value) = field().ok_or_else(cut)?;
            let wrong =
                || BadBytes::new(at as u64, format!("property {id} of {} bytes", value.len()));
            properties.set(id, value).ok_or_else(wrong)?;
            seen |= 1_u32.checked_shl(id).unwrap_or(0);
            at += 8 + value.len();
        }
        let required = 0b1111_1111_0110;
        let missing = required & !seen;
        if missing != 0 {
            let what = format!("property {} is missing", missing.trailing_zeros());
            return Err(BadBytes::new(bytes.len() as u64, what));
        }
        Ok(properties)
    }

    fn set(&mut self, id: u32, value: &[u8]) -> Option<()> {
        let number = || (value.len() == 8).then(|| coding::u64_at(value, 0)).flatten();
        match id {
            1 => self.entries = number()?,
            2 => self.tombstones = number()?,
            3 => self.oldest_tombstone_ms = Some(number()?),
            4 => self.seq_min = SeqNo(number()?),
            5 => self.seq_max = SeqNo(number()?),
            6 => self.table_id = u128::from_le_bytes(value.try_into().ok()?),
            7 => self.filter_kind = *value.first().filter(|_| value.len() == 1)?,
            8 => self.smallest = value.to_vec(),
            9 => self.largest = value.to_vec(),
            10 => self.key_bytes = number()?,
            11 => self.value_bytes = number()?,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties() -> Properties {
        Properties {
            entries: 3,
            tombstones: 1,
            oldest_tombstone_ms: Some(1_700_000_000_000),
            seq_min: SeqNo(4),
            seq_max: SeqNo(6),
            table_id: u128::MAX - 5,
            filter_kind: 1,
            smallest: vec![],
            largest: b"\x01k".to_vec(),
            key_bytes: 10,
            value_bytes: 20,
        }
    }

    #[test]
    fn properties_read_back_and_unknown_ones_are_left_out() {
        let some = properties();
        let none = Properties { tombstones: 0, oldest_tombstone_ms: None, ..properties() };
        for whole in [some, none] {
            let mut bytes = whole.encode();
            assert_eq!(Properties::decode(&bytes), Ok(whole.clone()));
            bytes.extend_from_slice(&[99, 0, 0, 0, 2, 0, 0, 0, 7, 7]);
            assert_eq!(Properties::decode(&bytes), Ok(whole));
        }
    }

    #[test]
    fn cut_or_missing_properties_are_refused() {
        let bytes = properties().encode();
        for cut in 0..bytes.len() {
            assert!(Properties::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The section's checksum finds what this does not.
            let _ = Properties::decode(&flipped);
        }
    }
}
