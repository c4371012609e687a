//! Bad input: each its own clear error, and nothing changed on disk.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use olive_core::internals::format::manifest_line::{CHECKED_FROM, FORMAT};
use olive_core::{Db, ErrorKind, Options, WriteBatch};

use crate::support::{Scratch, entries, kind, tiny};

const LOCKED_PATH: &str = "OLIVE_TEST_LOCKED_PATH";

/// Does what must fail with `expected` and change nothing below the folder.
fn refused<T>(
    scratch: &Scratch,
    expected: ErrorKind,
    says: &str,
    act: impl FnOnce() -> olive_core::Result<T>,
) {
    let before = scratch.files();
    let Err(error) = act() else { panic!("an error was expected: {says}") };
    assert_eq!(error.kind(), expected, "{error}");
    assert!(error.to_string().contains(says), "\"{error}\" does not say \"{says}\"");
    let after = scratch.files();
    let names = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
        files.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&before), names(&after), "{says}");
    assert!(before == after, "contents have changed: {says}");
}

#[test]
fn keys_values_and_batches_over_their_limits() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let other = db.keyspace("other").expect("a keyspace");
    let long = vec![1; 65_536];
    let invalid = ErrorKind::InvalidArgument;
    refused(&scratch, invalid, "65536", || db.put(&long, "v"));
    refused(&scratch, invalid, "65536", || db.delete(&long));
    refused(&scratch, invalid, "65536", || other.put(&long, "v"));
    refused(&scratch, invalid, "65536", || db.get(&long));
    refused(&scratch, invalid, "65536", || db.get_with(&long, <[u8]>::len));
    refused(&scratch, invalid, "65536", || db.contains_key(&long));
    refused(&scratch, invalid, "65536", || db.multi_get([&long]));
    refused(&scratch, invalid, "65536", || other.get(&long));
    let mut batch = WriteBatch::new();
    batch.put("good", "v").delete(&long).put("good too", "v");
    refused(&scratch, invalid, "65536", || db.write(&batch));
    batch.clear();
    batch.put("good", "v");
    db.write(&batch).expect("a batch that was cleared");
    // Zeros that are never touched take no memory.
    let large = vec![0; (1 << 30) + 1];
    refused(&scratch, invalid, "1073741825", || db.put("k", &large));
    batch.clear();
    batch.put("k", &large);
    refused(&scratch, invalid, "1073741825", || db.write(&batch));
    assert!(db.get("k").expect("a get").is_none());
    assert_eq!(entries(&db).expect("a walk").len(), 1);
    // Keys over the limit are bounds like others.
    assert_eq!(db.range(&long..).expect("a range").count(), 1);
    assert_eq!(db.prefix(&long).expect("a walk").count(), 0);
}

#[test]
#[ignore = "takes a GiB of memory: the long form"]
fn a_batch_over_its_limit() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let part = vec![0; 64 << 20];
    let mut batch = WriteBatch::new();
    for number in 0..17 {
        batch.put([number], &part);
    }
    refused(&scratch, ErrorKind::InvalidArgument, "limit", || db.write(&batch));
}

#[test]
fn options_out_of_their_range_are_refused_by_name() {
    let scratch = Scratch::new();
    let cases: Vec<(&str, Options)> = vec![
        ("sync_interval", Options::default().sync_interval(Duration::ZERO)),
        ("sync_interval", Options::default().sync_interval(Duration::from_secs(3601))),
        ("wal_segment_bytes_max", Options::default().wal_segment_bytes_max(4095)),
        ("wal_segment_bytes_max", Options::default().wal_segment_bytes_max((1 << 30) + 1)),
        (
            "wal_mapped_record_bytes_max",
            Options::default().wal_mapped_record_bytes_max((1 << 30) + 1),
        ),
        ("compaction_threads", Options::default().compaction_threads(0)),
        ("compaction_threads", Options::default().compaction_threads(65)),
        ("memtable_bytes", Options::default().memtable_bytes(1023)),
        ("memtable_bytes", Options::default().memtable_bytes((4 << 30) + 1)),
        ("memtables_max", Options::default().memtables_max(1)),
        ("memtables_max", Options::default().memtables_max(65)),
        ("block_bytes", Options::default().block_bytes(63)),
        ("block_bytes", Options::default().block_bytes((1 << 20) + 1)),
        ("filter_bits_per_key", Options::default().filter_bits_per_key(33)),
        ("table_bytes", Options::default().table_bytes(1023)),
        ("table_bytes", Options::default().table_bytes((1 << 30) + 1)),
        ("level0_tables", Options::default().level0_tables(0)),
        ("level0_tables", Options::default().level0_tables(65)),
        ("level_base_bytes", Options::default().level_base_bytes(1023)),
        ("level_base_bytes", Options::default().level_base_bytes((1 << 40) + 1)),
        ("level_multiplier", Options::default().level_multiplier(1)),
        ("level_multiplier", Options::default().level_multiplier(101)),
    ];
    for (name, options) in cases {
        let invalid = ErrorKind::InvalidArgument;
        refused(&scratch, invalid, name, || options.clone().open(scratch.path()));
        refused(&scratch, invalid, name, || options.clone().open_read_only(scratch.path()));
    }
    assert!(scratch.files().is_empty());
}

