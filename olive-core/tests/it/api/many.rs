//! Many keys looked up side by side give what each of them gives alone.

use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind, Result};

use crate::support::{Random, open_sim, tiny};

const KEYS: u64 = 300;

fn key(number: u64) -> String {
    format!("key{number:03}")
}

/// Versions and tombstones in tables of several levels, in memtables that wait for
/// their flush, and in the one that takes writes.
fn everywhere(vfs: &SimVfs) -> Db {
    let db = open_sim(tiny().level0_tables(4), vfs).expect("a new database");
    let mut random = Random(3);
    for round in 0..6 {
        for _ in 0..60 {
            let key = key(random.below(KEYS));
            if random.below(5) == 0 {
                db.delete(key).expect("a delete");
            } else {
                db.put(key, format!("{round} ").repeat(random.below(9) as usize)).expect("a put");
            }
        }
        match round {
            0 | 1 => db.compact_range(..).expect("a compaction"),
            2 | 3 => db.flush().expect("a flush"),
            _ => {}
        }
    }
    let stats = db.stats().expect("figures");
    assert!(stats.levels.iter().filter(|level| level.tables > 0).count() > 1, "{stats:?}");
    assert!(stats.immutable_bytes > 0, "{stats:?}");
    db
}

/// What a look-up of many gives, and how it ends.
fn seen(db: &Db, keys: &[Vec<u8>]) -> (Vec<Option<Vec<u8>>>, Result<()>) {
    let mut seen = Vec::new();
    let ended = db.multi_get_with(keys, |i, value| {
        assert_eq!(i, seen.len(), "in their order");
        seen.push(value.map(<[u8]>::to_vec));
    });
    (seen, ended)
}

#[test]
fn many_keys_give_what_each_gives_alone() {
    let db = everywhere(&SimVfs::new(5));
    let before = db.snapshot().expect("a snapshot");
    let mut random = Random(4);
    for count in [0, 1, 2, 15, 16, 17, 33, 100] {
        let keys: Vec<Vec<u8>> =
            (0..count).map(|_| key(random.below(KEYS + 50)).into_bytes()).collect();
        let (seen, ended) = seen(&db, &keys);
        ended.expect("a look-up");
        assert_eq!(seen.len(), keys.len());
        let then = before.multi_get(&keys).expect("a look-up");
        for ((key, seen), then) in keys.iter().zip(&seen).zip(&then) {
            assert_eq!(seen.as_deref(), db.get(key).expect("a get").as_deref());
            assert_eq!(then.as_deref(), before.get(key).expect("a get").as_deref());
        }
        db.put(key(random.below(KEYS)), "later").expect("a put");
    }
}

#[test]
fn a_look_up_ends_at_the_first_key_that_fails() {
    let vfs = SimVfs::new(6);
    let db = everywhere(&vfs);
    let mut keys: Vec<Vec<u8>> = (0..60).map(|number| key(number).into_bytes()).collect();
    keys[37] = vec![b'k'; 65_536];
    let (given, ended) = seen(&db, &keys);
    assert_eq!((given.len(), ended.unwrap_err().kind()), (37, ErrorKind::InvalidArgument));

    // The same of damage, which some keys meet and others do not.
    drop(db);
    let copy = vfs.kill_now();
    for path in copy.paths() {
        let bytes = copy.read_raw(&path).len() as u64;
        // Among the data blocks of a larger table, but not in the first, which an open may
        // look at.
        if path.extension().is_some_and(|extension| extension == "sst") && bytes > 1_000 {
            copy.flip_bit(&path, 8 * (bytes / 3));
        }
    }
    let db = open_sim(tiny(), &copy).expect("a database");
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|number| key(number).into_bytes()).collect();
    let fails = |key: &Vec<u8>| db.get(key).is_err();
    let bad = keys.iter().position(fails).expect("a damaged block");
    for start in [0, bad.saturating_sub(20), bad] {
        let (given, ended) = seen(&db, &keys[start..]);
        assert_eq!((given.len(), ended.unwrap_err().kind()), (bad - start, ErrorKind::Corruption));
    }
    let behind = keys.iter().rposition(fails).expect("a damaged block") + 1;
    assert_eq!(seen(&db, &keys[behind..]).0.len(), keys.len() - behind);
}
