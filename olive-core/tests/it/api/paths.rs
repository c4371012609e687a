//! What a path names stays what it named when it was given.

use std::path::Path;

use olive_core::{Db, ErrorKind, Options, TableIo};

use crate::child;
use crate::support::{Model, Scratch, kind, tiny};

#[test]
fn a_database_stays_where_it_is_when_the_working_folder_changes() {
    let scratch = Scratch::new();
    for folder in ["first", "second"] {
        std::fs::create_dir(scratch.beside(folder)).expect("a folder");
    }
    child::run("api::paths::works_by_relative_paths", &scratch.beside(""));
    let db = tiny().open(scratch.beside("first/db")).expect("an open");
    assert_eq!(db.iter().expect("a walk").count(), 100);
    assert!(db.verify().expect("a verify").is_clean());
    let copy = tiny().open(scratch.beside("second/copy")).expect("an open of the copy");
    assert_eq!(Model::of(&copy).expect("a read"), Model::of(&db).expect("a read"));
    let names = |folder: &str| {
        let entries = std::fs::read_dir(scratch.beside(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    assert_eq!((names("first"), names("second")), (vec!["db".into()], vec!["copy".into()]));
}

#[test]
fn works_by_relative_paths() {
    let Some(root) = child::path() else { return };
    let change_to = |folder: &str| std::env::set_current_dir(root.join(folder)).expect("a folder");
    change_to("first");
    let db = tiny().open("db").expect("a new database");
    for number in 0..100 {
        if number == 10 {
            change_to("second");
        }
        db.put(format!("k{number:03}"), [1; 50]).expect("a put");
    }
    db.flush().expect("a flush");
    db.compact_range(..).expect("a compaction");
    assert!(db.verify().expect("a verify").is_clean());
    change_to("first");
    // Each of its reads goes to a file by its name.
    let options = Options::default().table_io(TableIo::Read);
    let reader = options.open_read_only("./db/").expect("a read-only open");
    assert_eq!(kind(tiny().open("../first/db")), ErrorKind::Locked);
    change_to("second");
    assert_eq!(reader.iter().expect("a walk").count(), 100);
    assert!(reader.verify().expect("a verify").is_clean());
    db.checkpoint("copy").expect("a checkpoint");
    change_to("first");
    db.close().expect("a close");
    assert!(!Path::new("copy").exists());
}

#[test]
fn an_empty_path_is_refused() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let refusals = [
        Db::open("").map(drop),
        Options::default().open_read_only("").map(drop),
        db.checkpoint(""),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("it names nothing");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("the path is empty"), "{error}");
    }
}
