//! A ledger of acknowledgements, kept outside the process that is killed, and its
//! judgement of what that process's database holds afterwards.
//!
//! Acknowledgements come one by one, each after its write returned; so a write that
//! began after an acknowledgement was heard of is later than the one acknowledged. At a
//! kill each writer has at most one write under way, the one behind its last
//! acknowledged. Right is a state with
//!
//! ```text
//! own keys      as after the writer's last acknowledged write, or after the one under
//!               way, all of it or nothing of it
//! shared keys   all parts of a group of one write, which is one that was under way, or
//!               an acknowledged one that no other is later than
//! other keys    none
//! ```
//!
//! and each value to the byte what that write puts there.

pub mod script;

use std::collections::BTreeMap;

use script::{GROUPS, OWN_KEYS, Operation, PARTS, ScriptKey, WRITERS, author, operation, value};

/// What a database holds: key to value.
pub type Found = BTreeMap<Vec<u8>, Vec<u8>>;

/// Who wrote a group last: nobody yet, or writer, number, and whether it put.
type Author = Option<(u8, u64, bool)>;

/// A write that may have been the last of its group.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    author: Author,
    /// How many acknowledgements there were when it was acknowledged.
    end: u64,
}

/// What was acknowledged, by what it left to be found.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    /// The number of the write that put each own key, by writer and key; 0: deleted.
    own: Vec<Vec<u64>>,
    groups: Vec<Vec<Candidate>>,
    /// The number of each writer's next write, which may be under way.
    next: Vec<u64>,
    /// How many acknowledgements there were at each writer's last.
    last_end: Vec<u64>,
    acknowledged: u64,
    compared: u64,
}

