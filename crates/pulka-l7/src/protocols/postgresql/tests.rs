use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::{Initiator, Party, Transaction};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\x00\x03\x00\x00user\x00shop\x00database\x00orders\x00\x00";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn welcome() -> Vec<u8> {
    [message(b'R', &[0, 0, 0, 0]), message(b'S', b"server_version\x0015.0\x00"), ready()].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn error(code: &str, severity: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Msecret words\0\0").as_bytes())
}

fn prepare(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(statement: &str) -> Vec<u8> {
    message(b'B', format!("\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn execute() -> Vec<u8> {
    message(b'E', b"\0\0\0\0\0")
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("postgresql"));
    assert_eq!(lines(&talk(&script)), expected);
    assert_any_cut(&script);
}

#[test]
fn simple_queries() {
    let row = message(b'D', b"\0\x01\0\0\0\x011");
    let script = [
        (Client, startup()),
        (Server, welcome()),
        (Client, query("SELECT 'x'")),
        (Server, [message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0"), row, complete("SELECT 1"), ready()].concat()),
        (Client, query("SELEC")),
        (Server, [error("42601", "ERROR"), ready()].concat()),
        (Client, message(b'X', b"")),
    ];
    check(&script, &["CONNECT", "SELECT SELECT ?", "OTHER SELEC 42601 !42601"]);
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    let select = &talk(&script)[1];
    assert_eq!(select.attributes, [("db.namespace", "orders".into()), ("db.response.returned_rows", "1".into())]);
    assert_eq!((select.start_ns, select.first_byte_ns, select.end_ns), (2000, Some(3000), 3000));
    assert_eq!((select.request_bytes, select.response_bytes), (16, script[3].1.len() as u64));
}

#[test]
fn extended_queries() {
    check(
        &[
            (Client, startup()),
            (Server, welcome()),
            (Client, [prepare("", "SELECT $1"), bind(""), message(b'D', b"P\0"), execute(), sync()].concat()),
            (Server, [message(b'1', b""), message(b'2', b""), message(b'n', b""), complete("SELECT 0"), ready()].concat()),
            (Client, [prepare("s", "DELETE FROM t WHERE a = $1"), message(b'D', b"Ss\0"), sync()].concat()),
            (Server, [message(b'1', b""), message(b't', b"\0\0"), message(b'n', b""), ready()].concat()),
            (Client, [bind("s"), execute(), sync()].concat()),
            (Server, [message(b'2', b""), complete("DELETE 1"), ready()].concat()),
        ],
        &["CONNECT", "SELECT SELECT ?", "PREPARE DELETE FROM t WHERE a = ?", "DELETE DELETE FROM t WHERE a = ?"],
    );
}

#[test]
fn pipelines_fail_together() {
    check(
        &[
            (Client, startup()),
            (Server, welcome()),
            (Client, [prepare("", "SELECT 1"), bind(""), execute(), prepare("", "INSERT INTO a VALUES ($1)"), bind(""), execute(), prepare("", "SELECT 3"), bind(""), execute(), sync()].concat()),
            (Client, [prepare("", "SELECT 4"), bind(""), execute(), sync()].concat()),
            (Server, [message(b'1', b""), message(b'2', b""), complete("SELECT 1"), message(b'1', b""), error("23505", "ERROR"), ready()].concat()),
            (Server, [message(b'1', b""), message(b'2', b""), complete("SELECT 1"), ready()].concat()),
        ],
        &["CONNECT", "SELECT SELECT ?", "INSERT INSERT INTO a VALUES (?) 23505 !23505", "SELECT SELECT ? !aborted", "SELECT SELECT ?"],
    );
}

#[test]
fn an_error_before_the_sync_is_sent() {
    check(
        &[
            (Client, startup()),
            (Server, welcome()),
            (Client, [prepare("a", "SELEC"), message(b'H', b"")].concat()),
            (Server, error("42601", "ERROR")),
            (Client, [bind("a"), execute(), sync()].concat()),
            (Server, ready()),
            (Client, query("COMMIT")),
            (Server, [complete("COMMIT"), ready()].concat()),
        ],
        &["CONNECT", "PREPARE SELEC 42601 !42601", "OTHER SELEC !aborted", "COMMIT COMMIT"],
    );
}

#[test]
fn copy_in() {
    check(
        &[
            (Client, startup()),
            (Server, welcome()),
            (Client, query("COPY t FROM STDIN")),
            (Server, message(b'G', b"\0\0\x01\0\0")),
            (Client, [message(b'd', &[b'x'; 9000]), message(b'd', b"2\n"), message(b'c', b"")].concat()),
            (Server, [complete("COPY 2"), ready()].concat()),
        ],
        &["CONNECT", "COPY COPY t FROM STDIN"],
    );
}

#[test]
fn a_login_that_fails() {
    check(&[(Client, startup()), (Server, message(b'R', &[0, 0, 0, 3])), (Client, message(b'p', b"hunter2\0")), (Server, error("28P01", "FATAL"))], &["CONNECT 28P01 !28P01"]);
}

#[test]
fn encryption_refused_accepted_and_asked_twice() {
    let ask = |code: u32| [&8u32.to_be_bytes()[..], &code.to_be_bytes()].concat();
    check(&[(Client, ask(80_877_103)), (Server, b"N".to_vec()), (Client, startup()), (Server, welcome())], &["CONNECT"]);
    check(&[(Client, ask(80_877_104)), (Server, b"N".to_vec()), (Client, ask(80_877_103)), (Server, b"N".to_vec()), (Client, startup()), (Server, welcome())], &["CONNECT"]);
    let tls = [(Client, ask(80_877_103)), (Server, b"S".to_vec()), (Client, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec())];
    let script: Vec<(Party, &[u8])> = tls.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(talk(&script), []);
}

#[test]
fn cancellation_and_notification() {
    let cancel = [&16u32.to_be_bytes()[..], &80_877_102u32.to_be_bytes(), &[0, 0, 1, 2, 3, 4, 5, 6]].concat();
    let out = talk(&[(Client, &cancel)]);
    assert_eq!((lines(&out), out[0].initiator), (vec!["CANCEL".into()], Initiator::ClientOneWay));
    check(&[(Client, startup()), (Server, welcome()), (Server, message(b'A', b"\0\0\0\x01jobs\0secret\0"))], &["CONNECT", "NOTIFY jobs"]);
}

#[test]
fn a_pipeline_beyond_what_is_kept_is_in_step_again_when_it_is_answered() {
    let group = [prepare("", "SELECT $1"), bind(""), execute(), sync()].concat();
    let answer = [message(b'1', b""), message(b'2', b""), complete("SELECT 1"), ready()].concat();
    let (asked, told, select) = (group.repeat(2000), answer.repeat(2000), query("DELETE FROM t"));
    let done = [complete("DELETE 1"), ready()].concat();
    let all = talk(&[(Client, &startup()), (Server, &welcome()), (Client, &asked), (Server, &told), (Client, &select), (Server, &done)]);
    let (out, followed) = (lines(&all), all.iter().filter(|one| !one.is_one_way()).count());
    assert!(followed > 50 && followed < 2000 && out.len() == 2002, "{followed} of {}", out.len());
    assert_eq!(out.last().map(String::as_str), Some("DELETE DELETE FROM t"));
}

#[test]
fn met_in_the_middle() {
    let (select, answer) = (query("SELECT 1 FROM t"), [complete("SELECT 1"), ready()].concat());
    let mut connection = crate::connection::Connection::new(crate::decoder::Transport::Stream, None, false, Default::default());
    let mut out = Vec::new();
    for (side, data) in [(crate::connection::Side::B, b"half a row".to_vec()), (crate::connection::Side::A, select), (crate::connection::Side::B, answer)] {
        connection.chunk(&crate::connection::Chunk { side, at_ns: 1, tls: false, data: &data }, &mut out);
    }
    assert_eq!((connection.protocol(), lines(&out)), (Some("postgresql"), vec!["SELECT SELECT ? FROM t".into()]));
}

/// Rows in one packet each, of which all but the first and the last are missing, as the agent sees a large result.
fn large_result(connection: &mut Connection, out: &mut Vec<Transaction>) {
    let row = message(b'D', &[b"\0\x01\0\0\0\x64"[..].to_vec(), vec![b'x'; 100]].concat());
    connection.chunk(&Chunk { side: Side::B, at_ns: 2000, tls: false, data: &row.repeat(3) }, out);
    for number in 0..200 {
        connection.gap(Side::B, 60_000, false, out);
        connection.chunk(&Chunk { side: Side::B, at_ns: 3000 + number, tls: false, data: &row[31..90] }, out);
    }
}

#[test]
fn a_gap_within_the_only_answer_costs_its_status_only() {
    let mut connection = Connection::new(Transport::Stream, Some(Side::A), true, Limits::DEFAULT);
    let mut out = Vec::new();
    let say = |connection: &mut Connection, side, data: &[u8], out: &mut Vec<Transaction>| connection.chunk(&Chunk { side, at_ns: 1000, tls: false, data }, out);
    say(&mut connection, Side::A, &startup(), &mut out);
    say(&mut connection, Side::B, &welcome(), &mut out);
    say(&mut connection, Side::A, &query("SELECT * FROM t"), &mut out);
    large_result(&mut connection, &mut out);
    say(&mut connection, Side::A, &query("SELECT 1 FROM u"), &mut out);
    assert_eq!(lines(&out), ["CONNECT", "SELECT SELECT * FROM t"]);
    assert_eq!((out[1].end_ns, out[1].attributes.last()), (3199, Some(&("pulka.partial", "true".to_owned()))));
    say(&mut connection, Side::B, &[complete("SELECT 1"), ready()].concat(), &mut out);
    say(&mut connection, Side::A, &[prepare("", "SELECT b FROM t"), bind(""), execute(), sync()].concat(), &mut out);
    large_result(&mut connection, &mut out);
    connection.close(9000, &mut out);
    assert_eq!(lines(&out[2..]), ["SELECT SELECT ? FROM u", "SELECT SELECT b FROM t"]);
    assert!(out.iter().all(|transaction| transaction.error.is_none()));
}
