//! [`Loader`]: one thread of a bench, an event loop over its lanes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::lane::{Lane, Shared, State};
use super::tally::Tally;

pub(super) struct Loader {
    poll: Poll,
    /// By their tokens; those that broke are gone.
    lanes: Vec<Option<Lane>>,
    shared: Shared,
    /// How many lanes wait for answers.
    waiting: usize,
    /// Without any answer for so long, those that wait are given up.
    timeout: Duration,
}

impl Loader {
    pub(super) fn new(lanes: Vec<Lane>, shared: Shared, timeout: Duration) -> io::Result<Loader> {
        let poll = Poll::new()?;
        let mut lanes: Vec<Option<Lane>> = lanes.into_iter().map(Some).collect();
        for (token, lane) in lanes.iter_mut().flatten().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut lane.stream, Token(token), both)?;
        }
        Ok(Loader { poll, lanes, shared, waiting: 0, timeout })
    }

    /// Runs to the end of the quota. `answered` follows the count of answers.
    pub(super) fn run(mut self, answered: &AtomicU64) -> io::Result<Tally> {
        self.start_all();
        let mut events = Events::with_capacity(1_024);
        while self.waiting > 0 {
            match self.poll.poll(&mut events, Some(self.timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if events.is_empty() {
                self.give_up();
                break;
            }
            for event in &events {
                self.advance(event.token().0, event.is_read_closed() || event.is_error());
            }
            answered.store(self.shared.tally.latency_ns.len(), Ordering::Relaxed);
        }
        Ok(self.shared.tally)
    }

    fn start_all(&mut self) {
        for token in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[token] else { continue };
            self.waiting += 1;
            let outcome = lane.start(&mut self.shared, Instant::now());
            self.settle(token, outcome);
        }
    }

    fn advance(&mut self, token: usize, closing: bool) {
        let Some(lane) = self.lanes.get_mut(token).and_then(Option::as_mut) else { return };
        // What is told of a lane that has nothing to do is the server's closing, or old.
        if lane.unanswered() > 0 {
            let outcome = lane.advance(&mut self.shared, closing);
            self.settle(token, outcome);
        }
    }

    fn settle(&mut self, token: usize, outcome: Result<State, String>) {
        match outcome {
            Ok(State::Waits) => {}
            Ok(State::Idle) => self.waiting -= 1,
            Err(cause) => {
                let unanswered = self.lanes[token].take().map_or(0, |lane| lane.unanswered());
                self.shared.tally.broke(cause, unanswered);
                self.waiting -= 1;
            }
        }
    }

    fn give_up(&mut self) {
        let cause = format!("no answer within {:?}", self.timeout);
        for lane in self.lanes.iter().flatten().filter(|lane| lane.unanswered() > 0) {
            self.shared.tally.broke(cause.clone(), lane.unanswered());
        }
    }
}
