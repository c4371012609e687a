//! A process that may open no more files: what needs one fails and is tried again, and
//! what was never tried poisons nothing.
#![expect(clippy::disallowed_methods, reason = "it takes descriptors from outside")]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use olive_core::internals::open_on;
use olive_core::internals::vfs::{Access, LockGuard, Metadata, OsVfs, Patience, Vfs, VfsFile};
use olive_core::{Db, ErrorKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::child;
use crate::support::{Scratch, entries, kind, settle, tiny};

/// Calls that find every descriptor taken.
const NONE: u8 = 0;
const SYNC_DIR: u8 = 1;
const CREATE_TABLE: u8 = 2;
const OPEN_TABLE: u8 = 3;

/// The real disk, in a process that runs out of descriptors right before some calls.
#[derive(Debug, Default)]
struct Starved {
    disk: OsVfs,
    at: AtomicU8,
    starved: AtomicU64,
}

impl Starved {
    fn call<T>(&self, starves: bool, call: impl FnOnce(&OsVfs) -> T) -> T {
        let mut taken = Vec::new();
        if starves {
            self.starved.fetch_add(1, Ordering::Relaxed);
            while let Ok(file) = File::open("/dev/null") {
                taken.push(file);
            }
        }
        call(&self.disk)
    }

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

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "sst")
}

impl Vfs for Starved {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.absolute(path)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(self.is_at(SYNC_DIR), |disk| disk.sync_dir(dir))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.call(self.is_at(CREATE_TABLE) && is_table(path), |disk| disk.create(path))
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        self.call(self.is_at(OPEN_TABLE) && is_table(path), |disk| disk.open(path, access))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock(path)
    }
    fn honours_reservation(&self, dir: &Path) -> bool {
        self.disk.honours_reservation(dir)
    }
    fn monotonic(&self) -> Duration {
        self.disk.monotonic()
    }
    fn wall_clock_ms(&self) -> u64 {
        self.disk.wall_clock_ms()
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
    fn lower_thread_priority(&self, patience: Patience) {
        self.disk.lower_thread_priority(patience);
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
    disk.set(SYNC_DIR);
    fill(&db, 0..100);
    settle(&db).expect("maintenance");
    db.compact_range(..).expect("a compaction");
    assert_eq!(db.health().expect("health").poisoned, None);
    db.close().expect("a close");
    let db = open_on(tiny(), Arc::clone(&disk) as _, &path).expect("a reopen");
    assert!(disk.starved() > 10, "{} syncs of the folder", disk.starved());
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
        disk.set(at);
        let flushed = db.flush();
        assert!(disk.starved() > 0, "round {round}");
        if at == CREATE_TABLE {
            assert_eq!(kind(flushed), ErrorKind::Io);
        }
        let health = db.health().expect("health");
        assert!(health.writable && health.poisoned.is_none(), "{health:?}");
        disk.set(NONE);
        db.flush().expect("a flush");
        assert_eq!(entries(&db).expect("a walk").len(), round * 20 + 20);
    }
    assert!(db.verify().expect("a verify").is_clean());
    db.close().expect("a close");
}

/// Of a child, where it works and by what; few files may be open.
fn starved() -> Option<(PathBuf, Arc<Starved>)> {
    let path = child::path()?;
    let limit = Rlimit { current: Some(256), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("a limit");
    Some((path, Arc::default()))
}

fn fill(db: &Db, numbers: std::ops::Range<usize>) {
    for number in numbers {
        db.put(format!("k{number:03}"), [1; 50]).expect("a put");
    }
}
