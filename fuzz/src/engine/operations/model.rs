//! What an open may find: the state after each write, and those that a failed write
//! may have left.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Spaces by number (0 is the default keyspace), with their entries.
pub(super) type State = BTreeMap<u8, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What had been written, and what a power cut had to leave, when the disk had seen
/// so many mutations.
#[derive(Debug, Clone, Copy)]
struct Mark {
    mutations: u64,
    written: usize,
    synced: usize,
}

#[derive(Debug)]
pub(super) struct Model {
    /// The state after each write; 0 is the beginning.
    states: Vec<Arc<State>>,
    /// States of writes that failed: behind which one they came.
    failed: Vec<(usize, Arc<State>)>,
    marks: Vec<Mark>,
    synced: usize,
}

impl Model {
    pub(super) fn new() -> Model {
        let states = vec![Arc::new(State::from([(0, BTreeMap::new())]))];
        Model { states, failed: Vec::new(), marks: Vec::new(), synced: 0 }
    }

    fn written(&self) -> usize {
        self.states.len() - 1
    }

    pub(super) fn now(&self) -> &Arc<State> {
        &self.states[self.written()]
    }

    /// A write that was acknowledged.
    pub(super) fn wrote(&mut self, state: State) {
        self.states.push(Arc::new(state));
    }

    /// A write that failed in a way that leaves open whether it was done.
    pub(super) fn may_have_written(&mut self, state: State) {
        self.failed.push((self.written(), Arc::new(state)));
    }

    pub(super) fn now_synced(&mut self) {
        self.synced = self.written();
    }

    /// Notes how far the disk is.
    pub(super) fn mark(&mut self, mutations: u64) {
        let mark = Mark { mutations, written: self.written(), synced: self.synced };
        self.marks.push(mark);
    }

    /// The first mutation at which a crash can be judged.
    pub(super) fn first_mutation(&self) -> u64 {
        self.marks.first().map_or(0, |mark| mark.mutations)
    }

    /// Whether `found` is what a reader that is open may see.
    pub(super) fn is_now(&self, found: &State) -> bool {
        let now = self.written();
        *self.states[now] == *found
            || self.failed.iter().any(|(behind, state)| *behind == now && **state == *found)
    }

    /// Goes on from what was found after a crash at mutation `number`, of which
    /// `whole` are all there.
    ///
    /// # Panics
    ///
    /// Where `found` is no state that could be found.
    pub(super) fn recovered(&mut self, found: State, number: u64, whole: u64, kept: bool) {
        let reached = self.marks.partition_point(|mark| mark.mutations <= whole);
        let least = match self.marks.get(reached.saturating_sub(1)) {
            Some(mark) if kept => mark.written,
            Some(mark) => mark.synced,
            None => 0,
        };
        let begun = self.marks.partition_point(|mark| mark.mutations <= number);
        let most = self.marks.get(begun).map_or(self.written(), |mark| mark.written);
        let fits = (least..=most).rev().find(|&k| *self.states[k] == found);
        let k = fits.or_else(|| {
            let failed = self.failed.iter().rev();
            let mut failed = failed.filter(|(behind, _)| (least..=most).contains(behind));
            failed.find(|(_, state)| **state == found).map(|(behind, _)| *behind)
        });
        let Some(k) = k else {
            let elsewhere = self.states.iter().position(|state| **state == found);
            panic!(
                "found the state of write {elsewhere:?}, where {least} to {most} were to be \
                 found: {found:?}\n{:?}",
                &self.states[least..=most]
            )
        };
        self.states.truncate(k + 1);
        if *self.states[k] != found {
            self.states.push(Arc::new(found));
        }
        self.opened();
    }

    /// All that an open found is durable.
    pub(super) fn opened(&mut self) {
        self.failed.clear();
        self.marks.clear();
        self.now_synced();
    }
}
