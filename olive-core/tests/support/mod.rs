//! What the promise tests share: folders, tiny options, a model, a scripted workload.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind, Maintenance, Options, Progress, Reader, Result, WriteBatch};

/// Where the database lies on a simulated disk.
pub(crate) const DIR: &str = "/db";

/// A folder of the real disk that goes with the test, and a path in it.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("db")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// All files below, with what they hold.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        read_tree(self.0.path(), &mut found);
        found
    }
}

fn read_tree(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.insert(path.join(""), Vec::new());
            read_tree(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
}

/// Options under which a few writes make memtables, segments, tables and levels.
pub(crate) fn tiny() -> Options {
    Options::default()
        .maintenance(Maintenance::Manual)
        .memtable_bytes(2 << 10)
        .block_bytes(128)
        .table_bytes(1 << 10)
        .level0_tables(2)
        .level_base_bytes(2 << 10)
        .level_multiplier(3)
        .wal_segment_bytes_max(4 << 10)
        .sync_interval(Duration::from_millis(1))
}

pub(crate) fn open_sim(options: Options, vfs: &SimVfs) -> Result<Db> {
    open_on(options, Arc::new(vfs.clone()), DIR)
}

/// The kind of the error that `result` must be.
pub(crate) fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            error.kind()
        }
    }
}

pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// All that a reader shows, forward.
pub(crate) fn entries(reader: &impl Reader) -> Result<Entries> {
    reader.iter()?.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}

/// Does maintenance until nothing is due.
pub(crate) fn settle(db: &Db) -> Result<()> {
    for _ in 0..10_000 {
        if db.maintain()? == Progress::Idle {
            return Ok(());
        }
    }
    panic!("maintenance does not come to an end");
}

/// Numbers that look random.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// What a database must hold: entries by keyspace, `""` for the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Model {
    /// What `db` holds, read forward, and backward, and key by key.
    pub(crate) fn of(db: &Db) -> Result<Model> {
        let mut found = Model::default();
        found.take("", db)?;
        for name in db.keyspaces()? {
            found.take(&name, &db.keyspace(&name)?)?;
        }
        Ok(found)
    }

    fn take(&mut self, name: &str, reader: &impl Reader) -> Result<()> {
        let forward = entries(reader)?;
        let mut backward: Entries = reader
            .iter()?
            .rev()
            .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_>>()?;
        backward.reverse();
        assert_eq!(forward, backward, "forward and backward show the same");
        for (key, value) in forward.iter().step_by(3) {
            let got = reader.get(key)?;
            assert_eq!(got.as_deref(), Some(&value[..]), "a get and a scan show the same");
        }
        if !(name.is_empty() && forward.is_empty()) {
            self.0.insert(name.to_owned(), forward.into_iter().collect());
        }
        Ok(())
    }

    pub(crate) fn keyspace(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    pub(crate) fn drop_keyspace(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn put(&mut self, name: &str, key: &[u8], value: &[u8]) {
        let map = self.0.entry(name.to_owned()).or_default();
        map.insert(key.to_vec(), value.to_vec());
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
