//! The trait that memtable, table and merge speak: a cursor over internal keys; and
//! [`Window`], by which a merge compares most keys as numbers.

use crate::error::Result;
use crate::format::block::head_of;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::value::Value;

/// Plain steps that are counted at once: few enough that a short walk does not pay for
/// many that it never makes.
pub const PLAIN_STEPS_MAX: usize = 16;

/// What a merge keeps of an entry that a run stands on.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// The head of its scoped key.
    pub head: u64,
    /// The tag of its key.
    pub tag: Tag,
    /// Whether the run's next entry is known to have another scoped key.
    pub next_differs: bool,
}

/// A cursor over entries in the order of [`InternalKey`]: it stands on an entry,
/// or on none.
///
/// Every movement says whether it stands on an entry afterwards. Running off
/// either end leaves it on none; from there only a seek goes on. An error leaves
/// it on none, and is never an end: whoever sees one must stop.
pub trait InternalIter {
    /// Goes to the first entry.
    fn seek_to_first(&mut self) -> Result<bool>;
    /// Goes to the last entry.
    fn seek_to_last(&mut self) -> Result<bool>;
    /// Goes to the first entry at or behind `target`.
    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool>;
    /// The same for who wants no entry whose scoped key is at or behind `end`: it may stand
    /// on none where the first would be there, and need not read it.
    fn seek_until(&mut self, target: InternalKey<'_>, _end: Option<&[u8]>) -> Result<bool> {
        self.seek(target)
    }
    /// Goes to the last entry before `target`.
    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool>;
    /// Goes one entry on. It must stand on one.
    fn next(&mut self) -> Result<bool>;
    /// The same for who wants no entry whose scoped key is at or behind `end`.
    #[inline]
    fn next_until(&mut self, _end: Option<&[u8]>) -> Result<bool> {
        self.next()
    }
    /// Goes one entry back. It must stand on one.
    fn prev(&mut self) -> Result<bool>;
    /// Whether it stands on an entry.
    fn valid(&self) -> bool;
    /// The entry's key, until the next movement. It must stand on an entry.
    fn key(&self) -> InternalKey<'_>;
    /// The entry's value, until the next movement. It must stand on an entry.
    fn value(&self) -> &[u8];
    /// The entry's value as a handle that pins what it points into. It must stand
    /// on an entry.
    fn value_handle(&self) -> Value;

    /// Stands on no entry any more, and lets go of what only that one needed: it may be
    /// long until the next movement.
    fn rest(&mut self);

    /// The tag of the entry's key. It must stand on an entry.
    #[inline]
    fn tag(&self) -> Tag {
        self.key().tag
    }

    /// The head of the entry's scoped key. It must stand on an entry.
    #[inline]
    fn head(&mut self, window: &Window) -> u64 {
        window.head(self.key().scoped)
    }

    /// Whether the next entry forward is known to have another scoped key; `false` says
    /// nothing. It must stand on an entry.
    #[inline]
    fn next_differs(&self) -> bool {
        false
    }

    /// Whether the entry before is known to have another scoped key; `false` says nothing.
    /// It must stand on an entry.
    #[inline]
    fn prev_differs(&self) -> bool {
        false
    }

    /// What a merge keeps of the entry. It must stand on one.
    #[inline]
    fn stand(&mut self, window: &Window) -> Stand {
        Stand { head: self.head(window), tag: self.tag(), next_differs: self.next_differs() }
    }

    /// How many steps forward are plain, at most [`PLAIN_STEPS_MAX`]: each leads to a put
    /// at or below `seq` whose head is below `below` and is not that of the entry before
    /// it. For what a merge is made of. It must stand on an entry.
    #[inline]
    fn plain_below(&mut self, _window: &Window, _below: u64, _seq: SeqNo) -> usize {
        0
    }

    /// How many steps forward are plain: each leads to a put at or below `seq`, of another
    /// scoped key than the entry before it, and before the end that was told. It must
    /// stand on an entry.
    #[inline]
    fn plain_ahead(&mut self, _seq: SeqNo) -> usize {
        0
    }

    /// Does one of the plain steps that were counted, with no other movement since; the
    /// tag of the entry that it leads to.
    #[inline]
    fn stride(&mut self) -> Result<Tag> {
        self.next()?;
        Ok(self.tag())
    }

    /// Tells it where walks forward will end (`None`: nowhere), for
    /// [`is_short_of_end`](Self::is_short_of_end).
    fn expect_end(&mut self, _end: Option<&[u8]>) {}

    /// Whether the entry's key is known to be before the end that was told; `false` says
    /// nothing. It must stand on an entry.
    #[inline]
    fn is_short_of_end(&self) -> bool {
        false
    }
}

/// Eight bytes of each key, at a place that is chosen by the keys at hand.
///
/// ```text
/// head(key) = the 8 bytes behind the prefix, zeros where the key ends    if key starts with it
///             0                                                          if key < prefix otherwise
///             MAX                                                        if key > prefix otherwise
/// ```
///
/// It never falls as keys rise: unequal heads decide, equal ones decide nothing. So any
/// prefix is right, and which one it is is a matter of speed only.
#[derive(Debug)]
pub struct Window {
    prefix: Vec<u8>,
    /// Another one for every prefix that it had; never 0.
    number: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window { prefix: Vec::new(), number: 1 }
    }
}

impl Window {
    /// What keys must start with to be told apart.
    #[must_use]
    #[inline]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Tells this prefix from those that it had before; never 0.
    #[must_use]
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Moves it; whether that changed anything.
    pub fn choose(&mut self, prefix: &[u8]) -> bool {
        if self.prefix == prefix {
            return false;
        }
        self.prefix.clear();
        self.prefix.extend_from_slice(prefix);
        self.number += 1;
        true
    }

    /// The head of a key.
    #[must_use]
    #[inline]
    pub fn head(&self, key: &[u8]) -> u64 {
        match key.strip_prefix(self.prefix()) {
            Some(rest) => head_of(rest),
            None if key < self.prefix() => 0,
            None => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_never_fall_as_keys_rise() {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for a in [0, 1, b'k', 0xFF] {
            keys.extend((0..12).map(|len| vec![a; len]));
            keys.extend((0..12).map(|len| [&[b'k'; 5][..], &vec![a; len]].concat()));
        }
        keys.sort();
        let mut window = Window::default();
        for prefix in [&b""[..], b"k", b"kkk", b"kkkkkkk", b"\xFF", b"kkkz"] {
            let before = window.number();
            assert_eq!(window.choose(prefix), !prefix.is_empty());
            assert_eq!(window.number() != before, !prefix.is_empty());
            let heads: Vec<u64> = keys.iter().map(|key| window.head(key)).collect();
            assert!(heads.is_sorted(), "{prefix:?}: {heads:x?}");
            assert!(heads.iter().max() > heads.iter().min(), "{prefix:?} tells some apart");
        }
    }
}
