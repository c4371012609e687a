//! Keyspaces: named sets of keys in one database, written together atomically.
//!
//! `cargo run --release --example keyspaces` works in `./olive-data/keyspaces`:
//! users by number, and an index that finds them by town. A batch keeps both in
//! step, whatever happens between the two writes.

use anyhow::{Context, Result};
use olive_core::{Db, Keyspace, WriteBatch};

fn main() -> Result<()> {
    let db = Db::open("olive-data/keyspaces")?;
    // A keyspace that is missing is created; one that is there is opened.
    let users = db.keyspace("users")?;
    let by_town = db.keyspace("users by town")?;

    for (number, name, town) in
        [(1, "Ada", "London"), (2, "Blaise", "Paris"), (3, "Alan", "London")]
    {
        add(&db, &users, &by_town, number, name, town)?;
    }

    println!("in London:");
    for entry in by_town.prefix("London\0")? {
        let (key, _) = entry?;
        // Integers in big-endian bytes sort like the integers.
        let number = &key[b"London\0".len()..];
        println!("  {}", users.get(number)?.context("the index names a user")?);
    }

    // The same key in two keyspaces is two entries, and neither is in the default one.
    let number = 1_u32.to_be_bytes();
    println!("1 in users: {}", users.contains_key(number)?);
    println!("1 in the default keyspace: {}", db.contains_key(number)?);

    // Dropping is one small write; the space comes back with compaction, and a
    // handle that is still held fails from then on.
    db.drop_keyspace("users by town")?;
    println!("read after drop: {}", if by_town.get("London\0").is_err() { "error" } else { "ok" });
    println!("keyspaces: {}", db.keyspaces()?.join(", "));
    db.close()?;
    Ok(())
}

fn add(
    db: &Db,
    users: &Keyspace,
    by_town: &Keyspace,
    number: u32,
    name: &str,
    town: &str,
) -> olive_core::Result<()> {
    let number = number.to_be_bytes();
    let index_key = [town.as_bytes(), b"\0", &number].concat();
    let mut batch = WriteBatch::new();
    batch.put_in(users, number, name).put_in(by_town, index_key, "");
    db.write(&batch)
}
