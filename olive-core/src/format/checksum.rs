//! The checksum of tables: CRC-32 (IEEE 802.3: polynomial 0x04C11DB7 reflected,
//! start and final xor 0xFFFFFFFF; "123456789" gives 0xCBF43926).

use crate::format::BadBytes;

/// The CRC-32 of `bytes`.
#[must_use]
#[inline]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The CRC-32 of `front` and `back`, one behind the other.
#[must_use]
pub fn crc32_of_two(front: &[u8], back: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(front);
    hasher.update(back);
    hasher.finalize()
}

/// What the checksum of a data block is masked with, so that a whole block in a wrong
/// place, of this table or another, does not pass. Masked and not seeded: a block that
/// is copied as it is gets its new checksum without being read again.
///
/// With P = id's low 64 bits ^ `MASK_LOW` and Q = id's high 64 bits ^ `MASK_HIGH` +
/// offset, it is the upper half of low(P · Q) ^ high(P · Q); the sum wraps.
#[must_use]
#[inline]
pub fn place_mask(table_id: u128, offset: u64) -> u32 {
    let (low, high) = (table_id as u64, (table_id >> 64) as u64);
    let product = u128::from(low ^ MASK_LOW) * u128::from((high ^ MASK_HIGH).wrapping_add(offset));
    ((product as u64 ^ (product >> 64) as u64) >> 32) as u32
}

const MASK_LOW: u64 = 0xE703_7ED1_A0B4_28DB;
const MASK_HIGH: u64 = 0x8EBC_6AF0_9C88_C6E3;

/// Refuses `bytes` (which stand at `offset`) that do not have the checksum `expected`.
pub fn check(bytes: &[u8], expected: u32, offset: u64, what: &str) -> Result<(), BadBytes> {
    let found = crc32(bytes);
    if found == expected {
        return Ok(());
    }
    Err(BadBytes::new(
        offset,
        format!("checksum of {what}: expected {expected:#010x}, found {found:#010x}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_differ_a_little_have_other_masks() {
        let id = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;
        let mut masks = std::collections::BTreeSet::new();
        let mut places = 0;
        for block in 0..2_000 {
            for id in [id, id ^ 1, id ^ 1 << 64, id ^ 1 << 127, 0] {
                masks.insert(place_mask(id, block * 8));
                places += 1;
            }
        }
        assert!(masks.len() + 3 >= places, "{} masks of {places} places", masks.len());
        assert_eq!(place_mask(id, 0), 0x90D8_B075);
        assert_eq!(place_mask(id, 128), 0x951A_DF22);
    }

    #[test]
    fn it_is_the_crc_that_the_documents_name() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32_of_two(b"1234", b"56789"), 0xCBF4_3926);
        assert!(check(b"123456789", 0xCBF4_3926, 0, "nine digits").is_ok());
        let bad = check(b"123456780", 0xCBF4_3926, 7, "nine digits").unwrap_err();
        assert!(bad.to_string().contains("at 7: checksum of nine digits: expected 0xcbf43926"));
    }
}
