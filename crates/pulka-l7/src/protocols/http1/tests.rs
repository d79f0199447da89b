use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, Some(Side::A), &[usize::MAX]).0, Some("http1"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

const GET: &[u8] = b"GET /orders/123?token=secret HTTP/1.1\r\nHost: shop.example:8080\r\nAuthorization: Basic c2VjcmV0\r\n\r\n";

#[test]
fn a_request_and_its_answer() {
    let script: Script<'_> = &[(Client, GET), (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), (Server, b"llo")];
    check(script, &["GET /orders/* 200"]);
    let found = &talk(script)[0];
    assert_eq!((found.start_ns, found.first_byte_ns, found.end_ns), (0, Some(1000), 2000));
    assert_eq!((found.request_bytes, found.response_bytes), (GET.len() as u64, 43));
    assert_eq!(found.attributes, [("network.protocol.version", "1.1".to_string()), ("server.address", "shop.example".to_string())]);
    assert!(!format!("{found:?}").contains("secret") && !format!("{found:?}").contains("c2VjcmV0"));
}

#[test]
fn keep_alive_pipelines_and_heads() {
    check(
        &[
            (Client, b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nDELETE /c/9 HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"\r\nGET /d HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ],
        &["HEAD /a 200", "GET /b 304", "DELETE /c/* 503 !503", "GET /d 204"],
    );
}

#[test]
fn bodies_in_chunks_both_ways() {
    check(
        &[
            (Client, b"POST /in HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\n0\r\nTrailer: 1\r\n\r\n"),
            (Server, b"HTTP/1.1 200\r\nTransfer-Encoding: gzip, chunked\r\n\r\n11\r\nHTTP/1.1 500 Oops\r\n0\r\n\r\n"),
            (Client, b"GET /again HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["POST /in 200", "GET /again 201"],
    );
}

#[test]
fn continue_and_refusal() {
    check(
        &[
            (Client, b"PUT /f HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"),
            (Server, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (Client, b"abc"),
            (Server, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"PUT /g HTTP/1.1\r\nContent-Length: 3000\r\nExpect: 100-continue\r\n\r\n"),
            (Server, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET /h HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["PUT /f 201", "PUT /g 413", "GET /h 200"],
    );
}

#[test]
fn bodies_that_end_with_the_connection() {
    check(&[(Client, b"GET /old HTTP/1.0\r\n\r\n"), (Server, b"HTTP/1.0 200 OK\r\n\r\n<html>"), (Server, b"more")], &["GET /old 200"]);
    check(&[(Client, b"GET /older\r\n"), (Server, b"<html>hello"), (Server, b"</html>")], &["GET /older"]);
}

#[test]
fn requests_without_an_answer() {
    check(&[(Client, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"), (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")], &["GET /a 200", "GET /b !no_response"]);
    let alone = talk(&[(Client, GET)]);
    assert_eq!(lines(&alone), ["GET /orders/* !no_response"]);
    assert_eq!(alone[0].end_ns, 1000);
}

#[test]
fn tunnels_and_unknown_upgrades_end_it() {
    check(
        &[
            (Client, b"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n"),
            (Server, b"HTTP/1.1 200 Connection established\r\n\r\n"),
            (Client, b"GET /inside HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["CONNECT 200", "GET /inside 404"],
    );
    let upgraded = talk(&[
        (Client, b"GET /x HTTP/1.1\r\nUpgrade: strange\r\n\r\n"),
        (Server, b"HTTP/1.1 101 Switching\r\nUpgrade: strange\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        (Client, b"GET /y HTTP/1.1\r\n\r\n"),
    ]);
    assert_eq!(lines(&upgraded), ["GET /x 101"]);
}

#[test]
fn oddities_of_smuggling_keep_the_frame_of_the_standard() {
    let script: Script<'_> = &[
        (Client, b"POST /a HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nX:\r\n folded: Content-Length: 9\r\n\r\n"),
        (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    check(script, &["POST /a 200", "GET /b 200"]);
    assert!(talk(script)[0].attributes.contains(&("pulka.http.framing", "ambiguous".to_string())));
}

#[test]
fn what_is_not_http_is_not_counted() {
    for (client, server) in [(&b"GET key\r\n"[..], &b"$-1\r\n"[..]), (b"GET / HTTP/1.1\r\n\r\n", b"RTSP/1.0 200 OK\r\n\r\n"), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0")] {
        let (protocol, found) = play(&[(Client, client), (Server, server)], Some(Side::A), &[usize::MAX]);
        assert_ne!(protocol, Some("http1"));
        assert!(found.iter().all(|transaction| transaction.protocol != "http1"));
    }
}

/// Feeds chunks at 0, 1000, ... ns; `None` is a gap of 1000 bytes of that side.
fn with_gaps(from_start: bool, script: &[(Side, Option<&[u8]>)]) -> Vec<String> {
    let mut connection = Connection::new(Transport::Stream, None, from_start, Limits::DEFAULT);
    let mut out = Vec::new();
    for (index, (side, data)) in script.iter().enumerate() {
        match data {
            Some(data) => connection.chunk(&Chunk { side: *side, at_ns: index as i64 * 1000, tls: false, data }, &mut out),
            None => {
                connection.gap(*side, 1000, false, &mut out);
            }
        }
    }
    connection.close(99_000, &mut out);
    lines(&out)
}

#[test]
fn gaps_within_a_body_are_harmless_and_others_cost_one_message() {
    use Side::{A, B};
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1005\r\n\r\nhe";
    let next: [(Side, Option<&[u8]>); 2] = [(A, Some(b"GET /b HTTP/1.1\r\n\r\n")), (B, Some(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"))];
    let within: Vec<(Side, Option<&[u8]>)> = [(A, Some(GET)), (B, Some(&answer[..])), (B, None), (B, Some(b"llo"))].into_iter().chain(next).collect();
    assert_eq!(with_gaps(true, &within), ["GET /orders/* 200", "GET /b 404"]);
    let header: Vec<(Side, Option<&[u8]>)> = [(A, Some(GET)), (B, Some(&b"HTTP/1.1 200 OK\r\nContent-"[..])), (B, None), (B, Some(b"rest of a body"))].into_iter().chain(next).collect();
    assert_eq!(with_gaps(true, &header), ["GET /orders/* 200", "GET /b 404"]);
    let request: Vec<(Side, Option<&[u8]>)> =
        [(A, Some(GET)), (B, Some(&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..])), (A, None), (B, Some(b"HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n"))].into_iter().chain(next).collect();
    assert_eq!(with_gaps(true, &request), ["GET /orders/* 200", "_OTHER 201", "GET /b 404"]);
}

#[test]
fn only_a_gap_outside_of_a_body_may_cost_a_message() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits::DEFAULT);
    let mut out = Vec::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1005\r\n\r\nhe";
    for (side, data) in [(Side::A, GET), (Side::B, &answer[..])] {
        connection.chunk(&Chunk { side, at_ns: 0, tls: false, data }, &mut out);
    }
    assert!(!connection.gap(Side::B, 1000, false, &mut out)); // of a body of which 1,003 bytes are to come
    assert!(connection.gap(Side::B, 4, false, &mut out));
    connection.close(0, &mut out);
    assert!(!connection.gap(Side::B, 1, false, &mut out));
}

#[test]
fn a_stream_met_in_its_middle_is_read_from_its_next_message() {
    use Side::{A, B};
    let found = with_gaps(false, &[
        (B, Some(b"...the end of some body")),
        (B, Some(GET)),
        (A, Some(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
    ]);
    assert_eq!(found, ["GET /orders/* 200"]);
}

#[test]
fn beyond_the_room_for_them_requests_are_counted_and_others_keep_their_answers() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits { in_flight: 2, ..Limits::DEFAULT });
    let mut out = Vec::new();
    let say = |connection: &mut Connection, side, data: &[u8], out: &mut Vec<_>| connection.chunk(&Chunk { side, at_ns: 0, tls: false, data }, out);
    for name in ["a", "b", "c", "d"] {
        say(&mut connection, Side::A, format!("GET /{name} HTTP/1.1\r\n\r\n").as_bytes(), &mut out);
    }
    for status in [201, 202, 203, 204] {
        say(&mut connection, Side::B, format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes(), &mut out);
    }
    say(&mut connection, Side::A, b"GET /e HTTP/1.1\r\n\r\n", &mut out);
    say(&mut connection, Side::B, b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", &mut out);
    assert_eq!(lines(&out), ["GET /c", "GET /d", "GET /a 201", "GET /b 202", "GET /e 205"]);
}
