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
