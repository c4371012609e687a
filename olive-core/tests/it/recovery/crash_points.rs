//! A scripted workload is killed, or loses its power, at every mutation.
//!
//! Whatever survives, open succeeds and shows the model after some write, at or
//! past the last one that was promised to survive.

use std::sync::Arc;

use olive_core::internals::vfs::sim::{Action, CrashMode, Fill, OpKind, SimVfs};
use olive_core::{Options, WalIo};

use crate::support::{Model, Run, open_sim, script, tiny};

const MODES: [CrashMode; 8] = [
    CrashMode::Synced,
    CrashMode::Everything,
    CrashMode::Random { seed: 1 },
    CrashMode::Random { seed: 2 },
    CrashMode::Torn { bytes: 5 },
    CrashMode::Torn { bytes: 40 },
    CrashMode::Tail(Fill::Garbage { seed: 3 }),
    CrashMode::Spoiled(Fill::Zeros),
];

fn options(wal_io: WalIo) -> Options {
    tiny().wal_io(wal_io)
}

fn disk(seed: u64) -> SimVfs {
    let vfs = SimVfs::new(seed);
    vfs.set_tick(std::time::Duration::from_micros(20));
    vfs
}

/// Whether a power cut in this mode takes what was not synced.
fn takes_unsynced(mode: CrashMode) -> bool {
    !matches!(mode, CrashMode::Everything | CrashMode::Torn { .. })
}

fn reseeded(mode: CrashMode, at: u64) -> CrashMode {
    match mode {
        CrashMode::Random { seed } => CrashMode::Random { seed: seed ^ (at << 8) },
        mode => mode,
    }
}

