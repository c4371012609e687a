//! Ends the run where a case hangs, and says which.

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a case may take; one takes milliseconds.
const CASE_MAX: Duration = Duration::from_secs(10);

/// What each worker does, and since when.
pub(super) struct Watch(Vec<Mutex<Option<(Instant, String)>>>);

impl Watch {
    pub(super) fn new(workers: usize) -> Watch {
        Watch((0..workers).map(|_| Mutex::default()).collect())
    }

    #[expect(clippy::disallowed_methods, reason = "it measures the test, not the engine")]
    pub(super) fn begin(&self, worker: usize, name: impl FnOnce() -> String) {
        *self.0[worker].lock().expect("not poisoned") = Some((Instant::now(), name()));
    }

    pub(super) fn end(&self, worker: usize) {
        *self.0[worker].lock().expect("not poisoned") = None;
    }

    /// Does `work`; a case that takes too long ends the process, since nothing else
    /// ends a thread.
    pub(super) fn guard(&self, work: impl FnOnce()) {
        let (done, is_done) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while is_done.recv_timeout(CASE_MAX / 10) == Err(RecvTimeoutError::Timeout) {
                    for slot in &self.0 {
                        let slot = slot.lock().expect("not poisoned");
                        if let Some((began, name)) = &*slot
                            && began.elapsed() > CASE_MAX
                        {
                            eprintln!("a hang of more than {CASE_MAX:?}: {name}");
                            std::process::abort();
                        }
                    }
                }
            });
            work();
            drop(done);
        });
    }
}
