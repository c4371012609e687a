//! Outcomes, kept on disk as they come, so that a run can be interrupted and resumed.
//!
//! ```text
//! run.json                                   what was asked for, and by which build
//! 16x100_random.readrandom.leveldb.2.json    an outcome: group, phase, engine, round
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::spec::Outcome;

/// Which measurement an outcome is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the name or number that its own name says")]
pub struct Key {
    pub group: String,
    pub phase: String,
    pub engine: String,
    pub round: u32,
}

impl Key {
    fn file_name(&self) -> String {
        let group = self.group.replace('/', "_");
        format!("{group}.{}.{}.{}.json", self.phase, self.engine, self.round)
    }
}

/// The outcomes that there are.
#[derive(Debug, Default)]
pub struct State {
    dir: Option<PathBuf>,
    outcomes: BTreeMap<Key, Outcome>,
}

impl State {
    /// One that is kept in memory only.
    pub fn in_memory() -> State {
        State::default()
    }

    /// One that is kept in a folder. `run` tells runs apart: outcomes of another are not
    /// mixed in.
    ///
    /// # Errors
    /// `InvalidInput` if the folder is of another run; others as the disk has them.
    pub fn in_folder(dir: &Path, run: &str) -> io::Result<State> {
        std::fs::create_dir_all(dir)?;
        let marker = dir.join("run.json");
        match std::fs::read_to_string(&marker) {
            Ok(before) if before == run => {}
            Ok(before) => {
                let text = format!(
                    "{} holds the results of another run or build ({before}); this one is {run}",
                    dir.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => replace(&marker, run)?,
            Err(error) => return Err(error),
        }
        Ok(State { dir: Some(dir.to_owned()), outcomes: BTreeMap::new() })
    }

    /// The outcome of a measurement, from memory or from the folder.
    ///
    /// # Errors
    /// What the disk has, and `InvalidData` if a file is no outcome.
    pub fn load(&mut self, key: &Key) -> io::Result<Option<&Outcome>> {
        if !self.outcomes.contains_key(key)
            && let Some(dir) = &self.dir
        {
            let path = dir.join(key.file_name());
            match std::fs::read(&path) {
                Ok(json) => {
                    let outcome = serde_json::from_slice(&json).map_err(|error| {
                        let text = format!("{}: {error}", path.display());
                        io::Error::new(io::ErrorKind::InvalidData, text)
                    })?;
                    self.outcomes.insert(key.clone(), outcome);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.outcomes.get(key))
    }

    /// Keeps an outcome; the first of a measurement stays.
    ///
    /// # Errors
    /// What the disk has.
    pub fn record(&mut self, key: Key, outcome: Outcome) -> io::Result<()> {
        if self.load(&key)?.is_some() {
            return Ok(());
        }
        if let Some(dir) = &self.dir {
            replace(&dir.join(key.file_name()), &serde_json::to_string(&outcome)?)?;
        }
        self.outcomes.insert(key, outcome);
        Ok(())
    }

    /// What was loaded or recorded, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = (&Key, &Outcome)> {
        self.outcomes.iter()
    }
}

/// Writes a file whole or not at all, as far as a killed process goes.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(round: u32) -> Key {
        let [group, phase, engine] = ["16x100/random", "seek", "olive"].map(str::to_owned);
        Key { group, phase, engine, round }
    }

    fn outcome(open_seconds: f64) -> Outcome {
        Outcome { open_seconds, ..Outcome::default() }
    }

    #[test]
    fn a_resumed_run_has_what_was_recorded_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::in_folder(dir.path(), "run").unwrap();
        assert!(state.load(&key(1)).unwrap().is_none());
        state.record(key(1), outcome(1.5)).unwrap();
        drop(state);

        let mut resumed = State::in_folder(dir.path(), "run").unwrap();
        assert_eq!(resumed.load(&key(1)).unwrap(), Some(&outcome(1.5)));
        assert_eq!(resumed.load(&key(2)).unwrap(), None);
        // A fill that is run again to build what is missing leaves its first result.
        resumed.record(key(1), outcome(9.0)).unwrap();
        assert_eq!(resumed.load(&key(1)).unwrap(), Some(&outcome(1.5)));
        assert_eq!(resumed.outcomes().count(), 1);
    }

    #[test]
    fn another_runs_results_are_not_mixed_in() {
        let dir = tempfile::tempdir().unwrap();
        State::in_folder(dir.path(), "one").unwrap();
        let refused = State::in_folder(dir.path(), "other").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_that_is_no_outcome_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::in_folder(dir.path(), "run").unwrap();
        std::fs::write(dir.path().join(key(1).file_name()), "half of a {").unwrap();
        let error = state.load(&key(1)).unwrap_err();
        assert!(error.to_string().contains("16x100_random.seek.olive.1.json"), "{error}");
    }
}
