//! A whole database of every format version, as it was left by a killed process:
//! this version opens it, reads the same, and goes on in it.
//!
//! `tests/golden/db-vN/` holds the files, `db-vN.txt` what is in them: a line an entry
//! (keyspace, key, value, escaped, with tabs between them), and a line for a keyspace
//! without entries. Of the features of format 1 they use all: tables on several levels
//! and of several keyspaces, one of them dropped; tombstones; older versions that a
//! snapshot saw; a value longer than a block; a chain of log segments with batches
//! across keyspaces, a promise and an end mark.
//!
//! The files of a format that is frozen are never written again. Before that:
//!
//! ```sh
//! OLIVE_WRITE_GOLDEN=1 cargo test -p olive-core --test proof golden_database::the_script
//! ```

use std::fmt::Write;
use std::path::{Path, PathBuf};

use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, Result, TableIo, WalIo, WriteBatch};

use crate::support::{DIR, Scratch, entries, open_sim, settle, tiny};

/// Every format version that was released, and the next one; oldest first.
const VERSIONS: [&str; 1] = ["db-v1"];
/// The largest golden database, in bytes.
const GOLDEN_BYTES_MAX: u64 = 64 << 10;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn text_of(version: &str) -> String {
    std::fs::read_to_string(golden().join(format!("{version}.txt"))).expect("a text")
}

/// Names and lengths of the files of a golden database.
fn files_of(version: &str) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(golden().join(version)).expect("a golden database");
    let mut files: Vec<(String, u64)> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a plain name");
            (name, entry.metadata().expect("metadata").len())
        })
        .collect();
    files.sort();
    files
}

fn copied(version: &str) -> Scratch {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).expect("a folder");
    for (name, _) in files_of(version) {
        let from = golden().join(version).join(&name);
        std::fs::copy(from, scratch.path().join(&name)).expect("a copy");
    }
    scratch
}

/// What a database holds, as the text beside a golden one says it.
fn told(db: &Db) -> Result<String> {
    let mut text = String::new();
    let mut tell = |name: &str, entries: Vec<(Vec<u8>, Vec<u8>)>| {
        if entries.is_empty() {
            writeln!(text, "{name}").expect("a string takes it");
        }
        for (key, value) in entries {
            writeln!(text, "{name}\t{}\t{}", key.escape_ascii(), value.escape_ascii())
                .expect("a string takes it");
        }
    };
    tell("", entries(db)?);
    for name in db.keyspaces()? {
        tell(&name, entries(&db.keyspace(&name)?)?);
    }
    Ok(text)
}

#[test]
fn golden_databases_open_and_read_the_same() {
    for version in VERSIONS {
        let expected = text_of(version);
        for table_io in [TableIo::Mapped, TableIo::Read] {
            let options = tiny().table_io(table_io);
            let scratch = copied(version);
            let before = scratch.files();
            let db = options.clone().open_read_only(scratch.path()).expect("a read-only open");
            assert_eq!(told(&db).expect("a read"), expected, "{version}, only read");
            let levels = db.stats().expect("stats").levels;
            let used = levels.iter().filter(|level| level.tables > 0).count();
            assert!(used >= 3, "tables on few levels: {levels:?}");
            assert!(db.verify().expect("a verify").is_clean());
            db.close().expect("a close");
            drop(db);
            assert!(before == scratch.files(), "a read-only open wrote something");

            for wal_io in [WalIo::Mapped, WalIo::Write] {
                let options = options.clone().wal_io(wal_io);
                let scratch = copied(version);
                let db = options.clone().open(scratch.path()).expect("an open");
                assert_eq!(told(&db).expect("a read"), expected, "{version}");
                let report = db.verify().expect("a verify");
                assert!(report.is_clean(), "{:?}", report.damage);
                goes_on(&db, &expected);
                db.close().expect("a close");
                drop(db);
                let db = options.open(scratch.path()).expect("a reopen");
                assert_eq!(told(&db).expect("a read"), expected, "{version}, written and reopened");
                assert_eq!(db.get("new").expect("a get"), None);
                assert!(db.verify().expect("a verify").is_clean());
            }
        }
    }
}

