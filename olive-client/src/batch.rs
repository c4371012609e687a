//! [`WriteBatch`]: its bytes are the body of a BATCH.

use crate::client::{check_body, check_key, check_value};
use crate::error::{Error, Result};
use crate::protocol::{write_delb, write_putb};

/// Operations to be written atomically.
///
/// Its methods never fail: what is over a limit is reported by
/// [`Client::write`](crate::Client::write), and then nothing is written. Later
/// operations on a key win over earlier ones.
///
/// ```
/// let mut batch = olive_client::WriteBatch::new();
/// batch.put("apple", "red").delete("plum");
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    body: Vec<u8>,
    operations: usize,
    problem: Option<Error>,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// Puts `value` under `key`.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.push(check_key(key).and_then(|()| check_value(value)), |body| {
            write_putb(body, key, value);
        })
    }

    /// Deletes `key`; it need not be there.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        let key = key.as_ref();
        self.push(check_key(key), |body| write_delb(body, key))
    }

    fn push(&mut self, checked: Result<()>, encode: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        if self.problem.is_none() {
            match checked {
                Ok(()) => {
                    encode(&mut self.body);
                    self.operations += 1;
                    self.problem = check_body(self.body.len()).err();
                }
                Err(problem) => self.problem = Some(problem),
            }
        }
        self
    }

    /// How many operations it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// The encoded size, in bytes; at most 65 MiB can be written.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.body.len()
    }

    /// Removes all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.body.clear();
        self.operations = 0;
        self.problem = None;
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.problem.clone().map_or(Ok(()), Err)
    }
}
