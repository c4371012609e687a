//! What every key must hold, known without keeping a single value.
//!
//! ```text
//! key       number of the key, 8 decimal digits: their order is the keys' order
//! version   1, 2, 3 .. for each key; 0 is a key that was never written
//! value     a function of (key, version): 1 of 8 is a delete; else 0 to 4096 bytes behind
//!           a header: key u32 · version u32, both little-endian
//! ```
//!
//! A writer owns a key. It notes the version that it is about to write, writes,
//! and notes that it was acknowledged. So a reader that takes the acknowledged
//! version before its read and the one being written after it has the bounds of
//! what it may see. All notes are sequentially consistent.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use olive_examples::random::{Random, fill, mix};

/// The longest value behind its header, in bytes.
const BODY_BYTES_MAX: u64 = 4096;
/// The length of a value's header, in bytes.
const HEADER_BYTES: usize = 8;

/// Two numbers a key, shared by all threads.
pub(crate) struct Board {
    acknowledged: Vec<AtomicU32>,
    writing: Vec<AtomicU32>,
}

impl Board {
    pub(crate) fn new(keys: u32) -> Board {
        let zeros = || (0..keys).map(|_| AtomicU32::new(0)).collect();
        Board { acknowledged: zeros(), writing: zeros() }
    }

    pub(crate) fn keys(&self) -> u32 {
        self.writing.len() as u32
    }

    /// The version after the last; from now on it may be seen.
    pub(crate) fn begin(&self, key: u32) -> u32 {
        self.writing[key as usize].fetch_add(1, SeqCst) + 1
    }

    /// The write of the version being written has returned.
    pub(crate) fn acknowledge(&self, key: u32) {
        self.acknowledged[key as usize].store(self.writing(key), SeqCst);
    }

    /// A read that begins now sees this version or a later one.
    pub(crate) fn acknowledged(&self, key: u32) -> u32 {
        self.acknowledged[key as usize].load(SeqCst)
    }

    /// A read that has ended saw this version or an earlier one.
    pub(crate) fn writing(&self, key: u32) -> u32 {
        self.writing[key as usize].load(SeqCst)
    }
}

/// Which writer a key belongs to.
pub(crate) fn owner(key: u32, writers: u32) -> u32 {
    (mix(u64::from(key)) % u64::from(writers)) as u32
}

/// The key's bytes.
pub(crate) fn key_bytes(key: u32) -> [u8; 8] {
    let mut bytes = [b'0'; 8];
    let mut rest = key;
    for byte in bytes.iter_mut().rev() {
        *byte += (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

/// The number of a key, if these are the bytes of one.
pub(crate) fn key_number(bytes: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (key_bytes(number) == *bytes).then_some(number)
}

fn seed(key: u32, version: u32) -> u64 {
    mix(u64::from(key) << 32 | u64::from(version))
}

/// Whether this version of the key is a tombstone.
pub(crate) fn is_delete(key: u32, version: u32) -> bool {
    version == 0 || seed(key, version).is_multiple_of(8)
}

/// Makes this version's value in `value`; it must not be a tombstone.
pub(crate) fn make_value(key: u32, version: u32, value: &mut Vec<u8>) {
    let seed = seed(key, version);
    let body_bytes = Random::new(seed).below(BODY_BYTES_MAX + 1) as usize;
    value.clear();
    value.resize(HEADER_BYTES + body_bytes, 0);
    let (header, body) = value.split_at_mut(HEADER_BYTES);
    fill(seed, body);
    header[..4].copy_from_slice(&key.to_le_bytes());
    header[4..].copy_from_slice(&version.to_le_bytes());
}

/// What is wrong with an answer for `key`, where only these versions are right:
/// every bit of it is checked. Gives its version if one is known: an absent key
/// may stand for several.
pub(crate) fn check(
    key: u32,
    answer: Option<&[u8]>,
    versions: RangeInclusive<u32>,
) -> Result<Option<u32>, String> {
    let Some(value) = answer else {
        let mut allowed = versions.clone();
        return match allowed.any(|version| is_delete(key, version)) {
            true => Ok(None),
            false => Err(format!("key {key} is absent: none of its versions {versions:?} is")),
        };
    };
    let (Some(&number), Some(&version)) =
        (value.first_chunk::<4>(), value.get(4..).and_then(<[u8]>::first_chunk::<4>))
    else {
        return Err(format!("key {key} has a value of only {} bytes", value.len()));
    };
    let (number, version) = (u32::from_le_bytes(number), u32::from_le_bytes(version));
    if number != key {
        return Err(format!("key {key} has the value of key {number}"));
    }
    if !versions.contains(&version) {
        return Err(format!("key {key} has version {version}: right are {versions:?}"));
    }
    if is_delete(key, version) {
        return Err(format!("key {key} has a value in version {version}, which is a delete"));
    }
    let mut expected = Vec::new();
    make_value(key, version, &mut expected);
    if expected != value {
        return Err(format!(
            "key {key} version {version}: its {} bytes are not what was put",
            value.len()
        ));
    }
    Ok(Some(version))
}
