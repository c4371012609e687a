//! Many point reads at once, a step of all of them before the next step of any.
//!
//! A get waits for memory some five times, for one cache line after the other: index and
//! entry in a memtable; filter, block and value in a table. Those of different keys do
//! not depend on each other. So each step asks for the lines that the next one reads,
//! and they come while the other keys take theirs.
//!
//! ```text
//! each memtable, newest first     index line ─▶ entry ─▶ compare
//! the tree                        filter lines ─▶ index, block ─▶ search ─▶ value
//! ```

use super::Engine;
use super::read::{Candidates, Cost, Hit, check_key};
use super::view::View;
use crate::error::Result;
use crate::key::{KeyspaceId, ScopedKey, SeqNo, Tag};
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::table::{self, Found, filter_hash};
use crate::value::Value;
use crate::version::Version;
use crate::vfs;

/// So many keys go together: as many misses as a core can have under way, and more
/// lines than that would push each other out.
const TOGETHER: usize = 16;

impl Engine {
    /// Finds many keys in one view; the answers are in the order of the keys.
    pub(crate) fn multi_get<K: AsRef<[u8]>>(
        &self,
        keyspace: KeyspaceId,
        seq: Option<SeqNo>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut values = Vec::with_capacity(keys.len());
        self.multi_get_with(keyspace, seq, &keys, |_, hit| {
            values.push(hit.map(Hit::into_value));
        })?;
        Ok(values)
    }

    /// Finds many keys in one view, and gives `take` what it found, by the place of each
    /// key, in their order; after an error, nothing more.
    pub(crate) fn multi_get_with<K: AsRef<[u8]>>(
        &self,
        keyspace: KeyspaceId,
        seq: Option<SeqNo>,
        keys: &[K],
        mut take: impl FnMut(usize, Option<Hit<'_>>),
    ) -> Result<()> {
        let view = self.view.load();
        self.check_open()?;
        let seq = seq.unwrap_or_else(|| self.published());
        for (group, keys) in keys.chunks(TOGETHER).enumerate() {
            let first = group * TOGETHER;
            self.get_together(&view, keyspace, seq, keys, |i, hit| take(first + i, hit))?;
        }
        Ok(())
    }

    fn get_together<K: AsRef<[u8]>>(
        &self,
        view: &View,
        keyspace: KeyspaceId,
        seq: SeqNo,
        keys: &[K],
        mut take: impl FnMut(usize, Option<Hit<'_>>),
    ) -> Result<()> {
        let sought: [Sought; TOGETHER] = std::array::from_fn(|i| {
            let key = keys.get(i).map(AsRef::as_ref).unwrap_or_default();
            let scoped = ScopedKey::new(keyspace, key);
            Sought { hash: filter_hash(&scoped), scoped }
        });
        let sought = &sought[..keys.len()];
        let mut outcomes: [Outcome<'_>; TOGETHER] = [const { None }; TOGETHER];
        for (key, outcome) in keys.iter().zip(&mut outcomes) {
            *outcome = check_key(key.as_ref()).err().map(Err);
        }
        let copy = self.pins_too_much(view);
        for memtable in view.memtables_for(seq) {
            find_in_memtable(memtable, sought, seq, copy, &mut outcomes);
        }
        let mut cost = Cost::default();
        find_in_tables(&view.version, sought, seq, &mut outcomes, &mut cost);
        for (key, outcome) in keys.iter().zip(&outcomes) {
            if let Some(Ok(Some((tag, hit)))) = outcome {
                cost.read(*tag, key.as_ref().len() + hit.bytes().len());
            }
        }
        self.count_gets(keys.len() as u64, &cost);
        for (i, outcome) in outcomes.into_iter().enumerate().take(keys.len()) {
            let hit = outcome.transpose()?.flatten();
            take(i, hit.and_then(|(tag, hit)| (!tag.is_delete()).then_some(hit)));
        }
        Ok(())
    }
}

/// A key that is looked for, with the hash of the filters.
struct Sought {
    scoped: ScopedKey,
    hash: u64,
}

/// What became of one key; `None`: not found yet.
type Outcome<'a> = Option<Result<Option<(Tag, Hit<'a>)>>>;

fn find_in_memtable<'a>(
    memtable: &'a Arc<Memtable>,
    sought: &'a [Sought],
    seq: SeqNo,
    copy: bool,
    outcomes: &mut [Outcome<'a>],
) {
    for key in sought {
        memtable.prefetch_index(key.hash);
    }
    for (key, outcome) in sought.iter().zip(&*outcomes) {
        if outcome.is_none() {
            memtable.prefetch_entry(key.hash);
        }
    }
    for (key, outcome) in sought.iter().zip(outcomes) {
        let scoped = &*key.scoped;
        if outcome.is_none()
            && let Some((tag, value)) = memtable.get_hashed(scoped, key.hash, seq)
        {
            *outcome = Some(Ok(Some((tag, Hit::Memtable { memtable, scoped, seq, value, copy }))));
        }
    }
}

/// A key's way through the tree: the tables that are left, and the one that is looked into.
struct Way<'a> {
    candidates: Candidates<'a>,
    approach: Option<table::Approach<'a, 'a>>,
}

impl<'a> Way<'a> {
    /// Goes on to the next table that may have the key.
    #[inline]
    fn step(&mut self, scoped: &'a [u8], seq: SeqNo, cost: &mut Cost) -> Result<()> {
        let table = self.candidates.next(scoped, cost)?;
        self.approach = table.map(|table| table.approach(scoped, seq)).transpose()?;
        if let Some(approach) = &self.approach {
            approach.will_need();
        }
        Ok(())
    }

    /// Looks into that table, and on into those behind it. Asks for the value.
    #[inline]
    fn find(&mut self, scoped: &'a [u8], seq: SeqNo, cost: &mut Cost) -> Result<Option<Found<'a>>> {
        while let Some(approach) = &self.approach {
            if let Some(found) = approach.get()? {
                vfs::prefetch(found.bytes());
                return Ok(Some(found));
            }
            self.step(scoped, seq, cost)?;
        }
        Ok(None)
    }
}

fn find_in_tables<'a>(
    version: &'a Version,
    sought: &'a [Sought],
    seq: SeqNo,
    outcomes: &mut [Outcome<'a>],
    cost: &mut Cost,
) {
    let mut ways: [Option<Way<'a>>; TOGETHER] = [const { None }; TOGETHER];
    for ((key, outcome), way) in sought.iter().zip(&*outcomes).zip(&mut ways) {
        if outcome.is_none() {
            let candidates = Candidates::new(version, &key.scoped, key.hash);
            *way = Some(Way { candidates, approach: None });
        }
    }
    for ((key, outcome), way) in sought.iter().zip(&mut *outcomes).zip(&mut ways) {
        if let Some(way) = way {
            *outcome = way.step(&key.scoped, seq, cost).err().map(Err);
        }
    }
    for ((key, outcome), way) in sought.iter().zip(outcomes).zip(&mut ways) {
        if let Some(way) = way
            && outcome.is_none()
        {
            let found = way.find(&key.scoped, seq, cost);
            *outcome = Some(found.map(|found| found.map(|found| (found.tag, Hit::Table(found)))));
        }
    }
}
