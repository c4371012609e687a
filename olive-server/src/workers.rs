//! [`Workers`]: the threads of connections, one each, kept for the next for a while.
//!
//! A new thread costs its stack's mapping, its end an unmapping that stops all other
//! processors for a moment: where clients come and go by the thousand, that was a third
//! of the server's time.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// The stack of a connection's thread: memory is taken only as far as it is used.
const STACK_BYTES: usize = 256 << 10;
/// So many wait for a connection to come.
const IDLE_MAX: usize = 32;
/// So long they wait.
const PATIENCE: Duration = Duration::from_secs(2);

type Work = Box<dyn FnOnce() + Send>;

/// Threads that serve a connection each, or wait for one.
#[derive(Default)]
pub(crate) struct Workers {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    /// Not more than `idle`.
    waiting: VecDeque<Work>,
    idle: usize,
    started: u64,
}

impl Workers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `work` done by a thread of its own: one that waits, or a new one.
    ///
    /// # Errors
    ///
    /// There is no thread for it, and `work` is gone.
    pub(crate) fn begin(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.state();
        if state.waiting.len() < state.idle {
            state.waiting.push_back(Box::new(work));
            self.came.notify_one();
            return Ok(());
        }
        state.started += 1;
        let name = format!("conn-{}", state.started);
        drop(state);
        let workers = Arc::clone(self);
        Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
            work();
            while let Some(work) = workers.next() {
                work();
            }
        })?;
        Ok(())
    }

    /// What to do next; `None`: there are idle ones enough, or nothing came for a while.
    fn next(&self) -> Option<Work> {
        let mut state = self.state();
        if state.idle >= IDLE_MAX {
            return None;
        }
        state.idle += 1;
        let came = self.came.wait_timeout_while(state, PATIENCE, |state| state.waiting.is_empty());
        let mut state = came.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        state.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn all_work_is_done_at_once_and_by_few_threads_where_it_comes_one_after_the_other() {
        let workers = Arc::new(Workers::default());
        let (tell, told) = mpsc::channel();
        let begin = |let_go: Option<mpsc::Receiver<()>>| {
            let tell = tell.clone();
            let work = move || {
                tell.send(std::thread::current().name().unwrap_or_default().to_owned()).unwrap();
                let_go.map(|let_go| let_go.recv());
            };
            workers.begin(work).unwrap();
        };
        // Each waits until all have begun: none stands in line behind another.
        let mut ends = Vec::new();
        for _ in 0..2 * IDLE_MAX {
            let (end, let_go) = mpsc::channel();
            begin(Some(let_go));
            ends.push(end);
        }
        let mut names: Vec<String> = told.iter().take(2 * IDLE_MAX).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 * IDLE_MAX);
        drop(ends);
        while workers.state().idle < IDLE_MAX {
            std::thread::yield_now();
        }
        for _ in 0..100 {
            begin(None);
            assert!(names.contains(&told.recv().unwrap()), "one that was idle");
            while workers.state().idle < IDLE_MAX {
                std::thread::yield_now();
            }
        }
        assert_eq!(workers.state().started, 2 * IDLE_MAX as u64);
    }
}
