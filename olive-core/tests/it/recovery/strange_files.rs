//! Names of ours that are no regular files: each a clear error, and never a wait.
#![expect(clippy::disallowed_methods, reason = "it works on the files from outside")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use olive_core::{Db, Error, ErrorKind, Options};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Scratch, tiny};

/// A database with a table and records in its log, as a killed process leaves it.
fn killed(scratch: &Scratch) -> PathBuf {
    let db = tiny().open(scratch.beside("whole")).expect("a new database");
    db.put("in a table", "v").expect("a put");
    db.flush().expect("a flush");
    db.put("in the log", "v").expect("a put");
    let copy = scratch.path();
    std::fs::create_dir(&copy).expect("a folder");
    for entry in std::fs::read_dir(scratch.beside("whole")).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("a copy");
    }
    copy
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// What opening ends in, for writing and for reading only.
fn refusals(dir: &Path) -> [Option<Error>; 2] {
    type Open = fn(&Path) -> olive_core::Result<Db>;
    let opens: [Open; 2] = [|dir| tiny().open(dir), |dir| Options::default().open_read_only(dir)];
    opens.map(|open| {
        let (done, outcome) = channel();
        let dir = dir.to_owned();
        // One that hangs is left behind.
        std::thread::spawn(move || done.send(open(&dir).err()));
        match outcome.recv_timeout(Duration::from_secs(20)) {
            Ok(error) => error,
            Err(RecvTimeoutError::Timeout) => panic!("the open hangs"),
            Err(RecvTimeoutError::Disconnected) => panic!("the open panics"),
        }
    })
}

#[test]
fn a_pipe_a_folder_or_a_device_under_a_name_of_ours_is_refused_by_name() {
    type Make = fn(&Path);
    let sorts: [(&str, Make); 4] = [
        ("named pipe", pipe),
        ("folder", |path| std::fs::create_dir(path).expect("a folder")),
        ("device", |path| symlink("/dev/zero", path).expect("a link")),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket"))),
    ];
    for (sort, make) in sorts {
        for ending in ["CURRENT", "MANIFEST-", ".sst", ".wal", "LOCK"] {
            let scratch = Scratch::new();
            let dir = killed(&scratch);
            let mut names: Vec<_> = std::fs::read_dir(&dir)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
                .filter(|name| name.contains(ending))
                .collect();
            names.sort();
            let path = dir.join(&names[0]);
            std::fs::remove_file(&path).expect("a file");
            make(&path);
            let [write, read] = refusals(&dir);
            for (error, needed) in [(write, true), (read, ending != "LOCK")] {
                let Some(error) = error else {
                    assert!(!needed, "{} may be a {sort}", names[0]);
                    continue;
                };
                let text = error.to_string();
                assert!(text.contains(path.to_str().expect("a path")), "{sort}: {text}");
                assert!([ErrorKind::Io, ErrorKind::Corruption].contains(&error.kind()), "{text}");
                assert!(text.contains(sort) || ending == ".sst", "{sort}: {text}");
            }
        }
    }
}

#[test]
fn a_pipe_that_no_manifest_names_is_not_waited_for() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.put("k", "v").expect("a put");
    db.close().expect("a close");
    // It would void the clean mark.
    pipe(&scratch.path().join("900000.wal"));
    for error in refusals(&scratch.path()) {
        let error = error.expect("what is in it cannot be known");
        assert!(error.to_string().contains("900000.wal: it is a named pipe"), "{error}");
    }
    std::fs::remove_file(scratch.path().join("900000.wal")).expect("a pipe");
    // These nobody reads.
    pipe(&scratch.path().join("900000.sst"));
    pipe(&scratch.path().join("MANIFEST-900001"));
    assert!(refusals(&scratch.path()).iter().all(Option::is_none));
    let unfinished = scratch.beside("unfinished");
    std::fs::create_dir(&unfinished).expect("a folder");
    pipe(&unfinished.join("000001.wal"));
    let [write, _] = refusals(&unfinished);
    let error = write.expect("it may be a log");
    assert!(error.to_string().contains("000001.wal: it is a named pipe"), "{error}");
}
