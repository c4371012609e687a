//! What the disk may hold when the power goes, and the journal that tells it
//! for any moment of a run.
//!
//! The journal holds the disk as it was when recording began and every mutation
//! since. Images of rising mutation numbers each go on from the one before; a
//! lower number starts from the beginning again.

use std::path::Path;

use super::disk::{Disk, Op};
use super::image::image;
use super::{SimVfs, State, TraceEntry};
use crate::sync::Arc;

/// What survives of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashMode {
    /// Nothing: what was synced is all there is.
    Synced,
    /// Everything: the process was killed, and the system wrote it all out later.
    Everything,
    /// Each 512-byte sector of each write survives or not, by `seed`, in any
    /// order; a file keeps one of the lengths that it had since it was synced;
    /// of the operations on names a prefix in each folder survives, or any of
    /// them, by `seed`. A rename survives whole.
    Random {
        /// Decides all of it.
        seed: u64,
    },
    /// Everything before the last mutation, and of that, if it was a write or a
    /// store, the first `bytes` only.
    Torn {
        /// Bytes of the last write that survive.
        bytes: u64,
    },
    /// All contents and lengths; of the operations on names that no sync of a
    /// folder made durable, some survive, by `seed`: names behind data.
    Names {
        /// Decides which.
        seed: u64,
    },
    /// All names; files keep the lengths that they had, but what they grew by
    /// since they were synced holds `Fill`. Writes before that are lost.
    Tail(Fill),
    /// All names and lengths; the range of every write that was not synced holds
    /// `Fill`, as does what a file grew by.
    Spoiled(Fill),
}

/// What stands where nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// What the sectors held in an earlier life.
    Garbage {
        /// Decides the bytes.
        seed: u64,
    },
}

#[derive(Debug)]
pub(super) struct Journal {
    pub(super) base: Disk,
    pub(super) base_number: u64,
    pub(super) entries: Vec<(TraceEntry, Op)>,
    /// The disk right after the mutation of this number.
    replay: (u64, Disk),
}

impl SimVfs {
    /// Begins to record mutations, from the disk as it is now; or ends it and
    /// forgets them.
    pub fn record(&self, on: bool) {
        let mut state = self.state();
        state.journal = on.then(|| Journal::new(&state.disk, state.mutations));
    }

    /// The mutations recorded so far.
    #[must_use]
    pub fn trace(&self) -> Vec<TraceEntry> {
        let state = self.state();
        state
            .journal
            .iter()
            .flat_map(|journal| &journal.entries)
            .map(|(entry, _)| entry.clone())
            .collect()
    }

    /// The mutation of this number, if it was recorded.
    #[must_use]
    pub fn trace_entry(&self, number: u64) -> Option<TraceEntry> {
        let state = self.state();
        let journal = state.journal.as_ref()?;
        Some(journal.entry(number)?.0.clone())
    }

    /// The disk after a power cut right after mutation `number`. All that it
    /// holds is durable; its own mutations begin at 0.
    ///
    /// # Panics
    ///
    /// Where `number` was not recorded.
    #[must_use]
    pub fn crash_at(&self, number: u64, mode: CrashMode) -> SimVfs {
        let mut state = self.state();
        let journal = state.journal();
        let disk = match mode {
            CrashMode::Torn { bytes } => journal.torn(number, bytes),
            _ => image(journal.disk_at(number), mode),
        };
        state.copy(disk)
    }

    /// The disk after a power cut now.
    ///
    /// # Panics
    ///
    /// For [`CrashMode::Torn`] while mutations are not recorded.
    #[must_use]
    pub fn crash_now(&self, mode: CrashMode) -> SimVfs {
        if let CrashMode::Torn { .. } = mode {
            let number = self.mutations();
            return self.crash_at(number, mode);
        }
        let state = self.state();
        state.copy(image(&state.disk, mode))
    }

    /// The disk after the process was killed right after mutation `number`: all
    /// is read, and what was not durable still is not, so that a later power cut
    /// can take it. No handle, lock, fault or filter is left; mutations begin at 0.
    ///
    /// # Panics
    ///
    /// Where `number` was not recorded.
    #[must_use]
    pub fn kill_at(&self, number: u64) -> SimVfs {
        let mut state = self.state();
        let disk = state.journal().disk_at(number).clone();
        state.copy(disk)
    }

