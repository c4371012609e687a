//! Each Nth call of a short workload fails, once or from then on.

use olive_core::internals::vfs::sim::{CrashMode, Fault, OpKind, SimVfs, errno};
use olive_core::{Db, Durability, ErrorKind, Options, Result, TableIo, WalIo};

use crate::support::{Model, Step, is_damage, open_sim, script, tiny};

/// The states that the database may be in, given what its calls answered.
struct Possible(Vec<Model>);

impl Possible {
    fn step(&mut self, step: &Step, outcome: &Result<()>, was_poisoned: bool) {
        let written = |model: &Model| {
            let mut next = model.clone();
            step.apply(&mut next);
            next
        };
        match outcome {
            Ok(()) => self.0.iter_mut().for_each(|model| *model = written(model)),
            // The sync that the write waited for failed: the outcome is unknown.
            Err(error) if error.kind() == ErrorKind::Poisoned && !was_poisoned => {
                let more: Vec<Model> = self.0.iter().map(written).collect();
                self.0.extend(more);
            }
            Err(_) => {}
        }
    }

    fn check(&self, found: &Model, what: &str) {
        assert!(self.0.contains(found), "{what}: not one of {} states: {found:?}", self.0.len());
    }
}

fn is_poisoned(db: &Db) -> bool {
    db.health().is_ok_and(|health| health.poisoned.is_some())
}

/// Runs the steps as far as they go; what is read on the way must be right.
fn run(vfs: &SimVfs, options: &Options, steps: &[Step], what: &str) -> Possible {
    let mut possible = Possible(vec![Model::default()]);
    let mut db = open_sim(options.clone(), vfs).ok();
    for step in steps {
        if let Step::Reopen = step {
            drop(db.take());
        }
        if db.is_none() {
            db = match open_sim(options.clone(), vfs) {
                Ok(db) => Some(db),
                Err(error) => {
                    assert!(!is_damage(&error), "{what}: {error:?}");
                    None
                }
            };
        }
        let Some(db) = &db else { continue };
        let was_poisoned = is_poisoned(db);
        // A batch may make a keyspace that an earlier failure left out.
        let outcome = step.run(db).map(drop);
        if let Err(error) = &outcome {
            assert!(!is_damage(error), "{what}: {step:?}: {error:?}");
        }
        possible.step(step, &outcome, was_poisoned);
        if let Step::Put(key, _) = step
            && let Ok(found) = db.get(key)
        {
            let right = possible.0.iter().any(|model| model.get(key) == found.as_deref());
            assert!(right, "{what}: {step:?}: a get shows {found:?}");
        }
    }
    possible
}

/// The steps of a script that a fault cannot make mean something else.
fn steps(seed: u64, writes: usize) -> Vec<Step> {
    let uses_a = |step: &Step| match step {
        Step::Batch(changes) => changes.iter().any(|(name, ..)| !name.is_empty()),
        Step::Keyspace(_) | Step::DropKeyspace(_) => true,
        _ => false,
    };
    script(seed, writes).into_iter().filter(|step| !uses_a(step)).collect()
}

fn options(wal_io: WalIo, table_io: TableIo, durability: Durability) -> Options {
    tiny().wal_io(wal_io).table_io(table_io).durability(durability)
}

fn disk() -> SimVfs {
    let vfs = SimVfs::new(3);
    vfs.set_tick(std::time::Duration::from_micros(20));
    vfs
}

/// Fails every `stride`th call with `fault`, and looks at what is left afterwards.
fn each_call(options: &Options, durable: bool, stride: usize, fault: impl Fn(u64) -> Fault) {
    let steps = steps(41, 60);
    let whole = disk();
    run(&whole, options, &steps, "no fault").check(
        &Model::of(&open_sim(options.clone(), &whole).expect("an open")).expect("a read"),
        "no fault",
    );
    for nth in (1..=whole.calls()).step_by(stride) {
        let vfs = disk();
        vfs.set_faults(vec![fault(nth)]);
        let what = format!("{:?}", fault(nth));
        let possible = run(&vfs, options, &steps, &what);
        vfs.set_faults(Vec::new());
        let mut images = vec![(vfs.kill_now(), "reopened")];
        if durable {
            images.push((vfs.crash_now(CrashMode::Synced), "power cut"));
        }
        for (image, how) in images {
            let what = format!("{what}, {how}");
            let db = open_sim(options.clone(), &image)
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            possible.check(&Model::of(&db).expect("a read"), &what);
            assert!(db.verify().expect("a verify").is_clean(), "{what}");
            db.put("and", "on").expect("a put");
            db.close().expect("a close");
        }
    }
}

fn buffered() -> Options {
    options(WalIo::Mapped, TableIo::Mapped, Durability::Buffered)
}

fn synced() -> Options {
    options(WalIo::Write, TableIo::Read, Durability::Sync)
}

#[test]
fn any_call_fails_once() {
    each_call(&buffered(), false, 3, |nth| Fault::once(None, nth, errno::EIO));
    each_call(&synced(), true, 5, |nth| Fault::once(None, nth, errno::EIO));
}

#[test]
fn all_calls_fail_from_one_on() {
    each_call(&buffered(), false, 5, |nth| Fault::from_then_on(None, nth, errno::EIO));
    each_call(&synced(), true, 7, |nth| Fault::from_then_on(None, nth, errno::EIO));
}

#[test]
fn the_disk_has_no_room_for_any_call() {
    each_call(&buffered(), false, 5, |nth| Fault::once(None, nth, errno::ENOSPC));
    each_call(&synced(), true, 7, |nth| Fault::from_then_on(None, nth, errno::ENOSPC));
}

#[test]
fn any_call_is_interrupted() {
    each_call(&buffered(), false, 5, |nth| Fault::once(None, nth, errno::EINTR));
    each_call(&synced(), true, 7, |nth| Fault::once(None, nth, errno::EINTR));
}

#[test]
fn any_read_or_write_is_short() {
    each_call(&buffered(), false, 3, |nth| Fault::short(None, nth));
    each_call(&synced(), true, 5, |nth| Fault::short(None, nth));
}

#[test]
fn any_sync_fails() {
    each_call(&synced(), true, 2, |nth| Fault::once(Some(OpKind::Sync), nth, errno::EIO));
    each_call(&synced(), true, 2, |nth| Fault::once(Some(OpKind::SyncDir), nth, errno::EIO));
    each_call(&buffered(), false, 2, |nth| Fault::once(Some(OpKind::Sync), nth, errno::EIO));
}
