//! Makes a failing script small: first operations are taken out of it, halves
//! down to single ones, then each that is left is made simpler.

use std::time::Duration;

use proptest::strategy::ValueTree;

use super::ops::Op;

const ATTEMPTS_MAX: usize = 3_000;
const TIME_MAX: Duration = Duration::from_secs(60);

struct Shrink<T, F> {
    trees: Vec<T>,
    reason: String,
    attempt: F,
    attempts: usize,
    until: Duration,
}

/// The smallest script found that fails, and how it fails. `attempt` runs one.
pub(super) fn shrink<T: ValueTree<Value = Op>, R>(
    trees: Vec<T>,
    reason: String,
    attempt: impl Fn(Vec<Op>) -> Result<R, String>,
) -> (Vec<Op>, String) {
    let until = super::now() + TIME_MAX;
    let mut shrink = Shrink { trees, reason, attempt, attempts: 0, until };
    shrink.remove();
    shrink.simplify();
    shrink.remove();
    (shrink.trees.iter().map(ValueTree::current).collect(), shrink.reason)
}

impl<T: ValueTree<Value = Op>, R, F: Fn(Vec<Op>) -> Result<R, String>> Shrink<T, F> {
    fn remove(&mut self) {
        let mut part = self.trees.len().div_ceil(2);
        while part > 0 {
            // From the back: what comes behind the failure goes first.
            let mut end = self.trees.len();
            while end > 0 {
                let start = end.saturating_sub(part);
                let left = self.trees[..start].iter().chain(&self.trees[end..]);
                if self.fails(left.map(ValueTree::current).collect()) {
                    self.trees.drain(start..end);
                }
                end = start;
            }
            part /= 2;
        }
    }

    fn simplify(&mut self) {
        for index in 0..self.trees.len() {
            while self.trees[index].simplify() {
                while !self.fails(self.trees.iter().map(ValueTree::current).collect()) {
                    if !self.trees[index].complicate() {
                        break;
                    }
                }
                if self.spent() {
                    return;
                }
            }
        }
    }

    fn spent(&self) -> bool {
        self.attempts >= ATTEMPTS_MAX || super::now() > self.until
    }

    fn fails(&mut self, ops: Vec<Op>) -> bool {
        if self.spent() {
            return false;
        }
        self.attempts += 1;
        match (self.attempt)(ops) {
            Ok(_) => false,
            Err(reason) => {
                self.reason = reason;
                true
            }
        }
    }
}
