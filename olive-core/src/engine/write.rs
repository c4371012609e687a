//! The write path, top to bottom: batch, sequence numbers, log, memtable,
//! published, and if asked for synced, acknowledged.
//!
//! One lock, `commit`, orders all writes; an uncontended writer takes it without
//! waiting, and no sync happens under it. A writer that finds no room (the
//! memtable full and none free, level 0 at its limit) lets go of it and waits.

use std::collections::BTreeSet;

use super::catalog::KeyspaceState;
use super::gaps::Watches;
use super::hold::{Deadline, price_step};
use super::stall::{Cause, Debts};
use super::view::View;
use super::{Engine, Immutable, arena_bytes};
use crate::batch::{Op, Ops, WriteBatch, check_sizes, encode_op};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{InternalKey, KeyspaceId, Kind, SeqNo, Tag};
use crate::memtable::{Memtable, MemtableWriter};
use crate::options::{Durability, Maintenance, WriteOptions};
use crate::sync::{Arc, Ordering};
use crate::wal::{LogWriter, WalPosition};

/// How many inserts of a batch have their memory on its way.
const INSERTS_AHEAD: usize = 3;

/// What the commit lock guards.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) log: LogWriter,
    pub(super) memtable: MemtableWriter,
    pub(super) next_seq: u64,
    /// Keyspaces that may be written, but for the catalog and the default one.
    pub(super) live: BTreeSet<KeyspaceId>,
    /// Bytes of the memtable at which the price of a write is set anew.
    pub(super) priced_at: usize,
    pub(super) put_ops: u64,
    pub(super) put_bytes: u64,
    pub(super) wal_written_bytes: u64,
    /// A write began and did not end: it panicked.
    pub(super) in_doubt: bool,
    /// Ranges that iterators found empty.
    pub(super) watches: Watches,
    /// Scratch: the record of a write of one operation.
    pub(super) payload: Vec<u8>,
}

/// What a write changes besides the tree.
pub(super) enum CatalogChange {
    None,
    Create(KeyspaceId),
    Drop(Arc<KeyspaceState>),
}

/// Whether a memtable or the log can take a write now.
enum Room {
    Yes,
    Wait(Cause),
}

impl Engine {
    /// Puts or deletes one key.
    pub(crate) fn write_one(
        &self,
        keyspace: KeyspaceId,
        kind: Kind,
        key: &[u8],
        value: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        check_sizes(key, value)?;
        let scoped_len = key.len() + KeyspaceId::ENCODED_BYTES_MAX;
        let arena_bytes = Memtable::entry_bytes_max(scoped_len, value.len());
        let payload_len = scoped_len + value.len() + 11;
        let keyspaces = if keyspace == KeyspaceId::DEFAULT { None } else { Some(keyspace) };
        self.commit(arena_bytes, payload_len, keyspaces.as_slice(), options, |commit, by_write| {
            let mut payload = std::mem::take(&mut commit.payload);
            payload.clear();
            encode_op(&mut payload, keyspace, kind, key, value);
            let put_bytes = key.len() + value.len();
            // A list of one is walked without a loop.
            let ops = Ops::new(&payload).flatten().next().into_iter();
            let end = apply(commit, (&payload, ops), 1, put_bytes, by_write);
            if payload.capacity() <= 1 << 20 {
                commit.payload = payload;
            }
            end
        })
    }

    /// Writes a batch: all of it, or nothing.
    pub(crate) fn write_batch(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        self.write_batch_with(batch, options, CatalogChange::None).map(|_| ())
    }

