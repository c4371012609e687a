//! Durability 6: every bit of a small database flipped, every length cut to, files
//! deleted, swapped, from another database or from an earlier time.
//!
//! ```text
//! refused    the open fails and names a file
//! detected   a read fails and names a file, what was read before it is right, and
//!            `verify` finds it too
//! verified   every read is right, and `verify` finds it
//! harmless   every read is right, and `verify` has nothing to say
//! tail       what was never synced is gone: an earlier state, at or past the last sync
//! rolled back  a log that is older as a whole: nothing on disk says that there was more
//! ```
//!
//! Anything else is bad: a wrong answer, a panic, or an allocation past twice the
//! length of the file (and past what the whole database asks for).

mod damage;
mod grid;
mod outcome;
mod subject;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bit_rot::damage::Damage;
use crate::bit_rot::grid::Grid;
use crate::bit_rot::outcome::{Memory, Mode, Outcome, outcome_of};
use crate::bit_rot::subject::Subject;
use crate::support::Model;
use crate::tally::{Tally, seed};

/// Threads that work on cases.
const WORKERS: usize = 2;
/// Every how many damages the database is opened to be written, too.
const NORMAL_EVERY: usize = 8;
/// What an error's text and the like may take, in bytes.
const SLACK_BYTES: usize = 4 << 10;

/// A subject, and what its undamaged self asks of memory.
struct World {
    subject: Subject,
    usual: [Memory; 2],
}

impl World {
    fn new(seed: u64, is_closed: bool) -> World {
        let subject = Subject::new(seed, is_closed);
        let usual = [Mode::ReadOnly, Mode::Normal].map(|mode| {
            let disk = subject.disk.kill_now();
            let (outcome, memory) = outcome_of(&disk, mode, whole(&subject), &[]);
            assert_eq!(outcome, Ok(Outcome::Harmless), "undamaged");
            memory
        });
        World { subject, usual }
    }

    /// Tries all of `damages`.
    fn try_all(&self, damages: &[Damage], tally: &Tally, grid: &Grid) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let Some(damage) = damages.get(nth) else { return };
                        self.try_one(damage, Mode::ReadOnly, tally, grid);
                        if nth.is_multiple_of(NORMAL_EVERY) || !is_one_of_many(damage) {
                            self.try_one(damage, Mode::Normal, tally, grid);
                        }
                    }
                });
            }
        });
    }

    fn try_one(&self, damage: &Damage, mode: Mode, tally: &Tally, grid: &Grid) {
        let (disk, file_bytes) = damage.apply(&self.subject);
        let (found, memory) = outcome_of(&disk, mode, whole(&self.subject), self.tail(damage));
        let outcome = match found {
            Ok(Outcome::Tail) if matches!(damage, Damage::Older { .. }) => "rolled back",
            Ok(outcome) => outcome.name(),
            Err(what) => {
                tally.bad(format!("{damage:?} ({:?}): {what}", damage.path(&self.subject)));
                "bad"
            }
        };
        tally.add("opens", 1);
        tally.add(outcome, 1);
        grid.add(damage.name(), damage.kind(&self.subject), outcome);
        let usual = self.usual[mode as usize];
        let largest = usual.largest_bytes.max(2 * file_bytes) + SLACK_BYTES;
        let peak = usual.peak_bytes + 2 * file_bytes + SLACK_BYTES;
        if memory.largest_bytes > largest || memory.peak_bytes > peak {
            let usual = format!("usual {usual:?}, the file has {file_bytes}");
            tally.bad(format!("{damage:?} {mode:?}: {memory:?}, {usual}"));
        }
        grid.note(memory);
    }

    /// The states that may be left once `damage` has cut the log's tail.
    fn tail(&self, damage: &Damage) -> &[Model] {
        let states = &self.subject.states;
        match (damage, damage.kind(&self.subject)) {
            (Damage::Older { .. }, "log") => states,
            (_, "log") => &states[self.subject.synced..],
            _ => &[],
        }
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Refused => "refused",
            Outcome::Detected => "detected",
            Outcome::Verified => "verified",
            Outcome::Harmless => "harmless",
            Outcome::Tail => "tail",
        }
    }
}

fn whole(subject: &Subject) -> &Model {
    &subject.states[subject.states.len() - 1]
}

/// Damages of which there are so many that a part of them is opened in both modes.
fn is_one_of_many(damage: &Damage) -> bool {
    matches!(damage, Damage::Flip { .. } | Damage::Cut { .. } | Damage::Garbage { .. })
}

/// Every `stride`th of each sort of damage.
fn prove(proof: &'static str, stride: usize) {
    let tally = Tally::new(proof);
    let grid = Grid::default();
    let seed = seed(0xB17_2077);
    let killed = World::new(seed, false);
    let closed = World::new(seed, true);
    let strangers = [Subject::new(seed ^ 1, false), Subject::new(seed ^ 1, true)];
    let sample = |damages: Vec<Damage>, stride: usize| -> Vec<Damage> {
        let from = seed as usize % stride;
        damages.into_iter().skip(from).step_by(stride).collect()
    };
    let bytes = |world: &World| {
        world.subject.files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    };
    tally.add("bytes", bytes(&killed));
    // The tables of a closed database are like those of one that was killed.
    let all = killed.subject.places(|_| true);
    let marks = closed.subject.places(|kind| kind != "table");
    for (world, files) in [(&killed, &all), (&closed, &marks)] {
        let subject = &world.subject;
        let flips = sample(damage::flips(subject, files), stride);
        tally.add("flips", flips.len() as u64);
        world.try_all(&flips, &tally, &grid);
        let cuts = sample(damage::cuts(subject, files), stride);
        tally.add("cuts", cuts.len() as u64);
        world.try_all(&cuts, &tally, &grid);
        // There are fewer of these: the sample is denser.
        let stride = stride.div_ceil(16);
        let garbage = sample(damage::garbage(subject, files), stride);
        let files = sample(damage::of_whole_files(subject, &strangers), stride);
        let blocks = sample(damage::block_swaps(subject), stride);
        tally.add("garbage", garbage.len() as u64);
        tally.add("whole files", files.len() as u64);
        tally.add("block swaps", blocks.len() as u64);
        for damages in [garbage, files, blocks] {
            world.try_all(&damages, &tally, &grid);
        }
    }
    print!("{grid}");
    println!("memory, undamaged: {:?} read-only, {:?} normal", killed.usual[0], killed.usual[1]);
    assert!(tally.count("refused") + tally.count("detected") > tally.count("opens") / 2);
    assert!(tally.count("block swaps") > 20, "{tally}");
    tally.close();
}

#[test]
fn a_sample_of_bits_and_lengths() {
    prove("bit-rot (sample)", 97);
}

#[test]
#[ignore = "minutes: every bit and every length"]
fn every_bit_and_every_length() {
    prove("bit-rot", 1);
}
