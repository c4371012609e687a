//! What is asked of one crash image: that it opens, and holds a state that the run
//! allows, whole, now and after the next open.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::{CrashMode, Fill, OpKind, SimVfs, TraceEntry};
use olive_core::internals::{open_on, open_read_only_on};

use crate::recording::{Recording, leftovers};
use crate::support::{DIR, Model, open_sim};

/// Whether a crash takes the power, and with it what was not synced.
pub(crate) fn is_power_cut(mode: CrashMode) -> bool {
    !matches!(mode, CrashMode::Everything | CrashMode::Torn { .. })
}

/// All the ways to crash right after mutation `at`, which is `entry`.
pub(crate) fn modes(at: u64, entry: Option<&TraceEntry>, seed: u64) -> Vec<CrashMode> {
    let mut modes = power_cuts(at, entry, seed);
    modes.push(CrashMode::Everything);
    if let Some(entry) = entry
        && matches!(entry.kind, OpKind::Write | OpKind::Store)
    {
        modes.extend(tears(entry).into_iter().map(|bytes| CrashMode::Torn { bytes }));
    }
    modes
}

/// Those that take what was not synced.
pub(crate) fn power_cuts(at: u64, entry: Option<&TraceEntry>, seed: u64) -> Vec<CrashMode> {
    let seed = seed ^ at.wrapping_mul(0x9E37_79B9);
    let garbage = Fill::Garbage { seed };
    // After a rename or an unlink, it is names that may have gone in any order.
    let is_of_names = |kind| matches!(kind, OpKind::Rename | OpKind::Unlink | OpKind::Link);
    let names = if entry.is_some_and(|entry| is_of_names(entry.kind)) { 16 } else { 2 };
    let mut modes = vec![CrashMode::Synced];
    modes.extend((0..4).map(|n| CrashMode::Random { seed: seed.wrapping_add(n) }));
    modes.extend([CrashMode::Tail(Fill::Zeros), CrashMode::Tail(garbage)]);
    modes.extend([CrashMode::Spoiled(Fill::Zeros), CrashMode::Spoiled(garbage)]);
    modes.extend((0..names).map(|n| CrashMode::Names { seed: seed.wrapping_add(n) }));
    modes
}

/// How much of a write may be there: up to each sector's end, a byte more or less, and
/// some first bytes.
fn tears(entry: &TraceEntry) -> Vec<u64> {
    let len = entry.range.end - entry.range.start;
    let first = 512 - entry.range.start % 512;
    let mut tears = vec![1, 8, 40];
    for edge in (first..=len).step_by(512) {
        tears.extend([edge - 1, edge, edge + 1]);
    }
    tears.push(len.saturating_sub(1));
    tears.retain(|&bytes| 0 < bytes && bytes < len);
    tears.sort_unstable();
    tears.dedup();
    tears
}

