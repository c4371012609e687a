//! Warnings that strangers can give rise to: at most one a second of a kind.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Complaints {
    next_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Complaints {
    /// Logs `text`, or counts it if it comes too soon after another one.
    pub(crate) fn say(&self, now_ms: u64, text: impl FnOnce() -> String) {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let mine = now_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, now_ms + 1_000, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let text = text();
        match self.unsaid.swap(0, Ordering::Relaxed) {
            0 => log::warn!("{text}"),
            more => log::warn!("{text}; {more} more like it since the last"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let complaints = Complaints::default();
        let said = std::cell::Cell::new(0);
        let say = |now_ms| {
            complaints.say(now_ms, || {
                said.set(said.get() + 1);
                String::new()
            });
        };
        (0..500).for_each(say);
        assert_eq!((said.get(), complaints.unsaid.load(Ordering::Relaxed)), (1, 499));
        say(1_000);
        assert_eq!((said.get(), complaints.unsaid.load(Ordering::Relaxed)), (2, 0));
    }
}
