//! First steps with the client: `cargo run -p olive-client --example client [ADDR]`,
//! beside a running olive-server.

use olive_client::{Client, WriteBatch};

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

    let mut pipeline = client.pipeline();
    pipeline.delete(b"plum").get(b"plum").get(b"pear");
    for answer in pipeline.run() {
        println!("{:?}", answer?);
    }
    Ok(())
}

fn shown(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("missing".to_owned(), |bytes| bytes.escape_ascii().to_string())
}
