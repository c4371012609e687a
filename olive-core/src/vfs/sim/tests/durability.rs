//! What a power cut and a kill take.

use super::*;

#[test]
fn content_is_not_durable_without_a_sync_of_its_file() {
    let disk = disk();
    let file = create(&disk, "a", b"one");
    sync_db(&disk);
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"");
    assert_eq!(disk.crash_now(CrashMode::Everything).read_raw(&path("a")), b"one");
    file.sync().unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
    write_all_at(&*file, 3, b"two").unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
    let found = seen(&disk, |image| image.read_raw(&path("a")));
    assert_eq!(found, [&b"one"[..], b"one\0\0\0", b"onetwo"]);
}

#[test]
fn a_name_is_not_durable_without_a_sync_of_its_folder() {
    let disk = disk();
    create(&disk, "a", b"one").sync().unwrap();
    assert!(names(&disk.crash_now(CrashMode::Synced)).is_empty());
    assert_eq!(seen(&disk, |image| image.paths().len()), [0, 1]);
    sync_db(&disk);
    assert_eq!(names(&disk.crash_now(CrashMode::Synced)), ["a"]);
    disk.unlink(&path("a")).unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
    assert_eq!(seen(&disk, |image| image.paths().len()), [0, 1]);
    sync_db(&disk);
    assert!(random_images(&disk).all(|image| names(&image).is_empty()));
}

#[test]
fn a_folder_whose_own_name_is_not_durable_takes_its_files_with_it() {
    let disk = SimVfs::new(1);
    disk.create_dir(Path::new("/db")).unwrap();
    create(&disk, "a", b"one").sync().unwrap();
    sync_db(&disk);
    let image = disk.crash_now(CrashMode::Synced);
    assert_eq!(image.list(Path::new("/")).unwrap().len(), 0);
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    let disk = disk_with("CURRENT", b"old");
    disk.write_raw(&path("tmp"), b"new");
    disk.rename(&path("tmp"), &path("CURRENT")).unwrap();
    let look = |image: SimVfs| (names(&image).len(), image.read_raw(&path("CURRENT")));
    assert_eq!(seen(&disk, look), [(1, b"new".to_vec()), (2, b"old".to_vec())]);
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("CURRENT")), b"old");
    sync_db(&disk);
    assert_eq!(seen(&disk, look), [(1, b"new".to_vec())]);
}

#[test]
fn a_rename_between_folders_is_made_durable_by_a_sync_of_either() {
    for synced in ["/db/sub", "/db"] {
        let disk = disk();
        disk.write_raw(&path("sub/x"), b"1");
        disk.rename(&path("sub/x"), &path("x")).unwrap();
        assert!(random_images(&disk).all(|image| image.paths().len() == 1));
        disk.sync_dir(Path::new(synced)).unwrap();
        assert!(random_images(&disk).all(|image| image.paths() == [path("x")]), "{synced}");
    }
}

#[test]
fn renames_one_behind_the_other_leave_one_name() {
    let disk = disk_with("a", b"1");
    disk.rename(&path("a"), &path("b")).unwrap();
    disk.rename(&path("b"), &path("c")).unwrap();
    let found = seen(&disk, |image| names(&image));
    assert_eq!(found, [["a"], ["b"], ["c"]]);
}

#[test]
fn what_is_durable_is_not_undone_by_what_came_before_it() {
    let disk = disk();
    disk.create_dir(&path("sub")).unwrap();
    sync_db(&disk);
    create(&disk, "a", b"1").sync().unwrap();
    disk.rename(&path("a"), &path("sub/a")).unwrap();
    // The creation of a is pending in /db only; the rename is durable.
    disk.sync_dir(&path("sub")).unwrap();
    assert!(random_images(&disk).all(|image| image.paths() == [path("sub/a")]));
}

