//! Calls that fail when they are told to.

use std::collections::BTreeMap;
use std::io;

use super::{OpKind, errno};

/// Lets one call, or all from one on, go wrong.
///
/// Calls are counted from [`SimVfs::set_faults`](super::SimVfs::set_faults) on.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which calls count; `None`: all of them.
    pub kind: Option<OpKind>,
    /// Which of those goes wrong, from 1 on.
    pub nth: u64,
    /// Whether all behind it go wrong too.
    pub forever: bool,
    /// What goes wrong.
    pub effect: Effect,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does nothing and gives this error of the system ([`errno`]).
    Error(i32),
    /// A read or write does half of what it was asked, at least one byte.
    /// Only reads and writes count.
    Short,
}

impl Fault {
    /// The `nth` call of `kind` fails with `errno`, once.
    #[must_use]
    pub fn once(kind: Option<OpKind>, nth: u64, errno: i32) -> Fault {
        Fault { kind, nth, forever: false, effect: Effect::Error(errno) }
    }

    /// The `nth` call of `kind` and all behind it fail with `errno`.
    #[must_use]
    pub fn from_then_on(kind: Option<OpKind>, nth: u64, errno: i32) -> Fault {
        Fault { forever: true, ..Fault::once(kind, nth, errno) }
    }

    /// The `nth` call of `kind` (reads, writes or both) does half of its work.
    #[must_use]
    pub fn short(kind: Option<OpKind>, nth: u64) -> Fault {
        Fault { kind, nth, forever: false, effect: Effect::Short }
    }

    fn counts(&self, kind: OpKind) -> bool {
        let can_be_short = matches!(kind, OpKind::Read | OpKind::Write);
        self.kind.is_none_or(|only| only == kind) && (self.effect != Effect::Short || can_be_short)
    }
}

/// Counts calls, and says which go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(Fault, u64)>,
    calls: u64,
    calls_by_kind: BTreeMap<OpKind, u64>,
}

impl Faults {
    pub(super) fn plan(&mut self, faults: Vec<Fault>) {
        self.planned = faults.into_iter().map(|fault| (fault, 0)).collect();
    }

    /// Counts a call; `Ok(true)`: it is to be short.
    pub(super) fn call(&mut self, kind: OpKind) -> io::Result<bool> {
        self.calls += 1;
        *self.calls_by_kind.entry(kind).or_default() += 1;
        let mut effect = None;
        for (fault, seen) in &mut self.planned {
            if fault.counts(kind) {
                *seen += 1;
                let hit = *seen == fault.nth || (fault.forever && *seen > fault.nth);
                effect = effect.or(hit.then_some(fault.effect));
            }
        }
        match effect {
            None => Ok(false),
            Some(Effect::Short) => Ok(true),
            Some(Effect::Error(number)) => Err(errno::error(number)),
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn calls_of(&self, kind: OpKind) -> u64 {
        self.calls_by_kind.get(&kind).copied().unwrap_or(0)
    }
}
