use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};

const PREFACE: &[u8] = super::PREFACE;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field with indexing, of a new name, without Huffman.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

fn request(stream: u32, flags: u8, path: &str, extra: &[u8]) -> Vec<u8> {
    frame(1, END_HEADERS | flags, stream, &[&[0x82, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), extra].concat())
}

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, Some(Side::A), &[usize::MAX]).0, Some("http2"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

#[test]
fn streams_side_by_side() {
    let client = [PREFACE, &settings(), &request(1, END_STREAM, "/orders/7?token=secret", &[]), &request(3, 0, "/b", &field("authorization", "secret"))].concat();
    let server = [settings(), frame(1, END_HEADERS, 3, &[0x8e]), frame(0, END_STREAM, 3, b"oops"), frame(1, END_HEADERS | END_STREAM, 1, &[0x88])].concat();
    let script: Script<'_> = &[(Client, &client), (Server, &server), (Client, &frame(0, END_STREAM, 3, b"late"))];
    check(script, &["GET /b 500 !500", "GET /orders/* 200"]);
    assert!(!format!("{:?}", talk(script)).contains("secret"));
    let first = &talk(script)[0];
    assert_eq!((first.request_bytes, first.response_bytes), (9 + 6 + 22, 9 + 1 + 9 + 4));
}

#[test]
fn grpc_calls_have_their_status_from_trailers() {
    let call = [field("content-type", "application/grpc")].concat();
    let client = [PREFACE, &settings(), &request(1, 0, "/shop.Cart/Add", &call), &frame(0, END_STREAM, 1, b"\0\0\0\0\x01x")].concat();
    let head = frame(1, END_HEADERS, 1, &[&[0x88][..], &call].concat());
    let server = [settings(), head, frame(0, 0, 1, b"\0\0\0\0\x01y"), frame(1, END_HEADERS | END_STREAM, 1, &field("grpc-status", "14"))].concat();
    check(&[(Client, &client), (Server, &server)], &["shop.Cart/Add UNAVAILABLE !UNAVAILABLE"]);
    assert_eq!(talk(&[(Client, &client), (Server, &server)])[0].protocol, "grpc");
}

#[test]
fn headers_that_continue_padding_and_priority() {
    let block = [&[0x82, 0x86, 0x04, 2][..], b"/x"].concat();
    let padded = [&[3, 0, 0, 0, 0, 9][..], &block[..4], &[0; 3]].concat();
    let client = [PREFACE, &settings(), &frame(1, END_STREAM | 8 | 32, 1, &padded), &frame(9, END_HEADERS, 1, &block[4..])].concat();
    check(&[(Client, &client), (Server, &[settings(), frame(1, END_HEADERS | END_STREAM, 1, &[0x89])].concat())], &["GET /x 204"]);
}

#[test]
fn resets_and_streams_without_an_end() {
    let client = [PREFACE, &settings(), &request(1, END_STREAM, "/a", &[]), &request(3, END_STREAM, "/b", &[])].concat();
    let server = [settings(), frame(1, END_HEADERS, 1, &[0x88]), frame(3, 0, 1, &[0, 0, 0, 8])].concat();
    check(&[(Client, &client), (Server, &server)], &["GET /a 200 !CANCEL", "GET /b !no_response"]);
}

#[test]
fn an_upgrade_from_http1_answers_stream_1() {
    let script: Script<'_> = &[
        (Client, b"GET /start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (Server, &[&b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"[..], &settings(), &frame(1, END_HEADERS | END_STREAM, 1, &[0x8d])].concat()),
        (Client, &[PREFACE, &settings(), &request(3, END_STREAM, "/b", &[])].concat()),
        (Server, &frame(1, END_HEADERS | END_STREAM, 3, &[0x88])),
    ];
    check(script, &["GET /start 404", "GET /b 200"]);
}

#[test]
fn met_in_the_middle_it_says_what_it_knows() {
    let mut connection = Connection::new(Transport::Stream, None, false, Limits::DEFAULT);
    let mut out = Vec::new();
    let (unknown, known) = (frame(1, END_HEADERS | END_STREAM, 101, &[0x82, 0x86, 0xc5]), request(103, END_STREAM, "/known", &[]));
    for (side, data) in [(Side::B, unknown), (Side::A, frame(1, END_HEADERS | END_STREAM, 101, &[0x88])), (Side::B, known), (Side::A, frame(1, END_HEADERS | END_STREAM, 103, &[0x88]))] {
        connection.chunk(&Chunk { side, at_ns: 0, tls: false, data: &data }, &mut out);
    }
    assert_eq!((connection.protocol(), connection.client()), (Some("http2"), Some(Side::B)));
    assert_eq!(lines(&out), ["GET 200", "GET /known 200"]);
}

