//! What the database tells of itself: stats, health, verify, sizes.

use std::time::Duration;

use olive_core::{Durability, Options, Stats, WriteOptions};

use crate::support::{Scratch, settle, tiny};

#[test]
fn stats_are_plausible() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let new = db.stats().expect("stats");
    assert_eq!((new.put_ops, new.put_bytes, new.gets, new.snapshots), (0, 0, 0, 0));
    assert_eq!((new.write_amplification, new.read_amplification), (0.0, 0.0));
    assert_eq!(new.levels.len(), 7);
    assert!(new.wal_bytes > 0 && new.table_bytes == 0);
    for number in 0..2000 {
        db.put(format!("key{:04}", number * 7 % 1000), [1; 43]).expect("a put");
    }
    settle(&db).expect("maintenance");
    db.put_with("synced", "v", &WriteOptions::default().durability(Durability::Sync)).expect("put");
    let snapshot = db.snapshot().expect("a snapshot");
    db.put("behind", "it").expect("a put");
    let older = snapshot.clone();
    for number in 0..1000 {
        assert!(db.contains_key(format!("key{number:04}")).expect("a get"));
        assert!(!db.contains_key(format!("key{number:04}x")).expect("a get"));
    }
    let stats = db.stats().expect("stats");
    assert_eq!(stats.put_ops, 2002);
    assert_eq!(stats.put_bytes, 2000 * 50 + 7 + 8);
    assert_eq!((stats.gets, stats.get_hits), (2000, 1000));
    assert!(stats.read_bytes >= 1000 * 50, "{}", stats.read_bytes);
    assert!(stats.flushes > 10 && stats.flushed_bytes > stats.put_bytes / 2);
    assert!(stats.compactions > 0 && stats.compacted_bytes > 0);
    assert!(stats.compaction_read_bytes >= stats.compacted_bytes / 2);
    assert!(stats.wal_written_bytes > stats.put_bytes);
    let written = stats.wal_written_bytes + stats.flushed_bytes + stats.compacted_bytes;
    let amplification = written as f64 / stats.put_bytes as f64;
    assert!((stats.write_amplification - amplification).abs() < 1e-9);
    assert!(stats.write_amplification > 2.0 && stats.write_amplification < 100.0);
    assert!(stats.read_amplification > 0.0 && stats.read_amplification < 5.0);
    assert!(stats.space_amplification >= 1.0 && stats.space_amplification < 5.0);
    assert!(stats.filter_probes >= stats.filter_useful);
    assert!(stats.filter_useful > 900, "{} of {}", stats.filter_useful, stats.filter_probes);
    let levels: u64 = stats.levels.iter().map(|level| level.bytes).sum();
    assert_eq!(levels, stats.table_bytes);
    assert!(stats.levels.iter().enumerate().all(|(number, level)| level.level == number));
    assert!(stats.wal_syncs >= 1);
    assert_eq!(stats.snapshots, 1, "a clone is the same snapshot");
    assert_eq!(stats.oldest_snapshot, Some(snapshot.sequence()));
    assert_eq!(stats.last_sequence, snapshot.sequence() + 1);
    assert_eq!((stats.background_errors, &stats.last_background_error), (0, &None));
    drop(snapshot);
    assert_eq!(db.stats().expect("stats").snapshots, 1);
    drop(older);
    assert_eq!(db.stats().expect("stats").oldest_snapshot, None);
}

#[test]
fn stats_go_through_serde_and_back() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.put("k", "v").expect("a put");
    let stats: Stats = db.stats().expect("stats");
    assert_eq!(stats.clone(), stats);
    fn serialises<T: Clone + PartialEq + Default + std::fmt::Debug>(_: &T) {}
    serialises(&stats);
    serialises(&db.health().expect("health"));
    serialises(&db.verify().expect("a report"));
}

