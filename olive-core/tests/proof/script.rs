//! Scripted workloads, and what they do to the model.

use olive_core::{Db, Progress, Result, WriteBatch};

use crate::support::{Model, Random};

impl Model {
    pub(crate) fn keyspace(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    pub(crate) fn drop_keyspace(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn delete(&mut self, name: &str, key: &[u8]) {
        if let Some(map) = self.0.get_mut(name) {
            map.remove(key);
            if map.is_empty() && name.is_empty() {
                self.0.remove(name);
            }
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get("").and_then(|map| map.get(key)).map(|value| &value[..])
    }
}

/// One operation of a batch: keyspace, key, and value or none for a delete.
pub(crate) type Change = (String, Vec<u8>, Option<Vec<u8>>);

/// One step of a scripted workload.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Batch(Vec<Change>),
    Keyspace(String),
    DropKeyspace(String),
    Flush,
    Compact,
    Sync,
    Maintain,
    Reopen,
}

impl Step {
    /// Whether it changes what the database holds.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Step::Flush | Step::Compact | Step::Sync | Step::Maintain | Step::Reopen)
    }

    pub(crate) fn apply(&self, model: &mut Model) {
        match self {
            Step::Put(key, value) => model.put("", key, value),
            Step::Delete(key) => model.delete("", key),
            Step::Batch(changes) => {
                for (name, key, value) in changes {
                    match value {
                        Some(value) => model.put(name, key, value),
                        None => model.delete(name, key),
                    }
                }
            }
            Step::Keyspace(name) => model.keyspace(name),
            Step::DropKeyspace(name) => model.drop_keyspace(name),
            _ => {}
        }
    }

    /// Does it, but for `Reopen`.
    pub(crate) fn run(&self, db: &Db) -> Result<Option<Progress>> {
        match self {
            Step::Put(key, value) => db.put(key, value)?,
            Step::Delete(key) => db.delete(key)?,
            Step::Batch(changes) => {
                let mut batch = WriteBatch::new();
                for (name, key, value) in changes {
                    match (name.as_str(), value) {
                        ("", Some(value)) => batch.put(key, value),
                        ("", None) => batch.delete(key),
                        (name, Some(value)) => batch.put_in(&db.keyspace(name)?, key, value),
                        (name, None) => batch.delete_in(&db.keyspace(name)?, key),
                    };
                }
                db.write(&batch)?;
            }
            Step::Keyspace(name) => drop(db.keyspace(name)?),
            Step::DropKeyspace(name) => drop(db.drop_keyspace(name)?),
            Step::Flush => db.flush()?,
            Step::Compact => db.compact_range(..)?,
            Step::Sync => db.sync()?,
            Step::Maintain => return db.maintain().map(Some),
            Step::Reopen => {}
        }
        Ok(None)
    }
}

/// A workload of `writes` writes with everything else in between, by `seed`.
pub(crate) fn script(seed: u64, writes: usize) -> Vec<Step> {
    let mut random = Random(seed);
    let mut steps = vec![Step::Keyspace("a".to_owned())];
    let mut has_b = false;
    let mut written = 0;
    while written < writes {
        let step = match random.below(40) {
            0..16 => {
                let len = random.below(180) as usize;
                Step::Put(key(&mut random), random.bytes(len))
            }
            16..20 => Step::Delete(key(&mut random)),
            20..26 => Step::Batch(
                (0..random.below(5) + 1)
                    .map(|_| {
                        let name = if random.below(2) == 0 { "" } else { "a" };
                        let len = random.below(60) as usize;
                        let value = (random.below(4) > 0).then(|| random.bytes(len));
                        (name.to_owned(), key(&mut random), value)
                    })
                    .collect(),
            ),
            26 => {
                has_b = !has_b;
                let name = "b".to_owned();
                if has_b { Step::Keyspace(name) } else { Step::DropKeyspace(name) }
            }
            27 if has_b => Step::Batch(vec![("b".to_owned(), key(&mut random), Some(vec![9; 9]))]),
            27 | 28 => Step::Flush,
            29 if random.below(2) == 0 => Step::Compact,
            29 | 30 => Step::Reopen,
            31..34 => Step::Sync,
            _ => Step::Maintain,
        };
        written += usize::from(step.writes());
        steps.push(step);
    }
    steps
}

fn key(random: &mut Random) -> Vec<u8> {
    format!("key{:02}", random.below(25)).into_bytes()
}
