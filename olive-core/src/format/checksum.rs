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
    fn it_is_the_crc_that_the_documents_name() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32_of_two(b"1234", b"56789"), 0xCBF4_3926);
        assert!(check(b"123456789", 0xCBF4_3926, 0, "nine digits").is_ok());
        let bad = check(b"123456780", 0xCBF4_3926, 7, "nine digits").unwrap_err();
        assert!(bad.to_string().contains("at 7: checksum of nine digits: expected 0xcbf43926"));
    }
}
