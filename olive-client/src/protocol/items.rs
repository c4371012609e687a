//! The items of bodies: keys of MGETB, operations of BATCH, values and entries of
//! replies. Each list is checked whole, once, before anyone walks over it.
//!
//! ```text
//! key of MGETB          <klen>\n<k>
//! operation of BATCH    PUTB <klen> <vlen>\n<k><v>  |  DELB <klen>\n<k>
//! value of a reply      <vlen>\n<v>  |  -1\n
//! entry of a page       <klen> <vlen>\n<k><v>
//! ```

use super::error::{ErrorKind, escape};
use super::number::Number;
use super::{Limits, find_newline};

/// An item's line is never longer: a verb and two numbers of 19 digits.
const ITEM_LINE_BYTES_MAX: usize = 48;

/// What is wrong with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

fn fault(text: impl Into<String>) -> Fault {
    Fault { kind: ErrorKind::Protocol, text: text.into() }
}

fn number(name: &str, bytes: &[u8]) -> Result<usize, Fault> {
    match Number::parse(bytes) {
        // What is larger than any body is caught by the limits and by `take`.
        Ok(Number(number)) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        Err(why) => Err(fault(format!("{name} \"{}\" {why}", escape(bytes, 40)))),
    }
}

/// Takes the line that `rest` begins with.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let window = rest.get(..ITEM_LINE_BYTES_MAX).unwrap_or(rest);
    let Some(end) = find_newline(window) else {
        return Err(fault("has no newline behind its lengths"));
    };
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Ok(line)
}

fn take<'a>(rest: &mut &'a [u8], name: &str, length: usize) -> Result<&'a [u8], Fault> {
    let Some((taken, left)) = rest.split_at_checked(length) else {
        let left = rest.len();
        return Err(fault(format!("{name} has {length} bytes, and {left} are left of the body")));
    };
    *rest = left;
    Ok(taken)
}

fn check(name: &str, length: usize, max: usize) -> Result<(), Fault> {
    if length <= max {
        return Ok(());
    }
    let text = format!("{name} has {length} bytes, over the limit of {max}");
    Err(Fault { kind: ErrorKind::TooLarge, text })
}

fn take_key<'a>(rest: &mut &'a [u8], limits: &Limits) -> Result<&'a [u8], Fault> {
    let length = number("the key's length", take_line(rest)?)?;
    check("the key", length, limits.key_bytes_max)?;
    take(rest, "the key", length)
}

fn take_operation<'a>(rest: &mut &'a [u8], limits: &Limits) -> Result<Operation<'a>, Fault> {
    let line = take_line(rest)?;
    if let Some(lengths) = line.strip_prefix(b"PUTB ") {
        let (klen, vlen) = two_numbers(lengths)?;
        check("the key", klen, limits.key_bytes_max)?;
        check("the value", vlen, limits.value_bytes_max)?;
        let key = take(rest, "the key", klen)?;
        Ok(Operation::Put { key, value: take(rest, "the value", vlen)? })
    } else if let Some(length) = line.strip_prefix(b"DELB ") {
        let klen = number("the key's length", length)?;
        check("the key", klen, limits.key_bytes_max)?;
        Ok(Operation::Delete { key: take(rest, "the key", klen)? })
    } else {
        let line = escape(line, 40);
        Err(fault(format!("begins with \"{line}\", and neither PUTB nor DELB")))
    }
}

fn two_numbers(bytes: &[u8]) -> Result<(usize, usize), Fault> {
    let Some(space) = bytes.iter().position(|&byte| byte == b' ') else {
        return Err(fault("has one length, and needs the key's and the value's"));
    };
    let klen = number("the key's length", &bytes[..space])?;
    Ok((klen, number("the value's length", &bytes[space + 1..])?))
}

fn take_value<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    match take_line(rest)? {
        b"-1" => Ok(None),
        line => {
            let length = number("the value's length", line)?;
            take(rest, "the value", length).map(Some)
        }
    }
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let (klen, vlen) = two_numbers(take_line(rest)?)?;
    let key = take(rest, "the key", klen)?;
    Ok((key, take(rest, "the value", vlen)?))
}