#[test]
fn pinned_memory_counts_and_values_copy_out_when_it_is_much() {
    let scratch = Scratch::new();
    let options = Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options.memtable_bytes(64 << 10).open(scratch.path()).expect("a new database");
    let mut held = Vec::new();
    for round in 0..40_u8 {
        db.put("k", vec![round; 10_000]).expect("a put");
        held.push(db.get("k").expect("a get").expect("a value"));
        db.flush().expect("a flush");
    }
    let pinned = db.stats().expect("stats").pinned_bytes;
    assert!(pinned > 0, "a value holds a flushed memtable");
    assert!(pinned < (4 * 64) << 10, "{pinned} bytes are pinned");
    for (round, value) in held.iter().enumerate() {
        assert_eq!(*value, vec![round as u8; 10_000]);
    }
    drop(held);
    assert_eq!(db.stats().expect("stats").pinned_bytes, 0);
}

#[test]
fn a_table_that_was_just_written_is_open_before_it_is_read() {
    let scratch = Scratch::new();
    let options = Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options.open(scratch.path()).expect("a new database");
    assert_eq!(db.stats().expect("stats").index_bytes, 0);
    db.put("k", "v").expect("a put");
    db.flush().expect("a flush");
    assert!(db.stats().expect("stats").index_bytes > 0, "nothing was read yet");
}

#[test]
fn memory_that_is_kept_for_the_next_memtable_counts_and_is_given_back() {
    let scratch = Scratch::new();
    let options = Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options.memtable_bytes(1 << 20).open(scratch.path()).expect("a new database");
    db.put("k", vec![1; 900_000]).expect("a put");
    assert_eq!(db.stats().expect("stats").spare_bytes, 0);
    db.flush().expect("a flush");
    let spare = db.stats().expect("stats").spare_bytes;
    assert!((900_000..2 << 20).contains(&spare), "{spare} bytes are kept");
    while db.maintain().expect("a step") != olive_core::Progress::Idle {}
    assert_eq!(db.stats().expect("stats").spare_bytes, 0, "nothing was flushed for a while");
}

#[test]
fn a_reader_whose_tables_were_compacted_away_calls_nothing_damaged() {
    let scratch = Scratch::new();
    let options = || Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options().open(scratch.path()).expect("a new database");
    db.put("k", "1").expect("a put");
    db.flush().expect("a flush");
    let reader = options().open_read_only(scratch.path()).expect("a read-only open");
    assert_eq!(reader.verify().expect("a verify").tables, 1);
    db.put("k", "2").expect("a put");
    db.compact_range(..).expect("a compaction");
    while db.maintain().expect("a step") != olive_core::Progress::Idle {}
    assert_eq!(reader.get("k").expect("a get").expect("a value"), b"1");
    let report = reader.verify().expect("a verify");
    assert!(report.damage.is_empty() && report.tables == 0, "{report:?}");
    // But what the manifest names must be there.
    let reader = options().open_read_only(scratch.path()).expect("a read-only open");
    db.close().expect("a close");
    for entry in std::fs::read_dir(scratch.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "sst") {
            #[expect(clippy::disallowed_methods, reason = "what a user's mistake would do")]
            std::fs::remove_file(path).expect("a table is gone");
        }
    }
    assert_eq!(reader.verify().expect("a verify").damage.len(), 1);
}

#[test]
fn the_size_of_one_large_value_is_told_and_so_is_that_of_what_lies_beside() {
    let scratch = Scratch::new();
    let options = Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options.open(scratch.path()).expect("a new database");
    for number in 0..8 {
        db.put(format!("large{number}"), vec![0; 1 << 20]).expect("a put");
        db.put(format!("small{number}"), vec![0; 500]).expect("a put");
    }
    db.flush().expect("a flush");
    let size = |from: &str, to: &str| db.approximate_size(from..=to).expect("a size");
    for number in 0..8 {
        let key = format!("large{number}");
        assert_eq!(size(&key, &key) >> 20, 1, "{key}");
        let key = format!("small{number}");
        assert!((250..1_000).contains(&size(&key, &key)), "{key}: {}", size(&key, &key));
    }
    assert_eq!(size("large2", "large4") >> 20, 3);
    assert_eq!(size("large2x", "large2y"), 0);
    assert_eq!((size("a", "b"), size("t", "z")), (0, 0));
    let all = db.approximate_size(..).expect("a size");
    assert_eq!(all, size("a", "large3") + size("large3x", "small3") + size("small3x", "z"));
}

