//! How fast JSON becomes batches, on one core: generated logs, wide events, and the files named as arguments.

use std::fmt::Write;
use std::time::Instant;

use pulka_core::decode::json::decode_json;
use pulka_core::decode::options::DecodeOptions;

const ARRIVAL_NS: i64 = 1_900_000_000_000_000_000;
const BODY_BYTES: usize = 8 << 20;

fn main() {
    measure("logs of 400 bytes", &[logs()]);
    measure("wide events, 600 keys", &[wide_events()]);
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("the file can be read");
        measure(&path, &bodies(&bytes));
    }
}

fn measure(name: &str, bodies: &[Vec<u8>]) {
    let options = DecodeOptions::default();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let (mut best_s, mut rows, mut columns) = (f64::MAX, 0, 0);
    for _ in 0..7 {
        let start = Instant::now();
        rows = 0;
        for body in bodies {
            let decoded = decode_json(body, ARRIVAL_NS, 1, &options);
            assert_eq!(decoded.report.rejected, 0);
            rows += decoded.rows;
            columns = decoded.batch.map_or(0, |batch| batch.num_columns());
        }
        best_s = best_s.min(start.elapsed().as_secs_f64());
    }
    let speed = bytes as f64 / best_s / 1e6;
    println!("{name}: {speed:.0} MB/s, {:.0} rows/s, {} bytes a row, {columns} columns", rows as f64 / best_s, bytes / rows);
}

/// Whole lines, a body's worth at a time.
fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = vec![Vec::new()];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if bodies.last().is_some_and(|body| body.len() + line.len() > BODY_BYTES) {
            bodies.push(Vec::new());
        }
        if let Some(body) = bodies.last_mut() {
            body.extend_from_slice(line);
        }
    }
    bodies
}

fn logs() -> Vec<u8> {
    let mut text = String::new();
    for n in 0u64.. {
        if text.len() > BODY_BYTES {
            break;
        }
        let noise = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let _ = writeln!(
            text,
            r#"{{"timestamp":"2026-01-01T{:02}:{:02}:{:02}.{:06}Z","severity":"INFO","service":"checkout-{}","host":"node-{:03}","env":"prod","trace_id":"{noise:016x}{n:016x}","span_id":"{noise:016x}","message":"charged card for order {n} in {} ms, customer {noise:x} has been notified by mail","http":{{"method":"POST","route":"/v1/orders/{{id}}/charge","status_code":{}}},"duration_ms":{}.{:03},"retry":false}}"#,
            n / 3600 % 24, n / 60 % 60, n % 60, noise % 1_000_000, n % 7, n % 100, noise % 900, 200 + n % 5, noise % 900, n % 1000,
        );
    }
    text.into_bytes()
}

/// Events of 2.5 KB whose keys come from 600, in one order, most of them absent.
fn wide_events() -> Vec<u8> {
    let mut text = String::new();
    for n in 0u64.. {
        if text.len() > BODY_BYTES {
            break;
        }
        let _ = write!(text, r#"{{"timestamp":"2026-01-01T00:00:00.{:06}Z","EventID":{}"#, n % 1_000_000, n % 40);
        let kind = n % 40;
        for key in 0..600u64 {
            // Each kind of event has its own keys, and some come and go.
            let noise = (key + n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
            if (key * 7 + kind * 13) % 11 == 0 && noise % 8 != 0 {
                let _ = match key % 5 {
                    0 => write!(text, r#","Attribute{key}Number":{noise}"#),
                    1 => write!(text, r#","Attribute{key}Path":"C:\\Windows\\System32\\{noise:x}.exe""#),
                    _ => write!(text, r#","Attribute{key}Name":"value {noise:x} of some length or so""#),
                };
            }
        }
        text.push_str("}\n");
    }
    text.into_bytes()
}