impl Ledger {
    /// Of an empty database and the script of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Ledger {
        let nobody = Candidate { author: None, end: 0 };
        Ledger {
            seed,
            own: vec![vec![0; OWN_KEYS.into()]; WRITERS.into()],
            groups: vec![vec![nobody]; GROUPS.into()],
            next: vec![1; WRITERS.into()],
            last_end: vec![0; WRITERS.into()],
            acknowledged: 0,
            compared: 0,
        }
    }

    /// The number that each writer goes on with.
    #[must_use]
    pub fn next(&self) -> &[u64] {
        &self.next
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Keys compared so far, absent ones included.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Takes an acknowledgement.
    ///
    /// # Errors
    ///
    /// Where it is not of the writer's next write.
    pub fn acknowledge(&mut self, writer: u8, number: u64) -> Result<(), String> {
        let at = usize::from(writer);
        if self.next.get(at) != Some(&number) {
            return Err(format!("writer {writer} acknowledges {number}, out of turn"));
        }
        self.acknowledged += 1;
        self.next[at] += 1;
        let operation = operation(self.seed, writer, number);
        self.put_own(&operation);
        if let Some((group, is_put)) = operation.group {
            let began = self.last_end[at];
            let author = Some((writer, number, is_put));
            let candidates = &mut self.groups[usize::from(group)];
            candidates.retain(|candidate| candidate.end > began);
            candidates.push(Candidate { author, end: self.acknowledged });
        }
        self.last_end[at] = self.acknowledged;
        Ok(())
    }

    fn put_own(&mut self, operation: &Operation) {
        for (key, is_put) in &operation.changes {
            if let ScriptKey::Own { writer, key } = key {
                let slot = &mut self.own[usize::from(*writer)][usize::from(*key)];
                *slot = if *is_put { operation.number } else { 0 };
            }
        }
    }

    /// Holds what was found after a kill against the ledger; gives what is wrong. What
    /// was found is the truth from then on: what was under way has happened, or never
    /// will.
    pub fn judge(&mut self, found: &Found) -> Vec<String> {
        let mut wrong = self.check_bytes(found);
        let under_way: Vec<Operation> =
            (0..WRITERS).map(|w| operation(self.seed, w, self.next[usize::from(w)])).collect();
        // Of each write under way: whether it happened, where own keys tell.
        let happened: Vec<Option<bool>> = under_way
            .iter()
            .map(|operation| self.check_own(operation, found, &mut wrong))
            .collect();
        for group in 0..GROUPS {
            self.check_group(group, &under_way, &happened, found, &mut wrong);
        }
        for (operation, happened) in under_way.iter().zip(happened) {
            if happened == Some(true) {
                self.put_own(operation);
            }
        }
        self.next.iter_mut().for_each(|next| *next += 1);
        self.last_end.fill(self.acknowledged);
        wrong
    }

    /// Each key is one of the script's, and each value what its author puts there.
    fn check_bytes(&mut self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut known = 0;
        for key in ScriptKey::all() {
            self.compared += 1;
            let Some(bytes) = found.get(&key.bytes()) else { continue };
            known += 1;
            let written = author(bytes).map(|(writer, number)| (writer, number, key));
            if written.is_none_or(|(w, n, key)| value(self.seed, w, n, key) != *bytes) {
                wrong.push(format!("{key:?}: a value that nobody wrote"));
            }
        }
        if known != found.len() {
            wrong.push(format!("{} keys that nobody wrote", found.len() - known));
        }
        wrong
    }

    /// The own keys of one writer; says whether the write under way happened.
    fn check_own(
        &self,
        under_way: &Operation,
        found: &Found,
        wrong: &mut Vec<String>,
    ) -> Option<bool> {
        let mut happened = None;
        for (key, &before) in (0..OWN_KEYS).zip(&self.own[usize::from(under_way.writer)]) {
            let key = ScriptKey::Own { writer: under_way.writer, key };
            let is = self.number_of(key, under_way.writer, found);
            let change = under_way.changes.iter().find(|(changed, _)| *changed == key);
            let after = change.map(|(_, is_put)| if *is_put { under_way.number } else { 0 });
            match after {
                Some(after) if after != before && (is == after || is == before) => {
                    let this = is == after;
                    if *happened.get_or_insert(this) != this {
                        let number = under_way.number;
                        wrong.push(format!("{key:?}: batch {number} is there by half"));
                    }
                }
                _ if is != before => {
                    wrong.push(format!("{key:?}: write {before} expected, {is} found (0: none)"));
                }
                _ => {}
            }
        }
        happened
    }

    /// The number of the write that put an own key, 0 if it is not there, and a number
    /// that no write has if another writer did.
    fn number_of(&self, key: ScriptKey, writer: u8, found: &Found) -> u64 {
        match found.get(&key.bytes()).map(|bytes| author(bytes)) {
            None => 0,
            Some(Some((by, number))) if by == writer => number,
            Some(_) => u64::MAX,
        }
    }

    /// One group: its parts agree, and are of a write that may be the last.
    fn check_group(
        &mut self,
        group: u16,
        under_way: &[Operation],
        happened: &[Option<bool>],
        found: &Found,
        wrong: &mut Vec<String>,
    ) {
        let part = |part| found.get(&ScriptKey::Shared { group, part }.bytes());
        let is = part(0).map(|bytes| author(bytes));
        if (1..PARTS).any(|other| part(other).map(|bytes| author(bytes)) != is) {
            wrong.push(format!("group {group}: a batch is there by half"));
            return;
        }
        let mut candidates = self.groups[usize::from(group)].clone();
        for (operation, happened) in under_way.iter().zip(happened) {
            let Some((_, is_put)) = operation.group.filter(|(number, _)| *number == group) else {
                continue;
            };
            let writer = operation.writer;
            if *happened == Some(true) {
                candidates.retain(|candidate| candidate.end > self.last_end[usize::from(writer)]);
            }
            if *happened != Some(false) {
                let author = Some((writer, operation.number, is_put));
                candidates.push(Candidate { author, end: u64::MAX });
            }
        }
        let fits = |candidate: &&Candidate| match (candidate.author, is) {
            (Some((.., false)) | None, None) => true,
            (Some((writer, number, true)), Some(is)) => is == Some((writer, number)),
            _ => false,
        };
        match candidates.iter().find(fits) {
            Some(last) => {
                let settled = Candidate { author: last.author, end: self.acknowledged };
                self.groups[usize::from(group)] = vec![settled];
            }
            None => wrong.push(format!("group {group}: of {is:?}, none of {candidates:?}")),
        }
    }
}

#[cfg(test)]
mod tests;
