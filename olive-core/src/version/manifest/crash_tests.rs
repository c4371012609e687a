//! The manifest on the simulated disk: what a reader finds after a power cut at any
//! moment, and after any call that failed.

use super::super::testing::meta;
use super::*;
use crate::key::SeqNo;
use crate::vfs::sim::{CrashMode, Fault, Fill, OpKind, SimVfs, errno};

const DATABASE: DatabaseId = DatabaseId(7);
const DIR: &str = "/db";

/// What one step of the script does.
#[derive(Clone, Copy)]
enum Step {
    /// A new manifest of this number.
    Create(u64),
    /// An edit that adds this table.
    Append(u64),
}

const SCRIPT: [Step; 7] = [
    Step::Create(50),
    Step::Append(1),
    Step::Append(2),
    Step::Create(51),
    Step::Append(3),
    Step::Create(52),
    Step::Append(4),
];

fn edit(table: u64) -> VersionEdit {
    // Long keys, so that a line spans several sectors.
    let mut meta = meta(table, 0, 9, table);
    meta.largest.resize(1_000, b'z');
    VersionEdit { added: vec![(0, meta)], last_seq: Some(SeqNo(table)), ..VersionEdit::default() }
}

/// A folder in which every table of the script and segment 40 stand, durably.
fn disk() -> SimVfs {
    let vfs = SimVfs::new(1);
    let dir = Path::new(DIR);
    vfs.create_dir(dir).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    for kind in (1..5).map(FileKind::Table).chain([FileKind::Segment(40)]) {
        vfs.create(&dir.join(kind.name())).unwrap().sync().unwrap();
    }
    vfs.sync_dir(dir).unwrap();
    vfs
}

fn first() -> VersionEdit {
    VersionEdit { oldest_segment: Some(40), ..VersionEdit::default() }
}

fn after(state: &VersionEdit, step: Step) -> VersionEdit {
    let mut after = state.clone();
    if let Step::Append(table) = step {
        let edit = edit(table);
        after.added.extend(edit.added);
        after.last_seq = edit.last_seq;
    }
    after
}

/// Does the script as far as it goes: the state that was acknowledged, the one that
/// was last tried, and the error that ended it.
fn run(vfs: &SimVfs, mut done: impl FnMut(usize)) -> (VersionEdit, VersionEdit, Option<Error>) {
    let disk: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let (mut state, mut manifest) = (first(), None::<Manifest>);
    for (number, step) in SCRIPT.into_iter().enumerate() {
        let tried = after(&state, step);
        let outcome = match (step, &mut manifest) {
            (Step::Create(number), _) => {
                Manifest::create(&disk, Path::new(DIR), number, DATABASE, &tried)
                    .map(|created| manifest = Some(created))
            }
            (Step::Append(table), Some(manifest)) => {
                let outcome = manifest.append(&edit(table));
                assert_eq!(manifest.retired(), outcome.is_err());
                outcome
            }
            (Step::Append(_), None) => unreachable!("the script begins with a manifest"),
        };
        if let Err(error) = outcome {
            return (state, tried, Some(error));
        }
        state = tried;
        done(number);
    }
    (state.clone(), state, None)
}

fn modes() -> Vec<CrashMode> {
    let mut modes = vec![
        CrashMode::Synced,
        CrashMode::Everything,
        CrashMode::Tail(Fill::Zeros),
        CrashMode::Spoiled(Fill::Zeros),
    ];
    for seed in 0..8 {
        modes.push(CrashMode::Random { seed });
        modes.push(CrashMode::Tail(Fill::Garbage { seed }));
        modes.push(CrashMode::Spoiled(Fill::Garbage { seed }));
    }
    modes.extend([1, 16, 17, 511, 512, 513, 1_024].map(|bytes| CrashMode::Torn { bytes }));
    modes
}

