//! One run of a workload while calls fail: what was answered, and what the database
//! may hold given that.

use std::path::PathBuf;
use std::sync::Arc;

use olive_core::internals::vfs::sim::SimVfs;
use olive_core::internals::{open_on, open_read_only_on};
use olive_core::{Db, Error, ErrorKind, Options, Result};

use super::workloads::Act;
use crate::script::Step;
use crate::support::{DIR, Model, open_sim};

/// What goes wrong in a run, in words.
pub(super) type Checked<T = ()> = std::result::Result<T, String>;

/// The states that a database may be in, given what its calls answered.
#[derive(Clone)]
pub(super) struct Possible(Vec<Model>);

/// A checkpoint that was asked for.
pub(super) struct Copied {
    pub(super) path: PathBuf,
    pub(super) is_done: bool,
    pub(super) possible: Possible,
}

/// A run, from an empty disk on.
pub(super) struct Life<'a> {
    vfs: &'a SimVfs,
    options: &'a Options,
    /// Which errors the fault may lead to; none: it must not be noticed.
    allowed: Vec<ErrorKind>,
    db: Option<Db>,
    /// An open has succeeded.
    is_created: bool,
    pub(super) possible: Possible,
    pub(super) copies: Vec<Copied>,
    pub(super) errors: u64,
}

impl Possible {
    pub(super) fn check(&self, found: &Model) -> Checked {
        if self.0.contains(found) {
            return Ok(());
        }
        Err(format!(
            "not one of {} states, but {found:?}; the first: {:?}",
            self.0.len(),
            self.0[0]
        ))
    }

    fn apply(&mut self, step: &Step) {
        self.0.iter_mut().for_each(|model| step.apply(model));
    }

    /// The outcome is unknown.
    fn may_apply(&mut self, step: &Step) {
        let before = self.0.clone();
        self.apply(step);
        for model in before {
            if !self.0.contains(&model) {
                self.0.push(model);
            }
        }
    }
}