#[test]
fn options_at_both_ends_of_their_range_work() {
    let least = Options::default()
        .sync_interval(Duration::from_millis(1))
        .wal_segment_bytes_max(4 << 10)
        .wal_mapped_record_bytes_max(0)
        .memtable_bytes(1 << 10)
        .memtables_max(2)
        .block_bytes(64)
        .filter_bits_per_key(0)
        .table_bytes(1 << 10)
        .level0_tables(1)
        .level_base_bytes(1 << 10)
        .level_multiplier(2);
    let most = Options::default()
        .sync_interval(Duration::from_secs(3600))
        .wal_segment_bytes_max(1 << 30)
        .wal_mapped_record_bytes_max(1 << 30)
        .compaction_threads(64)
        .memtable_bytes(4 << 30)
        .memtables_max(64)
        .block_bytes(1 << 20)
        .filter_bits_per_key(32)
        .table_bytes(1 << 30)
        .level0_tables(64)
        .level_base_bytes(1 << 40)
        .level_multiplier(100);
    for options in [least, most] {
        let scratch = Scratch::new();
        let db = options.clone().open(scratch.path()).expect("a new database");
        for number in 0..300 {
            db.put(format!("k{number:03}"), [1; 50]).expect("a put");
        }
        db.compact_range(..).expect("a compaction");
        db.close().expect("a close");
        let db = options.open(scratch.path()).expect("a reopen");
        assert_eq!(db.iter().expect("a walk").count(), 300);
    }
}

#[test]
fn a_path_that_is_no_folder_for_a_database() {
    let scratch = Scratch::new();
    let invalid = ErrorKind::InvalidArgument;
    std::fs::write(scratch.beside("file"), "text").expect("a file");
    refused(&scratch, invalid, "is a file", || Db::open(scratch.beside("file")));
    refused(&scratch, invalid, "file", || Db::open(scratch.beside("file/below")));
    refused(&scratch, invalid, "file", || Db::open(scratch.beside("file/far/below")));
    refused(&scratch, invalid, "file", || {
        Options::default().open_read_only(scratch.beside("file"))
    });
    for never in [false, true] {
        let options = || Options::default().create_if_missing(!never);
        refused(&scratch, invalid, "the path is empty: it must name a folder", || {
            options().open("")
        });
    }
    refused(&scratch, invalid, "is empty", || Options::default().open_read_only(""));
    let foreign = scratch.beside("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("thesis.txt"), "mine").expect("a file");
    refused(&scratch, invalid, "thesis.txt", || Db::open(&foreign));
    refused(&scratch, invalid, "thesis.txt", || Options::default().open_read_only(&foreign));
    let empty = scratch.beside("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let never = || Options::default().create_if_missing(false);
    refused(&scratch, invalid, "no database", || never().open(&empty));
    refused(&scratch, invalid, "no database", || never().open(scratch.beside("missing")));
    refused(&scratch, invalid, "no database", || never().open_read_only(&empty));
    refused(&scratch, invalid, "no database", || never().open_read_only(scratch.beside("none")));
    drop(Db::open(scratch.beside("new/folders/db")).expect("folders above are created"));
    drop(Db::open(&empty).expect("an empty folder becomes a database"));
    drop(never().open(&empty).expect("it is there now"));
}

#[test]
#[cfg(unix)]
fn a_symbolic_link_to_nothing_is_said_to_be_one() {
    let scratch = Scratch::new();
    let link = scratch.beside("link");
    std::os::unix::fs::symlink(scratch.beside("gone"), &link).expect("a link");
    for path in [link.clone(), link.join("below")] {
        let error = Db::open(&path).expect_err("it leads nowhere");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let text = error.to_string();
        assert!(text.contains("link is a symbolic link to a folder that does not exist"), "{text}");
    }
    std::fs::create_dir(scratch.beside("gone")).expect("a folder");
    drop(Db::open(&link).expect("now it leads to a folder"));
}

/// Puts another header into the manifest in force, its checksum right.
fn with_header(db: &std::path::Path, change: impl Fn(String) -> String) {
    let name = std::fs::read_to_string(db.join("CURRENT")).expect("CURRENT");
    let path = db.join(name.trim());
    let text = std::fs::read_to_string(&path).expect("the manifest");
    let (header, rest) = text.split_once('\n').expect("lines");
    let changed = change(header.to_owned());
    assert_ne!(changed, header, "the test changes something");
    let crc = crc32(&changed.as_bytes()[CHECKED_FROM..]);
    let line = format!("{{\"crc\":\"{crc:08x}\"{}\n{rest}", &changed[CHECKED_FROM..]);
    std::fs::write(&path, line).expect("the manifest");
}

fn crc32(bytes: &[u8]) -> u32 {
    olive_core::internals::format::checksum::crc32(bytes)
}

#[test]
fn a_database_of_a_newer_format_or_with_an_unknown_need() {
    let changes = [
        ("99", format!("\"format\":{FORMAT}"), "\"format\":99"),
        ("teleport", "\"requires\":[]".to_owned(), "\"requires\":[\"teleport\"]"),
    ];
    for (says, from, to) in changes {
        let scratch = Scratch::new();
        Db::open(scratch.path()).expect("a new database").put("k", "v").expect("a put");
        with_header(&scratch.path(), |line| line.replacen(&from, to, 1));
        let unsupported = ErrorKind::Unsupported;
        refused(&scratch, unsupported, says, || Db::open(scratch.path()));
        refused(&scratch, unsupported, says, || Options::default().open_read_only(scratch.path()));
    }
}

#[test]
fn a_locked_database() {
    let scratch = Scratch::new();
    let db = Db::open(scratch.path()).expect("a new database");
    db.put("k", "v").expect("a put");
    db.sync().expect("a sync");
    std::thread::sleep(Duration::from_millis(40));
    refused(&scratch, ErrorKind::Locked, "open already", || Db::open(scratch.path()));
    let reader = Options::default().open_read_only(scratch.path()).expect("readers are welcome");
    assert_eq!(reader.get("k").expect("a get").expect("a value"), b"v");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "api::bad_input::the_other_process", "--nocapture"])
        .env(LOCKED_PATH, scratch.path())
        .output()
        .expect("another process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("it was locked"), "{text}");
    db.close().expect("a close");
    // The handle is still there: close gives the lock back.
    drop(Db::open(scratch.path()).expect("an open after the close"));
}

#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os(LOCKED_PATH) else { return };
    assert_eq!(kind(Db::open(PathBuf::from(path))), ErrorKind::Locked);
    println!("it was locked");
}

