use crate::connection::{Chunk, Connection, Side};
use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::{Party, Transaction};

const PLAIN: u32 = 0x000f_a20d; // protocol 4.1, database, secure authentication
const DEPRECATE_EOF: u32 = 1 << 24;
const SSL: u32 = 1 << 11;
const COMPRESS: u32 = 1 << 5;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], body].concat()
}

fn greeting() -> Vec<u8> {
    let body = [&b"\x0a8.0.36\0\x07\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xff\x15"[..], &[0; 10], b"abcdefghijkl\0caching_sha2_password\0"].concat();
    packet(0, &body)
}

fn login(capabilities: u32) -> Vec<u8> {
    let body = [&capabilities.to_le_bytes()[..], &[0, 0, 0, 1, 45], &[0; 23], b"shop\0\x06secretorders\0"].concat();
    packet(1, &body)
}

fn ok(sequence: u8) -> Vec<u8> {
    packet(sequence, &[0, 0, 0, 2, 0, 0, 0])
}

fn end(sequence: u8, status: u8) -> Vec<u8> {
    packet(sequence, &[0xfe, 0, 0, status, 0])
}

fn error(sequence: u8, code: u16) -> Vec<u8> {
    packet(sequence, &[&[0xff][..], &code.to_le_bytes(), b"#42000secret words"].concat())
}

fn query(sql: &str) -> Vec<u8> {
    packet(0, &[b"\x03", sql.as_bytes()].concat())
}

fn column(sequence: u8) -> Vec<u8> {
    packet(sequence, b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0")
}

fn logged_in(capabilities: u32) -> Vec<(Party, Vec<u8>)> {
    vec![(Server, greeting()), (Client, login(capabilities)), (Server, packet(2, &[1, 3])), (Server, ok(3))]
}

fn run(script: &[(Party, Vec<u8>)]) -> Vec<Transaction> {
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("mysql"));
    assert_any_cut(&script);
    talk(&script)
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    assert_eq!(lines(&run(script)), expected);
}

fn check_after_login(capabilities: u32, script: &[(Party, Vec<u8>)], expected: &[&str]) {
    check(&[&logged_in(capabilities)[..], script].concat(), &[&["CONNECT"][..], expected].concat());
}

#[test]
fn text_results_with_eof_and_without() {
    let row = || packet(3, b"\x011");
    let old = [packet(1, &[1]), column(2), end(3, 2), row(), row(), end(5, 2)].concat();
    let new = [packet(1, &[1]), column(2), row(), packet(4, &[0xfe, 0, 0, 2, 0, 0, 0])].concat();
    for (capabilities, answer) in [(PLAIN, old), (PLAIN | DEPRECATE_EOF, new)] {
        check_after_login(
            capabilities,
            &[(Client, query("select a from t where b = 'x'")), (Server, answer), (Client, query("insert into t values (1)")), (Server, ok(1))],
            &["SELECT select a from t where b = ?", "INSERT insert into t values (?)"],
        );
    }
}

#[test]
fn several_results_are_one_answer() {
    let more = packet(1, &[0, 0, 0, 8 | 2, 0, 0, 0]);
    let set = [packet(2, &[1]), column(3), end(4, 2), packet(5, b"\x011"), end(6, 8 | 2)].concat();
    check_after_login(PLAIN, &[(Client, query("call p()")), (Server, [more, set, ok(7)].concat())], &["CALL call p()"]);
}

#[test]
fn errors_tell_their_code() {
    let out = run(&[&logged_in(PLAIN)[..], &[(Client, query("selec 1")), (Server, error(1, 1064))]].concat());
    assert_eq!(lines(&out), ["CONNECT", "OTHER selec ? 1064 !1064"]);
    assert_eq!(out[1].attributes, [("db.namespace", "orders".into())]);
    check(&[(Server, greeting()), (Client, login(PLAIN)), (Server, error(2, 1045))], &["CONNECT 1045 !1045"]);
    assert_eq!(lines(&talk(&[(Server, &packet(0, b"\xff\x10\x04Too many connections"))])), ["CONNECT 1040 !1040"]);
    check_after_login(
        PLAIN,
        &[(Client, query("select a from t")), (Server, [packet(1, &[1]), column(2), end(3, 2), packet(4, b"\x011"), error(5, 1317)].concat())],
        &["SELECT select a from t 1317 !1317"],
    );
}