    /// Writes a batch and says which sequence number its last operation got.
    pub(super) fn write_batch_with(
        &self,
        batch: &WriteBatch,
        options: &WriteOptions,
        change: CatalogChange,
    ) -> Result<SeqNo> {
        self.check_open()?;
        batch.check()?;
        let (owner, keyspaces) = batch.keyspaces();
        if owner.is_some_and(|owner| owner != self.instance) {
            return Err(Error::invalid("the batch names a keyspace of another database"));
        }
        if batch.is_empty() {
            self.check_writable()?;
            return Ok(self.published());
        }
        // The encoding has all keys and values, and a little more.
        let arena_bytes = Memtable::entries_bytes_max(batch.len(), batch.ops().len());
        let mut last = SeqNo::ZERO;
        self.commit(arena_bytes, batch.ops().len(), keyspaces, options, |commit, by_write| {
            let ops = (batch.ops(), Ops::new(batch.ops()).flatten());
            let end = apply(commit, ops, batch.len() as u32, batch.put_bytes(), by_write)?;
            match change {
                CatalogChange::None => {}
                CatalogChange::Create(id) => drop(commit.live.insert(id)),
                CatalogChange::Drop(state) => {
                    commit.live.remove(&state.id);
                    // Before its number is published: who registers a snapshot of that or a
                    // later one, or pins a view from which entries have gone, finds it dropped.
                    state.note_dropped();
                }
            }
            last = SeqNo(commit.next_seq - 1);
            Ok(end)
        })?;
        Ok(last)
    }

    /// Brings a write through the commit lock: `write` appends and inserts.
    fn commit(
        &self,
        arena_bytes: usize,
        payload_len: usize,
        keyspaces: &[KeyspaceId],
        options: &WriteOptions,
        write: impl FnOnce(&mut Commit, bool) -> Result<WalPosition>,
    ) -> Result<()> {
        self.check_writable()?;
        let deadline = Deadline::of(self, options);
        let durable = options.durability.unwrap_or(self.options.durability) == Durability::Sync;
        self.pace(payload_len as u64, &deadline)?;
        let mut waited_for = None;
        let end = loop {
            let mut guard = self.commit.lock();
            let Some(commit) = guard.as_mut() else { return Err(self.closed_error()) };
            self.check_writable()?;
            self.check_in_doubt(commit)?;
            if let Some(gone) = keyspaces.iter().find(|id| !commit.may_write(**id)) {
                let text = format!("keyspace {} was dropped", gone.0);
                return Err(Error::invalid(text));
            }
            match self.make_room(commit, arena_bytes, payload_len)? {
                Room::Yes => {
                    if let Some(cause) = waited_for {
                        deadline.check(self, cause)?;
                    }
                    commit.in_doubt = true;
                    let end = write(commit, durable);
                    commit.in_doubt = false;
                    let end = end.map_err(|error| self.note_poison(error))?;
                    self.published.store(commit.next_seq - 1, Ordering::Release);
                    self.wake_for_log();
                    break end;
                }
                Room::Wait(cause) => {
                    drop(guard);
                    waited_for = Some(cause);
                    self.wait_for_room(cause, &deadline)?;
                }
            }
        };
        if durable && let Some(log) = &self.log {
            log.wait(end).map_err(|error| self.note_poison(error))?;
        }
        Ok(())
    }

    /// Makes sure that memtable and segment can take the write, or says what to wait for.
    fn make_room(
        &self,
        commit: &mut Commit,
        arena_bytes: usize,
        payload_len: usize,
    ) -> Result<Room> {
        let used = commit.memtable.table().bytes_used();
        let full = used >= self.options.memtable_bytes || !commit.memtable.fits(arena_bytes);
        if full && let Some(cause) = self.rotate_memtable(commit, arena_bytes)? {
            return Ok(Room::Wait(cause));
        }
        if used >= commit.priced_at {
            let memtable = commit.memtable.table();
            commit.priced_at = self.reprice(memtable.bytes_used());
            if memtable.lacks_memory_ahead() {
                self.threads.wake_sync();
            }
        }
        if !commit.log.fits(payload_len) && !self.rotate_segment(commit, payload_len)? {
            return Ok(Room::Wait(Cause::LogSegment));
        }
        Ok(Room::Yes)
    }

