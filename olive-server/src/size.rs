//! [`Size`]: a number of bytes as a person writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .unwrap_or((text, 1));
        digits
            .trim_end()
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .map(Size)
            .ok_or_else(|| format!("{text:?} is no size: 65536, 64KiB, 64MiB and 1GiB are"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of bytes, or a text like \"64MiB\"")]
        enum Either {
            Bytes(usize),
            Text(String),
        }
        match Either::deserialize(from)? {
            Either::Bytes(bytes) => Ok(Size(bytes)),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (text, bytes) in
            [("0", 0), ("65600", 65_600), ("64KiB", 65_536), ("65MiB", 65 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["", "MiB", "-1", "1.5MiB", "64MB", "99999999999999GiB"] {
            assert!(text.parse::<Size>().unwrap_err().contains(text));
        }
    }
}