#[test]
fn strings_as_the_server_reads_them() {
    let standard = packet(1, &[0, 0, 0, 2, 2, 0, 0]);
    check_after_login(
        PLAIN,
        &[(Client, query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")), (Server, standard), (Client, query(r"SELECT 'a\', 'secret'")), (Server, ok(1))],
        &["SET SET sql_mode = ?", "SELECT SELECT ?, ?"],
    );
}

#[test]
fn prepared_statements() {
    let prepared = [packet(1, &[0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]), column(2), end(3, 2), column(4), end(5, 2)].concat();
    let rows = [packet(1, &[1]), column(2), end(3, 2), packet(4, &[0, 0, 1]), end(5, 2)].concat();
    let execute = packet(0, &[0x17, 7, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 1, 0, 0, 0]);
    check_after_login(
        PLAIN,
        &[
            (Client, packet(0, b"\x16SELECT a FROM t WHERE b = ?")),
            (Server, prepared),
            (Client, execute.clone()),
            (Server, rows),
            (Client, packet(0, &[0x19, 7, 0, 0, 0])),
            (Client, execute),
            (Server, error(1, 1243)),
            (Client, packet(0, &[1])),
        ],
        &["PREPARE SELECT a FROM t WHERE b = ?", "SELECT SELECT a FROM t WHERE b = ?", "OTHER 1243 !1243"],
    );
}

#[test]
fn a_cursor_and_its_rows() {
    let prepared = packet(1, &[0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let execute = packet(0, &[0x17, 7, 0, 0, 0, 1, 1, 0, 0, 0]);
    let fetch = packet(0, &[0x1c, 7, 0, 0, 0, 10, 0, 0, 0]);
    check_after_login(
        PLAIN,
        &[
            (Client, packet(0, b"\x16SELECT 1")),
            (Server, prepared),
            (Client, execute),
            (Server, [packet(1, &[1]), column(2), end(3, 64 | 2)].concat()),
            (Client, fetch),
            (Server, [packet(1, &[0, 0, 1]), end(2, 128 | 2)].concat()),
        ],
        &["PREPARE SELECT ?", "SELECT SELECT ?", "FETCH SELECT ?"],
    );
}

#[test]
fn load_data_local() {
    check_after_login(
        PLAIN,
        &[
            (Client, query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t")),
            (Server, packet(1, b"\xfb/etc/x")),
            (Client, [packet(2, b"\x03select 1"), packet(0, b"\x03select 2"), packet(4, b"")].concat()),
            (Server, ok(5)),
            (Client, packet(0, &[0x0e])),
            (Server, ok(1)),
        ],
        &["LOAD LOAD DATA LOCAL INFILE ? INTO TABLE t", "PING"],
    );
}

#[test]
fn query_attributes_and_other_users() {
    let attributes = b"\x03\x01\x01\x00\x01\x08\x00\x05trace\x01\x00\x00\x00\x00\x00\x00\x00SELECT 2";
    check_after_login(
        PLAIN | QUERY_ATTRIBUTES,
        &[(Client, packet(0, b"\x03\x00\x01SELECT 1")), (Server, ok(1)), (Client, packet(0, attributes)), (Server, ok(1)), (Client, packet(0, b"\x11you\0\x06secret")), (Server, packet(1, &[0xfe])), (Client, packet(2, b"secret")), (Server, ok(3))],
        &["SELECT SELECT ?", "SELECT SELECT ?", "CHANGE_USER"],
    );
}

#[test]
fn packets_of_16_mb_go_on_in_the_next() {
    let whole = vec![b'x'; 0x00ff_ffff];
    let insert = [&b"\x03INSERT INTO t VALUES ('"[..], &whole[24..]].concat();
    let script = [&logged_in(PLAIN)[..], &[(Client, packet(0, &insert)), (Client, packet(1, b"\x03');")), (Server, ok(2)), (Client, query("select a from t")), (Server, [packet(1, &[1]), column(2), end(3, 2)].concat()), (Server, packet(4, &whole)), (Server, packet(5, &[0xff; 9])), (Server, end(6, 2))]].concat();
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    let out = talk(&script);
    assert_eq!(lines(&out), ["CONNECT", "INSERT INSERT INTO t VALUES (?", "SELECT select a from t"]);
    assert_eq!(out[1].request_bytes, 0x00ff_ffff + 4 + 8);
    assert!(out[2].response_bytes > 0x00ff_ffff);
}

#[test]
fn tls_and_compression_are_not_read() {
    let short = packet(1, &[&(PLAIN | SSL).to_le_bytes()[..], &[0, 0, 0, 1, 45], &[0; 23]].concat());
    let script = [(Server, greeting()), (Client, short), (Client, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec())];
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(talk(&script), []);
    let script = [&logged_in(PLAIN | COMPRESS)[..], &[(Client, query("select 1"))]].concat();
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(lines(&talk(&script)), ["CONNECT"]);
}

#[test]
fn met_in_the_middle_and_after_a_gap() {
    let mut connection = Connection::new(crate::decoder::Transport::Stream, None, false, Default::default());
    let mut out = Vec::new();
    let mut say = |connection: &mut Connection, side, data: &[u8]| connection.chunk(&Chunk { side, at_ns: 1, tls: false, data }, &mut out);
    say(&mut connection, Side::A, &query("select 1 from t"));
    say(&mut connection, Side::B, &ok(1));
    connection.gap(Side::B, 100, false, &mut Vec::new());
    say(&mut connection, Side::B, &packet(9, b"leftover"));
    say(&mut connection, Side::A, &query("select 2 from u"));
    say(&mut connection, Side::B, &ok(1));
    assert_eq!((connection.protocol(), lines(&out)), (Some("mysql"), vec!["SELECT select ? from t".into(), "SELECT select ? from u".into()]));
}

#[test]
fn a_gap_within_the_only_answer_costs_its_status_only() {
    let mut connection = Connection::new(crate::decoder::Transport::Stream, None, false, Default::default());
    let mut out = Vec::new();
    let say = |connection: &mut Connection, side, at_ns, data: &[u8], out: &mut Vec<_>| connection.chunk(&Chunk { side, at_ns, tls: false, data }, out);
    say(&mut connection, Side::A, 1, &query("select 1 from t"), &mut out);
    say(&mut connection, Side::B, 2, &ok(1), &mut out);
    say(&mut connection, Side::A, 3, &query("select 2 from u"), &mut out);
    say(&mut connection, Side::B, 4, &[packet(1, &[1]), column(2), end(3, 2)].concat(), &mut out);
    for number in 0..100 {
        connection.gap(Side::B, 60_000, false, &mut out);
        say(&mut connection, Side::B, 10 + number, &[b'x'; 512], &mut out);
    }
    say(&mut connection, Side::A, 200, &query("select 3 from v"), &mut out);
    say(&mut connection, Side::B, 201, &ok(1), &mut out);
    assert_eq!(lines(&out), ["SELECT select ? from t", "SELECT select ? from u", "SELECT select ? from v"]);
    assert_eq!(out[1].end_ns, 109);
}
