//! The live snapshots.

use std::collections::BTreeMap;

use crate::key::SeqNo;
use crate::sync::Mutex;

/// Sequence numbers that somebody holds, with how many hold each.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<BTreeMap<SeqNo, u64>>);

impl Snapshots {
    /// Loads a number by `published` and registers it, in one step against
    /// [`list`](Self::list): a job that does not see the snapshot began before the
    /// number was loaded, so it cannot drop what the snapshot reads.
    pub(crate) fn register(&self, published: impl FnOnce() -> SeqNo) -> SeqNo {
        let mut live = self.0.lock();
        let seq = published();
        *live.entry(seq).or_insert(0) += 1;
        seq
    }

    /// One holder of `seq` less.
    pub(crate) fn release(&self, seq: SeqNo) {
        let mut live = self.0.lock();
        if let Some(holders) = live.get_mut(&seq) {
            *holders -= 1;
            if *holders == 0 {
                live.remove(&seq);
            }
        }
    }

    /// The numbers held, ascending.
    pub(crate) fn list(&self) -> Vec<SeqNo> {
        self.0.lock().keys().copied().collect()
    }

    /// How many snapshots there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_as_often_as_it_was_registered() {
        let snapshots = Snapshots::default();
        snapshots.register(|| SeqNo(7));
        snapshots.register(|| SeqNo(3));
        snapshots.register(|| SeqNo(7));
        snapshots.release(SeqNo(7));
        assert_eq!(snapshots.list(), [SeqNo(3), SeqNo(7)]);
        assert_eq!(snapshots.count(), 2);
        snapshots.release(SeqNo(7));
        assert_eq!(snapshots.list(), [SeqNo(3)]);
    }
}
