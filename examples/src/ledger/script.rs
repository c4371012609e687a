//! What each writer writes: every operation follows from a seed, the writer and a
//! number, so that who hears "writer 3, number 17" knows all of it.
//!
//! ```text
//! own key      own/WRITER/KEY      written by one writer alone
//! shared key   shared/GROUP/PART   all parts of a group by one batch, by any writer
//!
//! put          one own key
//! delete       one own key
//! batch        some own keys, put or deleted, and all parts of one group
//! ```

use crate::random::{Random, fill, mix};

/// How many write at once.
pub const WRITERS: u8 = 8;
/// How many keys a writer has for itself.
pub const OWN_KEYS: u16 = 400;
/// How many groups of shared keys there are.
pub const GROUPS: u16 = 24;
/// How many keys a group has.
pub const PARTS: u8 = 3;

/// A key of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptKey {
    /// Of one writer alone.
    Own {
        /// Whose.
        writer: u8,
        /// Below [`OWN_KEYS`].
        key: u16,
    },
    /// Written by all writers.
    Shared {
        /// Below [`GROUPS`].
        group: u16,
        /// Below [`PARTS`].
        part: u8,
    },
}

impl ScriptKey {
    /// As the database has it.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            ScriptKey::Own { writer, key } => format!("own/{writer}/{key:04}"),
            ScriptKey::Shared { group, part } => format!("shared/{group:03}/{part}"),
        }
        .into_bytes()
    }

    /// Every key that the script knows.
    pub fn all() -> impl Iterator<Item = ScriptKey> {
        let own = |writer| (0..OWN_KEYS).map(move |key| ScriptKey::Own { writer, key });
        let parts = |group| (0..PARTS).map(move |part| ScriptKey::Shared { group, part });
        (0..WRITERS).flat_map(own).chain((0..GROUPS).flat_map(parts))
    }
}

/// One key of an operation: whether it is put, or else deleted.
pub type Change = (ScriptKey, bool);

/// One operation of one writer: a single put or delete, or a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who does it.
    pub writer: u8,
    /// From 1, without a gap.
    pub number: u64,
    /// No key twice. More than one are one batch.
    pub changes: Vec<Change>,
    /// The group that it writes all parts of, and whether it puts them.
    pub group: Option<(u16, bool)>,
}

/// The operation that `writer` does as its `number`th.
#[must_use]
pub fn operation(seed: u64, writer: u8, number: u64) -> Operation {
    let mut random = Random::new(mix(seed ^ mix(number)) ^ u64::from(writer));
    let mut changes = Vec::new();
    let mut group = None;
    let own = |random: &mut Random| random.below(u64::from(OWN_KEYS)) as u16;
    match random.below(20) {
        0..12 => changes.push((ScriptKey::Own { writer, key: own(&mut random) }, true)),
        12..15 => changes.push((ScriptKey::Own { writer, key: own(&mut random) }, false)),
        _ => {
            let first = own(&mut random);
            for next in 0..2 + random.below(4) as u16 {
                let key = (first + next * 67) % OWN_KEYS;
                changes.push((ScriptKey::Own { writer, key }, random.below(4) > 0));
            }
            let (number, is_put) = (random.below(GROUPS.into()) as u16, random.below(5) > 0);
            let parts = (0..PARTS).map(|part| ScriptKey::Shared { group: number, part });
            changes.extend(parts.map(|key| (key, is_put)));
            group = Some((number, is_put));
        }
    }
    Operation { writer, number, changes, group }
}

/// The value that operation `number` of `writer` puts under `key`: it names both, and
/// is most often short.
#[must_use]
pub fn value(seed: u64, writer: u8, number: u64, key: ScriptKey) -> Vec<u8> {
    let mut random = Random::new(seed ^ mix(number << 8 | u64::from(writer)));
    for byte in key.bytes() {
        random = Random::new(random.next_u64() ^ u64::from(byte));
    }
    let noise = match random.below(1_000) {
        0 => 20_000 + random.below(20_000),
        1..20 => 1_000 + random.below(3_000),
        _ => random.below(150),
    };
    let mut bytes = vec![writer];
    bytes.extend(number.to_le_bytes());
    let head = bytes.len();
    bytes.resize(head + noise as usize, 0);
    fill(random.next_u64(), &mut bytes[head..]);
    bytes
}

/// Which writer and number a value names.
#[must_use]
pub fn author(value: &[u8]) -> Option<(u8, u64)> {
    let (number, _) = value.get(1..)?.split_first_chunk()?;
    Some((value[0], u64::from_le_bytes(*number)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_operation_names_a_key_twice_or_half_a_group() {
        for number in 1..2_000 {
            let operation = operation(7, (number % 8) as u8, number);
            let keys: BTreeSet<_> = operation.changes.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys.len(), operation.changes.len(), "{operation:?}");
            let shared = keys.iter().filter(|key| matches!(key, ScriptKey::Shared { .. })).count();
            assert_eq!(shared, if operation.group.is_some() { PARTS.into() } else { 0 });
        }
    }

    #[test]
    fn a_value_names_its_author_and_is_of_its_key() {
        let mut keys = ScriptKey::all();
        let (one, other) = (keys.next().unwrap(), keys.next().unwrap());
        assert_eq!(author(&value(7, 3, 900, one)), Some((3, 900)));
        assert_ne!(value(7, 3, 900, one), value(7, 3, 900, other));
        assert_ne!(value(7, 3, 900, one), value(8, 3, 900, one));
        assert_eq!(author(b"short"), None);
    }
}
