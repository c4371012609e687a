//! The small database that is damaged, with all kinds of files.
//!
//! ```text
//! CURRENT, MANIFEST    with edits behind what it began with
//! tables               on three levels, of three keyspaces
//! log                  live records over several segments, synced and promised; behind
//!                      them some that are acknowledged and not synced; a segment prepared
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::vfs::sim::{CrashMode, SimVfs};
use olive_core::{Db, Options, TableIo};

use crate::script::Step;
use crate::support::{Model, Random, open_sim, settle, tiny};

/// Bytes that the whole must have at least.
const BYTES_MIN: usize = 64 << 10;
/// Keys of the default keyspace; the others use the same names.
pub(super) const KEYS: usize = 250;

/// A database as it was left, and what it held after each write.
pub(super) struct Subject {
    pub(super) disk: SimVfs,
    /// All files but the lock, in order.
    pub(super) files: Vec<(PathBuf, Arc<Vec<u8>>)>,
    pub(super) states: Vec<Model>,
    /// The states from this one on may be what a tail that was cut leaves.
    pub(super) synced: usize,
    /// What files held at earlier times.
    pub(super) older: Vec<(PathBuf, Arc<Vec<u8>>)>,
}

/// A kind of file, for counts.
pub(super) fn kind_of(path: &Path) -> &'static str {
    match (path.file_name().and_then(|name| name.to_str()), path.extension()) {
        (Some("CURRENT"), _) => "CURRENT",
        (Some("LOCK"), _) => "LOCK",
        (_, Some(extension)) if extension == "sst" => "table",
        (_, Some(extension)) if extension == "wal" => "log",
        _ => "MANIFEST",
    }
}

pub(super) fn options(table_io: TableIo) -> Options {
    tiny()
        .memtable_bytes(16 << 10)
        .block_bytes(256)
        .table_bytes(4 << 10)
        .level0_tables(4)
        .level_base_bytes(8 << 10)
        .wal_segment_bytes_max(4 << 10)
        .sync_interval(Duration::from_secs(3600))
        .table_io(table_io)
}

/// What is written, and the states that it makes.
struct Build {
    vfs: SimVfs,
    db: Db,
    random: Random,
    states: Vec<Model>,
    older: Vec<(PathBuf, Arc<Vec<u8>>)>,
}

impl Subject {
    /// The database of `seed`, killed, or closed. File numbers do not depend on the
    /// seed, nor do the lengths of keys and values.
    pub(super) fn new(seed: u64, is_closed: bool) -> Subject {
        let vfs = SimVfs::new(seed);
        let db = open_sim(options(TableIo::Mapped), &vfs).expect("a new database");
        let states = vec![Model::default()];
        let mut build = Build { vfs, db, random: Random(seed), states, older: Vec::new() };
        build.tables();
        let synced = build.log(is_closed);
        build.finish(synced)
    }

    /// The files that `is_chosen`, by their place.
    pub(super) fn places(&self, is_chosen: impl Fn(&str) -> bool) -> Vec<usize> {
        (0..self.files.len()).filter(|&file| is_chosen(kind_of(&self.files[file].0))).collect()
    }
}

impl Build {
    fn step(&mut self, step: &Step) {
        step.run(&self.db).unwrap_or_else(|error| panic!("{step:?}: {error:?}"));
        if step.writes() {
            let mut next = self.states[self.states.len() - 1].clone();
            step.apply(&mut next);
            self.states.push(next);
        }
    }

    fn put(&mut self, keyspace: &str, number: usize, len: usize) {
        let value = self.random.bytes(len);
        let key = format!("key{number:04}").into_bytes();
        let change = (keyspace.to_owned(), key, Some(value));
        self.step(&Step::Batch(vec![change]));
    }

    /// Files as they are now, for later.
    fn remember(&mut self) {
        for (path, bytes) in files(&self.vfs) {
            if !self.older.iter().any(|old| old.0 == path && old.1 == bytes) {
                self.older.push((path, bytes));
            }
        }
    }

