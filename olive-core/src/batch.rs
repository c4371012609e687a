//! A batch: operations that are written together or not at all.
//!
//! Its bytes are the payload of a WAL record, so that a write encodes once:
//!
//! ```text
//! operation   kind u8 · scoped key length varint · scoped key
//!             and for a put: value length varint · value
//! varint      LEB128 of a u32: 7 bits a byte, lowest first, at most 5 bytes
//! ```

use crate::error::{Error, Result};
use crate::key::{BATCH_BYTES_MAX, KEY_BYTES_MAX, KeyspaceId, Kind, VALUE_BYTES_MAX};

/// Operations to be written atomically, over one keyspace or several.
///
/// Its methods never fail: a key or value over its limit is reported by
/// [`Db::write`](crate::Db::write), and then nothing is written. Later
/// operations on a key win over earlier ones.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// let mut batch = olive_core::WriteBatch::new();
/// batch.put("apple", "1").put("pear", "2").delete("plum");
/// db.write(&batch)?;
/// assert_eq!(db.get("pear")?.unwrap(), b"2");
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    ops: Vec<u8>,
    count: u32,
    /// Of keys and values.
    put_bytes: usize,
    /// Keyspaces named, but for the default one; few, so a list.
    keyspaces: Vec<KeyspaceId>,
    /// The open database whose keyspaces are named.
    owner: Option<u64>,
    problem: Option<Error>,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// Puts `value` under `key` in the default keyspace.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.push(KeyspaceId::DEFAULT, Kind::Put, key.as_ref(), value.as_ref())
    }

    /// Deletes `key` in the default keyspace; it need not be there.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.push(KeyspaceId::DEFAULT, Kind::Delete, key.as_ref(), &[])
    }

    /// How many operations it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded size, in bytes; at most 1 GiB + 1 MiB can be written.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.ops.len()
    }

    /// Removes all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.count = 0;
        self.put_bytes = 0;
        self.keyspaces.clear();
        self.owner = None;
        self.problem = None;
    }

    /// Adds one operation on a keyspace of the open database `owner`.
    pub(crate) fn push_in(
        &mut self,
        owner: u64,
        keyspace: KeyspaceId,
        kind: Kind,
        key: &[u8],
        value: &[u8],
    ) -> &mut Self {
        if *self.owner.get_or_insert(owner) != owner {
            self.fail("the batch names keyspaces of two databases");
        } else if keyspace != KeyspaceId::DEFAULT && !self.keyspaces.contains(&keyspace) {
            self.keyspaces.push(keyspace);
        }
        self.push(keyspace, kind, key, value)
    }

    /// Adds one operation, or remembers why it cannot be written.
    pub(crate) fn push(
        &mut self,
        keyspace: KeyspaceId,
        kind: Kind,
        key: &[u8],
        value: &[u8],
    ) -> &mut Self {
        if self.problem.is_some() {
            return self;
        }
        if let Err(error) = check_sizes(key, value) {
            self.problem = Some(error);
            return self;
        }
        let bytes = key.len() + value.len() + KeyspaceId::ENCODED_BYTES_MAX + 11;
        if self.ops.len() + bytes > BATCH_BYTES_MAX + KeyspaceId::ENCODED_BYTES_MAX + 11 {
            self.fail(format!("the batch is over its limit of {BATCH_BYTES_MAX} bytes"));
            return self;
        }
        encode_op(&mut self.ops, keyspace, kind, key, value);
        self.count += 1;
        self.put_bytes += key.len() + value.len();
        self
    }

    fn fail(&mut self, text: impl Into<String>) {
        self.problem.get_or_insert_with(|| Error::invalid(text));
    }

    /// The first thing that keeps the batch from being written.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.problem {
            Some(error) => Err(error.clone()),
            None if self.ops.len() > BATCH_BYTES_MAX => Err(Error::invalid(format!(
                "a batch of {} bytes is over the limit of {BATCH_BYTES_MAX}",
                self.ops.len()
            ))),
            None => Ok(()),
        }
    }

    /// Bytes of all keys and values.
    pub(crate) fn put_bytes(&self) -> usize {
        self.put_bytes
    }

    /// The encoded operations.
    pub(crate) fn ops(&self) -> &[u8] {
        &self.ops
    }

    /// The open database whose keyspaces it names, and those but the default.
    pub(crate) fn keyspaces(&self) -> (Option<u64>, &[KeyspaceId]) {
        (self.owner, &self.keyspaces)
    }
}

/// Refuses a key or value over its limit.
pub(crate) fn check_sizes(key: &[u8], value: &[u8]) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a key of {} bytes is over the limit of {KEY_BYTES_MAX}",
            key.len()
        )));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a value of {} bytes is over the limit of {VALUE_BYTES_MAX}",
            value.len()
        )));
    }
    Ok(())
}

/// Appends one operation in the form that the WAL holds.
#[inline]
pub fn encode_op(out: &mut Vec<u8>, keyspace: KeyspaceId, kind: Kind, key: &[u8], value: &[u8]) {
    let (id, id_len) = keyspace.encoded();
    out.reserve(11 + id_len + key.len() + value.len());
    out.push(kind as u8);
    push_varint(out, (id_len + key.len()) as u32);
    out.extend_from_slice(&id[..id_len]);
    out.extend_from_slice(key);
    if kind == Kind::Put {
        push_varint(out, value.len() as u32);
        out.extend_from_slice(value);
    }
}

