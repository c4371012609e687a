//! How a merge's [`Window`] lies over a block's keys.

use crate::format::block::{HEAD_BYTES, head_of};
use crate::internal_iter::Window;

/// How heads of keys in a window come from the heads of a block's suffixes.
///
/// ```text
/// a key          prefix of the window │ 8 bytes in the window │ ...
/// the same key   prefix of the block            │ head of the suffix │ ...
///                                       └ base ─┘└ head >> shift
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fit {
    /// The number of the window that it is for; 0: none.
    pub(super) window: u64,
    pub(super) base: u64,
    /// `None`: the window begins behind the block's prefix, so each key is looked at.
    pub(super) shift: Option<u32>,
}

impl Fit {
    /// For a block whose keys share `prefix`.
    pub(super) fn of(prefix: &[u8], window: &Window) -> Fit {
        let number = window.number();
        match prefix.strip_prefix(window.prefix()) {
            Some(inside) => {
                let shift = 8 * inside.len().min(HEAD_BYTES) as u32;
                Fit { window: number, base: head_of(inside), shift: Some(shift) }
            }
            None if window.prefix().starts_with(prefix) => {
                Fit { window: number, base: 0, shift: None }
            }
            // All keys of the block lie on one side.
            None => Fit { window: number, base: window.head(prefix), shift: Some(u64::BITS) },
        }
    }
}
