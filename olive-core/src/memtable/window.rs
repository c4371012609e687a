//! The heads of keys, which decide most comparisons without their entries.
//!
//! A head is 8 bytes of a key as a big-endian number. It stands beside the offset of
//! the entry, so that most comparisons touch no entry. Which 8 bytes is a choice for the
//! whole tree, the *window*, made once from the first keys: keys begin with a keyspace
//! id and often with long runs of the same bytes, where a fixed place would make all
//! heads equal. A window is a prefix P, and
//!
//! ```text
//! head(key) = the 8 bytes behind P, zeros where the key ends    if key starts with P
//!             0                                                 if key < P otherwise
//!             MAX                                               if key > P otherwise
//! ```
//!
//! which never falls as keys rise: `a <= b` implies `head(a) <= head(b)`. So unequal
//! heads decide, and equal ones ask for the keys; P is a matter of speed only. Until a
//! window is chosen all heads count as equal (the mask is 0). The writer chooses it by
//! writing every head anew and then publishing P with Release: who sees P sees such
//! heads, who does not looks at none.

/// The window as one search sees it.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    prefix: &'a [u8],
    /// All ones, or 0 where there is no window yet.
    pub(super) mask: u64,
}

impl<'a> Window<'a> {
    /// Before one is chosen.
    pub(super) const NONE: Window<'a> = Window { prefix: &[], mask: 0 };

    pub(super) fn new(prefix: &'a [u8]) -> Window<'a> {
        Window { prefix, mask: u64::MAX }
    }

    /// The length of the prefix for keys that share the first `common` bytes and
    /// have at least `shortest`. The window ends where the keys end
    /// rather than starting where they part: numbers that count up would leave it
    /// with the first carry.
    pub(super) fn prefix_len(common: usize, shortest: usize) -> usize {
        common.min(shortest.saturating_sub(8)).min(u16::MAX.into())
    }

    #[inline]
    pub(super) fn head(&self, key: &[u8]) -> u64 {
        let len = self.prefix.len();
        if self.mask == 0 {
            return 0;
        }
        if let Some((start, rest)) = key.split_at_checked(len)
            && start == self.prefix
        {
            if let Some(head) = rest.first_chunk::<8>() {
                return u64::from_be_bytes(*head);
            }
            let mut head = [0; 8];
            head[..rest.len()].copy_from_slice(rest);
            return u64::from_be_bytes(head);
        }
        if key < self.prefix { 0 } else { u64::MAX }
    }
}
