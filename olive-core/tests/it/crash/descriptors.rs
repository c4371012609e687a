//! A process that may open no more files: what needs one fails and is tried again, and
//! what was never tried poisons nothing.
#![expect(clippy::disallowed_methods, reason = "it takes descriptors from outside")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use olive_core::internals::open_on;
use olive_core::internals::vfs::OsVfs;
use olive_core::{Db, ErrorKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::around::{Around, Call, Surrounded};
use crate::child;
use crate::support::{Scratch, entries, kind, settle, tiny};

/// Calls that find every descriptor taken.
const NONE: u8 = 0;
const SYNC_DIR: u8 = 1;
const CREATE_TABLE: u8 = 2;
const OPEN_TABLE: u8 = 3;

/// Every descriptor of the process is taken during some calls.
#[derive(Debug, Default)]
struct Starving {
    at: AtomicU8,
    starved: AtomicU64,
}

impl Starving {
    fn is_at(&self, at: u8) -> bool {
        self.at.load(Ordering::Relaxed) == at
    }

    fn set(&self, at: u8) {
        self.at.store(at, Ordering::Relaxed);
        self.starved.store(0, Ordering::Relaxed);
    }

    fn starved(&self) -> u64 {
        self.starved.load(Ordering::Relaxed)
    }
}

impl Around for Starving {
    fn around<T>(&self, call: Call, path: &Path, run: impl FnOnce() -> T) -> T {
        let is_table = path.extension().is_some_and(|ending| ending == "sst");
        let starves = match call {
            Call::SyncDir => self.is_at(SYNC_DIR),
            Call::Create => self.is_at(CREATE_TABLE) && is_table,
            Call::Open => self.is_at(OPEN_TABLE) && is_table,
            Call::CreateDir => false,
        };
        let mut taken = Vec::new();
        if starves {
            self.starved.fetch_add(1, Ordering::Relaxed);
            while let Ok(file) = File::open("/dev/null") {
                taken.push(file);
            }
        }
        run()
    }
}

#[test]
fn no_descriptor_is_wanted_to_sync_the_folder() {
    child::run("crash::descriptors::syncs_its_folder_without", &Scratch::new().path());
}

#[test]
fn syncs_its_folder_without() {
    let Some((path, disk)) = starved() else { return };
    let db = open_on(tiny(), Arc::clone(&disk) as _, &path).expect("a new database");
    disk.around.set(SYNC_DIR);
    fill(&db, 0..100);
    settle(&db).expect("maintenance");
    db.compact_range(..).expect("a compaction");
    assert_eq!(db.health().expect("health").poisoned, None);
    db.close().expect("a close");
    let db = open_on(tiny(), Arc::clone(&disk) as _, &path).expect("a reopen");
    assert!(disk.around.starved() > 10, "{} syncs of the folder", disk.around.starved());
    assert_eq!(entries(&db).expect("a walk").len(), 100);
}

#[test]
fn a_table_that_cannot_be_opened_is_written_again() {
    child::run("crash::descriptors::writes_tables_again", &Scratch::new().path());
}

#[test]
fn writes_tables_again() {
    let Some((path, disk)) = starved() else { return };
    let db = open_on(tiny(), Arc::clone(&disk) as _, &path).expect("a new database");
    for (round, at) in [CREATE_TABLE, OPEN_TABLE].into_iter().enumerate() {
        fill(&db, round * 20..round * 20 + 20);
        disk.around.set(at);
        let flushed = db.flush();
        assert!(disk.around.starved() > 0, "round {round}");
        if at == CREATE_TABLE {
            assert_eq!(kind(flushed), ErrorKind::Io);
        }
        let health = db.health().expect("health");
        assert!(health.writable && health.poisoned.is_none(), "{health:?}");
        disk.around.set(NONE);
        db.flush().expect("a flush");
        assert_eq!(entries(&db).expect("a walk").len(), round * 20 + 20);
    }
    assert!(db.verify().expect("a verify").is_clean());
    db.close().expect("a close");
}

/// Of a child, where it works and by what; few files may be open.
fn starved() -> Option<(PathBuf, Arc<Surrounded<Starving>>)> {
    let path = child::path()?;
    let limit = Rlimit { current: Some(256), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("a limit");
    let disk = Arc::new(OsVfs::default());
    Some((path, Arc::new(Surrounded { disk, around: Starving::default() })))
}

fn fill(db: &Db, numbers: std::ops::Range<usize>) {
    for number in numbers {
        db.put(format!("k{number:03}"), [1; 50]).expect("a put");
    }
}
