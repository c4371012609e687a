//! What reads give back: [`Value`], which pins what it points into, and [`Key`].

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::sync::OwnLines;
use crate::vfs::Mapping;

/// What holds a mapping, or bytes that were read: the count of such handles is on another
/// cache line than what a read of the bytes needs.
pub(crate) type MappingHandle = Arc<OwnLines<Mapping>>;

/// Bytes that live as long as their owner: a memtable's arena behind a value.
pub(crate) trait Pinned: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

/// A value as it stands in an SSTable or a memtable, without a copy.
///
/// It keeps its table's mapping, or its memtable's memory, alive for as long as
/// it or a clone of it is held, also after the database is closed.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// db.put("k", "value")?;
/// let value = db.get("k")?.unwrap();
/// assert_eq!(value, b"value");
/// assert_eq!(value.len(), 5);
/// let moved = std::thread::spawn(move || value.to_vec()).join().unwrap();
/// assert_eq!(moved, b"value");
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; Value::INLINE_BYTES] },
    Owned(Arc<[u8]>),
    Mapped { mapping: MappingHandle, offset: usize, len: usize },
    Pinned(Arc<dyn Pinned>),
}

impl Value {
    const INLINE_BYTES: usize = 30;

    /// A copy of `bytes`.
    pub(crate) fn copied(bytes: &[u8]) -> Value {
        if bytes.len() <= Value::INLINE_BYTES {
            let mut inline = [0; Value::INLINE_BYTES];
            inline[..bytes.len()].copy_from_slice(bytes);
            Value(Repr::Inline { len: bytes.len() as u8, bytes: inline })
        } else {
            Value(Repr::Owned(bytes.into()))
        }
    }

    /// The range of `mapping` that starts at `offset`.
    ///
    /// # Panics
    ///
    /// Where the range does not lie within the mapping.
    pub(crate) fn mapped(mapping: MappingHandle, offset: usize, len: usize) -> Value {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= mapping.len()),
            "a value lies within its table"
        );
        Value(Repr::Mapped { mapping, offset, len })
    }

    /// The bytes of `pin`, which is held from now on.
    pub(crate) fn pinned(pin: Arc<dyn Pinned>) -> Value {
        Value(Repr::Pinned(pin))
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Owned(bytes) => bytes,
            Repr::Mapped { mapping, offset, len } => &mapping[*offset..*offset + *len],
            Repr::Pinned(pin) => pin.bytes(),
        }
    }
}

/// A key as iterators give it: owned, and without an allocation up to 30 bytes.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// db.put("k\0", "v")?;
/// let (key, _) = db.iter()?.next().unwrap()?;
/// assert_eq!(key, b"k\0");
/// assert_eq!(format!("{key:?}"), r#"b"k\x00""#);
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Key(Value);

impl Key {
    /// A copy of `bytes`.
    pub(crate) fn copied(bytes: &[u8]) -> Key {
        Key(Value::copied(bytes))
    }
}

impl Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! bytes_like {
    ($type:ty) => {
        impl AsRef<[u8]> for $type {
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl Borrow<[u8]> for $type {
            fn borrow(&self) -> &[u8] {
                self
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "b\"{}\"", self.escape_ascii())
            }
        }

        /// UTF-8 text as it is, with `\u{FFFD}` for what is not.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                String::from_utf8_lossy(self).fmt(f)
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl Eq for $type {}

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl PartialEq<[u8]> for $type {
            fn eq(&self, other: &[u8]) -> bool {
                **self == *other
            }
        }

        impl PartialEq<&[u8]> for $type {
            fn eq(&self, other: &&[u8]) -> bool {
                **self == **other
            }
        }

        impl<const N: usize> PartialEq<[u8; N]> for $type {
            fn eq(&self, other: &[u8; N]) -> bool {
                **self == other[..]
            }
        }

        impl<const N: usize> PartialEq<&[u8; N]> for $type {
            fn eq(&self, other: &&[u8; N]) -> bool {
                **self == other[..]
            }
        }

        impl PartialEq<Vec<u8>> for $type {
            fn eq(&self, other: &Vec<u8>) -> bool {
                **self == other[..]
            }
        }
    };
}

bytes_like!(Value);
bytes_like!(Key);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_and_print_as_their_bytes() {
        for len in [0, 1, 30, 31, 1000] {
            let bytes = vec![b'x'; len];
            let value = Value::copied(&bytes);
            assert_eq!(value, bytes);
            assert_eq!(value.clone(), value);
            assert_eq!(Key::copied(&bytes), bytes);
        }
        assert_eq!(format!("{:?} {}", Value::copied(b"a\0"), Value::copied(b"b")), "b\"a\\x00\" b");
        assert_eq!(Value::copied(b"ab"), b"ab");
    }

    #[test]
    fn handles_can_go_anywhere() {
        fn anywhere<T: Send + Sync + Clone + 'static>() {}
        anywhere::<Value>();
        anywhere::<Key>();
    }
}
