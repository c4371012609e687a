//! Faults, filters, capacity, clocks and raw changes.

use super::*;

#[test]
fn a_failed_sync_leaves_pages_that_no_later_sync_writes() {
    for cleans in [true, false] {
        let disk = disk_with("a", &[0; 4]);
        disk.set_failed_sync_cleans(cleans);
        let file = edit(&disk, "a");
        write_all_at(&*file, 0, &[1; 2]).unwrap();
        disk.set_faults(vec![Fault::once(Some(OpKind::Sync), 1, errno::EIO)]);
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(errno::EIO));
        write_all_at(&*file, 1, &[2; 2]).unwrap();
        file.sync().unwrap();
        let durable = disk.crash_now(CrashMode::Synced).read_raw(&path("a"));
        assert_eq!(durable, if cleans { [0, 2, 2, 0] } else { [1, 2, 2, 0] });
        assert_eq!(disk.kill_now().read_raw(&path("a")), [1, 2, 2, 0]);
        // What is durable is never covered by the older bytes that were lost.
        let found = seen(&disk, |image| image.read_raw(&path("a")));
        assert!(found.iter().all(|bytes| bytes[1..] == [2, 2, 0]), "{found:?}");
        assert_eq!(found.len(), if cleans { 2 } else { 1 });
    }
}

