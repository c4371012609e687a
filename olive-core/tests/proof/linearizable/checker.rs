//! Whether a history is linearizable: whether each operation could have happened at one
//! moment between its begin and its end.
//!
//! The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with
//! Lowe's memory of the configurations that led nowhere ("Testing for linearizability",
//! 2017):
//!
//! ```text
//! list    all begins and ends by time; what is linearized is taken out
//! step    of the begins before the first end in the list, take one that the state allows
//! stuck   an end comes first: put the last one back and try the next begin
//! ```
//!
//! The object is two registers, each with a value or none; an operation writes or reads
//! one of them, or both at once.

use std::collections::HashSet;

/// What an operation does to one register: nothing, or writes or reads a value or none.
pub(crate) type Touch = Option<Option<u32>>;

/// An operation, with what it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Write([Touch; 2]),
    Read([Touch; 2]),
}

/// An operation and the tickets drawn before and after it. No ticket is drawn twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) op: Op,
}

impl Event {
    pub(crate) fn overlaps(&self, other: &Event) -> bool {
        self.began < other.ended && other.began < self.ended
    }
}

type State = [Option<u32>; 2];

/// The state after `op`, if it can happen in `state`.
fn step(state: State, op: Op) -> Option<State> {
    match op {
        Op::Write([a, b]) => Some([a.unwrap_or(state[0]), b.unwrap_or(state[1])]),
        Op::Read([a, b]) => {
            let fits = a.is_none_or(|a| a == state[0]) && b.is_none_or(|b| b == state[1]);
            fits.then_some(state)
        }
    }
}

/// Operations in one history, at the most.
pub(crate) const EVENTS_MAX: usize = 256;

/// A set of operations by their index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Bits([u64; EVENTS_MAX / 64]);

impl Bits {
    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

/// Begins and ends by time, as a list from which pairs are taken and put back. Event `i`
/// begins at node `2i + 1` and ends at `2i + 2`; node 0 is before and after all.
struct List {
    next: Vec<usize>,
    before: Vec<usize>,
}

const HEAD: usize = 0;

impl List {
    fn of(history: &[Event]) -> List {
        let begins = history.iter().enumerate().map(|(i, event)| (event.began, 2 * i + 1));
        let ends = history.iter().enumerate().map(|(i, event)| (event.ended, 2 * i + 2));
        let mut nodes: Vec<(u64, usize)> = begins.chain(ends).collect();
        nodes.sort_unstable();
        let mut list =
            List { next: vec![HEAD; nodes.len() + 1], before: vec![HEAD; nodes.len() + 1] };
        let mut last = HEAD;
        for (_, node) in nodes {
            list.next[last] = node;
            list.before[node] = last;
            last = node;
        }
        list.before[HEAD] = last;
        list
    }

    fn take(&mut self, event: usize) {
        for node in [2 * event + 1, 2 * event + 2] {
            let (before, next) = (self.before[node], self.next[node]);
            self.next[before] = next;
            self.before[next] = before;
        }
    }

    /// The last taken is put back first.
    fn put_back(&mut self, event: usize) {
        for node in [2 * event + 2, 2 * event + 1] {
            let (before, next) = (self.before[node], self.next[node]);
            self.next[before] = node;
            self.before[next] = node;
        }
    }
}

/// Whether `history` is linearizable, from two registers without values.
///
/// # Panics
///
/// Where it has more than [`EVENTS_MAX`] events.
pub(crate) fn is_linearizable(history: &[Event]) -> bool {
    assert!(history.len() <= EVENTS_MAX, "a history of {} operations", history.len());
    let mut list = List::of(history);
    let mut state = State::default();
    let (mut done, mut tried) = (Bits::default(), HashSet::new());
    let mut path: Vec<(usize, State)> = Vec::with_capacity(history.len());
    let mut node = list.next[HEAD];
    while node != HEAD {
        let event = (node - 1) / 2;
        let is_begin = node % 2 == 1;
        if !is_begin {
            // It ended before whatever is left began, and could not be linearized.
            let Some((last, state_before)) = path.pop() else { return false };
            list.put_back(last);
            done.flip(last);
            state = state_before;
            node = list.next[2 * last + 1];
            continue;
        }
        node = list.next[node];
        if let Some(after) = step(state, history[event].op) {
            done.flip(event);
            if tried.insert((done, after)) {
                path.push((event, state));
                state = after;
                list.take(event);
                node = list.next[HEAD];
            } else {
                done.flip(event);
            }
        }
    }
    true
}

/// The history without the reads that it is not linearizable without either.
pub(crate) fn shrunk(mut history: Vec<Event>) -> Vec<Event> {
    let mut at = 0;
    while at < history.len() {
        let event = history.remove(at);
        if matches!(event.op, Op::Write(_)) || is_linearizable(&history) {
            history.insert(at, event);
            at += 1;
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event((began, ended): (u64, u64), op: Op) -> Event {
        Event { began, ended, op }
    }
    fn put(time: (u64, u64), value: u32) -> Event {
        event(time, Op::Write([Some(Some(value)), None]))
    }
    fn delete(time: (u64, u64)) -> Event {
        event(time, Op::Write([Some(None), None]))
    }
    fn get(time: (u64, u64), value: Option<u32>) -> Event {
        event(time, Op::Read([Some(value), None]))
    }
    fn batch(time: (u64, u64), value: u32) -> Event {
        event(time, Op::Write([Some(Some(value)); 2]))
    }
    fn both(time: (u64, u64), a: Option<u32>, b: Option<u32>) -> Event {
        event(time, Op::Read([Some(a), Some(b)]))
    }

    #[test]
    fn overlapping_operations_may_happen_in_either_order() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&[put((1, 4), 1), get((2, 3), None)]));
        assert!(is_linearizable(&[put((1, 4), 1), get((2, 3), Some(1))]));
        let orders = [(Some(1), Some(2)), (Some(2), Some(1))];
        for (first, second) in orders {
            let history =
                [put((1, 9), 1), put((2, 10), 2), get((3, 4), first), get((5, 6), second)];
            assert!(is_linearizable(&history), "{first:?} then {second:?}");
        }
        // The reads' order tells that of the writes, and that of the delete among them.
        let history = [
            put((1, 20), 1),
            delete((2, 21)),
            put((3, 22), 2),
            get((4, 5), Some(2)),
            get((6, 7), None),
            get((8, 30), Some(1)),
        ];
        assert!(is_linearizable(&history));
        let batches = [batch((1, 8), 1), batch((2, 9), 2), both((3, 4), Some(2), Some(2))];
        assert!(is_linearizable(&batches));
    }