/// Walks over a body: how many items it is, if all is well with each.
fn count<'a, T>(
    body: &'a [u8],
    item: impl Fn(&mut &'a [u8]) -> Result<T, Fault>,
) -> Result<usize, Fault> {
    let (mut rest, mut items) = (body, 0);
    while !rest.is_empty() {
        let offset = body.len() - rest.len();
        item(&mut rest).map_err(|why| Fault {
            kind: why.kind,
            text: format!("item {items} at offset {offset}: {}", why.text),
        })?;
        items += 1;
    }
    Ok(items)
}

fn expect<'a, T>(
    body: &'a [u8],
    promised: u64,
    item: impl Fn(&mut &'a [u8]) -> Result<T, Fault>,
) -> Result<usize, Fault> {
    let items = count(body, item)?;
    if items as u64 == promised {
        return Ok(items);
    }
    let bytes = body.len();
    let text = format!("the body holds {items}, and {promised} items were promised");
    Err(fault(format!("item {items} at offset {bytes}: {text}")))
}

macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $item:ty, $take:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a> {
            rest: &'a [u8],
            items: usize,
        }

        impl<'a> $name<'a> {
            /// The bytes of the items that are left.
            #[must_use]
            pub const fn bytes(&self) -> &'a [u8] {
                self.rest
            }

            /// How many items are left.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.items
            }

            /// Whether none is left.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.items == 0
            }
        }

        impl<'a> Iterator for $name<'a> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                // The bytes were checked when the list was made.
                let item = $take(&mut self.rest).ok()?;
                self.items = self.items.saturating_sub(1);
                Some(item)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.items, Some(self.items))
            }
        }
    };
}

/// No limits: for items that were checked, or come from one's own server.
const ANY: Limits = Limits {
    line_bytes_max: usize::MAX,
    key_bytes_max: usize::MAX,
    value_bytes_max: usize::MAX,
    body_bytes_max: usize::MAX,
};

list!(
    /// The keys of MGETB.
    Keys, &'a [u8], |rest: &mut &'a [u8]| take_key(rest, &ANY)
);
list!(
    /// The operations of BATCH.
    Operations, Operation<'a>, |rest: &mut &'a [u8]| take_operation(rest, &ANY)
);
list!(
    /// The values of MGETB's reply, in the order of its keys; `None` where a key has
    /// none.
    Values, Option<&'a [u8]>, take_value
);
list!(
    /// The entries of a page of SCAN or RSCAN: keys and values.
    Entries, (&'a [u8], &'a [u8]), take_entry
);

/// One operation of BATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// PUTB.
    Put {
        /// Any bytes.
        key: &'a [u8],
        /// Any bytes.
        value: &'a [u8],
    },
    /// DELB.
    Delete {
        /// Any bytes.
        key: &'a [u8],
    },
}

impl<'a> Keys<'a> {
    pub(crate) fn checked(rest: &'a [u8], items: u64, limits: &Limits) -> Result<Self, Fault> {
        Ok(Keys { rest, items: expect(rest, items, |rest| take_key(rest, limits))? })
    }

    /// Keys from bytes that the caller wrote by [`push`](Self::push).
    pub(crate) fn written(rest: &'a [u8], items: usize) -> Self {
        Keys { rest, items }
    }

    /// Appends a key as an item.
    pub(crate) fn push(body: &mut Vec<u8>, key: &[u8]) {
        super::number::push_length(body, key.len());
        body.push(b'\n');
        body.extend_from_slice(key);
    }
}

impl<'a> Operations<'a> {
    pub(crate) fn checked(rest: &'a [u8], items: u64, limits: &Limits) -> Result<Self, Fault> {
        Ok(Operations { rest, items: expect(rest, items, |rest| take_operation(rest, limits))? })
    }

    pub(crate) fn written(rest: &'a [u8], items: usize) -> Self {
        Operations { rest, items }
    }
}

impl<'a> Values<'a> {
    /// The values in the body of a reply to MGETB; `None` if it is not one.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Values { rest: body, items: count(body, take_value).ok()? })
    }
}

impl<'a> Entries<'a> {
    /// The entries in the body of a reply to SCAN; `None` if it is not one.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Entries { rest: body, items: count(body, take_entry).ok()? })
    }

    /// What is left of entries that were parsed before.
    pub(crate) fn written(rest: &'a [u8], items: usize) -> Self {
        Entries { rest, items }
    }
}