    /// As [`kill_at`](SimVfs::kill_at), now, and recorded or not.
    #[must_use]
    pub fn kill_now(&self) -> SimVfs {
        let state = self.state();
        state.copy(state.disk.clone())
    }

    /// As [`kill_now`](SimVfs::kill_now), and the run goes on: the record, the
    /// numbers and the filter move to the new disk, and this one has no record.
    #[must_use]
    pub fn restart(&self) -> SimVfs {
        let copy = self.fork();
        let mut state = self.state();
        let mut next = copy.state();
        next.mutations = state.mutations;
        next.journal = state.journal.take();
        drop(next);
        copy
    }

    /// As [`kill_now`](SimVfs::kill_now), with another seed for randomness.
    #[must_use]
    pub fn remount(&self, seed: u64) -> SimVfs {
        let copy = self.kill_now();
        copy.state().random = seed;
        copy
    }

    /// As [`kill_now`](SimVfs::kill_now), with the filter kept: a run tried in
    /// two ways from here on.
    #[must_use]
    pub fn fork(&self) -> SimVfs {
        let copy = self.kill_now();
        copy.state().filter = self.state().filter.clone();
        copy
    }

    /// A hash of all paths of files and what they hold now.
    #[must_use]
    pub fn image_hash(&self) -> u64 {
        self.image_hash_of(Path::new("/"))
    }

    /// The same of what lies below `dir`.
    #[must_use]
    pub fn image_hash_of(&self, dir: &Path) -> u64 {
        let state = self.state();
        let mut hash = Hash(0);
        for (path, node) in state.disk.files().into_iter().filter(|(path, _)| path.starts_with(dir))
        {
            hash.add(path.as_os_str().as_encoded_bytes());
            hash.add(state.disk.file(node).map_or(&[], |file| &file.current[..]));
        }
        hash.0
    }
}

impl State {
    pub(super) fn journal(&mut self) -> &mut Journal {
        match &mut self.journal {
            Some(journal) => journal,
            None => panic!("mutations are not recorded: call record(true) first"),
        }
    }

    /// A machine of its own that has `disk`: no handle, lock or fault.
    pub(super) fn copy(&self, mut disk: Disk) -> SimVfs {
        disk.let_go(|_| false);
        let copy = SimVfs::of_disk(disk, self.random, self.settings.clone());
        copy.state().now = self.now;
        copy
    }
}

impl Journal {
    pub(super) fn new(disk: &Disk, number: u64) -> Journal {
        Journal {
            base: disk.clone(),
            base_number: number,
            entries: Vec::new(),
            replay: (number, disk.clone()),
        }
    }

    pub(super) fn push(&mut self, entry: TraceEntry, op: Op) {
        self.entries.push((entry, op));
    }

    fn entry(&self, number: u64) -> Option<&(TraceEntry, Op)> {
        let index = number.checked_sub(self.base_number + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The disk right after mutation `number`.
    pub(super) fn disk_at(&mut self, number: u64) -> &Disk {
        let last = self.base_number + self.entries.len() as u64;
        assert!(
            (self.base_number..=last).contains(&number),
            "mutation {number} is not among those recorded, {} to {last}",
            self.base_number,
        );
        if number < self.replay.0 {
            self.replay = (self.base_number, self.base.clone());
        }
        let (at, disk) = &mut self.replay;
        let from = (*at - self.base_number) as usize;
        let to = (number - self.base_number) as usize;
        for (_, op) in &self.entries[from..to] {
            disk.apply(op);
            if op.syncs_dir() {
                disk.let_go(|_| false);
            }
        }
        *at = number;
        disk
    }

    fn torn(&mut self, number: u64, bytes_kept: u64) -> Disk {
        match self.entry(number).cloned() {
            Some((_, Op::Write { node, offset, bytes })) => {
                let kept = bytes.len().min(usize::try_from(bytes_kept).unwrap_or(usize::MAX));
                let mut disk = self.disk_at(number - 1).clone();
                disk.apply(&Op::Write { node, offset, bytes: Arc::from(&bytes[..kept]) });
                image(&disk, CrashMode::Everything)
            }
            _ => image(self.disk_at(number), CrashMode::Everything),
        }
    }
}

/// Not for enemies: it tells images apart, fast.
struct Hash(u64);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
