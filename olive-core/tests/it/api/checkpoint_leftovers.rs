//! What stands where a checkpoint makes its folder: cleared where a checkpoint that was
//! cut left it, and never otherwise.
#![expect(clippy::disallowed_methods, reason = "it works on the files from outside")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind};

use crate::support::{Model, Scratch, open_sim, tiny};

const MARK: &str = "CHECKPOINT.tmp";

/// Where a checkpoint to `copy` makes its folder.
fn temporary(scratch: &Scratch) -> PathBuf {
    scratch.beside("copy.checkpoint-tmp")
}

fn filled(path: &Path) -> Db {
    let db = tiny().open(path).expect("a new database");
    db.put("k", "v").expect("a put");
    db.flush().expect("a flush");
    db
}

fn folder_with(path: &Path, files: &[&str]) {
    std::fs::create_dir(path).expect("a folder");
    for name in files {
        std::fs::write(path.join(name), "bytes").expect("a file");
    }
}

/// A checkpoint must refuse what stands there, say what it is, and leave it.
fn refused(says: &str, place: impl FnOnce(&Scratch)) {
    let scratch = Scratch::new();
    let db = filled(&scratch.path());
    place(&scratch);
    let before = scratch.files();
    let error = db.checkpoint(scratch.beside("copy")).expect_err("it stands in the way");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
    let path = temporary(&scratch);
    for part in [says, path.to_str().expect("a path"), "remove it or move it away"] {
        assert!(text.contains(part), "\"{text}\" does not say \"{part}\"");
    }
    assert!(scratch.files() == before, "{says}: something is changed");
    assert!(std::fs::symlink_metadata(path).is_ok(), "{says}: it is gone");
    db.checkpoint(scratch.beside("another")).expect("a checkpoint elsewhere");
}

#[test]
fn another_database_is_left() {
    refused("CURRENT", |scratch| drop(filled(&temporary(scratch))));
    refused("CURRENT", |scratch| {
        // A checkpoint that was given its name has no mark any more.
        let db = filled(&scratch.beside("other"));
        db.checkpoint(scratch.beside("older copy")).expect("a checkpoint");
        std::fs::rename(scratch.beside("older copy"), temporary(scratch)).expect("a rename");
    });
    let scratch = Scratch::new();
    let (db, other) = (filled(&scratch.path()), filled(&temporary(&scratch)));
    assert!(db.checkpoint(scratch.beside("copy")).is_err());
    other.put("goes", "on").expect("a put");
    other.close().expect("a close");
    let other = tiny().open(temporary(&scratch)).expect("a reopen");
    assert!(other.verify().expect("a verify").is_clean());
    assert_eq!(other.iter().expect("a walk").count(), 2);
}

#[test]
fn what_no_checkpoint_makes_is_left() {
    refused("notes.txt", |scratch| folder_with(&temporary(scratch), &["notes.txt"]));
    refused("LOCK", |scratch| folder_with(&temporary(scratch), &["LOCK"]));
    refused("000001.sst", |scratch| folder_with(&temporary(scratch), &["000001.sst"]));
    refused("is no folder", |scratch| std::fs::write(temporary(scratch), "mine").expect("a file"));
    let marked = |scratch: &Scratch| folder_with(&temporary(scratch), &[MARK, "000001.sst"]);
    refused("notes.txt", |scratch| {
        marked(scratch);
        std::fs::write(temporary(scratch).join("notes.txt"), "mine").expect("a file");
    });
    refused("000002.wal", |scratch| {
        marked(scratch);
        std::fs::write(temporary(scratch).join("000002.wal"), "a log").expect("a file");
    });
    refused("000002.sst", |scratch| {
        marked(scratch);
        folder_with(&temporary(scratch).join("000002.sst"), &["mine"]);
    });
    refused("000002.sst", |scratch| {
        marked(scratch);
        std::fs::write(scratch.beside("mine"), "bytes").expect("a file");
        symlink(scratch.beside("mine"), temporary(scratch).join("000002.sst")).expect("a link");
    });
}

#[test]
fn what_a_link_leads_to_is_left() {
    refused("symbolic link", |scratch| {
        folder_with(&scratch.beside("mine"), &["000001.sst", MARK]);
        symlink(scratch.beside("mine"), temporary(scratch)).expect("a link");
    });
    refused("symbolic link", |scratch| {
        symlink(scratch.beside("nothing"), temporary(scratch)).expect("a link");
    });
}

#[test]
fn what_a_checkpoint_left_is_cleared() {
    for files in [&[][..], &[MARK], &[MARK, "000001.sst", "MANIFEST-000002", "CURRENT.tmp"]] {
        let scratch = Scratch::new();
        let db = filled(&scratch.path());
        folder_with(&temporary(&scratch), files);
        db.checkpoint(scratch.beside("copy")).expect("a checkpoint");
        assert!(!temporary(&scratch).exists());
        assert!(!scratch.beside("copy").join(MARK).exists());
        let copy = tiny().open(scratch.beside("copy")).expect("an open");
        assert_eq!(Model::of(&copy).expect("a read"), Model::of(&db).expect("a read"));
    }
}

/// Whoever opens what a checkpoint left has a database of their own from then on.
#[test]
fn a_leftover_that_was_opened_is_a_database() {
    const LEFT: &str = "/copy.checkpoint-tmp";
    let vfs = SimVfs::new(3);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    db.put("k", "v").expect("a put");
    vfs.record(true);
    db.checkpoint("/copy").expect("a checkpoint");
    let mut whole = 0;
    for at in (0..=vfs.mutations()).filter(|&at| vfs.trace_entry(at).is_some()) {
        let disk = vfs.kill_at(at);
        let paths = disk.paths();
        if !paths.contains(&Path::new(LEFT).join("CURRENT")) {
            continue;
        }
        assert!(paths.contains(&Path::new(LEFT).join(MARK)), "mutation {at}: {paths:?}");
        whole += 1;
        let mine = open_on(tiny(), Arc::new(disk.clone()), LEFT).expect("it is whole");
        mine.put("mine", "v").expect("a put");
        mine.close().expect("a close");
        let db = open_sim(tiny(), &disk).expect("the source opens");
        let error = db.checkpoint("/copy").expect_err("it is a database");
        assert!(error.to_string().contains("CURRENT"), "{error}");
        let mine = open_on(tiny(), Arc::new(disk), LEFT).expect("an open");
        assert_eq!(mine.iter().expect("a walk").count(), 2);
    }
    assert!(whole > 0);
}