fn crash_everywhere(wal_io: WalIo, durable: bool, seed: u64) {
    let vfs = disk(seed);
    let options = options(wal_io);
    let run = Run::of(&vfs, &options, durable, &script(seed, 110));
    let mut opened = 0;
    for at in 0..=run.mutations {
        for mode in MODES {
            let mode = reseeded(mode, at);
            let what = format!("seed {seed}, {wal_io:?}, durable {durable}, {mode:?}");
            let image = vfs.crash_at(at, mode);
            let db = open_sim(options.clone(), &image)
                .unwrap_or_else(|error| panic!("{what}: mutation {at}: {error:?}"));
            let found = Model::of(&db).unwrap_or_else(|e| panic!("{what}: {at}: {e:?}"));
            // A torn last write was not acknowledged yet.
            let acknowledged_at =
                if let CrashMode::Torn { .. } = mode { at.max(1) - 1 } else { at };
            let allowed = run.allowed(acknowledged_at, takes_unsynced(mode));
            let until = run.allowed(at, false);
            let fits = (*allowed.start()..=*until.end()).any(|count| run.states[count] == found);
            if !fits {
                run.check(&found, at, takes_unsynced(mode), &what);
            }
            opened += 1;
        }
    }
    assert!(opened > 1000, "{opened} images are too few");
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised_mapped_and_buffered() {
    crash_everywhere(WalIo::Mapped, false, 11);
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised_mapped_and_synced() {
    crash_everywhere(WalIo::Mapped, true, 12);
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised_written_and_buffered() {
    crash_everywhere(WalIo::Write, false, 13);
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised_written_and_synced() {
    crash_everywhere(WalIo::Write, true, 14);
}

#[test]
fn what_was_read_after_a_kill_survives_a_power_cut() {
    let vfs = disk(21);
    let options = options(WalIo::Mapped);
    let run = Run::of(&vfs, &options, false, &script(21, 70));
    for at in (0..=run.mutations).step_by(2) {
        let killed = vfs.kill_at(at);
        let db = open_sim(options.clone(), &killed).unwrap_or_else(|e| panic!("{at}: {e:?}"));
        let first = Model::of(&db).expect("a read");
        run.check(&first, at, false, "killed");
        db.put("after", "kill").expect("a write");
        db.sync().expect("a sync");
        let cut = killed.crash_now(CrashMode::Synced);
        let db = open_sim(options.clone(), &cut).unwrap_or_else(|e| panic!("{at}: {e:?}"));
        let mut expected = first;
        expected.put("", b"after", b"kill");
        assert_eq!(Model::of(&db).expect("a read"), expected, "mutation {at}");
    }
}

#[test]
fn a_crash_within_recovery_and_another_behind_it_lose_nothing() {
    let vfs = disk(31);
    let options = options(WalIo::Mapped);
    let run = Run::of(&vfs, &options, false, &script(31, 50));
    for at in (0..=run.mutations).step_by(5) {
        let killed = vfs.kill_at(at);
        killed.record(true);
        drop(open_sim(options.clone(), &killed).unwrap_or_else(|e| panic!("{at}: {e:?}")));
        for within in (1..=killed.mutations()).step_by(3) {
            let seed = at << 16 | within;
            for mode in [CrashMode::Synced, CrashMode::Random { seed }] {
                let what = format!("{at}, within {within}, {mode:?}");
                let image = killed.crash_at(within, mode);
                let db = open_sim(options.clone(), &image)
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let found = Model::of(&db).expect("a read");
                // The power cut takes what the kill left in the page cache.
                run.check(&found, at, true, &what);
                db.put("more", "of it").expect("a write");
                db.sync().expect("a sync");
                if within % 4 == 1 {
                    let again = image.crash_now(CrashMode::Random { seed });
                    let db = open_sim(options.clone(), &again)
                        .unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
                    let mut expected = found;
                    expected.put("", b"more", b"of it");
                    assert_eq!(Model::of(&db).expect("a read"), expected, "{what}, again");
                }
            }
        }
    }
}

/// Runs the script with one sort of sync taken away, and says how many crash points
/// show it.
fn caught_without(kind: OpKind, part: &'static str) -> usize {
    let vfs = disk(12);
    vfs.set_filter(Some(Arc::new(move |entry| {
        let hit = entry.kind == kind && entry.path.to_string_lossy().contains(part);
        if hit { Action::Skip } else { Action::Do }
    })));
    let options = options(WalIo::Mapped);
    let run = Run::of(&vfs, &options, true, &script(12, 60));
    let mut caught = 0;
    for at in 0..=run.mutations {
        for mode in [CrashMode::Synced, CrashMode::Random { seed: at }] {
            let found =
                open_sim(options.clone(), &vfs.crash_at(at, mode)).and_then(|db| Model::of(&db));
            let allowed = run.allowed(at, true);
            let is_right =
                found.is_ok_and(|found| allowed.clone().any(|count| run.states[count] == found));
            caught += usize::from(!is_right);
        }
    }
    caught
}

#[test]
fn the_proof_sees_when_a_sync_is_left_out() {
    for (kind, part) in [
        (OpKind::Sync, ".wal"),
        (OpKind::Sync, ".sst"),
        (OpKind::Sync, "MANIFEST-"),
        (OpKind::Sync, "CURRENT.tmp"),
        (OpKind::SyncDir, "db"),
    ] {
        let caught = caught_without(kind, part);
        assert!(caught > 0, "{kind:?} of {part} is left out, and nothing shows it");
    }
}

#[test]
fn other_scripts_and_seeds_lose_nothing_at_sampled_points() {
    for seed in 100..112 {
        let wal_io = if seed % 2 == 0 { WalIo::Mapped } else { WalIo::Write };
        let vfs = disk(seed);
        let options = options(wal_io).memtable_bytes(1 << (10 + seed % 5));
        let run = Run::of(&vfs, &options, seed % 3 == 0, &script(seed, 150));
        for at in (seed % 7..=run.mutations).step_by(7) {
            for mode in [
                CrashMode::Random { seed: at << 8 | seed },
                CrashMode::Spoiled(Fill::Garbage { seed: at }),
                CrashMode::Synced,
            ] {
                let what = format!("seed {seed}, {mode:?}");
                let db = open_sim(options.clone(), &vfs.crash_at(at, mode))
                    .unwrap_or_else(|error| panic!("{what}: mutation {at}: {error:?}"));
                run.check(&Model::of(&db).expect("a read"), at, true, &what);
                assert!(db.verify().expect("a verify").is_clean(), "{what}: mutation {at}");
            }
        }
    }
}