/// Writes, compacts, and deletes what was written.
fn goes_on(db: &Db, expected: &str) {
    db.put("new", "value").expect("a put");
    assert_eq!(db.get("new").expect("a get").expect("a value"), b"value");
    db.compact_range(..).expect("a compaction");
    settle(db).expect("maintenance");
    db.delete("new").expect("a delete");
    assert_eq!(told(db).expect("a read"), expected, "after a compaction of everything");
}

/// The files are those that the module's text promises.
#[test]
fn golden_databases_have_all_sorts_of_files_and_are_small() {
    for version in VERSIONS {
        let files = files_of(version);
        let ending = |end: &str| files.iter().filter(|(name, _)| name.ends_with(end)).count();
        assert!(ending(".sst") >= 4 && ending(".wal") >= 3, "{files:?}");
        let manifests = files.iter().filter(|(name, _)| name.starts_with("MANIFEST-")).count();
        assert_eq!((ending("CURRENT"), ending("LOCK"), manifests), (1, 1, 1), "{files:?}");
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= GOLDEN_BYTES_MAX, "{bytes} bytes: {files:?}");
        let text = text_of(version);
        for sort in ["\nempty\n", "\nfruit\t", "\nusers\t", "\n\tlarge\t"] {
            assert!(text.contains(sort), "no {sort:?} in {version}.txt");
        }
        assert!(!text.contains("gone"), "a dropped keyspace is there");
    }
}

/// What stands in the newest golden database; with `OLIVE_WRITE_GOLDEN` it is written.
#[test]
fn the_script_of_the_newest_golden_database_gives_what_its_text_says() {
    let version = VERSIONS[VERSIONS.len() - 1];
    let vfs = SimVfs::new(0x601D);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    fill(&db).expect("the script");
    let text = told(&db).expect("a read");
    if std::env::var_os("OLIVE_WRITE_GOLDEN").is_some() {
        let dir = golden().join(version);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).expect("the old one goes");
        }
        std::fs::create_dir(&dir).expect("a folder");
        // As a kill leaves it: the log is live, nothing was closed.
        for path in vfs.paths() {
            let name = path.strip_prefix(DIR).expect("a file of the database");
            std::fs::write(dir.join(name), vfs.read_raw(&path)).expect("a file");
        }
        std::fs::write(golden().join(format!("{version}.txt")), &text).expect("a text");
    }
    assert_eq!(text, text_of(version));
}

fn fill(db: &Db) -> Result<()> {
    let (fruit, users) = (db.keyspace("fruit")?, db.keyspace("users")?);
    let gone = db.keyspace("gone")?;
    db.keyspace("empty")?;
    for number in 0..60 {
        db.put(format!("key{number:03}"), format!("the first value of {number}"))?;
        users.put([0xFF, number, 0], [number; 20])?;
        gone.put([number], "never seen again")?;
        if number % 20 == 19 {
            db.flush()?;
        }
    }
    db.put("", "the empty key")?;
    db.put("large", large(3_000))?;
    db.compact_range(..)?;
    users.compact_range(..)?;
    // Above those: overwritten and deleted keys, both versions kept for a snapshot.
    let snapshot = db.snapshot()?;
    for number in (0..60).step_by(3) {
        db.put(format!("key{number:03}"), "an overwritten value")?;
        db.delete(format!("key{:03}", number + 1))?;
    }
    fruit.put("apple", "red")?;
    fruit.put("pear", "yellow")?;
    db.flush()?;
    settle(db)?;
    assert_eq!(snapshot.get("key001")?.expect("a value"), b"the first value of 1");
    drop(snapshot);
    db.drop_keyspace("gone")?;
    fruit.delete("pear")?;
    users.delete([0xFF, 5, 0])?;
    db.put("key002", "in a table of level 0")?;
    db.flush()?;
    // From here on it is in the log.
    let mut batch = WriteBatch::new();
    batch.put("batch", "one").put_in(&fruit, "plum", "blue").delete_in(&users, [0xFF, 7, 0]);
    batch.delete("key005").put("key006", "from a batch");
    db.write(&batch)?;
    db.sync()?;
    db.put("in the log", large(2_500))?;
    db.put("in the next segment", large(1_900))?;
    db.keyspace("late")?.put("k", "v")?;
    db.sync()?;
    db.put("last", "not synced")
}

/// A value that is like nothing else in it.
fn large(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + (at * at / 7 % 26) as u8).collect()
}