#[test]
fn the_nth_call_fails_and_does_nothing() {
    let disk = disk_with("a", b"one");
    let fail = |fault| disk.set_faults(vec![fault]);
    fail(Fault::once(Some(OpKind::Write), 2, errno::EIO));
    let file = edit(&disk, "a");
    assert_eq!(file.write_at(0, b"1").unwrap(), 1);
    assert_eq!(file.write_at(1, b"2").unwrap_err().raw_os_error(), Some(errno::EIO));
    assert_eq!(file.write_at(2, b"3").unwrap(), 1);
    assert_eq!(disk.read_raw(&path("a")), b"1n3");

    fail(Fault::from_then_on(None, 2, errno::ENOSPC));
    assert!(disk.list(Path::new("/db")).is_ok());
    assert_eq!(disk.unlink(&path("a")).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(disk.rename(&path("a"), &path("b")).is_err());
    assert!(file.sync().is_err() && file.len().is_err() && file.map(1).is_err());
    fail(Fault::once(None, 1, errno::EINTR));
    assert_eq!(disk.create(&path("c")).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(names(&disk), ["a"]);
}

#[test]
fn reads_and_writes_can_be_short() {
    let disk = disk_with("a", b"123456");
    let file = edit(&disk, "a");
    disk.set_faults(vec![Fault::short(None, 1), Fault::short(Some(OpKind::Read), 1)]);
    assert_eq!(file.len().unwrap(), 6);
    assert_eq!(file.write_at(0, b"abcdef").unwrap(), 3);
    assert_eq!(file.read_at(0, &mut [0; 6]).unwrap(), 3);
    assert_eq!(file.read_at(0, &mut [0; 6]).unwrap(), 6);
    assert_eq!(disk.read_raw(&path("a")), b"abc456");
    assert_eq!((disk.calls_of(OpKind::Read), disk.calls_of(OpKind::Write)), (2, 1));
}

#[test]
fn a_full_disk_takes_stores_into_what_was_reserved() {
    let disk = disk();
    disk.set_capacity(Some(1000));
    let file = create(&disk, "a", &[1; 100]);
    file.reserve(900).unwrap();
    assert_eq!(file.reserve(1001).unwrap_err().kind(), ErrorKind::StorageFull);
    let other = disk.create(&path("b")).unwrap();
    assert_eq!(other.write_at(0, &[2; 200]).unwrap(), 100);
    assert_eq!(other.write_at(100, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    file.map_shared(900).unwrap().store(899, b"!");
    assert_eq!(file.write_at(0, &[3; 900]).unwrap(), 900);
    disk.unlink(&path("b")).unwrap();
    assert!(file.reserve(1000).is_err(), "an open file keeps its room");
    drop(other);
    file.reserve(1000).unwrap();
}

#[test]
fn a_filter_leaves_out_mutations_and_keeps_their_numbers() {
    let run = |ignored: Option<u64>| {
        let disk = disk();
        disk.record(true);
        disk.set_ignored(ignored);
        create(&disk, "a", b"one").sync().unwrap();
        sync_db(&disk);
        disk
    };
    let whole = run(None);
    let kinds: Vec<OpKind> = whole.trace().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::SyncDir]);
    let sites: Vec<u64> = whole.trace().iter().map(|entry| entry.number).collect();
    let durable = |disk: &SimVfs| {
        let image = disk.crash_now(CrashMode::Synced);
        image.paths().first().map(|path| image.read_raw(path))
    };
    assert_eq!(durable(&whole), Some(b"one".to_vec()));
    let (no_sync, no_sync_dir) = (run(Some(sites[2])), run(Some(sites[3])));
    assert_eq!((durable(&no_sync), durable(&no_sync_dir)), (Some(vec![]), None));
    assert!(no_sync.trace()[2].skipped && no_sync.mutations() == whole.mutations());
    assert_eq!(no_sync.crash_at(sites[3], CrashMode::Synced).read_raw(&path("a")), b"");

    whole.set_filter(Some(Arc::new(|entry| match entry.kind {
        OpKind::Unlink => Action::Fail(errno::EIO),
        _ => Action::Do,
    })));
    assert_eq!(whole.unlink(&path("a")).unwrap_err().raw_os_error(), Some(errno::EIO));
    assert_eq!(names(&whole), ["a"]);
}

#[test]
fn clocks_move_when_they_are_told_to() {
    let disk = SimVfs::new(1);
    let (before, wall) = (disk.monotonic(), disk.wall_clock_ms());
    assert_eq!(disk.monotonic(), before);
    disk.advance(Duration::from_millis(70));
    assert_eq!(disk.monotonic() - before, Duration::from_millis(70));
    assert_eq!(disk.wall_clock_ms() - wall, 70);
    disk.set_tick(Duration::from_micros(1));
    let _ = disk.list(Path::new("/"));
    assert_eq!(disk.monotonic() - before, Duration::from_micros(70_002));
}

#[test]
fn randomness_is_of_the_seed() {
    let drawn = |seed| [(); 4].map(|()| 0).map(|_: u8| SimVfs::new(seed).random());
    assert_eq!(drawn(5), drawn(5));
    assert_ne!(drawn(5), drawn(6));
    let disk = SimVfs::new(5);
    let _ = disk.random();
    assert_eq!(disk.kill_now().random(), disk.kill_now().random());
    assert_ne!(disk.remount(9).random(), disk.remount(10).random());
}

#[test]
fn raw_changes_are_durable_and_bits_flip() {
    let disk = disk_with("sub/a", b"\x00\x01");
    disk.flip_bit(&path("sub/a"), 15);
    assert_eq!(disk.crash_now(CrashMode::Synced).read_raw(&path("sub/a")), b"\x00\x81");
    disk.truncate_raw(&path("sub/a"), 1);
    assert_eq!(disk.read_raw(&path("sub/a")), b"\x00");
    assert_eq!(disk.paths(), [path("sub/a")]);
    disk.remove_raw(&path("sub/a"));
    assert!(disk.crash_now(CrashMode::Synced).paths().is_empty() && disk.paths().is_empty());
}

#[test]
fn a_file_without_a_name_is_let_go_once_it_is_closed() {
    let disk = disk();
    let file = create(&disk, "a", &[1; 100]);
    disk.unlink(&path("a")).unwrap();
    sync_db(&disk);
    assert_eq!(file.len().unwrap(), 100);
    drop(file);
    sync_db(&disk);
    assert_eq!(disk.state().disk.nodes.len(), 2, "the root and /db");
}

#[test]
fn an_interrupted_call_is_made_again_but_not_for_ever() {
    let disk = disk_with("a", b"123456");
    let file = edit(&disk, "a");
    let mut buf = [0; 6];
    for kind in [OpKind::Read, OpKind::Write] {
        disk.set_faults(vec![Fault::once(Some(kind), 1, errno::EINTR)]);
        write_all_at(&*file, 0, b"abcdef").unwrap();
        read_exact_at(&*file, 0, &mut buf).unwrap();
        assert_eq!(&buf, b"abcdef");
        disk.set_faults(vec![Fault::from_then_on(Some(kind), 1, errno::EINTR)]);
        let failed = match kind {
            OpKind::Read => read_exact_at(&*file, 0, &mut buf),
            _ => write_all_at(&*file, 0, b"123456"),
        };
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