#[test]
fn after_a_power_cut_at_any_moment_it_holds_every_acknowledged_edit() {
    let vfs = disk();
    vfs.record(true);
    let from = vfs.mutations();
    let mut ends = Vec::new();
    run(&vfs, |_| ends.push(vfs.mutations()));
    let mut states = vec![first()];
    for step in SCRIPT {
        let state = after(states.last().unwrap(), step);
        states.push(state);
    }
    let (mut images, mut torn) = (0, 0);
    for entry in vfs.trace() {
        let number = entry.number;
        // As many steps were acknowledged when the mutation had happened.
        let acknowledged = ends.iter().filter(|end| **end <= number).count();
        for mode in modes() {
            images += 1;
            let read = Manifest::read(&vfs.crash_at(number, mode), Path::new(DIR));
            let context = format!("mutation {number} of {from}.., {mode:?}");
            match read {
                Ok(None) => assert_eq!(acknowledged, 0, "{context}"),
                Ok(Some(read)) => {
                    torn += usize::from(read.dropped.is_some());
                    let at_or_past = states.iter().skip(acknowledged).take(2);
                    assert!(
                        at_or_past.into_iter().any(|s| *s == read.state),
                        "{context}: {acknowledged} steps acknowledged, read {:?}",
                        read.state
                    );
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
    }
    assert!(images > 500 && torn > 20, "{images} images, {torn} torn");
}

#[test]
fn any_call_that_fails_is_an_error_and_leaves_the_old_state_or_the_new_one() {
    let kinds = [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::SyncDir, OpKind::Rename];
    let (mut failed, mut poisoned) = (0, 0);
    for kind in kinds {
        for errno in [errno::EIO, errno::ENOSPC] {
            for nth in 1..20 {
                let vfs = disk();
                vfs.set_faults(vec![Fault::once(Some(kind), nth, errno)]);
                let (acknowledged, tried, error) = run(&vfs, |_| {});
                let Some(error) = error else { continue };
                failed += 1;
                vfs.set_faults(Vec::new());
                let is_poisoned = error.kind() == ErrorKind::Poisoned;
                poisoned += usize::from(is_poisoned);
                let sync = matches!(kind, OpKind::Sync | OpKind::SyncDir)
                    || (kind == OpKind::Rename && errno == errno::EIO);
                assert_eq!(is_poisoned, sync, "{kind:?} {nth}: {error}");
                let mut modes = modes();
                modes.retain(|mode| !matches!(mode, CrashMode::Torn { .. }));
                for mode in modes {
                    let context = format!("{kind:?} {nth} {errno}, {mode:?}");
                    match Manifest::read(&vfs.crash_now(mode), Path::new(DIR)) {
                        Ok(None) => assert_eq!(acknowledged, first(), "{context}"),
                        Ok(Some(read)) => assert!(
                            read.state == acknowledged || read.state == tried,
                            "{context}: {:?}",
                            read.state
                        ),
                        Err(error) => panic!("{context}: {error}"),
                    }
                }
                // What only failed to be written may be tried again under a new number.
                if !is_poisoned {
                    let disk: Arc<dyn Vfs> = Arc::new(vfs.clone());
                    Manifest::create(&disk, Path::new(DIR), 99, DATABASE, &tried).unwrap();
                    let after = vfs.crash_now(CrashMode::Synced);
                    let read = Manifest::read(&after, Path::new(DIR)).unwrap().unwrap();
                    assert_eq!((read.number, read.state), (99, tried));
                }
            }
        }
    }
    assert!(failed > 30 && poisoned > 15, "{failed} failed, {poisoned} poisoned");
}

#[test]
fn a_short_write_goes_on_and_a_failed_one_behind_it_retires_the_manifest() {
    let vfs = disk();
    vfs.set_faults(vec![Fault::short(Some(OpKind::Write), 3)]);
    assert!(run(&vfs, |_| {}).2.is_none());

    let vfs = disk();
    let disk: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let mut manifest = Manifest::create(&disk, Path::new(DIR), 50, DATABASE, &first()).unwrap();
    vfs.set_faults(vec![
        Fault::short(Some(OpKind::Write), 1),
        Fault::once(Some(OpKind::Write), 2, errno::ENOSPC),
    ]);
    assert_eq!(manifest.append(&edit(1)).unwrap_err().kind(), ErrorKind::DiskFull);
    assert!(manifest.retired());
    let again = manifest.append(&edit(1)).unwrap_err();
    assert!(again.to_string().contains("retired"), "{again}");
    let read = Manifest::read(&vfs.kill_now(), Path::new(DIR)).unwrap().unwrap();
    assert_eq!(read.state, first());
    assert!(read.dropped.is_some());
}