#[test]
fn a_memtable_is_flushed_where_iterators_walk_over_what_was_deleted_in_it() {
    const KEYS: u32 = 5_000;
    let scratch = Scratch::new();
    let options = Options::default().maintenance(olive_core::Maintenance::Manual);
    let db = options.open(scratch.path()).expect("a new database");
    let put_and_delete = || {
        for key in 0..KEYS {
            db.put(key.to_be_bytes(), "v").expect("a put");
            db.delete(key.to_be_bytes()).expect("a delete");
        }
    };
    put_and_delete();
    let flushes = || db.stats().expect("stats").flushes;
    let looks_until_flushed = |look: &dyn Fn() -> bool| {
        let before = flushes();
        (1..=1_000).find(|_| {
            assert!(look(), "nothing is there");
            while db.maintain().expect("a step") != olive_core::Progress::Idle {}
            flushes() > before
        })
    };
    // 10,000 entries, each walked over: 750,000 steps are the price of this memtable.
    let backward = || db.iter().expect("an iterator").next_back().is_none();
    assert_eq!(looks_until_flushed(&backward), Some(75));
    // The tombstones are in a table now; once they are gone nothing is walked over.
    db.compact_range(..).expect("a compaction");
    assert_eq!(looks_until_flushed(&backward), None);

    // Who looks forward walks over them once: others begin behind them.
    put_and_delete();
    let forward = || db.iter().expect("an iterator").next().is_none();
    assert_eq!(looks_until_flushed(&forward), None);

    // Keys that are shown cost nothing in vain.
    for key in 0..2 * KEYS {
        db.put(key.to_be_bytes(), "v").expect("a put");
    }
    assert_eq!(looks_until_flushed(&|| db.iter().expect("an iterator").count() > 0), None);
}

/// Two tables of level 0 are below the option's number, and stay until there is a rest.
#[test]
fn level_0_is_gathered_once_nothing_is_written() {
    for is_manual in [true, false] {
        let scratch = Scratch::new();
        let options = Options::default();
        let manual = olive_core::Maintenance::Manual;
        let options = if is_manual { options.maintenance(manual) } else { options };
        let db = options.open(scratch.path()).expect("a new database");
        for round in 0..2_u8 {
            for number in 0..100 {
                db.put(format!("k{number}"), [round; 10]).expect("a put");
            }
            db.flush().expect("a flush");
        }
        let level0 = || db.stats().expect("stats").levels[0].tables;
        if is_manual {
            while db.maintain().expect("a step") != olive_core::Progress::Idle {}
            assert_eq!(level0(), 2, "a host that steps decides when");
            continue;
        }
        let mut looks = 0;
        while level0() > 1 {
            looks += 1;
            assert!(looks < 6000, "after 30 s level 0 has {} tables", level0());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(&*db.get("k7").expect("a get").expect("the value"), &[1; 10]);
    }
}

#[test]
fn stalls_are_told_by_cause() {
    let scratch = Scratch::new();
    let db = tiny().memtables_max(2).open(scratch.path()).expect("a new database");
    for number in 0..500 {
        db.put(format!("k{number}"), [1; 100]).expect("a put");
    }
    let stalls = db.stats().expect("stats").stalls;
    let memtables = stalls.iter().find(|stall| stall.cause == "memtables").expect("a cause");
    assert!(memtables.count > 5 && memtables.time_ns > 0, "{stalls:?}");
}

#[test]
fn health_is_good_until_close() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let health = db.health().expect("health");
    assert!(health.writable);
    assert_eq!((health.poisoned, health.background_error), (None, None));
    assert!(health.recovery_dropped.is_empty());
}

