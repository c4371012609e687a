//! First steps with the client: `cargo run -p olive-client --example client [ADDR]`,
//! beside a running olive-server.

use olive_client::{Answer, Client, WriteBatch};

fn main() -> olive_client::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7411".to_owned());
    let mut client = Client::connect(&addr)?;

    client.put(b"apple", b"green")?;
    println!("apple is {}", shown(client.get(b"apple")?));

    let mut batch = WriteBatch::new();
    batch.put("apple", "red").put("pear", "yellow").put("plum", "blue").delete("quince");
    client.write(&batch)?;
    for entry in client.scan("apple".."plum")? {
        let (fruit, colour) = entry?;
        println!("{} is {}", shown(Some(fruit)), shown(Some(colour)));
    }

    // One way there and back for all three.
    let mut pipeline = client.pipeline();
    pipeline.delete(b"plum").get(b"plum").get(b"pear");
    for answer in pipeline.run() {
        match answer? {
            Answer::Done => println!("done"),
            Answer::Value(value) => println!("{}", shown(value)),
        }
    }
    Ok(())
}

fn shown(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("missing".to_owned(), |bytes| bytes.escape_ascii().to_string())
}
