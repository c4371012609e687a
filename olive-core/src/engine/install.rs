//! From an edit to what readers see: the manifest first, durably, then the view.

use std::collections::HashMap;

use super::view::View;
use super::{Engine, Immutable, Tree};
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::VersionEdit;
use crate::format::file_names::FileKind;
use crate::key::SeqNo;
use crate::sync::Arc;
use crate::table::Table;
use crate::version::{Manifest, Version};

/// A manifest that has grown past this, and past what a whole new one would take
/// many times over, is written anew.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// The manifest in force, and what it last said of the log.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) manifest: Manifest,
    pub(super) oldest_segment: u64,
    pub(super) flushed_seq: SeqNo,
    /// Its length when it was written whole.
    pub(super) whole_bytes: u64,
    /// Tables of an edit whose append failed: a reader of the retired manifest may
    /// find it after a crash, so they stay until another manifest is in force.
    pub(super) doubtful: Vec<u64>,
}

impl Engine {
    /// Writes an edit, durably, and makes the tree follow it; `change` is done in the
    /// same step that readers see.
    pub(super) fn install(
        &self,
        mut edit: VersionEdit,
        change: impl FnOnce(&mut Tree),
    ) -> Result<()> {
        let mut written = self.warm_tables(&edit);
        let mut guard = self.manifest.lock();
        let Some(records) = guard.as_mut() else { return Err(self.closed_error()) };
        self.check_poison()?;
        edit.next_file = Some(self.numbers.next());
        let version = Arc::clone(&self.view.load().version);
        let gone = removed_tables(&version, &edit);
        let next = version
            .apply(&edit, &mut |meta| match gone.get(&meta.number) {
                Some(moved) => Arc::clone(moved),
                None => written.remove(&meta.number).unwrap_or_else(|| self.table(meta)),
            })
            .map_err(|what| {
                let text = format!("an edit does not fit the tree: {what}");
                Error::new(ErrorKind::Corruption, text)
            })?;
        if let Err(error) = self.record(records, &edit, &next) {
            let error = self.note_poison(error);
            if error.kind() != ErrorKind::Poisoned {
                let outputs = edit.added.iter().map(|(_, meta)| meta.number);
                self.disown(records, outputs.filter(|number| !gone.contains_key(number)));
            }
            return Err(error);
        }
        let obsolete = gone
            .into_values()
            .filter(|table| !edit.added.iter().any(|(_, meta)| meta.number == table.meta().number));
        let mut tree = self.tree.lock();
        tree.obsolete.extend(obsolete);
        change(&mut tree);
        let immutables = tree.immutables.iter().rev();
        let immutables = immutables.map(|i: &Immutable| Arc::clone(&i.memtable)).collect();
        let before = self.view.load();
        let (memtable, after) = (Arc::clone(&before.memtable), before.after);
        drop(before);
        let view = View { memtable, after, immutables, version: Arc::new(next) };
        let replaced = self.view.swap(Arc::new(view));
        self.update_price(&tree);
        drop(tree);
        self.spares.clear();
        // What it alone held goes now, not under the lock: the memory of a memtable that was
        // flushed is there for a writer who waited for that.
        drop(replaced);
        self.tree_changed.notify_all();
        Ok(())
    }

    /// The tables that an edit adds, but for those that it moves, ready to be read. One
    /// that cannot be read tells so to whoever reads it.
    fn warm_tables(&self, edit: &VersionEdit) -> HashMap<u64, Arc<Table>> {
        let is_moved = |number| edit.removed.iter().any(|&(_, removed)| removed == number);
        let added = edit.added.iter().filter(|(_, meta)| !is_moved(meta.number));
        added
            .map(|(_, meta)| {
                let table = self.table(meta);
                if let Err(error) = table.warm() {
                    log::warn!("a table that was just written: {error}");
                }
                (meta.number, table)
            })
            .collect()
    }

    /// Puts the edit into the manifest, or all of `next` into a new one. After an
    /// error, what the manifest last said of the log is as it was: a later edit of
    /// another job must not speak for this one.
    fn record(&self, records: &mut Records, edit: &VersionEdit, next: &Version) -> Result<()> {
        let before = (records.oldest_segment, records.flushed_seq);
        records.oldest_segment = edit.oldest_segment.unwrap_or(before.0);
        records.flushed_seq = edit.flushed_seq.unwrap_or(before.1);
        let recorded = self.append_or_renew(records, edit, next);
        if recorded.is_err() {
            (records.oldest_segment, records.flushed_seq) = before;
        }
        recorded
    }

    fn append_or_renew(
        &self,
        records: &mut Records,
        edit: &VersionEdit,
        next: &Version,
    ) -> Result<()> {
        let grown = records.manifest.bytes() > MANIFEST_BYTES_MAX.max(8 * records.whole_bytes);
        if grown || records.manifest.retired() {
            return self.write_manifest(records, next, None);
        }
        match records.manifest.append(edit) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Poisoned => return Err(error),
            Err(error) => log::warn!("{}: a new manifest: {error}", self.dir.display()),
        }
        let renewed = self.write_manifest(records, next, None);
        if renewed.is_err() {
            records.doubtful.extend(edit.added.iter().map(|(_, meta)| meta.number));
        }
        renewed
    }

    /// Unlinks the tables of a job that no manifest can name.
    fn disown(&self, records: &Records, outputs: impl Iterator<Item = u64>) {
        for number in outputs.filter(|number| !records.doubtful.contains(number)) {
            self.unlink(FileKind::Table(number));
        }
    }

    /// Writes the whole state into a new manifest and switches to it.
    pub(super) fn write_manifest(
        &self,
        records: &mut Records,
        version: &Version,
        clean_segment: Option<u64>,
    ) -> Result<()> {
        let number = self.next_number()?;
        let state = VersionEdit {
            added: version.tables().map(|(level, t)| (level, t.meta().clone())).collect(),
            oldest_segment: Some(records.oldest_segment),
            flushed_seq: Some(records.flushed_seq),
            last_seq: Some(self.published()),
            next_file: Some(self.numbers.next()),
            clean_segment,
            unknown: records.manifest.unknown().clone(),
            ..VersionEdit::default()
        };
        let manifest = Manifest::create(&self.vfs, &self.dir, number, self.database, &state)?;
        let old = std::mem::replace(&mut records.manifest, manifest);
        records.whole_bytes = records.manifest.bytes();
        self.unlink(FileKind::Manifest(old.number()));
        for number in std::mem::take(&mut records.doubtful) {
            // The edit may have been done again, by a move of the same tables.
            if !version.tables().any(|(_, table)| table.meta().number == number) {
                self.unlink(FileKind::Table(number));
            }
        }
        Ok(())
    }
}

fn removed_tables(version: &Version, edit: &VersionEdit) -> HashMap<u64, Arc<Table>> {
    if edit.removed.is_empty() {
        return HashMap::new();
    }
    let mut removed = HashMap::new();
    for &(level, number) in &edit.removed {
        let tables = version.level(level).iter();
        if let Some(table) = tables.into_iter().find(|table| table.meta().number == number) {
            removed.insert(number, Arc::clone(table));
        }
    }
    removed
}