impl<'a> Life<'a> {
    pub(super) fn new(vfs: &'a SimVfs, options: &'a Options, allowed: Vec<ErrorKind>) -> Life<'a> {
        let possible = Possible(vec![Model::default()]);
        let (db, copies) = (None, Vec::new());
        Life { vfs, options, allowed, db, is_created: false, possible, copies, errors: 0 }
    }

    /// Goes through the acts as far as they go.
    pub(super) fn run(&mut self, acts: &[Act]) -> Checked {
        for act in acts {
            self.act(act).map_err(|what| format!("{act:?}: {what}"))?;
        }
        Ok(())
    }

    /// Lets go of the database, which closes it.
    pub(super) fn end(&mut self) {
        self.db = None;
    }

    fn act(&mut self, act: &Act) -> Checked {
        if let Act::Step(Step::Reopen) = act
            && let Some(db) = self.db.take()
        {
            self.note(db.close(), "close")?;
        }
        if self.db.is_none() && !self.open()? {
            return Ok(());
        }
        let Some(db) = self.db.clone() else { return Ok(()) };
        match act {
            Act::Step(Step::Batch(changes)) => {
                let names: Vec<&String> = changes
                    .iter()
                    .map(|change| &change.0)
                    .filter(|name| !name.is_empty())
                    .collect();
                for name in names {
                    if !self.step(&db, &Step::Keyspace(name.clone()))? {
                        return Ok(());
                    }
                }
                self.step(&db, &Step::Batch(changes.clone())).map(drop)
            }
            Act::Step(step) => self.step(&db, step).map(drop),
            Act::Checkpoint(number) => self.checkpoint(&db, *number),
            Act::ReadOnly => self.read_only(),
            Act::ReadAll => self.read_all(&db),
            Act::CompactPart => {
                self.note(db.compact_range("key05".."key15"), "compact a part").map(drop)
            }
        }
    }

    /// Opens the database; what it then holds is durable, so that it is known again.
    fn open(&mut self) -> Checked<bool> {
        let Some(db) = self.note(open_sim(self.options.clone(), self.vfs), "open")? else {
            return Ok(false);
        };
        self.is_created = true;
        let found = self.note(Model::of(&db), "read everything")?;
        self.db = Some(db);
        if let Some(found) = found {
            self.possible.check(&found)?;
            self.possible.0 = vec![found];
        }
        Ok(true)
    }

    /// Does a step; says whether it was acknowledged.
    fn step(&mut self, db: &Db, step: &Step) -> Checked<bool> {
        let was_poisoned = is_poisoned(db);
        let outcome = step.run(db).map(drop);
        let poison = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Poisoned);
        let is_done = self.note(outcome, "do it")?.is_some();
        if is_done {
            self.possible.apply(step);
        } else if poison && !was_poisoned {
            // The sync that it waited for failed.
            self.possible.may_apply(step);
        }
        match step {
            Step::Put(key, _) | Step::Delete(key) => self.get(db, key)?,
            Step::Flush | Step::Compact => self.read_all(db)?,
            _ => {}
        }
        Ok(is_done)
    }

    fn get(&mut self, db: &Db, key: &[u8]) -> Checked {
        let Some(found) = self.note(db.get(key), "get")? else { return Ok(()) };
        let found = found.as_deref();
        let holds = |model: &Model| model.0.get("").and_then(|map| map.get(key)).cloned();
        if self.possible.0.iter().any(|model| holds(model).as_deref() == found) {
            return Ok(());
        }
        Err(format!("a get of {} shows {found:?}", key.escape_ascii()))
    }

    fn read_all(&mut self, db: &Db) -> Checked {
        match self.note(Model::of(db), "read everything")? {
            Some(found) => self.possible.check(&found),
            None => Ok(()),
        }
    }

    fn read_only(&mut self) -> Checked {
        let vfs = Arc::new(self.vfs.clone());
        let read = open_read_only_on(self.options.clone(), vfs, DIR).and_then(|db| Model::of(&db));
        match self.note(read, "read only")? {
            Some(found) => self.possible.check(&found),
            None => Ok(()),
        }
    }

    fn checkpoint(&mut self, db: &Db, number: usize) -> Checked {
        let path = PathBuf::from(format!("/copy{number}"));
        let is_done = self.note(db.checkpoint(&path), "make a checkpoint")?.is_some();
        let possible = self.possible.clone();
        let copied = Copied { path, is_done, possible };
        if is_done {
            let vfs = Arc::new(self.vfs.clone());
            let read = open_read_only_on(self.options.clone(), vfs, &copied.path)
                .and_then(|db| Model::of(&db));
            if let Some(found) = self.note(read, "read the checkpoint")? {
                copied.possible.check(&found)?;
            }
        }
        self.copies.push(copied);
        Ok(())
    }

    /// The answer, or nothing where it is an error that may be.
    fn note<T>(&mut self, outcome: Result<T>, what: &str) -> Checked<Option<T>> {
        let error = match outcome {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        self.errors += 1;
        if self.allowed.contains(&error.kind()) {
            return Ok(None);
        }
        Err(format!("{what}: {error:?}"))
    }
}

/// A checkpoint when no call fails any more: whole and right, or no database.
pub(super) fn check_copy(image: &SimVfs, options: &Options, copied: &Copied) -> Checked {
    let told = |what: &str, error: Error| format!("{}: {what}: {error:?}", copied.path.display());
    let vfs = Arc::new(image.clone());
    let read_only = open_read_only_on(options.clone(), vfs.clone(), &copied.path);
    let db = match read_only {
        Err(error) if error.kind() == ErrorKind::InvalidArgument && !copied.is_done => {
            return Ok(());
        }
        opened => opened.map_err(|error| told("open read-only", error))?,
    };
    let found = Model::of(&db).map_err(|error| told("read", error))?;
    copied.possible.check(&found).map_err(|what| format!("{}: {what}", copied.path.display()))?;
    let db = open_on(options.clone(), vfs, &copied.path).map_err(|error| told("open", error))?;
    let again = Model::of(&db).map_err(|error| told("read", error))?;
    let report = db.verify().map_err(|error| told("verify", error))?;
    if again != found || !report.is_clean() {
        return Err(format!("{}: opened again: {report:?}", copied.path.display()));
    }
    db.close().map_err(|error| told("close", error))
}

fn is_poisoned(db: &Db) -> bool {
    db.health().is_ok_and(|health| health.poisoned.is_some())
}
