//! What every [`Vfs`] promises, asked of the real disk and of the simulated one.

use std::io::ErrorKind;
use std::path::Path;

use super::{Access, Patience, Vfs, read_exact_at, read_file, write_all_at};

/// Runs each promise on each file system, as a test of its own.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod os {
            $(#[test]
            fn $promise() {
                let root = tempfile::tempdir().unwrap();
                super::$promise(&crate::vfs::OsVfs::default(), root.path());
            })*
        }
        mod sim {
            $(#[test]
            fn $promise() {
                use crate::vfs::Vfs;
                let root = std::path::Path::new("/root");
                let disk = crate::vfs::sim::SimVfs::new(7);
                disk.create_dir(root).unwrap();
                super::$promise(&disk, root);
            })*
        }
    };
}

promises!(
    an_absolute_path_names_the_same_and_stays_what_it_is,
    a_file_is_created_once,
    what_is_missing_is_not_found,
    reads_end_at_the_end_of_the_file,
    a_write_past_the_end_leaves_zeros_before_it,
    a_file_opened_for_reading_takes_no_writes,
    a_reservation_extends_and_changes_no_byte,
    a_rename_takes_the_place_of_a_file,
    a_folder_is_renamed_with_what_is_in_it,
    only_an_empty_folder_is_removed,
    a_link_is_the_same_file_under_a_second_name,
    an_open_file_outlives_its_name,
    folders_are_listed_and_told_from_files,
    a_lock_is_held_once_and_freed_by_its_guard,
    a_mapping_shows_what_was_written,
    a_mapping_longer_than_its_file_is_refused,
    stores_reach_the_file,
    a_store_outside_the_mapping_panics,
    syncs_are_answered,
    clocks_and_randomness_move,
);

fn put(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) {
    write_all_at(&*vfs.create(path).unwrap(), 0, bytes).unwrap();
}

fn get(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    read_file(vfs, path, 1 << 20).unwrap()
}

fn names(vfs: &dyn Vfs, dir: &Path) -> Vec<String> {
    let mut names = vfs.list(dir).unwrap();
    names.sort();
    names
}

fn an_absolute_path_names_the_same_and_stays_what_it_is(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    assert_eq!(vfs.absolute(&path).unwrap(), path);
    let relative = vfs.absolute(Path::new("b/c")).unwrap();
    assert!(relative.is_absolute() && relative.ends_with("b/c"), "{relative:?}");
    assert_eq!(vfs.absolute(&relative).unwrap(), relative);
    assert!(vfs.absolute(Path::new("b/../c")).unwrap().ends_with("b/../c"));
}

fn a_file_is_created_once(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"first");
    assert_eq!(vfs.create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(vfs.create_dir(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(get(vfs, &path), b"first");
}

fn what_is_missing_is_not_found(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("nothing");
    let below = path.join("below");
    let missing = [
        vfs.open(&path, Access::Read).map(drop),
        vfs.open(&path, Access::ReadWrite).map(drop),
        vfs.metadata(&path).map(drop),
        vfs.list(&path).map(drop),
        vfs.unlink(&path),
        vfs.remove_dir(&path),
        vfs.rename(&path, &root.join("else")),
        vfs.hard_link(&path, &root.join("else")),
        vfs.sync_dir(&path),
        vfs.create(&below).map(drop),
        vfs.create_dir(&below),
        vfs.lock(&below).map(drop),
    ];
    for (call, answer) in missing.into_iter().enumerate() {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound, "call {call}");
    }
    assert!(names(vfs, root).is_empty());
}

fn reads_end_at_the_end_of_the_file(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"0123456789");
    let file = vfs.open(&path, Access::Read).unwrap();
    let mut buf = [0xEE; 8];
    assert_eq!(file.read_at(6, &mut buf).unwrap(), 4);
    assert_eq!(&buf, b"6789\xEE\xEE\xEE\xEE");
    assert_eq!(file.read_at(10, &mut buf).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut buf).unwrap(), 0);
    assert_eq!(read_exact_at(&*file, 6, &mut buf).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.len().unwrap(), 10);
}

fn a_write_past_the_end_leaves_zeros_before_it(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"ab");
    let file = vfs.open(&path, Access::ReadWrite).unwrap();
    write_all_at(&*file, 4, b"cd").unwrap();
    write_all_at(&*file, 1, b"B").unwrap();
    assert_eq!(get(vfs, &path), b"aB\0\0cd");
}