    /// Hands the memtable to the flush and begins another, with room for a write of
    /// `entry_bytes`; or says what must happen first.
    pub(super) fn rotate_memtable(
        &self,
        commit: &mut Commit,
        entry_bytes: usize,
    ) -> Result<Option<Cause>> {
        self.check_in_doubt(commit)?;
        let full = !commit.memtable.table().is_empty();
        if full {
            let tree = self.tree.lock();
            if tree.immutables.len() + 1 >= self.options.memtables_max {
                return Ok(Some(Cause::Memtables));
            }
            let level0 = self.view.load().version.level(0).len() as u64;
            let limit = Debts::level0_hard_limit(self.options.level0_tables as u64);
            if level0 >= limit && tree.paused == 0 && !tree.lacks_room() {
                return Ok(Some(Cause::Level0));
            }
        }
        let bytes = arena_bytes(self.options.memtable_bytes, entry_bytes);
        let (memtable, writer) = Memtable::new(bytes, &self.gauge)?;
        let old = std::mem::replace(&mut commit.memtable, writer);
        commit.priced_at = price_step(self.options.memtable_bytes);
        commit.watches.forget_unused();
        let last_seq = SeqNo(commit.next_seq - 1);
        let mut tree = self.tree.lock();
        if full {
            if self.options.maintenance == Maintenance::Manual {
                // The next one that finds level 0 at its limit compacts by hand again.
                tree.lack = None;
            }
            tree.immutables.push_back(Immutable {
                memtable: Arc::clone(old.table()),
                last_seq,
                next_segment: commit.log.segment(),
            });
        }
        let version = Arc::clone(&self.view.load().version);
        let immutables = tree.immutables.iter().rev().map(|i| Arc::clone(&i.memtable)).collect();
        self.view.store(Arc::new(View { memtable, after: last_seq, immutables, version }));
        if full {
            self.stalls.payments.memtable_full(last_seq);
        }
        self.update_price(&tree);
        drop(tree);
        if full {
            self.threads.wake_flush();
        }
        Ok(None)
    }

    /// A write that panicked half way may have left a part of a batch in the memtable.
    pub(super) fn check_in_doubt(&self, commit: &Commit) -> Result<()> {
        if commit.in_doubt {
            self.poison(Error::new(ErrorKind::Poisoned, "a write panicked half way"));
        }
        self.check_poison()
    }

    /// Tells the sync thread of the first write that it does not know of.
    #[inline]
    fn wake_for_log(&self) {
        if !self.stalls.dirty.load(Ordering::Relaxed)
            && !self.stalls.dirty.swap(true, Ordering::Relaxed)
        {
            self.threads.wake_sync();
        }
    }
}

impl Commit {
    fn may_write(&self, keyspace: KeyspaceId) -> bool {
        keyspace == KeyspaceId::CATALOG
            || keyspace == KeyspaceId::DEFAULT
            || self.live.contains(&keyspace)
    }
}

/// Appends a record, `payload`, and inserts its operations, `ops`. Nothing is inserted if
/// the append fails.
#[inline]
fn apply<'p>(
    commit: &mut Commit,
    (payload, ops): (&'p [u8], impl Iterator<Item = Op<'p>>),
    count: u32,
    put_bytes: usize,
    by_write: bool,
) -> Result<WalPosition> {
    let first = SeqNo(commit.next_seq);
    if first.0 + u64::from(count) > SeqNo::MAX.0 {
        return Err(Error::new(ErrorKind::Unsupported, "all 2^56 sequence numbers are used"));
    }
    let before = commit.log.used_bytes();
    // The memory that an insert needs comes while the log, or another insert, is busy.
    let find = |memtable: &MemtableWriter, (seq, op): (u64, Op<'p>)| {
        let key = InternalKey::new(op.scoped, Tag::new(SeqNo(seq), op.kind));
        (memtable.find(key), key, op.value)
    };
    let mut ops = (first.0..).zip(ops);
    let mut ahead = [None; INSERTS_AHEAD];
    for found in &mut ahead {
        *found = ops.next().map(|op| find(&commit.memtable, op));
    }
    let end = commit.log.append(first, count, payload, by_write)?;
    let mut seq = first.0;
    let mut turn = 0;
    while let Some((place, key, value)) = ahead[turn].take() {
        ahead[turn] = ops.next().map(|op| find(&commit.memtable, op));
        turn = if turn + 1 == INSERTS_AHEAD { 0 } else { turn + 1 };
        commit.memtable.insert_at(place, key, value);
        if commit.watches.are_any() && !key.tag.is_delete() {
            commit.watches.note_put(key.scoped);
        }
        seq += 1;
    }
    debug_assert_eq!(seq, first.0 + u64::from(count), "a batch counts its operations");
    commit.next_seq = seq;
    commit.put_ops += u64::from(count);
    commit.put_bytes += put_bytes as u64;
    commit.wal_written_bytes += end.offset.saturating_sub(before);
    Ok(end)
}
