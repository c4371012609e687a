//! What a crash may take, and what it may not.

mod durability;
mod journal;
mod settings;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::*;
use crate::vfs::{Access, Vfs, VfsFile, read_exact_at, write_all_at};

const SEEDS: std::ops::Range<u64> = 0..200;

fn path(name: &str) -> PathBuf {
    Path::new("/db").join(name)
}

/// A disk with a durable folder `/db` and nothing in it.
fn disk() -> SimVfs {
    let disk = SimVfs::new(1);
    disk.create_dir(Path::new("/db")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// As [`disk`], with a durable file.
fn disk_with(name: &str, bytes: &[u8]) -> SimVfs {
    let disk = disk();
    disk.write_raw(&path(name), bytes);
    disk
}

fn sync_db(disk: &SimVfs) {
    disk.sync_dir(Path::new("/db")).unwrap();
}

fn create(disk: &SimVfs, name: &str, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = disk.create(&path(name)).unwrap();
    write_all_at(&*file, 0, bytes).unwrap();
    file
}

fn edit(disk: &SimVfs, name: &str) -> Arc<dyn VfsFile> {
    disk.open(&path(name), Access::ReadWrite).unwrap()
}

fn names(disk: &SimVfs) -> Vec<String> {
    disk.list(Path::new("/db")).unwrap()
}

fn random_images(disk: &SimVfs) -> impl Iterator<Item = SimVfs> {
    SEEDS.map(|seed| disk.crash_now(CrashMode::Random { seed }))
}

/// All that `look` saw in random images, in order and once each.
fn seen<T: Ord>(disk: &SimVfs, look: impl Fn(SimVfs) -> T) -> Vec<T> {
    random_images(disk).map(look).collect::<BTreeSet<T>>().into_iter().collect()
}
