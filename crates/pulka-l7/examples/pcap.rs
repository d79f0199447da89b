//! Prints what a capture file says: `cargo run --release -p pulka-l7 --example pcap FILE...`.

use pulka_l7::capture::{Capture, Settings};
use pulka_l7::testing::lines;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in std::env::args().skip(1) {
        let mut capture = Capture::new(Settings::default());
        capture.push(&std::fs::read(&file)?)?;
        capture.finish();
        let found = capture.take();
        println!("# {file} {:?}", capture.counts());
        for connection in found.connections {
            println!("{} -> {} {:?} {} transactions, {} bytes {}", connection.client, connection.server, connection.protocol, connection.transactions, connection.bytes, connection.opaque.unwrap_or(""));
            for seen in found.transactions.iter().filter(|seen| seen.connection == connection.connection) {
                let transaction = &seen.transaction;
                println!("  {} {} ms {:?}", lines(std::slice::from_ref(transaction)).join(""), transaction.duration_ns() as f64 / 1e6, transaction.attributes);
            }
        }
    }
    Ok(())
}
