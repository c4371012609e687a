//! What the child says on its standard output, to its death.
//!
//! ```text
//! frame   kind u8 · writer u8 · phases u8 · 0 · key length u32 · number u64    little-endian
//!
//! opening                 before open is called
//! opened                  it returned; number: microseconds
//! entry                   number: length of the value; then key and value
//! entries end             number: how many there were
//! acknowledged            writer, number: that write has returned; what was under way then
//! ```
//!
//! An acknowledgement is one `write` of 16 bytes to a pipe, which the system does whole
//! or not at all, and which outlives the writer.

use std::io::{self, Read, Write};

/// A flush was under way.
pub(crate) const FLUSH: u8 = 1;
/// A compaction was under way.
pub(crate) const COMPACTION: u8 = 2;

const HEAD_BYTES: usize = 16;

/// What the child tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Opening,
    Opened { micros: u64 },
    Entry { key: Vec<u8>, value: Vec<u8> },
    EntriesEnd { count: u64 },
    Acknowledged { writer: u8, number: u64, phases: u8 },
}

impl Said {
    /// Writes it; an entry in several pieces, all else in one.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let head = |kind: u8, writer: u8, phases: u8, key_len: usize, number: u64| {
            let mut head = [0; HEAD_BYTES];
            head[..3].copy_from_slice(&[kind, writer, phases]);
            head[4..8].copy_from_slice(&(key_len as u32).to_le_bytes());
            head[8..].copy_from_slice(&number.to_le_bytes());
            head
        };
        match self {
            Said::Opening => out.write_all(&head(1, 0, 0, 0, 0)),
            Said::Opened { micros } => out.write_all(&head(2, 0, 0, 0, *micros)),
            Said::Entry { key, value } => {
                out.write_all(&head(3, 0, 0, key.len(), value.len() as u64))?;
                out.write_all(key)?;
                out.write_all(value)
            }
            Said::EntriesEnd { count } => out.write_all(&head(4, 0, 0, 0, *count)),
            Said::Acknowledged { writer, number, phases } => {
                out.write_all(&head(5, *writer, *phases, 0, *number))
            }
        }
    }

    /// The next; `None` at the end, in the middle of a frame too: its writer was killed.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Said>> {
        let mut head = [0; HEAD_BYTES];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [kind, writer, phases, _, key_len @ .., _, _, _, _, _, _, _, _] = head;
        let number = u64::from_le_bytes(*head.last_chunk().expect("half of the frame"));
        Ok(Some(match kind {
            1 => Said::Opening,
            2 => Said::Opened { micros: number },
            3 => {
                let mut key = vec![0; u32::from_le_bytes(key_len) as usize];
                let mut value = vec![0; number as usize];
                let read = from.read_exact(&mut key).and_then(|()| from.read_exact(&mut value));
                match read {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    read => read?,
                }
                Said::Entry { key, value }
            }
            4 => Said::EntriesEnd { count: number },
            5 => Said::Acknowledged { writer, number, phases },
            other => {
                let text = format!("the child said something of kind {other}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_half_of_it_is_not() {
        let all = [
            Said::Opening,
            Said::Opened { micros: 1 << 40 },
            Said::Entry { key: b"key".to_vec(), value: vec![7; 300] },
            Said::EntriesEnd { count: 1 },
            Said::Acknowledged { writer: 7, number: u64::MAX, phases: FLUSH | COMPACTION },
        ];
        let mut bytes = Vec::new();
        for said in &all {
            said.write(&mut bytes).unwrap();
        }
        let mut from = &bytes[..];
        for said in &all {
            assert_eq!(Said::read(&mut from).unwrap().as_ref(), Some(said));
        }
        assert_eq!(Said::read(&mut from).unwrap(), None);
        assert_eq!(Said::read(&mut &bytes[..10]).unwrap(), None);
        assert_eq!(Said::read(&mut &bytes[2 * HEAD_BYTES..][..30]).unwrap(), None);
        assert!(Said::read(&mut &[9; HEAD_BYTES][..]).is_err());
    }
}