#[inline]
fn push_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// One decoded operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op<'a> {
    /// What it does.
    pub kind: Kind,
    /// To which key: keyspace id and user key.
    pub scoped: &'a [u8],
    /// Empty for a delete.
    pub value: &'a [u8],
}

/// Walks encoded operations; the first bad byte ends it with its offset and cause.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Ops<'a> {
    /// Over the payload of a record.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Ops<'a> {
        Ops { bytes, offset: 0 }
    }

    #[inline]
    fn op(&mut self) -> std::result::Result<Op<'a>, String> {
        let number = self.take(1)?[0];
        let kind = Kind::from_number(number)
            .map_err(|name| format!("operation of kind {number}: {name}"))?;
        let scoped_len = self.varint()?;
        let scoped = self.take(scoped_len)?;
        match KeyspaceId::split(scoped) {
            Some((_, user_key)) if user_key.len() <= KEY_BYTES_MAX => {}
            Some((_, user_key)) => return Err(format!("a key of {} bytes", user_key.len())),
            None => return Err("a key without a keyspace id".to_owned()),
        }
        let value = if kind == Kind::Put {
            let value_len = self.varint()?;
            self.take(value_len)?
        } else {
            &[]
        };
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("a value of {} bytes", value.len()));
        }
        Ok(Op { kind, scoped, value })
    }

    #[inline]
    fn take(&mut self, len: usize) -> std::result::Result<&'a [u8], String> {
        let rest = &self.bytes[self.offset..];
        match rest.get(..len) {
            Some(bytes) => {
                self.offset += len;
                Ok(bytes)
            }
            None => Err(too_few(len, rest.len())),
        }
    }

    #[inline]
    fn varint(&mut self) -> std::result::Result<usize, String> {
        match self.bytes.get(self.offset) {
            Some(&byte) if byte < 0x80 => {
                self.offset += 1;
                Ok(usize::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> std::result::Result<usize, String> {
        let mut number = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let fits = u32::try_from(number).map_err(|_| "a length past 32 bits".to_owned())?;
                return Ok(fits as usize);
            }
        }
        Err("a length past 5 bytes".to_owned())
    }
}

#[cold]
fn too_few(wanted: usize, left: usize) -> String {
    format!("{wanted} bytes wanted, {left} left")
}

impl<'a> Iterator for Ops<'a> {
    type Item = std::result::Result<Op<'a>, (usize, String)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let start = self.offset;
        match self.op() {
            Ok(op) => Some(Ok(op)),
            Err(what) => {
                self.offset = self.bytes.len();
                Some(Err((start, what)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_read_back_as_they_were_pushed() {
        let mut batch = WriteBatch::new();
        batch.put("", "").put("k", vec![7; 300]).delete(vec![0xFF; 65_535]);
        batch.push_in(9, KeyspaceId(500), Kind::Put, b"x", b"y");
        batch.check().unwrap();
        let ops: Vec<_> = Ops::new(batch.ops()).map(|op| op.unwrap()).collect();
        assert_eq!(ops.len(), batch.len());
        assert_eq!(ops[0], Op { kind: Kind::Put, scoped: &[1], value: b"" });
        assert_eq!(ops[1].value, &[7; 300]);
        assert_eq!(ops[2].scoped.len(), 65_536);
        assert_eq!(KeyspaceId::split(ops[3].scoped), Some((KeyspaceId(500), &b"x"[..])));
        assert_eq!(batch.keyspaces(), (Some(9), &[KeyspaceId(500)][..]));
        batch.clear();
        assert!(batch.is_empty() && batch.encoded_bytes() == 0);
    }

    #[test]
    fn limits_are_reported_by_check_and_do_not_panic() {
        let mut batch = WriteBatch::new();
        batch.put(vec![0; 65_536], "");
        assert!(batch.check().unwrap_err().to_string().contains("65536"));
        let mut two_owners = WriteBatch::new();
        two_owners.push_in(1, KeyspaceId(2), Kind::Put, b"", b"");
        two_owners.push_in(2, KeyspaceId(2), Kind::Put, b"", b"");
        assert!(two_owners.check().is_err());
    }

    #[test]
    fn every_cut_and_every_flip_is_an_error_or_other_operations() {
        let mut batch = WriteBatch::new();
        batch.put("key", "value").delete("gone");
        for cut in 1..batch.ops().len() {
            let whole: Vec<_> = Ops::new(&batch.ops()[..cut]).collect();
            assert!(whole.len() <= 2);
        }
        for bit in 0..batch.ops().len() * 8 {
            let mut bytes = batch.ops().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Ops::new(&bytes).count() <= bytes.len());
        }
        assert!(Ops::new(&[1, 0x80, 0x80, 0x80, 0x80, 0x80]).next().unwrap().is_err());
        assert!(Ops::new(&[3, 1, 1]).next().unwrap().unwrap_err().1.contains("range-delete"));
    }
}