fn a_file_opened_for_reading_takes_no_writes(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"ab");
    let file = vfs.open(&path, Access::Read).unwrap();
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.reserve(100).is_err());
    assert!(file.map_shared(2).is_err());
    assert_eq!(get(vfs, &path), b"ab");
}

fn a_reservation_extends_and_changes_no_byte(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    let file = vfs.create(&path).unwrap();
    file.reserve(0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    write_all_at(&*file, 0, b"abc").unwrap();
    file.reserve(200_000).unwrap();
    file.reserve(10).unwrap();
    let found = vfs.metadata(&path).unwrap();
    assert_eq!(found.len, 200_000);
    assert!(found.allocated_bytes >= 200_000, "{found:?}");
    let bytes = get(vfs, &path);
    assert_eq!(&bytes[..3], b"abc");
    assert!(bytes[3..].iter().all(|byte| *byte == 0));
}

fn a_rename_takes_the_place_of_a_file(vfs: &dyn Vfs, root: &Path) {
    let (from, to) = (root.join("a"), root.join("b"));
    put(vfs, &from, b"new");
    put(vfs, &to, b"old");
    let old = vfs.open(&to, Access::Read).unwrap();
    vfs.rename(&from, &to).unwrap();
    assert_eq!(names(vfs, root), ["b"]);
    assert_eq!(get(vfs, &to), b"new");
    let mut buf = [0; 3];
    read_exact_at(&*old, 0, &mut buf).unwrap();
    assert_eq!(&buf, b"old");
    vfs.rename(&to, &to).unwrap();
    assert_eq!(get(vfs, &to), b"new");
    // Two names of one file: POSIX leaves both.
    vfs.hard_link(&to, &from).unwrap();
    vfs.rename(&from, &to).unwrap();
    assert_eq!(names(vfs, root), ["a", "b"]);
    vfs.create_dir(&root.join("dir")).unwrap();
    assert!(vfs.rename(&to, &root.join("dir")).is_err());
}

fn a_folder_is_renamed_with_what_is_in_it(vfs: &dyn Vfs, root: &Path) {
    let (from, to) = (root.join("a"), root.join("b"));
    vfs.create_dir(&from).unwrap();
    put(vfs, &from.join("x"), b"1");
    vfs.create_dir(&to).unwrap();
    vfs.rename(&from, &to).unwrap();
    assert_eq!((names(vfs, root), names(vfs, &to)), (vec!["b".into()], vec!["x".into()]));
    vfs.create_dir(&from).unwrap();
    assert!(vfs.rename(&from, &to).is_err(), "a folder with files in it was replaced");
    assert!(vfs.rename(&to, &to.join("below")).is_err(), "a folder moved into itself");
}

fn only_an_empty_folder_is_removed(vfs: &dyn Vfs, root: &Path) {
    let dir = root.join("dir");
    vfs.create_dir(&dir).unwrap();
    put(vfs, &dir.join("x"), b"1");
    assert_eq!(vfs.remove_dir(&dir).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert!(vfs.remove_dir(&dir.join("x")).is_err());
    assert!(vfs.unlink(&dir).is_err());
    vfs.unlink(&dir.join("x")).unwrap();
    vfs.remove_dir(&dir).unwrap();
    assert!(names(vfs, root).is_empty());
}

fn a_link_is_the_same_file_under_a_second_name(vfs: &dyn Vfs, root: &Path) {
    let (first, second) = (root.join("a"), root.join("b"));
    put(vfs, &first, b"one");
    vfs.hard_link(&first, &second).unwrap();
    assert_eq!(vfs.hard_link(&first, &second).unwrap_err().kind(), ErrorKind::AlreadyExists);
    write_all_at(&*vfs.open(&second, Access::ReadWrite).unwrap(), 0, b"two").unwrap();
    assert_eq!(get(vfs, &first), b"two");
    vfs.unlink(&first).unwrap();
    assert_eq!(get(vfs, &second), b"two");
}

fn an_open_file_outlives_its_name(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"abc");
    let file = vfs.open(&path, Access::ReadWrite).unwrap();
    let mapping = file.map(3).unwrap();
    vfs.unlink(&path).unwrap();
    put(vfs, &path, b"other");
    file.write_at(3, b"d").unwrap();
    let mut buf = [0; 4];
    read_exact_at(&*file, 0, &mut buf).unwrap();
    assert_eq!((&buf, &mapping[..]), (b"abcd", &b"abc"[..]));
    assert_eq!(get(vfs, &path), b"other");
}

fn folders_are_listed_and_told_from_files(vfs: &dyn Vfs, root: &Path) {
    put(vfs, &root.join("file"), b"12345");
    vfs.create_dir(&root.join("dir")).unwrap();
    put(vfs, &root.join("dir").join("inner"), b"");
    assert_eq!(names(vfs, root), ["dir", "file"]);
    assert_eq!(names(vfs, &root.join("dir")), ["inner"]);
    let (file, dir) =
        (vfs.metadata(&root.join("file")).unwrap(), vfs.metadata(&root.join("dir")).unwrap());
    assert_eq!((file.len, file.is_dir, dir.len, dir.is_dir), (5, false, 0, true));
    assert!(vfs.list(&root.join("file")).is_err());
    for access in [Access::Read, Access::ReadWrite] {
        let error = vfs.open(&root.join("dir"), access).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
    }
    assert_eq!(vfs.lock(&root.join("dir")).unwrap_err().kind(), ErrorKind::IsADirectory);
    // A path may end in a separator, and hold `.` and `..`.
    assert_eq!(names(vfs, &root.join("dir/")), ["inner"]);
    assert_eq!(get(vfs, &root.join("./dir/../file")), b"12345");
}

fn a_lock_is_held_once_and_freed_by_its_guard(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("LOCK");
    let guard = vfs.lock(&path).unwrap();
    assert_eq!(names(vfs, root), ["LOCK"]);
    assert_eq!(vfs.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    let other = vfs.lock(&root.join("OTHER")).unwrap();
    vfs.sync_dir(root).unwrap();
    drop(guard);
    vfs.sync_dir(root).unwrap();
    let again = vfs.lock(&path).unwrap();
    assert_eq!(vfs.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop((again, other));
    put(vfs, &root.join("file"), b"kept");
    drop(vfs.lock(&root.join("file")).unwrap());
    assert_eq!(get(vfs, &root.join("file")), b"kept");
}

fn a_mapping_shows_what_was_written(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    let bytes: Vec<u8> = (0..9000u32).map(|i| i as u8).collect();
    put(vfs, &path, &bytes);
    let file = vfs.open(&path, Access::Read).unwrap();
    let (whole, part, none) =
        (file.map(9000).unwrap(), file.map(4097).unwrap(), file.map(0).unwrap());
    drop(file);
    assert_eq!(whole[..], bytes);
    assert_eq!(part[..], bytes[..4097]);
    assert!(none.is_empty());
    for mapping in [whole, part, none] {
        mapping.advise_random();
        mapping.will_need(5000, 10);
        mapping.will_need(100, usize::MAX);
        assert_eq!(mapping[..], bytes[..mapping.len()]);
    }
}

fn a_mapping_longer_than_its_file_is_refused(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"123");
    let file = vfs.open(&path, Access::ReadWrite).unwrap();
    assert_eq!(file.map(4).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.map_shared(4).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.map(u64::MAX).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

fn stores_reach_the_file(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    let file = vfs.create(&path).unwrap();
    file.reserve(10_000).unwrap();
    let mut map = file.map_shared(10_000).unwrap();
    assert_eq!(map.len(), 10_000);
    map.populate(0, 4096).unwrap();
    map.populate(5000, u64::MAX).unwrap();
    map.populate(u64::MAX, 1).unwrap();
    map.store(4090, b"across pages");
    map.store(9999, b"!");
    map.store(10_000, b"");
    let mut buf = [0; 12];
    read_exact_at(&*file, 4090, &mut buf).unwrap();
    assert_eq!(&buf, b"across pages");
    write_all_at(&*file, 0, b"by write").unwrap();
    file.sync().unwrap();
    drop((map, file));
    let bytes = get(vfs, &path);
    assert_eq!((&bytes[..8], bytes[9999]), (&b"by write"[..], b'!'));
    let none = vfs.create(&root.join("b")).unwrap().map_shared(0).unwrap();
    assert_eq!(none.len(), 0);
    none.populate(0, 10).unwrap();
}

fn a_store_outside_the_mapping_panics(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.create(&root.join("a")).unwrap();
    file.reserve(20).unwrap();
    for (offset, len) in [(8, 3), (11, 0), (u64::MAX, 2), (0, 11)] {
        let mut map = file.map_shared(10).unwrap();
        let store = std::panic::AssertUnwindSafe(|| map.store(offset, &vec![1; len]));
        let message = *std::panic::catch_unwind(store).unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("mapping of 10"), "{message}");
    }
    assert_eq!(get(vfs, &root.join("a")), [0; 20]);
}

fn syncs_are_answered(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("a");
    put(vfs, &path, b"abc");
    vfs.open(&path, Access::Read).unwrap().sync().unwrap();
    let file = vfs.open(&path, Access::ReadWrite).unwrap();
    file.sync().unwrap();
    file.sync_to(2).unwrap();
    let mut stores = file.map_shared(3).unwrap();
    stores.store(0, b"x");
    for len in [0, 2, 3, 4] {
        file.sync_to(len).unwrap();
    }
    drop(stores);
    file.sync_to(3).unwrap();
    assert_eq!(get(vfs, &path), b"xbc");
    stores_and_syncs_take_turns(vfs, &root.join("b"));
    for (done, begun) in [(0, 0..0), (0, 0..2), (2, 2..3), (3, 3..3), (9, 9..20)] {
        file.write_back(done, begun.clone()).unwrap_or_else(|e| panic!("{done} {begun:?}: {e}"));
    }
    assert_eq!(get(vfs, &path), b"xbc");
    vfs.sync_dir(root).unwrap();
}

/// Of several pieces: what was synced is still there to be read and stored into.
fn stores_and_syncs_take_turns(vfs: &dyn Vfs, path: &Path) {
    let len = 1 << 20;
    let file = vfs.create(path).unwrap();
    file.reserve(len).unwrap();
    let mut stores = file.map_shared(len).unwrap();
    stores.populate(0, len).unwrap();
    let mut model = vec![0; len as usize];
    for end in (1..=len).step_by(70_001) {
        for offset in [end - 1, end / 2, end / 3] {
            stores.store(offset, &[end as u8]);
            model[offset as usize] = end as u8;
        }
        file.sync_to(end).unwrap();
        assert_eq!(get(vfs, path), model, "synced up to {end}");
    }
}

fn clocks_and_randomness_move(vfs: &dyn Vfs, root: &Path) {
    let before = vfs.monotonic();
    assert!(vfs.monotonic() >= before);
    assert!(vfs.wall_clock_ms() > 1_600_000_000_000);
    assert_ne!(vfs.random(), vfs.random());
    let _ = vfs.honours_reservation(root);
    vfs.lower_thread_priority(Patience::Short);
}

/// Modes, fallback zeros and priorities are the real disk's alone.
mod only_os {
    use super::*;
    use crate::vfs::OsVfs;

    #[test]
    #[cfg(unix)]
    fn files_and_folders_are_private() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let (file, dir, lock) =
            (root.path().join("f"), root.path().join("d"), root.path().join("l"));
        put(&OsVfs::default(), &file, b"");
        OsVfs::default().create_dir(&dir).unwrap();
        let _guard = OsVfs::default().lock(&lock).unwrap();
        for (path, mode) in [(file, 0o600), (dir, 0o700), (lock, 0o600)] {
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode, "{path:?}");
        }
    }

    #[test]
    fn handles_say_which_file_they_are() {
        let root = tempfile::tempdir().unwrap();
        let file = OsVfs::default().create(&root.path().join("named")).unwrap();
        assert!(format!("{file:?}").contains("named"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_reservation_of_tmpfs_is_honoured_and_that_of_proc_is_not() {
        assert!(OsVfs::default().honours_reservation(Path::new("/dev/shm")));
        assert!(!OsVfs::default().honours_reservation(Path::new("/proc")));
        assert!(!OsVfs::default().honours_reservation(Path::new("/nowhere")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_calling_thread_steps_back() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let main = nice();
        for (patience, step) in [(Patience::Short, 5), (Patience::Long, 10)] {
            let lowered = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    OsVfs::default().lower_thread_priority(patience);
                    nice()
                });
                thread.join().unwrap()
            });
            assert_eq!((lowered, nice()), ((main + step).min(19), main), "{patience:?}");
        }
    }
}