/// Checks images of one record against one run.
pub(crate) struct Checker<'a> {
    pub(crate) run: &'a Recording,
    /// The record: the run's own, or an altered one.
    disk: &'a SimVfs,
    /// By hash of the image: the states that it opens to, or why it is bad.
    seen: HashMap<u64, Result<Vec<usize>, String>>,
    checkpoints: HashSet<(usize, u64)>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(run: &'a Recording, disk: &'a SimVfs) -> Checker<'a> {
        let (seen, checkpoints) = Default::default();
        Checker { run, disk, seen, checkpoints, counts: BTreeMap::new() }
    }

    /// Hashes of the images so far.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = u64> {
        self.seen.keys().copied()
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Crashes right after mutation `at`.
    ///
    /// # Errors
    ///
    /// What is bad about what is left.
    pub(crate) fn check(&mut self, at: u64, mode: CrashMode) -> Result<(), String> {
        let image = self.disk.crash_at(at, mode);
        self.count("images");
        let hash = image.image_hash();
        // A torn last write was not acknowledged yet.
        let done = if let CrashMode::Torn { .. } = mode { at.max(1) - 1 } else { at };
        if !self.seen.contains_key(&hash) {
            let outcome = self
                .checkpoints(&image)
                .and_then(|()| self.leftover(&image))
                .and_then(|()| self.recover(&image));
            self.count(if outcome.is_ok() { "recovered" } else { "refused" });
            self.seen.insert(hash, outcome);
        }
        for made in self.run.checkpoints.iter().filter(|made| made.returned <= done) {
            if image.metadata(Path::new(&made.path)).is_err() {
                return Err(format!("{} is gone", made.path));
            }
        }
        let states = self.seen[&hash].clone()?;
        let allowed = *self.run.allowed(done, is_power_cut(mode)).start()
            ..=*self.run.allowed(at, false).end();
        if states.iter().any(|state| allowed.contains(state)) {
            return Ok(());
        }
        Err(format!("it may hold state {allowed:?}, and holds {states:?}"))
    }

    /// What a checkpoint left that did not end is in the way of no other.
    fn leftover(&mut self, image: &SimVfs) -> Result<(), String> {
        let names = image.list(Path::new("/")).map_err(|e| e.to_string())?;
        let Some(target) = names.iter().find_map(|name| name.strip_suffix(UNFINISHED)) else {
            return Ok(());
        };
        self.count("checkpoints again");
        let copy = image.kill_now();
        quietly(|| {
            let db = open_sim(self.run.setup.options(), &copy)
                .map_err(|e| format!("open is refused: {e}"))?;
            db.checkpoint(format!("/{target}")).map_err(|e| format!("{target} again: {e}"))
        })
    }

    /// The states that the image is found in, after all that can be asked of it.
    fn recover(&self, image: &SimVfs) -> Result<Vec<usize>, String> {
        quietly(|| {
            let found = open_and_close(image, self.run)?;
            if found != open_again(image, self.run)? {
                return Err("a close and an open change what it holds".to_owned());
            }
            let states = self.run.states.iter().enumerate();
            Ok(states.filter(|(_, state)| **state == found).map(|(at, _)| at).collect())
        })
    }

    /// A checkpoint that has its name is whole, whenever the crash came.
    fn checkpoints(&mut self, image: &SimVfs) -> Result<(), String> {
        for (index, made) in self.run.checkpoints.iter().enumerate() {
            let path = Path::new(&made.path);
            if image.metadata(path).is_err()
                || !self.checkpoints.insert((index, image.image_hash_of(path)))
            {
                continue;
            }
            self.count("checkpoints");
            let copy = image.kill_now();
            let found = quietly(|| {
                let db = open_on(self.run.setup.options(), Arc::new(copy), path)
                    .map_err(|e| e.to_string())?;
                Model::of(&db).map_err(|e| e.to_string())
            })
            .map_err(|wrong| format!("{}: {wrong}", made.path))?;
            if found != self.run.states[made.state] {
                return Err(format!("{} does not hold state {}", made.path, made.state));
            }
        }
        Ok(())
    }
}

/// Folders that a checkpoint makes before they get their names.
const UNFINISHED: &str = ".checkpoint-tmp";

fn open_and_close(image: &SimVfs, run: &Recording) -> Result<Model, String> {
    let failed = |e: olive_core::Error| e.to_string();
    let db = open_sim(run.setup.options(), image).map_err(|e| format!("open is refused: {e}"))?;
    let found = Model::of(&db).map_err(failed)?;
    let report = db.verify().map_err(failed)?;
    if !report.is_clean() {
        return Err(format!("verify finds {report:?}"));
    }
    db.close().map_err(failed)?;
    drop(db);
    match leftovers(image, DIR)? {
        left if left.is_empty() => Ok(found),
        left => Err(format!("after recovery and close, {left:?} are left in {DIR}")),
    }
}

/// The same once more, without leave to repair anything.
fn open_again(image: &SimVfs, run: &Recording) -> Result<Model, String> {
    let vfs = Arc::new(image.clone());
    let db = open_read_only_on(run.setup.options(), vfs, DIR)
        .map_err(|e| format!("the next open is refused: {e}"))?;
    Model::of(&db).map_err(|e| e.to_string())
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, and takes a panic for a failure that says so, without a report of its
/// own: planted faults make many.
pub(crate) fn quietly<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                loud(info);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Err(format!("a panic: {text}"))
    })
}
