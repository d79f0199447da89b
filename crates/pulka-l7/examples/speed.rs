//! How long an exchange takes to decode: `cargo run --release -p pulka-l7 --example speed`.

use std::time::Instant;

use pulka_l7::connection::{Chunk, Connection, Side};
use pulka_l7::decoder::{Limits, Transport};

const EXCHANGES: usize = 200_000;

/// The best of five runs over one long connection, in ns per exchange.
fn measure(name: &str, hello: &[(Side, Vec<u8>)], exchange: &[(Side, Vec<u8>)]) {
    let best = (0..5).map(|_| run(hello, exchange)).fold(f64::INFINITY, f64::min);
    println!("{name}: {best:.0} ns per exchange");
}

fn run(hello: &[(Side, Vec<u8>)], exchange: &[(Side, Vec<u8>)]) -> f64 {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits::DEFAULT);
    let (mut out, mut seen) = (Vec::new(), 0);
    let mut send = |lines: &[(Side, Vec<u8>)]| {
        for (side, data) in lines {
            connection.chunk(&Chunk { side: *side, at_ns: 1, tls: false, data }, &mut out);
        }
        seen += out.len();
        out.clear();
    };
    send(hello);
    let start = Instant::now();
    (0..EXCHANGES).for_each(|_| send(exchange));
    let taken = start.elapsed();
    assert!(seen >= EXCHANGES, "{seen} exchanges seen");
    taken.as_nanos() as f64 / EXCHANGES as f64
}

fn main() {
    let request = b"GET /orders/123/items?page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n".to_vec();
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nDate: Sat, 21 Nov 2026 18:00:00 GMT\r\n\r\n"[..], &[b'x'; 1000]].concat();
    measure("HTTP/1, 1 kB answers", &[], &[(Side::A, request), (Side::B, answer)]);
    let message = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01";
    let query = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let mut reply = query.clone();
    reply[4] = 0x81;
    measure("DNS over TCP", &[], &[(Side::A, query), (Side::B, reply)]);
}
