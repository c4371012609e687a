//! Every read call over every place that a value can be in.

use std::time::Duration;

use olive_core::{
    Cursor, Db, Durability, Iter, Key, Keyspace, Maintenance, Options, Progress, Reader, Result,
    Snapshot, TableIo, Value, WriteBatch, WriteOptions,
};

use crate::support::{Scratch, entries, settle, tiny};

/// All the ways to read one key say the same.
fn all_ways(reader: &impl Reader, key: &[u8], expected: Option<&[u8]>) {
    assert_eq!(reader.get(key).expect("a get").as_deref(), expected);
    assert_eq!(reader.contains_key(key).expect("a get"), expected.is_some());
    let many = reader.multi_get([key, b"no such key", key]).expect("a get");
    assert_eq!(many[0].as_deref(), expected);
    assert!(many[1].is_none());
    assert_eq!(many[2].as_deref(), expected);
    let mut one = reader.range(key..=key).expect("a walk");
    let found = one.next().transpose().expect("a read");
    assert_eq!(found.as_ref().map(|(_, value)| &value[..]), expected);
    assert!(one.next().is_none() && one.next_back().is_none());
    let back = reader.range(key..=key).expect("a walk").next_back().transpose().expect("a read");
    assert_eq!(back, found);
    let mut cursor = reader.cursor().expect("a cursor");
    let hit = cursor.seek(key).expect("a seek") && cursor.key() == key;
    assert_eq!(hit.then(|| cursor.value()), expected);
    let hit = cursor.seek_for_prev(key).expect("a seek") && cursor.key() == key;
    assert_eq!(hit.then(|| cursor.value()), expected);
}

fn fill(put: impl Fn(&[u8], &[u8]) -> Result<()>, delete: impl Fn(&[u8]) -> Result<()>) {
    for byte in 0..=255_u8 {
        put(&[byte], &[byte; 3]).expect("a put");
        put(&[byte, 0, byte], &[]).expect("a put");
    }
    put(b"", b"the empty key").expect("a put");
    put(&[0; 65_535], b"the longest key").expect("a put");
    put(&[0xFF; 65_535], &[0xFF; 100_000]).expect("a put");
    put(b"gone", b"soon").expect("a put");
    put(b"changed", b"before").expect("a put");
    delete(b"gone").expect("a delete");
    delete(b"never there").expect("a delete");
    put(b"changed", &(0..=255).collect::<Vec<u8>>()).expect("a put");
}

fn check(reader: &impl Reader) {
    for byte in 0..=255_u8 {
        all_ways(reader, &[byte], Some(&[byte; 3]));
        all_ways(reader, &[byte, 0, byte], Some(&[]));
        all_ways(reader, &[byte, 0], None);
    }
    all_ways(reader, b"", Some(b"the empty key"));
    all_ways(reader, &[0; 65_535], Some(b"the longest key"));
    all_ways(reader, &[0; 65_534], None);
    all_ways(reader, &[0xFF; 65_535], Some(&[0xFF; 100_000]));
    all_ways(reader, b"gone", None);
    all_ways(reader, b"never there", None);
    all_ways(reader, b"changed", Some(&(0..=255).collect::<Vec<u8>>()));
    let all = entries(reader).expect("a walk");
    assert_eq!(all.len(), 512 + 4);
    assert!(all.is_sorted() && all[0].0.is_empty());
}

fn from_every_place(options: Options) {
    let scratch = Scratch::new();
    let db = options.clone().open(scratch.path()).expect("a new database");
    let others = db.keyspace("others").expect("a keyspace");
    fill(|k, v| db.put(k, v), |k| db.delete(k));
    fill(|k, v| others.put(k, v), |k| others.delete(k));
    check(&db);
    check(&others);
    let snapshot = db.snapshot().expect("a snapshot");
    let snapshot_of_others = others.snapshot().expect("a snapshot");
    db.flush().expect("a flush");
    check(&db);
    check(&others);
    db.compact_range(..).expect("a compaction");
    others.compact_range(..).expect("a compaction");
    check(&db);
    check(&others);
    db.put("later", "write").expect("a put");
    db.delete("changed").expect("a delete");
    check(&snapshot);
    check(&snapshot_of_others);
    check(&snapshot.keyspace("others").expect("a look").expect("a keyspace"));
    check(&others);
    db.close().expect("a close");
    drop((db, others, snapshot, snapshot_of_others));
    let db = options.clone().open(scratch.path()).expect("a reopen");
    check(&db.keyspace("others").expect("a keyspace"));
    db.delete("later").expect("a delete");
    db.put("changed", (0..=255).collect::<Vec<u8>>()).expect("a put");
    check(&db);
    db.close().expect("a close");
    check(&options.open_read_only(scratch.path()).expect("a read-only open"));
}

#[test]
fn values_are_found_in_memtables_level_0_and_the_last_level_mapped() {
    from_every_place(Options::default().maintenance(Maintenance::Manual));
}

#[test]
fn values_are_found_in_memtables_level_0_and_the_last_level_read() {
    from_every_place(
        Options::default()
            .table_io(TableIo::Read)
            .filter_bits_per_key(0)
            .checksum_policy(olive_core::ChecksumPolicy::EveryRead),
    );
}