#[test]
fn sizes_of_ranges_add_up() {
    let scratch = Scratch::new();
    let db = tiny().block_bytes(256).open(scratch.path()).expect("a new database");
    let other = db.keyspace("other").expect("a keyspace");
    assert_eq!(db.approximate_size(..).expect("a size"), 0);
    for number in 0..1000 {
        db.put(format!("key{number:04}"), [1; 93]).expect("a put");
    }
    other.put("k", [1; 5000]).expect("a put");
    db.compact_range(..).expect("a compaction");
    let all = db.approximate_size(..).expect("a size");
    assert!((90_000..150_000).contains(&all), "{all}");
    let half = db.approximate_size(.."key0500").expect("a size");
    assert!((all * 4 / 10..all * 6 / 10).contains(&half), "{half} of {all}");
    let rest = db.approximate_size("key0500"..).expect("a size");
    assert!((half + rest).abs_diff(all) < 2000, "{half} + {rest} = {all}");
    assert_eq!(db.approximate_size("key0500".."key0500").expect("a size"), 0);
    assert_eq!(db.approximate_size("key0600".."key0500").expect("a size"), 0);
    assert!(db.approximate_size("x"..).expect("a size") < 2000);
    let others = other.approximate_size(..).expect("a size");
    assert!((4000..9000).contains(&others), "{others}");
}

#[test]
fn verify_reads_everything_and_names_what_is_damaged() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for number in 0..200 {
        db.put(format!("key{number:03}"), [1; 50]).expect("a put");
    }
    db.compact_range(..).expect("a compaction");
    let report = db.verify().expect("a report");
    assert!(report.is_clean());
    let tables: u64 = db.stats().expect("stats").levels.iter().map(|level| level.tables).sum();
    assert_eq!((report.tables, report.entries), (tables, 200));
    assert!(report.blocks > tables && report.bytes >= db.stats().expect("stats").table_bytes / 2);
    db.close().expect("a close");
    let is_table = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "sst");
    let table = scratch.files().into_keys().find(is_table).expect("a table");
    let mut bytes = std::fs::read(&table).expect("a table");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 4;
    std::fs::write(&table, bytes).expect("a table");
    let db = tiny().open(scratch.path()).expect("open looks at lengths only");
    let report = db.verify().expect("a report");
    assert_eq!(report.damage.len(), 1, "{report:?}");
    let name = table.file_name().expect("a name").to_string_lossy();
    assert!(report.damage[0].contains(&*name), "{report:?}");
    assert!(!report.is_clean());
}

#[test]
fn a_buffered_write_is_synced_in_the_background() {
    let scratch = Scratch::new();
    let options = Options::default().sync_interval(Duration::from_millis(5));
    let db = options.open(scratch.path()).expect("a new database");
    let before = db.stats().expect("stats").wal_syncs;
    db.put("k", "v").expect("a put");
    for _ in 0..400 {
        if db.stats().expect("stats").wal_syncs > before {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no sync came");
}

#[test]
fn a_write_that_waits_for_a_flush_that_fails_says_so_and_goes_on_later() {
    use olive_core::internals::vfs::sim::{Action, OpKind, SimVfs, errno};
    use std::sync::Arc;
    let vfs = SimVfs::new(1);
    vfs.set_tick(Duration::from_micros(100));
    let threads = tiny().maintenance(olive_core::Maintenance::Threads);
    let db = crate::support::open_sim(threads, &vfs).expect("a new database");
    db.put("first", "v").expect("a put");
    // No table can be created: memtables wait, and writes for them.
    vfs.set_filter(Some(Arc::new(|entry| {
        let is_table = entry.path.extension().is_some_and(|e| e == "sst");
        if is_table && entry.kind == OpKind::Write { Action::Fail(errno::EIO) } else { Action::Do }
    })));
    let soon = WriteOptions::default().deadline(Duration::from_millis(40));
    let mut written = 0;
    let error = loop {
        match db.put_with(format!("k{written:05}"), [1; 100], &soon) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "it never waits");
    };
    // The deadline may come before the first failure is known.
    let kinds = [olive_core::ErrorKind::Io, olive_core::ErrorKind::Stalled];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(error.to_string().contains("nothing was written"), "{error}");
    assert!(!db.contains_key(format!("k{written:05}")).expect("a get"), "nothing was written");
    assert!(db.health().expect("health").background_error.is_some());
    assert!(db.stats().expect("stats").background_errors > 0);
    vfs.set_filter(None);
    let mut waits = 0;
    while let Err(error) = db.put("last", "v") {
        waits += 1;
        assert!(waits < 500, "it does not go on by itself: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    db.flush().expect("a flush");
    assert_eq!(db.prefix("k").expect("a walk").count(), written);
    db.close().expect("a close");
}