#[test]
fn a_gap_within_data_is_harmless_and_others_forget_the_table() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits::DEFAULT);
    let mut out = Vec::new();
    let send = |connection: &mut Connection, side, data: &[u8], out: &mut Vec<_>| connection.chunk(&Chunk { side, at_ns: 0, tls: false, data }, out);
    send(&mut connection, Side::A, &[PREFACE, &settings(), &request(1, END_STREAM, "/a", &[])].concat(), &mut out);
    let data = frame(0, END_STREAM, 1, &[7; 3000]);
    send(&mut connection, Side::B, &[settings(), frame(1, END_HEADERS, 1, &[0x88]), data[..500].to_vec()].concat(), &mut out);
    connection.gap(Side::B, 2000, false, &mut out);
    send(&mut connection, Side::B, &data[2500..], &mut out);
    assert_eq!(lines(&out), ["GET /a 200"]);
    connection.gap(Side::A, 10, false, &mut out);
    send(&mut connection, Side::A, &request(5, END_STREAM, "/c", &[]), &mut out);
    send(&mut connection, Side::B, &frame(1, END_HEADERS | END_STREAM, 5, &[0x88]), &mut out);
    assert_eq!(lines(&out), ["GET /a 200", "GET /c 200"]);
}

#[test]
fn tables_and_streams_are_bounded() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits::DEFAULT);
    let mut out = Vec::new();
    let hello = [PREFACE, &settings(), &frame(1, END_HEADERS, 1, &[&[0x3f, 0xe1, 0xff, 0xff, 0x03][..], &field("x", "y")].concat())].concat();
    connection.chunk(&Chunk { side: Side::A, at_ns: 0, tls: false, data: &hello }, &mut out);
    connection.chunk(&Chunk { side: Side::B, at_ns: 0, tls: false, data: &settings() }, &mut out);
    for stream in 1..5000u32 {
        let data = request(stream * 2 + 1, 0, "/a", &field(&format!("name-{stream}"), "value"));
        connection.chunk(&Chunk { side: Side::A, at_ns: 0, tls: false, data: &data }, &mut out);
        assert!(connection.held_bytes() < 600_000, "{}", connection.held_bytes());
    }
    assert_eq!(connection.protocol(), Some("http2"));
}

#[test]
fn beyond_the_room_for_them_requests_are_counted_and_not_followed() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits { in_flight: 4, ..Limits::DEFAULT });
    let mut out = Vec::new();
    let say = |connection: &mut Connection, side, at_ns, data: &[u8], out: &mut Vec<_>| connection.chunk(&Chunk { side, at_ns, tls: false, data }, out);
    say(&mut connection, Side::A, 0, &[PREFACE, &settings()].concat(), &mut out);
    say(&mut connection, Side::B, 0, &settings(), &mut out);
    let answer = |stream| frame(1, END_HEADERS | END_STREAM, stream, &[0x88]);
    (0..6).for_each(|number| say(&mut connection, Side::A, 1, &request(number * 2 + 1, END_STREAM, "/a", &[]), &mut out));
    (0..6).for_each(|number| say(&mut connection, Side::B, 2, &answer(number * 2 + 1), &mut out));
    assert_eq!(lines(&out), ["GET /a", "GET /a", "GET /a 200", "GET /a 200", "GET /a 200", "GET /a 200"]);
    assert!(out[..2].iter().all(|request| request.is_one_way() && request.attributes.contains(&("pulka.partial", "in_flight".to_owned()))));
    (6..10).for_each(|number| say(&mut connection, Side::A, 3, &request(number * 2 + 1, END_STREAM, "/b", &[]), &mut out));
    say(&mut connection, Side::A, 60_000_000_000, &request(21, END_STREAM, "/c", &[]), &mut out);
    say(&mut connection, Side::B, 60_000_000_001, &answer(21), &mut out);
    assert_eq!(lines(&out[6..]), ["GET /b", "GET /c 200"], "the oldest was given up");
}
