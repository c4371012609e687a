//! Ranges of keys, as calls take them.

use std::ops::{
    Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive,
};

/// A range of keys: every range of the standard library over anything that is
/// bytes (`"a".."c"`, `vec![1]..=vec![2]`, `key..`, a pair of
/// [`Bound`]s), and `..` without a type to name.
///
/// A start behind the end is an empty range.
pub trait KeyRange: sealed::Sealed {
    /// The first key, and whether it belongs to the range.
    fn start(&self) -> Bound<&[u8]>;
    /// The last key, and whether it belongs to the range.
    fn end(&self) -> Bound<&[u8]>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for RangeFull {}

impl KeyRange for RangeFull {
    fn start(&self) -> Bound<&[u8]> {
        Bound::Unbounded
    }

    fn end(&self) -> Bound<&[u8]> {
        Bound::Unbounded
    }
}

macro_rules! ranges {
    ($($range:ty),*) => {$(
        impl<K: AsRef<[u8]>> sealed::Sealed for $range {}

        impl<K: AsRef<[u8]>> KeyRange for $range {
            fn start(&self) -> Bound<&[u8]> {
                bytes(self.start_bound())
            }

            fn end(&self) -> Bound<&[u8]> {
                bytes(self.end_bound())
            }
        }
    )*};
}

ranges!(
    Range<K>,
    RangeFrom<K>,
    RangeInclusive<K>,
    RangeTo<K>,
    RangeToInclusive<K>,
    (Bound<K>, Bound<K>)
);

fn bytes<K: AsRef<[u8]>>(bound: Bound<&K>) -> Bound<&[u8]> {
    bound.map(AsRef::as_ref)
}
