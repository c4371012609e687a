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
        let is_whole = self.pending.iter().all(|pending| !pending.abandoned);
        let bytes: usize = self.pending.iter().map(|pending| pending.change.bytes()).sum();
        if is_whole && bytes >= self.current.len() / 2 {
            // The same as below, in memory of one copy instead of two.
            self.pending.clear();
            self.durable = Arc::clone(&self.current);
            return;
        }
        self.settle();
    }

    /// Makes all that is pending durable, but for what was abandoned.
    fn settle(&mut self) {
        let (abandoned, synced): (Vec<Pending>, Vec<Pending>) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| change.abandoned);
        self.pending = abandoned;
        for pending in &synced {
            pending.change.apply(Arc::make_mut(&mut self.durable));
            // Otherwise a crash that keeps the abandoned write would put older
            // bytes over these.
            for abandoned in &mut self.pending {
                abandoned.change.overlay(&pending.change);
            }
        }
    }

    /// The same of the first `len` bytes: what was put behind them stays pending.
    pub(super) fn sync_to(&mut self, len: usize) {
        let mut behind = Vec::new();
        let mut within = Vec::new();
        for Pending { change, abandoned } in std::mem::take(&mut self.pending) {
            if abandoned {
                within.push(Pending { change, abandoned });
                continue;
            }
            let (before, after) = change.split_at(len);
            within.extend(before.map(|change| Pending { change, abandoned }));
            behind.extend(after.map(|change| Pending { change, abandoned }));
        }
        self.pending = within;
        if behind.is_empty() {
            return self.sync();
        }
        self.settle();
        self.pending.append(&mut behind);
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

    /// What of it lies before `len`, a new length included, and what behind.
    fn split_at(self, len: usize) -> (Option<Change>, Option<Change>) {
        match self {
            Change::Write { offset, bytes } if offset < len && offset + bytes.len() > len => {
                let (before, after) = bytes.split_at(len - offset);
                let before = Change::Write { offset, bytes: before.into() };
                (Some(before), Some(Change::Write { offset: len, bytes: after.into() }))
            }
            Change::Write { offset, .. } if offset >= len => (None, Some(self)),
            _ => (Some(self), None),
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
