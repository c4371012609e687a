//! First steps: open, write, read, scan, a batch, a snapshot.
//!
//! `cargo run --release --example quickstart` works in `./olive-data` and prints
//! the same lines each time; README.md quotes them.

use olive_core::{Db, WriteBatch};

fn main() -> olive_core::Result<()> {
    let db = Db::open("olive-data")?;

    db.put("apple", "green")?;
    println!("apple is {}", db.get("apple")?.expect("just put"));

    let before = db.snapshot()?;
    let mut batch = WriteBatch::new();
    batch.put("apple", "red").put("pear", "yellow").put("plum", "blue").delete("quince");
    db.write(&batch)?;

    for entry in db.range("apple".."plum")? {
        let (fruit, colour) = entry?;
        println!("{fruit} is {colour}");
    }
    println!("apple was {}", before.get("apple")?.expect("the snapshot has it"));

    let last = db.prefix("p")?.next_back().transpose()?;
    println!("the last fruit with p is {}", last.expect("there are two").0);

    db.delete("plum")?;
    println!("plum is there: {}", db.contains_key("plum")?);
    db.close()
}
