//! The lines of a manifest folded into one state.
//!
//! ```text
//! line 0       the header
//! line n       removed: must be there    added: its number must be nowhere
//!              oldest_segment, flushed_seq, last_seq, next_file: the largest holds
//!              clean_segment: holds only if no line follows
//! ```
//!
//! Pure: it is given lines, and says what is wrong with one.

use std::collections::BTreeMap;

use crate::format::edit::{TableMeta, VersionEdit};
use crate::format::manifest_line::{Body, Header, Line};

/// What the lines so far add up to.
#[derive(Debug, Default)]
pub(super) struct Replay {
    header: Option<Header>,
    lines: u64,
    tables: BTreeMap<u64, (usize, TableMeta)>,
    counters: VersionEdit,
}

impl Replay {
    /// Takes the next line, or says why it cannot follow the ones before.
    pub(super) fn take(&mut self, line: Line) -> Result<(), String> {
        if line.number != self.lines {
            return Err(format!("expected line {}, found line {}", self.lines, line.number));
        }
        self.lines += 1;
        match line.body {
            Body::Header(mut header) => {
                self.counters.unknown.header = std::mem::take(&mut header.unknown);
                self.header = Some(header);
                Ok(())
            }
            Body::Edit(edit) => self.fold(*edit),
        }
    }

    fn fold(&mut self, edit: VersionEdit) -> Result<(), String> {
        self.counters.unknown.fold(&edit);
        for (level, number) in &edit.removed {
            match self.tables.remove(number) {
                Some((on, _)) if on == *level => {}
                Some((on, _)) => {
                    return Err(format!(
                        "table {number} is removed from level {level}, but it is on level {on}"
                    ));
                }
                None => return Err(format!("table {number} is removed, but it is not there")),
            }
        }
        for (level, meta) in edit.added {
            let number = meta.number;
            if self.tables.insert(number, (level, meta)).is_some() {
                return Err(format!("table {number} is added, but it is there"));
            }
        }
        let state = &mut self.counters;
        state.oldest_segment = state.oldest_segment.max(edit.oldest_segment);
        state.flushed_seq = state.flushed_seq.max(edit.flushed_seq);
        state.last_seq = state.last_seq.max(edit.last_seq);
        state.next_file = state.next_file.max(edit.next_file);
        state.clean_segment = edit.clean_segment;
        state.sealed_segment = edit.sealed_segment.or(state.sealed_segment);
        Ok(())
    }

    /// The header, once line 0 was taken.
    pub(super) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Lines taken.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The numbers of all live tables.
    pub(super) fn table_numbers(&self) -> impl Iterator<Item = u64> {
        self.tables.keys().copied()
    }

    /// The log segments that the state needs.
    pub(super) fn segment_numbers(&self) -> impl Iterator<Item = u64> {
        let state = &self.counters;
        let segments = [state.oldest_segment, state.sealed_segment];
        // After a clean close no segment is needed: all were unlinked.
        segments.into_iter().flatten().filter(|_| state.clean_segment.is_none())
    }

    /// All lines in one edit: every live table is in `added`, by number.
    pub(super) fn finish(self) -> VersionEdit {
        VersionEdit { added: self.tables.into_values().collect(), ..self.counters }
    }
}