    #[test]
    fn a_search_that_must_go_back_far_finds_the_one_order() {
        // Eight writes at once; later reads show them in the reverse order.
        let writes = (0..8).map(|n| put((u64::from(n), 100 + u64::from(n)), n));
        let reads =
            (0..8).map(|n| get((10 + 2 * u64::from(n), 11 + 2 * u64::from(n)), Some(7 - n)));
        let history: Vec<Event> = writes.chain(reads).collect();
        assert!(is_linearizable(&history));
        let mut twice = history;
        twice.push(get((50, 51), Some(7)));
        assert!(!is_linearizable(&twice), "a value that was written over does not come back");
    }

    #[test]
    fn a_stale_read_is_caught() {
        assert!(!is_linearizable(&[put((1, 2), 1), put((3, 4), 2), get((5, 6), Some(1))]));
        assert!(!is_linearizable(&[put((1, 2), 1), get((3, 4), None)]));
        // Two reads in order, the later of the older value.
        let history = [put((1, 2), 1), put((3, 10), 2), get((4, 5), Some(2)), get((6, 7), Some(1))];
        assert!(!is_linearizable(&history));
    }

    #[test]
    fn a_lost_update_is_caught() {
        // The second write is acknowledged and never seen.
        let history = [put((1, 2), 1), put((3, 6), 2), get((7, 8), Some(1)), get((9, 10), Some(1))];
        assert!(!is_linearizable(&history));
    }

    #[test]
    fn a_read_from_the_future_is_caught() {
        assert!(!is_linearizable(&[get((1, 2), Some(1)), put((3, 4), 1)]));
        assert!(!is_linearizable(&[put((1, 2), 1), get((3, 4), Some(9))]), "never written");
    }

    #[test]
    fn half_a_batch_is_caught() {
        let half = [batch((1, 2), 1), batch((3, 8), 2), both((4, 5), Some(2), Some(1))];
        assert!(!is_linearizable(&half));
        // Seen by single reads in order.
        let b = event((6, 7), Op::Read([None, Some(Some(1))]));
        let half = [batch((1, 2), 1), batch((3, 10), 2), get((4, 5), Some(2)), b];
        assert!(!is_linearizable(&half));
    }

    #[test]
    fn a_resurrected_delete_is_caught() {
        assert!(!is_linearizable(&[put((1, 2), 1), delete((3, 4)), get((5, 6), Some(1))]));
        let history = [put((1, 2), 1), delete((3, 10)), get((4, 5), None), get((6, 7), Some(1))];
        assert!(!is_linearizable(&history));
    }

    #[test]
    fn a_bad_history_shrinks_to_what_makes_it_bad() {
        let history = vec![
            put((1, 2), 1),
            get((3, 4), Some(1)),
            put((5, 6), 2),
            get((7, 8), Some(1)),
            get((9, 10), Some(2)),
        ];
        let reads = shrunk(history).into_iter().filter(|event| matches!(event.op, Op::Read(_)));
        assert_eq!(reads.map(|event| event.began).collect::<Vec<_>>(), [7]);
    }
}
