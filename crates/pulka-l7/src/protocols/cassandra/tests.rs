use super::segments::crc24;
use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::Party;

fn frame(version: u8, stream: i16, operation: u8, body: &[u8]) -> Vec<u8> {
    [&[version, 0][..], &stream.to_be_bytes(), &[operation], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn startup(version: u8) -> Vec<u8> {
    frame(version, 0, 1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0")
}

fn query(version: u8, stream: i16, operation: u8, sql: &str) -> Vec<u8> {
    frame(version, stream, operation, &[&(sql.len() as u32).to_be_bytes()[..], sql.as_bytes(), &[0, 1, 0]].concat())
}

fn error(version: u8, stream: i16, code: u32) -> Vec<u8> {
    frame(version, stream, 0, &[&code.to_be_bytes()[..], b"\0\x06secret"].concat())
}

fn segment(payload: &[u8], whole: bool) -> Vec<u8> {
    let value = payload.len() as u32 | if whole { 0x2_0000 } else { 0 };
    [&value.to_le_bytes()[..3], &crc24(value).to_le_bytes()[..3], payload, &[1, 2, 3, 4]].concat()
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("cassandra"));
    assert_eq!(lines(&talk(&script)), expected);
    assert_any_cut(&script);
}

#[test]
fn queries_and_errors() {
    check(
        &[
            (Client, frame(4, 1, 5, b"")),
            (Server, frame(0x84, 1, 6, b"\0\0")),
            (Client, startup(4)),
            (Server, frame(0x84, 0, 3, b"\0\x01A")),
            (Client, frame(4, 0, 15, b"\0\0\0\x06secret")),
            (Server, frame(0x84, 0, 16, b"\xff\xff\xff\xff")),
            (Client, [query(4, 2, 7, "SELECT * FROM t WHERE k = 'secret'"), query(4, 3, 7, "USE shop"), query(4, 4, 7, "SELEC")].concat()),
            (Server, [error(0x84, 4, 0x2000), frame(0x84, 3, 8, b"\0\0\0\x03\0\x04shop"), frame(0x84, 2, 8, b"\0\0\0\x01")].concat()),
            (Server, frame(0x84, -1, 12, b"\0\x0dSTATUS_CHANGE\0\x02UP")),
        ],
        &["OPTIONS", "CONNECT", "OTHER SELEC 0x2000 !syntax_error", "USE USE shop", "SELECT SELECT * FROM t WHERE k = ?", "EVENT STATUS_CHANGE"],
    );
}

#[test]
fn prepared_statements_and_batches() {
    let id = [7u8; 16];
    let prepared = [b"\0\0\0\x04\0\x10", &id[..], &[0; 12]].concat();
    let execute = [b"\0\x10", &id[..], &[0, 1, 0]].concat();
    let batch = [b"\0\0\x02\x01\0\x10", &id[..], &[0, 0]].concat();
    check(
        &[
            (Client, startup(3)),
            (Server, frame(0x83, 0, 2, b"")),
            (Client, query(3, 1, 9, "INSERT INTO t (a) VALUES (?)")),
            (Server, frame(0x83, 1, 8, &prepared)),
            (Client, frame(3, 1, 10, &execute)),
            (Server, error(0x83, 1, 0x1100)),
            (Client, frame(3, 2, 13, &batch)),
            (Server, frame(0x83, 2, 8, b"\0\0\0\x01")),
        ],
        &["CONNECT", "PREPARE INSERT INTO t (a) VALUES (?)", "INSERT INSERT INTO t (a) VALUES (?) 0x1100 !write_timeout", "BATCH INSERT INTO t (a) VALUES (?)"],
    );
}

#[test]
fn segments_of_version_5() {
    let long = query(5, 3, 7, &format!("SELECT * FROM u WHERE k = '{}'", "x".repeat(200_000)));
    let (first, second) = long.split_at(131_071);
    check(
        &[
            (Client, startup(5)),
            (Server, frame(0x85, 0, 2, b"")),
            (Client, segment(&[query(5, 1, 7, "SELECT a FROM t"), query(5, 2, 7, "SELECT b FROM t")].concat(), true)),
            (Server, segment(&[frame(0x85, 2, 8, b"\0\0\0\x01"), error(0x85, 1, 0x1000)].concat(), true)),
            (Client, [segment(first, false), segment(second, false)].concat()),
            (Server, segment(&frame(0x85, 3, 8, b"\0\0\0\x01"), true)),
            (Client, segment(&query(5, 4, 7, "SELECT c FROM t"), true)),
            (Server, segment(&frame(0x85, 4, 8, b"\0\0\0\x01"), true)),
        ],
        &["CONNECT", "SELECT SELECT b FROM t", "SELECT SELECT a FROM t 0x1000 !unavailable", "SELECT SELECT * FROM u WHERE k = ?", "SELECT SELECT c FROM t"],
    );
}

#[test]
fn version_5_met_in_the_middle() {
    let asked = [segment(&query(5, 1, 7, "SELECT a FROM t"), true), segment(&query(5, 2, 7, "SELECT b FROM t"), true)];
    let told = [segment(&frame(0x85, 1, 8, b"\0\0\0\x01"), true), segment(&error(0x85, 2, 0x2200), true)];
    for client in [None, Some(Side::A)] {
        let mut connection = Connection::new(Transport::Stream, client, false, Limits::DEFAULT);
        let mut out = Vec::new();
        for (side, data) in [(Side::A, &asked[0]), (Side::B, &told[0]), (Side::A, &asked[1]), (Side::B, &told[1])] {
            connection.chunk(&Chunk { side, at_ns: 0, tls: false, data }, &mut out);
        }
        assert_eq!(connection.protocol(), Some("cassandra"));
        assert_eq!(lines(&out), ["SELECT SELECT a FROM t", "SELECT SELECT b FROM t 0x2200 !invalid"]);
    }
}