#[test]
fn values_are_found_in_memtables_level_0_and_the_last_level_with_tiny_parts() {
    from_every_place(tiny());
}

#[test]
fn a_hundred_thousand_keys_are_all_there_in_order() {
    let scratch = Scratch::new();
    let options = Options::default().memtable_bytes(1 << 20).table_bytes(512 << 10);
    let options = options.level_base_bytes(1 << 20).level0_tables(2);
    let db = options.clone().open(scratch.path()).expect("a new database");
    let key = |number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes();
    for number in 0..100_000 {
        db.put(key(number), number.to_le_bytes()).expect("a put");
    }
    let check = |db: &Db| {
        let mut last = None;
        let mut count = 0;
        for entry in db.iter().expect("a walk") {
            let (key, _) = entry.expect("an entry");
            assert!(last.as_ref() < Some(&key));
            last = Some(key);
            count += 1;
        }
        assert_eq!(count, 100_000);
        for number in (0..100_000).step_by(7) {
            let value = db.get(key(number)).expect("a get").expect("a value");
            assert_eq!(value, number.to_le_bytes());
        }
        assert!(!db.contains_key([1; 5]).expect("a get"));
    };
    check(&db);
    db.close().expect("a close");
    check(&options.open(scratch.path()).expect("a reopen"));
}

#[test]
fn an_iterator_and_a_cursor_show_their_moment() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for number in 0..50 {
        db.put(format!("k{number:02}"), "old").expect("a put");
    }
    let mut walk = db.iter().expect("a walk");
    let mut cursor = db.cursor().expect("a cursor");
    assert!(cursor.seek("k10").expect("a seek"));
    walk.next();
    for number in 0..50 {
        db.put(format!("k{number:02}"), "new").expect("a put");
        db.put(format!("k{number:02}x"), "new").expect("a put");
    }
    db.delete("k20").expect("a delete");
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    let rest: Vec<_> = walk.map(|entry| entry.expect("an entry")).collect();
    assert_eq!(rest.len(), 49);
    assert!(rest.iter().all(|(_, value)| value == b"old"));
    let mut seen = 0;
    let mut more = true;
    while more {
        assert_eq!(cursor.value(), b"old");
        seen += 1;
        more = cursor.next().expect("a step");
    }
    assert_eq!(seen, 40);
    assert!(!cursor.valid() && !cursor.next().expect("a step") && !cursor.prev().expect("a step"));
    assert!(cursor.seek_to_last().expect("a seek") && cursor.key() == b"k49");
}

#[test]
fn batches_are_whole_and_later_operations_win() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let mut batch = WriteBatch::new();
    assert!(batch.is_empty());
    db.write(&batch).expect("an empty batch");
    batch.put("a", "1").put("b", "1").delete("a").put("b", "2").delete("c").put("c", "3");
    assert_eq!(batch.len(), 6);
    let before = db.snapshot().expect("a snapshot");
    db.write(&batch).expect("a batch");
    db.write_with(&batch, &WriteOptions::default().durability(Durability::Sync)).expect("again");
    assert_eq!(
        entries(&db).expect("a walk"),
        [(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())]
    );
    assert_eq!(before.iter().expect("a walk").count(), 0);
    batch.clear();
    assert_eq!((batch.len(), batch.encoded_bytes()), (0, 0));
    // One batch that is larger than a memtable and than a segment.
    for number in 0..500 {
        batch.put(format!("large{number:03}"), [1; 100]);
    }
    db.write(&batch).expect("a large batch");
    assert_eq!(db.prefix("large").expect("a walk").count(), 500);
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    assert_eq!(db.prefix("large").expect("a walk").count(), 500);
}

#[test]
fn maintain_does_it_all_by_hand_and_comes_to_an_end() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let mut seen = Vec::new();
    for number in 0..600 {
        db.put(format!("k{:03}", number * 7 % 300), [0; 50]).expect("a put");
        if number % 10 == 0 {
            std::thread::sleep(Duration::from_micros(300));
            seen.push(db.maintain().expect("a step"));
        }
    }
    for _ in 0..10_000 {
        match db.maintain().expect("a step") {
            Progress::Idle => break,
            progress => seen.push(progress),
        }
    }
    assert_eq!(db.maintain().expect("a step"), Progress::Idle);
    for progress in [Progress::Flushed, Progress::Compacted] {
        assert!(seen.contains(&progress), "{progress:?} in {seen:?}");
    }
    let stats = db.stats().expect("stats");
    assert!(stats.levels.iter().all(|level| level.score < 1.0), "{:?}", stats.levels);
    assert_eq!(db.iter().expect("a walk").count(), 300);
}

#[test]
fn handles_go_between_threads() {
    fn anywhere<T: Send + Sync + Clone + 'static>() {}
    fn movable<T: Send + 'static>() {}
    anywhere::<Db>();
    anywhere::<Keyspace>();
    anywhere::<Snapshot>();
    anywhere::<Value>();
    anywhere::<Key>();
    anywhere::<WriteBatch>();
    anywhere::<Options>();
    anywhere::<WriteOptions>();
    anywhere::<olive_core::Error>();
    movable::<Iter>();
    movable::<Cursor>();
}