#[test]
fn names_of_one_folder_survive_in_any_order() {
    let disk = disk_with("old", b"1");
    create(&disk, "new", b"2").sync().unwrap();
    disk.unlink(&path("old")).unwrap();
    let found = seen(&disk, |image| names(&image).join(" "));
    assert_eq!(found, ["", "new", "new old", "old"]);
}

#[test]
fn hard_links_share_what_they_hold_in_a_crash_too() {
    let disk = disk_with("a", b"one");
    disk.hard_link(&path("a"), &path("b")).unwrap();
    assert_eq!(names(&disk.crash_now(CrashMode::Synced)), ["a"]);
    sync_db(&disk);
    let file = edit(&disk, "b");
    write_all_at(&*file, 0, b"two").unwrap();
    for image in random_images(&disk) {
        assert_eq!(image.read_raw(&path("a")), image.read_raw(&path("b")));
        write_all_at(&*edit(&image, "a"), 0, b"new").unwrap();
        assert_eq!(image.read_raw(&path("b")), b"new");
    }
    file.sync().unwrap();
    disk.unlink(&path("b")).unwrap();
    sync_db(&disk);
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"two");
}

#[test]
fn sectors_survive_each_by_itself() {
    let disk = disk_with("a", &[0; 2048]);
    let file = edit(&disk, "a");
    write_all_at(&*file, 0, &[1; 2048]).unwrap();
    let found = seen(&disk, |image| {
        let bytes = image.read_raw(&path("a"));
        let (sectors, _) = bytes.as_chunks::<512>();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        sectors.iter().map(|sector| sector[0]).collect::<Vec<u8>>()
    });
    assert_eq!(found.len(), 16, "not all choices of 4 sectors were made");
}

#[test]
fn writes_to_one_sector_survive_in_their_order() {
    let disk = disk_with("a", &[0; 100]);
    let mut map = edit(&disk, "a").map_shared(100).unwrap();
    map.store(0, &[1; 20]);
    map.store(10, &[2; 20]);
    let found = seen(&disk, |image| {
        let bytes = image.read_raw(&path("a"));
        [bytes[5], bytes[15], bytes[25]]
    });
    assert_eq!(found, [[0, 0, 0], [0, 2, 2], [1, 1, 0], [1, 2, 2]]);
}

#[test]
fn a_length_is_one_that_the_file_had() {
    let disk = disk_with("a", &[1; 10]);
    let file = edit(&disk, "a");
    file.reserve(4000).unwrap();
    write_all_at(&*file, 4000, &[2; 50]).unwrap();
    assert_eq!(seen(&disk, |image| image.read_raw(&path("a")).len()), [10, 4000, 4050]);
    file.sync().unwrap();
    assert_eq!(seen(&disk, |image| image.read_raw(&path("a")).len()), [4050]);
}

#[test]
fn a_torn_write_ends_at_the_byte() {
    let disk = disk_with("a", b"....");
    disk.record(true);
    let file = edit(&disk, "a");
    write_all_at(&*file, 0, b"ab").unwrap();
    write_all_at(&*file, 2, b"cdef").unwrap();
    let torn =
        |number, bytes| disk.crash_at(number, CrashMode::Torn { bytes }).read_raw(&path("a"));
    let last = disk.mutations();
    assert_eq!(torn(last, 0), b"ab..");
    assert_eq!(torn(last, 1), b"abc.");
    assert_eq!(torn(last, 3), b"abcde");
    assert_eq!(torn(last, 99), b"abcdef");
    assert_eq!(torn(last - 1, 1), b"a...");
    assert_eq!(disk.crash_now(CrashMode::Torn { bytes: 2 }).read_raw(&path("a")), b"abcd");
    assert_eq!(disk.trace_entry(last).unwrap().range, 2..6);
}