    /// Tables on the last level, on one above it, and on level 0.
    fn tables(&mut self) {
        self.step(&Step::Keyspace("users".to_owned()));
        self.step(&Step::Keyspace("words".to_owned()));
        for number in 0..KEYS {
            // Equal lengths: blocks of equal length can change places.
            self.put("", number, 60);
            if number % 4 == 0 {
                self.put("users", number, number / 4);
            }
        }
        self.remember();
        self.step(&Step::Compact);
        self.remember();
        for number in (0..KEYS).step_by(3) {
            match number % 2 {
                0 => self.put("", number, 80),
                _ => self.step(&Step::Delete(format!("key{number:04}").into_bytes())),
            }
        }
        self.step(&Step::Flush);
        settle(&self.db).expect("maintenance");
        self.remember();
        for round in 0..2 {
            for number in 0..12 {
                self.put("words", number * 2 + round, 30);
                self.put("", number * 17, 20);
            }
            self.step(&Step::Flush);
            self.remember();
        }
    }

    /// Records over several segments; says how many writes are synced.
    fn log(&mut self, is_closed: bool) -> usize {
        for number in 0..90 {
            match number % 5 {
                0 => self.put("users", number, 25),
                1 => self.step(&Step::Delete(format!("key{:04}", number * 2).into_bytes())),
                _ => self.put("", number * 2, 100),
            }
            if number % 30 == 29 {
                self.step(&Step::Sync);
                self.step(&Step::Maintain);
                self.remember();
            }
        }
        for number in 0..3 {
            self.put("words", number, 10);
        }
        self.step(&Step::Sync);
        let synced = self.states.len() - 1;
        self.step(&Step::Maintain);
        for number in 0..4 {
            self.put("", number * 3, 50);
        }
        if is_closed {
            self.db.close().expect("a close");
            return self.states.len() - 1;
        }
        synced
    }

    fn finish(self, synced: usize) -> Subject {
        let disk = self.vfs.crash_now(CrashMode::Everything);
        let files = files(&disk);
        let older = self.older.into_iter().filter(|old| !files.contains(old)).collect();
        Subject { disk, files, states: self.states, synced, older }
    }
}

fn files(vfs: &SimVfs) -> Vec<(PathBuf, Arc<Vec<u8>>)> {
    let paths = vfs.paths().into_iter().filter(|path| !path.ends_with("LOCK"));
    paths.map(|path| (path.clone(), Arc::new(vfs.read_raw(&path)))).collect()
}

#[test]
fn the_subject_has_files_of_every_kind() {
    let subject = Subject::new(7, false);
    let bytes: usize = subject.files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes >= BYTES_MIN, "{bytes} bytes");
    let count = |kind: &str| subject.places(|is| is == kind).len();
    let counts = (count("CURRENT"), count("MANIFEST"), count("table"), count("log"));
    assert!(counts.0 == 1 && counts.1 == 1 && counts.2 >= 6 && counts.3 >= 3, "{counts:?}");
    let db = open_sim(options(TableIo::Mapped), &subject.disk.kill_now()).expect("an open");
    assert_eq!(Model::of(&db).expect("a read"), subject.states[subject.states.len() - 1]);
    assert!(subject.synced + 4 < subject.states.len(), "some writes are not synced");
    assert!(subject.older.len() >= 8, "{} older files", subject.older.len());
    drop(db);

    let read = olive_core::internals::open_read_only_on(
        options(TableIo::Mapped),
        Arc::new(subject.disk.clone()),
        crate::support::DIR,
    );
    let stats = read.and_then(|db| db.stats()).expect("statistics");
    let levels = stats.levels.iter().filter(|level| level.tables > 0).count();
    assert!(levels >= 3, "{:?}", stats.levels);
    let closed = Subject::new(7, true);
    assert!(closed.places(|kind| kind == "log").is_empty(), "a clean end leaves no log");
    let sibling = Subject::new(8, false);
    let names = |subject: &Subject| {
        subject.files.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect::<Vec<_>>()
    };
    let same = names(&subject).iter().filter(|file| names(&sibling).contains(file)).count();
    assert!(same * 4 > subject.files.len() * 3, "{same}: a sibling has the same names");
}
