//! What the promise tests share: folders, tiny options, a model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind, Maintenance, Options, Progress, Reader, Result};

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
        if path.is_symlink() {
            let target = std::fs::read_link(&path).expect("a link");
            found.insert(path, target.into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
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

    pub(crate) fn put(&mut self, name: &str, key: &[u8], value: &[u8]) {
        let map = self.0.entry(name.to_owned()).or_default();
        map.insert(key.to_vec(), value.to_vec());
    }
}