#[test]
fn a_tail_keeps_its_length_and_holds_what_fills_it() {
    let disk = disk_with("a", b"abc");
    let file = edit(&disk, "a");
    write_all_at(&*file, 1, b"XYZxyz").unwrap();
    let content = |mode| disk.crash_now(mode).read_raw(&path("a"));
    assert_eq!(content(CrashMode::Tail(Fill::Zeros)), b"abc\0\0\0\0");
    assert_eq!(content(CrashMode::Spoiled(Fill::Zeros)), b"a\0\0\0\0\0\0");
    let garbage = content(CrashMode::Tail(Fill::Garbage { seed: 3 }));
    assert_eq!((&garbage[..3], garbage.len()), (&b"abc"[..], 7));
    assert!(garbage[3..] != [0; 4] && garbage[3..] != *b"Zxyz");
    let spoiled = content(CrashMode::Spoiled(Fill::Garbage { seed: 3 }));
    assert!(spoiled[0] == b'a' && spoiled[1..3] != *b"bc");
    create(&disk, "b", b"new");
    assert_eq!(disk.crash_now(CrashMode::Tail(Fill::Zeros)).read_raw(&path("b")), [0; 3]);
}

#[test]
fn a_killed_process_leaves_what_a_later_power_cut_takes() {
    let disk = disk_with("a", b"one");
    let lock = disk.lock(&path("LOCK")).unwrap();
    write_all_at(&*edit(&disk, "a"), 0, b"two").unwrap();
    create(&disk, "b", b"new");
    let killed = disk.kill_now();
    drop(killed.lock(&path("LOCK")).expect("a lock outlived its process"));
    assert_eq!(killed.read_raw(&path("a")), b"two");
    assert_eq!(killed.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
    assert_eq!(names(&killed.crash_now(CrashMode::Synced)), ["a"]);
    // A sync after the restart reaches what the killed process wrote.
    edit(&killed, "a").sync().unwrap();
    sync_db(&killed);
    let image = killed.crash_now(CrashMode::Synced);
    assert_eq!((image.read_raw(&path("a")), image.read_raw(&path("b"))), (b"two".to_vec(), vec![]));
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one", "copies are joined");
    drop(lock);
}

#[test]
fn an_image_is_a_disk_of_its_own_and_wholly_durable() {
    let disk = disk_with("a", b"one");
    write_all_at(&*edit(&disk, "a"), 0, b"two").unwrap();
    let image = disk.crash_now(CrashMode::Everything);
    assert_eq!(image.crash_now(CrashMode::Synced).image_hash(), image.image_hash());
    assert_eq!(image.mutations(), 0);
    write_all_at(&*edit(&image, "a"), 0, b"333").unwrap();
    assert_eq!(disk.read_raw(&path("a")), b"two");
}

#[test]
fn names_can_be_behind_data_that_is_all_there() {
    let disk = disk_with("a", b"old");
    edit(&disk, "a").write_at(0, b"new").unwrap();
    create(&disk, "b", b"b");
    let mut found = BTreeSet::new();
    for seed in SEEDS {
        let image = disk.crash_now(CrashMode::Names { seed });
        assert_eq!(image.read_raw(&path("a")), b"new");
        if names(&image).contains(&"b".to_owned()) {
            assert_eq!(image.read_raw(&path("b")), b"b");
        }
        found.insert(names(&image));
    }
    assert_eq!(found.len(), 2, "with the name and without: {found:?}");
}

#[test]
fn a_sync_of_the_first_bytes_leaves_those_behind_them_pending() {
    let disk = disk_with("a", &[0; 6]);
    let file = edit(&disk, "a");
    write_all_at(&*file, 0, &[1; 4]).unwrap();
    write_all_at(&*file, 1, &[2; 4]).unwrap();
    file.sync_to(3).unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), [1, 2, 2, 0, 0, 0]);
    assert_eq!(disk.kill_now().read_raw(&path("a")), [1, 2, 2, 2, 2, 0]);
    let found = seen(&disk, |image| image.read_raw(&path("a")));
    assert!(found.iter().all(|bytes| bytes[..3] == [1, 2, 2]), "{found:?}");
    assert!(found.len() > 1, "what is behind may be lost");
    file.sync().unwrap();
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("a")), [1, 2, 2, 2, 2, 0]);
}