#[test]
fn a_read_only_folder() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    Db::open(scratch.path()).expect("a new database").put("k", "v").expect("a put");
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(scratch.path(), permissions).expect("a mode");
    };
    mode(0o500);
    let is_root = std::fs::write(scratch.path().join("probe"), "").is_ok();
    if is_root {
        eprintln!("skipped: root may write anywhere");
    } else {
        std::fs::remove_dir_all(scratch.path().join("LOCK")).unwrap_err();
        refused(&scratch, ErrorKind::ReadOnly, "read-only", || Db::open(scratch.path()));
        let reader = Options::default().open_read_only(scratch.path()).expect("a read-only open");
        assert_eq!(reader.get("k").expect("a get").expect("a value"), b"v");
    }
    mode(0o700);
}

#[test]
fn a_keyspace_of_another_database() {
    let scratch = Scratch::new();
    let mine = tiny().open(scratch.path()).expect("a new database");
    let other = tiny().open(scratch.beside("other")).expect("a new database");
    let theirs = other.keyspace("k").expect("a keyspace");
    let ours = mine.keyspace("k").expect("a keyspace");
    let mut batch = WriteBatch::new();
    batch.put("good", "v").put_in(&theirs, "k", "v");
    let invalid = ErrorKind::InvalidArgument;
    refused(&scratch, invalid, "another database", || mine.write(&batch));
    refused(&scratch, invalid, "another database", || ours.write(&batch));
    batch.clear();
    batch.put_in(&ours, "k", "v").delete_in(&theirs, "k");
    refused(&scratch, invalid, "two databases", || mine.write(&batch));
    refused(&scratch, invalid, "two databases", || other.write(&batch));
    batch.clear();
    batch.put_in(&theirs, "k", "v");
    other.write(&batch).expect("it is theirs");
    // The same database opened again is another one to old handles.
    drop((theirs, ours));
    mine.close().expect("a close");
    let again = tiny().open(scratch.path()).expect("a reopen");
    let mut batch = WriteBatch::new();
    batch.put_in(&again.keyspace("k").expect("a keyspace"), "k", "v");
    assert_eq!(kind(mine.write(&batch)), ErrorKind::Closed);
    again.write(&batch).expect("it is this one's");
}

#[test]
fn names_of_keyspaces() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let invalid = ErrorKind::InvalidArgument;
    let long = "x".repeat(65_535);
    refused(&scratch, invalid, "name", || db.keyspace(""));
    refused(&scratch, invalid, "name", || db.keyspace(&long));
    refused(&scratch, invalid, "name", || db.drop_keyspace(""));
    refused(&scratch, invalid, "name", || db.snapshot()?.keyspace(""));
    db.keyspace(&long[1..]).expect("the longest name").put("k", "v").expect("a put");
    db.keyspace("\0 \u{10FFFF}/..\n").expect("any text is a name").put("k", "v").expect("a put");
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    assert_eq!(db.keyspaces().expect("names").len(), 2);
    assert!(!db.drop_keyspace("never there").expect("a drop"));
}
