//! Random runs: the journal against what was seen live.

use super::*;

/// Some of everything, by seed; `after` sees the disk after each step.
fn random_run(seed: u64, steps: u64, mut after: impl FnMut(&SimVfs)) -> SimVfs {
    let disk = disk();
    disk.create_dir(&path("sub")).unwrap();
    disk.record(true);
    let mut random = seed;
    let mut below = |n: u64| splitmix(&mut random) % n;
    for _ in 0..steps {
        let name = |n: u64| path(["a", "b", "c", "sub/a", "sub/b"][n as usize]);
        let (one, two) = (name(below(5)), name(below(5)));
        let file = disk.open(&one, Access::ReadWrite);
        // Many of these fail, as a name is missing or taken: so be it.
        match below(12) {
            0 | 1 => drop(disk.create(&one)),
            2 => drop(disk.unlink(&one)),
            3 => drop(disk.rename(&one, &two)),
            4 => drop(disk.hard_link(&one, &two)),
            5 => drop(disk.sync_dir(if below(2) == 0 {
                Path::new("/db")
            } else {
                Path::new("/db/sub")
            })),
            6 => drop(file.and_then(|file| file.sync())),
            7 => drop(file.and_then(|file| file.reserve(below(3000)))),
            8 => {
                disk.set_faults(vec![Fault::once(Some(OpKind::Sync), 1, errno::EIO)]);
                drop(file.and_then(|file| file.sync()));
                disk.set_faults(Vec::new());
            }
            9 => drop(file.and_then(|file| {
                let len = file.len()?;
                let mut map = file.map_shared(len)?;
                let at = below(len + 1);
                map.store(at, &vec![below(256) as u8; (len - at).min(60) as usize]);
                Ok(())
            })),
            _ => drop(file.and_then(|file| {
                file.write_at(below(3000), &vec![below(256) as u8; below(1500) as usize])
            })),
        }
        after(&disk);
    }
    disk
}

#[test]
fn the_journal_tells_any_moment_as_it_was() {
    for seed in 0..40 {
        let modes = [
            CrashMode::Synced,
            CrashMode::Everything,
            CrashMode::Random { seed },
            CrashMode::Tail(Fill::Zeros),
            CrashMode::Spoiled(Fill::Garbage { seed }),
        ];
        let mut live = BTreeMap::new();
        let disk = random_run(seed, 120, |disk| {
            let hashes = modes.map(|mode| disk.crash_now(mode).image_hash());
            live.insert(disk.mutations(), (hashes, disk.image_hash()));
        });
        let told = |number: u64| {
            let hashes = modes.map(|mode| disk.crash_at(number, mode).image_hash());
            (hashes, disk.kill_at(number).image_hash())
        };
        for (number, hashes) in live.iter().chain(live.iter().rev()) {
            assert_eq!(told(*number), *hashes, "seed {seed}, mutation {number}");
        }
    }
}

#[test]
fn images_hold_only_what_was_asked_for_in_any_order() {
    for seed in 0..60 {
        let disk = random_run(seed, 80, |_| ());
        let number = disk.mutations();
        let killed = disk.kill_at(number);
        for crash in 0..20 {
            let image = disk.crash_at(number, CrashMode::Random { seed: crash });
            let again = killed.crash_now(CrashMode::Random { seed: crash });
            assert_eq!(image.image_hash(), again.image_hash(), "seed {seed}, crash {crash}");
            let state = disk.state();
            let files = image.state().disk.files();
            for (path, node) in files {
                let file = state.disk.file(node).expect("a file that never was");
                let bytes = image.read_raw(&path);
                assert!(bytes.len() >= file.durable.len() && bytes.len() <= file.current.len());
                for (at, byte) in bytes.iter().enumerate() {
                    let durable = file.durable.get(at).copied().unwrap_or(0);
                    let written = file.pending.iter().any(|pending| match &pending.change {
                        content::Change::Write { offset, bytes } => {
                            at.checked_sub(*offset).and_then(|at| bytes.get(at)) == Some(byte)
                        }
                        content::Change::Extend { .. } => false,
                    });
                    assert!(*byte == durable || written, "seed {seed}, {path:?} at {at}");
                }
            }
        }
    }
}

/// A file `a` that was written, synced, and given the name `b`, each step numbered.
fn renamed() -> SimVfs {
    let disk = disk();
    disk.record(true);
    let file = create(&disk, "a", b"data");
    file.sync().unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    sync_db(&disk);
    let kinds: Vec<OpKind> = disk.trace().iter().map(|entry| entry.kind).collect();
    use OpKind::{Create, Rename, Sync, SyncDir, Write};
    assert_eq!(kinds[kinds.len() - 5..], [Create, Write, Sync, Rename, SyncDir]);
    disk
}

#[test]
fn a_sync_that_is_left_out_or_late_does_not_count_in_an_altered_record() {
    let disk = renamed();
    let last = disk.mutations();
    let sync = last - 2;
    let found = |disk: &SimVfs, at| disk.crash_at(at, CrashMode::Synced).read_raw(&path("b"));
    assert_eq!(found(&disk, last), b"data");
    let without = disk.altered(&[(sync, Move::Away)]);
    assert_eq!(found(&without, last), b"");
    assert_eq!(without.read_raw(&path("b")), b"data", "what is read is the same");
    assert!(without.trace_entry(sync).unwrap().skipped);
    let late = disk.altered(&[(sync, Move::Behind(last))]);
    assert_eq!(found(&late, last), b"data");
    let later = disk.altered(&[(sync, Move::Behind(last + 1))]);
    assert_eq!(found(&later, last), b"");
    assert_eq!(found(&disk, last), b"data", "the record itself is as it was");
}

#[test]
fn what_moves_together_keeps_its_order() {
    let disk = renamed();
    let last = disk.mutations();
    // The rename and the folder's sync before the file's.
    let early = disk.altered(&[(last - 1, Move::Before(last - 2)), (last, Move::Before(last - 2))]);
    let image = early.crash_at(last - 2, CrashMode::Synced);
    assert_eq!(names(&image), ["b"]);
    assert_eq!(image.read_raw(&path("b")), b"data");
    // Each behind the other: the folder is synced before the rename.
    let swapped = disk.altered(&[(last - 1, Move::Behind(last)), (last, Move::Behind(last + 1))]);
    assert_eq!(names(&swapped), ["b"]);
    assert_eq!(names(&swapped.crash_at(last, CrashMode::Synced)), [""; 0]);
}

#[test]
fn a_restart_goes_on_with_the_record_and_frees_the_locks() {
    let disk = disk();
    disk.record(true);
    let _lock = disk.lock(&path("LOCK")).unwrap();
    let _file = create(&disk, "a", b"one");
    let before = disk.mutations();
    let next = disk.restart();
    assert_eq!(next.mutations(), before);
    let lock = next.lock(&path("LOCK")).unwrap();
    edit(&next, "a").sync().unwrap();
    drop(lock);
    sync_db(&next);
    assert!(next.crash_at(before, CrashMode::Synced).paths().is_empty());
    assert_eq!(next.crash_now(CrashMode::Synced).read_raw(&path("a")), b"one");
    assert_eq!(disk.trace(), []);
    // What the dead process still does is done elsewhere.
    create(&disk, "late", b"");
    assert!(next.open(&path("late"), Access::Read).is_err());
}
