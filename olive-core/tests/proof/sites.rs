//! From which line of the engine a mutation comes, and in which work.
//!
//! A site is told by the stack at the mutation: the innermost frame of the engine above
//! the disk, and the first frame further out that names a work. So a site that is added
//! to the engine is in the next run's table without being listed anywhere.

use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use olive_core::internals::vfs::sim::{Action, Filter, OpKind, TraceEntry, errno};

/// What the database is being asked for, as far as the stack does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Creation,
    Open,
    Recovery,
    Running,
    Close,
}

/// A place in the engine that syncs, renames or unlinks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) kind: OpKind,
    /// What sort of file; of unlinks `any`, since a folder's are cleared in one place.
    pub(crate) file: &'static str,
    /// File and line.
    pub(crate) at: String,
    pub(crate) work: &'static str,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { kind, file, at, work } = self;
        let kind = format!("{kind:?}");
        write!(f, "{kind:<8}{file:<14}{at:<34}{work}")
    }
}

/// Functions that only do what others decided on: the site is their caller's.
const HELPERS: [&str; 3] = ["sync_file", "sync_dir", "unlink"];

/// Functions that name a work, and what it is called.
const WORKS: [(&str, &str); 15] = [
    ("fill_checkpoint", "checkpoint"),
    ("claim", "checkpoint"),
    ("remove_unfinished", "unfinished creation"),
    ("keep_name", "unfinished creation"),
    ("flush_step", "flush"),
    ("run_plan", "compaction"),
    ("drop_whole_tables", "dropped tables"),
    ("mark_clean", "close"),
    ("rotate_segment", "rotation"),
    ("prepare_segment", "preparation"),
    ("sync_step", "background sync"),
    ("recover", "replay"),
    ("switch_over", "open"),
    ("checkpoint", "checkpoint"),
    ("create_folders", "folders"),
];

/// Sees each mutation of a run: notes sites, and lets things go wrong.
#[derive(Default)]
pub(crate) struct Watch {
    /// Sites are noted.
    notes: bool,
    /// Mutations that are not done, by number: kind and path must be these too.
    skipped: BTreeMap<u64, TraceEntry>,
    /// A fault of the engine, planted: these mutations are never done.
    plant: Option<fn(&TraceEntry) -> bool>,
    manifest_is_full: AtomicBool,
    phase: AtomicU8,
    sites: Mutex<BTreeMap<u64, Site>>,
}

impl Watch {
    pub(crate) fn noting() -> Watch {
        Watch { notes: true, ..Watch::default() }
    }

    pub(crate) fn skipping(entries: impl IntoIterator<Item = TraceEntry>) -> Watch {
        let skipped = entries.into_iter().map(|entry| (entry.number, entry)).collect();
        Watch { skipped, ..Watch::default() }
    }

    pub(crate) fn planted(plant: fn(&TraceEntry) -> bool) -> Watch {
        Watch { plant: Some(plant), ..Watch::default() }
    }

    /// The next append to a manifest finds no room.
    pub(crate) fn fill_manifest(&self) {
        self.manifest_is_full.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.manifest_is_full.store(false, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn sites(&self) -> BTreeMap<u64, Site> {
        self.sites.lock().expect("the sites").clone()
    }

    pub(crate) fn filter(self: Arc<Watch>) -> Filter {
        Arc::new(move |entry| self.sees(entry))
    }

    fn sees(&self, entry: &TraceEntry) -> Action {
        let is_site =
            matches!(entry.kind, OpKind::Sync | OpKind::SyncDir | OpKind::Rename | OpKind::Unlink);
        if self.notes && is_site {
            let site = self.site(entry);
            self.sites.lock().expect("the sites").insert(entry.number, site);
        }
        let same =
            |skipped: &TraceEntry| (skipped.kind, &skipped.path) == (entry.kind, &entry.path);
        if self.skipped.get(&entry.number).is_some_and(same)
            || self.plant.is_some_and(|plant| plant(entry))
        {
            return Action::Skip;
        }
        let is_append = entry.kind == OpKind::Write && entry.range.start > 0;
        if is_append
            && class(&entry.path) == "manifest"
            && self.manifest_is_full.swap(false, Ordering::Relaxed)
        {
            return Action::Fail(errno::ENOSPC);
        }
        Action::Do
    }

    fn site(&self, entry: &TraceEntry) -> Site {
        let stack = Backtrace::force_capture().to_string();
        let frames = engine_frames(&stack);
        let at = frames.iter().find(|(name, _)| !HELPERS.contains(name));
        let at = at.map_or("?", |(_, at)| *at).to_owned();
        let named = frames
            .iter()
            .find_map(|(name, _)| WORKS.iter().find(|(function, _)| function == name))
            .map_or("as it is asked for", |(_, work)| work);
        let phases = ["creation", "open", "recovery", "running", "close"];
        let phase = phases[usize::from(self.phase.load(Ordering::Relaxed))];
        let work = if named == "open" { phase } else { named };
        let file = if entry.kind == OpKind::Unlink { "any" } else { class(&entry.path) };
        Site { kind: entry.kind, file, at, work }
    }
}

/// Sort of file by its name.
fn class(path: &Path) -> &'static str {
    let name = path.file_name().map_or("/".into(), |name| name.to_string_lossy());
    match name.as_ref() {
        "CURRENT.tmp" => "CURRENT.tmp",
        "CURRENT" => "CURRENT",
        "LOCK" => "lock",
        "/" => "parent folder",
        "db" => "folder",
        name if name.ends_with(".wal") => "segment",
        name if name.ends_with(".sst") => "table",
        name if name.starts_with("MANIFEST-") => "manifest",
        name if name.starts_with("checkpoint") => "checkpoint",
        _ => "?",
    }
}

/// Names and places of the engine's functions on the stack but for the disk's, from
/// the innermost out.
fn engine_frames(stack: &str) -> Vec<(&str, &str)> {
    let mut frames = Vec::new();
    let mut lines = stack.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(place) = lines.peek().and_then(|next| next.trim().strip_prefix("at ")) else {
            continue;
        };
        let place = place.rsplit_once(':').map_or(place, |(place, _)| place);
        let Some((_, place)) = place.split_once("olive-core/src/").or(place.split_once("./src/"))
        else {
            continue;
        };
        if place.starts_with("vfs/") {
            continue;
        }
        let name = line.split_once(": ").map_or(line, |(_, name)| name);
        let names = name.split("::").filter(|part| !part.starts_with(['{', '<']));
        frames.push((names.last().unwrap_or(name), place));
    }
    frames
}

#[test]
fn a_stack_is_read_from_the_innermost_function_of_the_engine_out() {
    let stack = "   0: <olive_core::vfs::sim::file::SimFile as olive_core::vfs::VfsFile>::sync
             at ./src/vfs/sim/file.rs:151:13
   1: olive_core::wal::segment::fill
             at /somewhere/olive-core/src/wal/segment.rs:132:10
   2: olive_core::engine::segments::<impl olive_core::engine::Engine>::prepare_segment::{{closure}}
             at ./src/engine/segments.rs:81:22
   3: core::ops::function::FnOnce::call_once
             at /rustc/library/core/src/ops/function.rs:250:5";
    let frames = engine_frames(stack);
    assert_eq!(
        frames,
        [("fill", "wal/segment.rs:132"), ("prepare_segment", "engine/segments.rs:81")]
    );
}
