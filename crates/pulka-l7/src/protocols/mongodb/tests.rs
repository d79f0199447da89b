use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::{Initiator, Party};

fn message(id: i32, answers: i32, operation: i32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32 + 16).to_le_bytes()[..], &id.to_le_bytes(), &answers.to_le_bytes(), &operation.to_le_bytes(), body].concat()
}

fn document(fields: &[Vec<u8>]) -> Vec<u8> {
    let body = fields.concat();
    [&(body.len() as i32 + 5).to_le_bytes()[..], &body, &[0]].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    [b"\x02", name.as_bytes(), b"\0", &(value.len() as i32 + 1).to_le_bytes()[..], value.as_bytes(), b"\0"].concat()
}

fn int(name: &str, value: i32) -> Vec<u8> {
    [b"\x10", name.as_bytes(), b"\0", &value.to_le_bytes()[..]].concat()
}

fn double(name: &str, value: f64) -> Vec<u8> {
    [b"\x01", name.as_bytes(), b"\0", &value.to_le_bytes()[..]].concat()
}

fn nested(kind: u8, name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
    [&[kind], name.as_bytes(), b"\0", &document(fields)[..]].concat()
}

fn msg(id: i32, answers: i32, flags: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    message(id, answers, 2013, &[&flags.to_le_bytes()[..], &[0], &document(fields)].concat())
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("mongodb"));
    assert_eq!(lines(&talk(&script)), expected);
    assert_any_cut(&script);
}

#[test]
fn commands_and_answers() {
    let find = msg(40, 0, 0, &[text("find", "orders"), nested(3, "filter", &[text("name", "secret")]), text("$db", "shop")]);
    let found = msg(7, 40, 0, &[nested(3, "cursor", &[nested(4, "firstBatch", &[nested(3, "0", &[text("name", "secret")])])]), double("ok", 1.0)]);
    let more = msg(41, 0, 0, &[[b"\x12getMore\0", &7i64.to_le_bytes()[..]].concat(), text("collection", "orders"), text("$db", "shop")]);
    let failed = msg(8, 41, 0, &[double("ok", 0.0), text("errmsg", "secret"), int("code", 43), text("codeName", "CursorNotFound")]);
    check(&[(Client, find), (Server, found), (Client, more), (Server, failed)], &["find orders", "getMore orders 43 !CursorNotFound"]);
}

#[test]
fn write_errors_and_unacknowledged_writes() {
    let insert = |id, flags| {
        let sequence = [&[1][..], &30i32.to_le_bytes(), b"documents\0", &document(&[text("a", "123")])].concat();
        let body = [&[0][..], &document(&[text("insert", "orders"), text("$db", "shop")])].concat();
        message(id, 0, 2013, &[&u32::to_le_bytes(flags)[..], &sequence, &body].concat())
    };
    assert_eq!(document(&[text("a", "123")]).len() + 14, 30);
    let duplicate = msg(9, 1, 0, &[int("n", 0), nested(4, "writeErrors", &[nested(3, "0", &[int("index", 0), int("code", 11000)])]), double("ok", 1.0)]);
    let script = [(Client, insert(1, 0)), (Server, duplicate), (Client, insert(2, 2))];
    check(&script, &["insert orders 11000 !11000", "insert orders"]);
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    let out = talk(&script);
    assert_eq!((out[1].initiator, &out[1].attributes[..]), (Initiator::ClientOneWay, &[("db.namespace", "shop".into())][..]));
}

#[test]
fn the_older_operations() {
    let query = |id, name: &str, fields: &[Vec<u8>]| message(id, 0, 2004, &[&[0; 4][..], name.as_bytes(), &[0; 5], &[255; 4], &document(fields)].concat());
    let reply = |answers, fields: &[Vec<u8>]| message(99, answers, 1, &[&[8, 0, 0, 0][..], &[0; 12], &[1, 0, 0, 0], &document(fields)].concat());
    let insert = message(3, 0, 2002, &[&[0; 4][..], b"shop.orders\0", &document(&[int("a", 1)])].concat());
    check(
        &[
            (Client, query(1, "admin.$cmd", &[int("isMaster", 1)])),
            (Server, reply(1, &[double("ok", 1.0)])),
            (Client, query(2, "shop.orders", &[nested(3, "$query", &[text("a", "secret")])])),
            (Server, reply(2, &[text("$err", "secret"), int("code", 13)])),
            (Client, insert),
        ],
        &["isMaster", "find orders 13 !13", "insert orders"],
    );
}

#[test]
fn compressed_and_long_messages() {
    let compressed = |id, answers| message(id, answers, 2012, &[&2013i32.to_le_bytes()[..], &[9, 0, 0, 0, 2], &[7; 5000]].concat());
    check(&[(Client, compressed(1, 0)), (Server, compressed(2, 1))], &["compressed"]);
    let long = msg(2, 1, 0, &[nested(3, "cursor", &[text("a", &"x".repeat(100_000))]), double("ok", 1.0)]);
    check(&[(Client, msg(1, 0, 0, &[text("find", "orders"), text("$db", "shop")])), (Server, long)], &["find orders"]);
}
