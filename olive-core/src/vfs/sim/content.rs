//! What a file holds, and what of it is durable.
//!
//! A sync that failed leaves its mutations *abandoned*: still read, still
//! perhaps on disk, but no later sync makes them durable, since the system
//! holds their pages for clean.

use crate::sync::Arc;

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub(super) current: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Vec<Pending>,
}

/// A mutation of a file that is not durable.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) change: Change,
    /// A sync failed behind it: no later one makes it durable.
    pub(super) abandoned: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Extend { len: usize },
}

impl File {
    pub(super) fn sync(&mut self) {
        let (abandoned, synced): (Vec<Pending>, Vec<Pending>) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| change.abandoned);
        let synced_bytes: usize = synced.iter().map(|pending| pending.change.bytes()).sum();
        self.pending = abandoned;
        if self.pending.is_empty() && synced_bytes >= self.current.len() / 2 {
            // The same as the loop below, in memory of one copy instead of two.
            self.durable = Arc::clone(&self.current);
            return;
        }
        for pending in &synced {
            pending.change.apply(Arc::make_mut(&mut self.durable));
            // Otherwise a crash that keeps the abandoned write would put older
            // bytes over these.
            for abandoned in &mut self.pending {
                abandoned.change.overlay(&pending.change);
            }
        }
    }

    pub(super) fn abandon(&mut self) {
        for pending in &mut self.pending {
            pending.abandoned = true;
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Extend { len } => {
                if content.len() < *len {
                    content.resize(*len, 0);
                }
            }
        }
    }

    /// The length that a file has at least once this is done.
    pub(super) fn end(&self) -> usize {
        match self {
            Change::Write { offset, bytes } => offset + bytes.len(),
            Change::Extend { len } => *len,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Change::Write { bytes, .. } => bytes.len(),
            Change::Extend { .. } => 0,
        }
    }

    /// Takes over the bytes that `later` puts in the same places.
    fn overlay(&mut self, later: &Change) {
        let (Change::Write { offset, bytes }, Change::Write { offset: from, bytes: new }) =
            (self, later)
        else {
            return;
        };
        let start = (*offset).max(*from);
        let end = (*offset + bytes.len()).min(from + new.len());
        if start < end {
            let mut merged = bytes.to_vec();
            merged[start - *offset..end - *offset].copy_from_slice(&new[start - from..end - from]);
            *bytes = merged.into();
        }
    }
}
