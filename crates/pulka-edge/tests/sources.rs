//! The contract of sources: the same traffic gives the same rates and errors, read from a capture, sniffed by WinDivert, told by HTTP.sys, or replayed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use pulka_edge::event::{Event, blocks, write_block};
use pulka_edge::http_sys::HttpSys;
use pulka_edge::replay::{decode, replay};
use pulka_edge::tracker::{Bounds, Tracker};
use pulka_edge::windivert::{Ticks, WinDivert};
use pulka_l7::capture::{Capture, Settings};
use pulka_l7::decoder::Limits;

const BOUNDS: Bounds = Bounds { connections_max: 1000, keys_max: 1000, held_bytes_max: 16 << 20, idle_ns: i64::MAX, limits: Limits::DEFAULT };
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 8080);

/// Requests with their answers, by connection.
type Exchanges = Vec<Vec<(Vec<u8>, Vec<u8>)>>;
/// Transactions by (protocol, operation, target, status, error).
type Counts = BTreeMap<[String; 5], u64>;

struct Packet {
    from_client: bool,
    bytes: Vec<u8>,
}

fn packet(client: SocketAddrV4, from_client: bool, sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Packet {
    let (from, to) = if from_client { (client, SERVER) } else { (SERVER, client) };
    let mut bytes = vec![0x45, 0];
    bytes.extend((40 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(from.ip().octets());
    bytes.extend(to.ip().octets());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    Packet { from_client, bytes }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Connections one after the other, payloads cut into segments of `size` bytes.
fn packets(exchanges: &Exchanges, size: usize) -> Vec<Packet> {
    let mut out = Vec::new();
    for (index, connection) in exchanges.iter().enumerate() {
        let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 40_000 + index as u16);
        let mut next = [1000u32, 7000u32];
        out.push(packet(client, true, next[0] - 1, 0, SYN, b""));
        out.push(packet(client, false, next[1] - 1, next[0], SYN | ACK, b""));
        for (request, answer) in connection {
            for (from_client, said) in [(true, request), (false, answer)] {
                let (own, other) = if from_client { (0, 1) } else { (1, 0) };
                for piece in said.chunks(size) {
                    out.push(packet(client, from_client, next[own], next[other], ACK, piece));
                    next[own] = next[own].wrapping_add(piece.len() as u32);
                }
            }
        }
        out.push(packet(client, true, next[0], next[1], FIN | ACK, b""));
        out.push(packet(client, false, next[1], next[0] + 1, FIN | ACK, b""));
    }
    out
}

fn by_capture(packets: &[Packet]) -> Counts {
    let mut file = [0xa1b2_c3d4u32.to_le_bytes().to_vec(), vec![2, 0, 4, 0], vec![0; 8], 65_535u32.to_le_bytes().to_vec(), 101u32.to_le_bytes().to_vec()].concat();
    for (index, packet) in packets.iter().enumerate() {
        for word in [1_700_000_000, index as u32, packet.bytes.len() as u32, packet.bytes.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&packet.bytes);
    }
    let mut capture = Capture::new(Settings::default());
    capture.push(&file).unwrap();
    capture.finish();
    let mut counts = Counts::new();
    for seen in capture.take().transactions {
        let t = seen.transaction;
        *counts.entry([t.protocol, &t.operation, &t.target, &t.status, t.error.as_deref().unwrap_or("")].map(str::to_owned)).or_default() += 1;
    }
    counts
}

/// What the server's end counted.
fn counted(tracker: &mut Tracker) -> Counts {
    let mut counts = Counts::new();
    for (key, series) in tracker.red.take().into_iter().filter(|(key, _)| !key.end.is_client) {
        let name = [key.protocol.to_owned(), key.operation, key.target, key.status, key.error.unwrap_or_default()];
        *counts.entry(name).or_default() += series.durations.count + series.one_way;
    }
    counts
}

fn address(layer: u8, event: u8, outbound: bool, ticks: u64, data: &[u8]) -> Vec<u8> {
    let bits = u32::from(layer) | u32::from(event) << 8 | 1 << 16 | u32::from(outbound) << 17;
    let mut bytes = [&ticks.to_le_bytes()[..], &bits.to_le_bytes(), &[0; 4], data].concat();
    bytes.resize(80, 0);
    bytes
}

const TICKS: Ticks = Ticks { per_s: 10_000_000, reading: 0, at_ns: 1_700_000_000_000_000_000 };

/// As a machine records that the server runs on.
fn divert(packets: &[Packet]) -> Vec<u8> {
    let mut recording = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let at = address(0, 0, !packet.from_client, index as u64 * 10, &[]);
        write_block(&[at, packet.bytes.clone()].concat(), &mut recording);
    }
    recording
}

fn by_divert(packets: &[Packet], tap: bool) -> (Counts, Vec<u8>) {
    let (mut source, mut tracker) = (WinDivert::new(TICKS, 1000), Tracker::new(BOUNDS));
    tracker.tap = tap.then(Vec::new);
    blocks(&divert(packets)).for_each(|block| source.block(block, &mut |event| tracker.take(event)));
    assert_eq!((source.held(), source.passed_over), (0, 0));
    (counted(&mut tracker), tracker.tap.take().unwrap_or_default())
}

fn check(exchanges: &Exchanges, size: usize) {
    let packets = packets(exchanges, size);
    let expected = by_capture(&packets);
    let (diverted, recording) = by_divert(&packets, true);
    assert_eq!(diverted, expected);
    let mut tracker = Tracker::new(BOUNDS);
    assert!(replay(&recording, &mut tracker) > 0);
    assert_eq!(counted(&mut tracker), expected);
}

fn http(method: &str, path: &str, status: u16) -> (Vec<u8>, Vec<u8>) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n");
    (request.into_bytes(), format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello").into_bytes())
}

fn redis(key: &str, answer: &str) -> (Vec<u8>, Vec<u8>) {
    (format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes(), answer.as_bytes().to_vec())
}

fn postgresql(sql: &str) -> (Vec<u8>, Vec<u8>) {
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    (message(b'Q', format!("{sql}\0").as_bytes()), [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat())
}

#[test]
fn cases() {
    let exchanges = vec![
        vec![http("GET", "/orders/1", 200), http("POST", "/orders", 503), http("GET", "/orders/2", 200)],
        vec![redis("user:1", "$1\r\n1\r\n"), redis("user:2", "-WRONGTYPE x\r\n")],
        vec![postgresql("SELECT a FROM t WHERE b = 1"), postgresql("SELECT a FROM t WHERE b = 2")],
        vec![http("GET", "/orders/3", 200)],
    ];
    for size in [1, 7, 1460] {
        check(&exchanges, size);
    }
    assert_eq!(by_divert(&packets(&exchanges, 1460), false).0.values().sum::<u64>(), 8);
}

proptest! {
    #[test]
    fn any_conversation(
        exchanges in prop::collection::vec(prop::collection::vec((0u16..4, 0u32..30, 0usize..3).prop_map(|(kind, number, status)| match kind {
            0 => http("GET", &format!("/orders/{number}"), [200, 404, 500][status]),
            1 => http("PUT", "/cart", [201, 409, 503][status]),
            _ => http("DELETE", &format!("/cart/{number}/items"), 204),
        }), 1..6), 1..6),
        size in 1usize..200,
    ) {
        check(&exchanges, size);
    }
}

#[test]
fn a_flow_tells_the_process_and_loopback_has_both_ends() {
    let word = |address: Ipv4Addr| [u32::from(address).to_le_bytes(), 0xffffu32.to_le_bytes(), [0; 4], [0; 4]].concat();
    let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 40_000);
    let flow = |process: u32, local: SocketAddrV4, remote: SocketAddrV4| {
        [&[0; 16][..], &process.to_le_bytes(), &word(*local.ip()), &word(*remote.ip()), &local.port().to_le_bytes(), &remote.port().to_le_bytes(), &[6]].concat()
    };
    let (mut source, mut tracker) = (WinDivert::new(TICKS, 1000), Tracker::new(BOUNDS));
    source.block(&address(2, 1, false, 0, &flow(77, SERVER, client)), &mut |event| tracker.take(event));
    source.block(&address(2, 1, true, 0, &flow(88, client, SERVER)), &mut |event| tracker.take(event));
    for packet in packets(&vec![vec![http("GET", "/orders/1", 200)]], 1460) {
        let mut block = address(0, 0, true, 1, &[]);
        block[10] |= 1 << 2; // loopback
        block.extend(packet.bytes);
        source.block(&block, &mut |event| tracker.take(event));
    }
    let mut ends: Vec<(u32, bool, u32, u64)> = tracker.red.take().into_iter().map(|(key, series)| (key.end.process, key.end.is_client, key.end.peer.process, series.durations.count)).collect();
    ends.sort_unstable();
    assert_eq!(ends, [(77, false, 88, 1), (88, true, 77, 1)]);
    source.block(&address(2, 2, false, 0, &flow(77, SERVER, client)), &mut |event| tracker.take(event));
    assert_eq!(source.held(), 1);
}

#[test]
fn tls_without_plaintext_is_counted_once() {
    let hello = [&[22, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, 2, 0, 0]].concat();
    let exchange = vec![vec![(hello, vec![21, 3, 3, 0, 2, 2, 40])]; 3];
    let (mut source, mut tracker) = (WinDivert::new(TICKS, 1000), Tracker::new(BOUNDS));
    blocks(&divert(&packets(&exchange, 1460))).for_each(|block| source.block(block, &mut |event| tracker.take(event)));
    (0..9).for_each(|_| tracker.tick(TICKS.at_ns));
    assert_eq!(tracker.opaque(), [(0, "encrypted (TLS)", 3)]);
}

// HTTP.sys

fn etw(id: u16, at: u64, activity: u8, related: u8, data: &[u8]) -> Vec<u8> {
    let provider = [0x0a, 0xf9, 0x5e, 0xdd, 0x98, 0x63, 0xa4, 0x47, 0xad, 0x34, 0x4d, 0xce, 0xcd, 0xef, 0x79, 0x5f];
    let filetime = 116_444_736_000_000_000 + 17_000_000_000_000_000 + at;
    let mut bytes = [&[0; 12][..], &4242u32.to_le_bytes(), &filetime.to_le_bytes(), &provider, &id.to_le_bytes(), &[0; 22]].concat();
    bytes.extend([activity; 16]);
    bytes.extend([related; 16]);
    bytes.extend(data);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn connect(connection: u8) -> Vec<u8> {
    let end = |port: u16, last: u8| [&16u32.to_le_bytes()[..], &2u16.to_le_bytes(), &port.to_be_bytes(), &[10, 0, 0, last], &[0; 8]].concat();
    etw(21, 0, connection, 0, &[&[0; 8][..], &end(8080, 1), &end(40_000, 2)].concat())
}

fn receive(connection: u8, request: u8, at: u64, verb: u32, path: &str) -> Vec<Vec<u8>> {
    let parsed = [&[0; 8][..], &verb.to_le_bytes(), &utf16(&format!("http://shop:8080{path}"))].concat();
    let delivered = [&[0; 16][..], &1u32.to_le_bytes(), &utf16("DefaultAppPool"), &utf16(path), &[0; 4]].concat();
    vec![etw(1, at, connection, request, &[0; 34]), etw(2, at, request, 0, &parsed), etw(3, at, request, 0, &delivered)]
}

fn answer(request: u8, at: u64, status: u16) -> Vec<Vec<u8>> {
    let data = [&[0; 16][..], &status.to_le_bytes(), b"GET\0", &[0; 10]].concat();
    vec![etw(4, at, request, 0, &data), etw(10, at + 10, request, 0, &[0; 16])]
}

fn by_http_sys(events: &[Vec<u8>]) -> (Tracker, HttpSys) {
    let (mut source, mut tracker) = (HttpSys::new(100), Tracker::new(BOUNDS));
    events.iter().for_each(|event| source.block(event, &mut |event| tracker.take(event)));
    (tracker, source)
}

#[test]
fn http_sys_tells_what_a_capture_does() {
    let asked = [(4u32, "GET", "/orders/1", 200u16), (6, "POST", "/orders", 503), (4, "GET", "/orders/2?token=secret", 200), (8, "DELETE", "/orders/3", 404)];
    let mut events = vec![connect(1)];
    for (number, (verb, _, path, status)) in asked.iter().enumerate() {
        let (request, at) = (number as u8 + 10, number as u64 * 1000);
        events.extend(receive(1, request, at, *verb, path));
        events.extend(answer(request, at + 500, *status));
    }
    events.push(etw(23, 9000, 1, 0, &[0; 8]));
    let (mut tracker, source) = by_http_sys(&events);
    assert_eq!((source.held(), source.passed_over), (0, 0));
    let exchanges = vec![asked.iter().map(|(_, method, path, status)| http(method, path, *status)).collect()];
    let rows = tracker.red.take();
    assert!(rows.iter().all(|(key, series)| key.end.process == 4242 && key.end.peer.port == 8080 && (series.durations.max - 51e-6).abs() < 1e-9));
    assert!(!format!("{rows:?}").contains("secret"));
    let mut counts = Counts::new();
    for (key, series) in rows {
        *counts.entry([key.protocol.to_owned(), key.operation, key.target, key.status, key.error.unwrap_or_default()]).or_default() += series.durations.count;
    }
    assert_eq!(counts, by_capture(&packets(&exchanges, 1460)));
}

#[test]
fn answers_from_the_cache_and_connections_that_close() {
    let mut events = vec![connect(1)];
    events.extend(receive(1, 10, 0, 4, "/logo.png"));
    events.push(etw(25, 1, 10, 0, &[&utf16("http://shop:8080/logo.png")[..], &200u16.to_le_bytes(), b"GET\0"].concat()));
    events.push(etw(4, 1, 10, 0, &[&[0; 16][..], &200u16.to_le_bytes(), b"GET\0", &[0; 10]].concat()));
    events.push(etw(16, 2, 10, 0, &[0; 16])); // it is being put into the cache
    events.push(etw(11, 3, 10, 0, &[0; 16]));
    let asked = |request: u8| receive(1, request, 10, 4, "/logo.png").into_iter().take(2);
    events.extend(asked(11).chain([etw(16, 12, 11, 0, &[0; 16])]));
    events.extend(asked(12).chain([etw(17, 13, 12, 0, &[0; 16])]));
    events.extend(asked(13)); // never answered
    events.push(etw(34, 14, 1, 0, &[0; 8]));
    events.push(etw(23, 20, 1, 0, &[0; 8]));
    let (mut tracker, source) = by_http_sys(&events);
    assert_eq!(source.held(), 1); // what is cached
    let mut statuses: Vec<(String, Option<String>)> = Vec::new();
    for (key, series) in tracker.red.take() {
        statuses.extend((0..series.durations.count).map(|_| (key.status.clone(), key.error.clone())));
    }
    statuses.sort();
    let plain = |status: &str| (status.to_owned(), None);
    assert_eq!(statuses, [(String::new(), Some("no_response".to_owned())), plain("200"), plain("200"), plain("304")]);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_memory_is_bounded(events in prop::collection::vec((0u16..40, any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)), 0..200)) {
        let (mut source, mut tracker) = (HttpSys::new(8), Tracker::new(BOUNDS));
        for (id, activity, related, data) in &events {
            source.block(&etw(*id, 0, activity % 4, related % 8, data), &mut |event| tracker.take(event));
            source.block(data, &mut |event| tracker.take(event));
        }
        prop_assert!(source.held() <= 24);
    }

    #[test]
    fn no_block_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut source, mut tracker) = (WinDivert::new(TICKS, 4), Tracker::new(BOUNDS));
        source.block(&data, &mut |event| tracker.take(event));
        for layer in [0, 2] {
            source.block(&[&address(layer, 1, true, u64::MAX, &[])[..], &data].concat(), &mut |event| tracker.take(event));
        }
        if let Some(event) = decode(&data) {
            tracker.take(event);
        }
        let opened = |event: &Event<'_>| matches!(event, Event::Open { .. });
        prop_assert!(!decode(&data).is_some_and(|event| opened(&event) && data.len() < 20));
    }
}
