use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};
use crate::transaction::Initiator;

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("memcached"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

#[test]
fn text_commands() {
    check(
        &[
            (Client, b"set user:1 0 0 3\r\nb\r\n\r\n"),
            (Server, b"STORED\r\n"),
            (Client, b"get user:1 user:2\r\ngets x\r\nincr n 1\r\n"),
            (Server, b"VALUE user:1 0 3\r\nb\r\n\r\nEND\r\nEND\r\n42\r\n"),
            (Client, b"add user:1 0 0 1\r\nx\r\ndelete gone\r\nbogus\r\n"),
            (Server, b"NOT_STORED\r\nNOT_FOUND\r\nERROR\r\n"),
        ],
        &["set user:*", "get user:*", "gets", "incr", "add user:* NOT_STORED", "delete NOT_FOUND", "OTHER ERROR !ERROR"],
    );
    check(&[(Client, b"set a:b 0 0 1\r\nx\r\n"), (Server, b"SERVER_ERROR out of memory storing object\r\n")], &["set a:* SERVER_ERROR !SERVER_ERROR"]);
    check(&[(Client, b"stats\r\n"), (Server, b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"), (Client, b"version\r\nquit\r\n"), (Server, b"VERSION 1.6\r\n")], &["stats", "quit", "version"]);
}

#[test]
fn noreply_and_quiet_meta_commands() {
    let script: Script<'_> = &[
        (Client, b"set a 0 0 1 noreply\r\nx\r\nmg a:1 v\r\nmg a:2 v q\r\nmg a:3 v q\r\nms a:4 2 T0\r\nhi\r\nmn\r\n"),
        (Server, b"VA 1 \r\nx\r\n"),
        (Server, b"VA 1\r\nx\r\nHD\r\nHD\r\nMN\r\n"),
    ];
    check(script, &["set", "mg a:*", "mg a:*", "mg a:*", "ms a:*", "mn"]);
    assert_eq!(talk(script)[0].initiator, Initiator::ClientOneWay);
}

#[test]
fn a_pipeline_longer_than_the_opening() {
    let asked = b"get user:1 user:2\r\n".repeat(400);
    let told = b"END\r\n".repeat(400);
    assert_eq!(talk(&[(Client, &asked), (Server, &told)]).len(), 400);
}

fn packet(magic: u8, operation: u8, status: u16, opaque: u32, extra: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = (extra.len() + key.len() + value.len()) as u32;
    let header = [&[magic, operation][..], &(key.len() as u16).to_be_bytes(), &[extra.len() as u8, 0], &status.to_be_bytes(), &body.to_be_bytes(), &opaque.to_be_bytes(), &[0; 8]].concat();
    [&header, extra, key, value].concat()
}

#[test]
fn binary_and_quiet() {
    let asked = [
        packet(0x80, 1, 0, 1, &[0; 8], b"user:1", b"secret"),
        packet(0x80, 9, 0, 2, &[], b"user:2", b""),
        packet(0x80, 9, 0, 3, &[], b"user:3", b""),
        packet(0x80, 0x0a, 0, 4, &[], b"", b""),
        packet(0x80, 0, 0, 5, &[], b"gone", b""),
        packet(0x80, 5, 0, 6, &[0; 20], b"user:1", b""),
    ]
    .concat();
    let told = [
        packet(0x81, 1, 0, 1, &[], b"", b""),
        packet(0x81, 9, 0, 3, &[0; 4], b"", b"secret"),
        packet(0x81, 0x0a, 0, 4, &[], b"", b""),
        packet(0x81, 0, 1, 5, &[], b"", b"Not found"),
        packet(0x81, 5, 6, 6, &[], b"", b"Non-numeric"),
    ]
    .concat();
    check(&[(Client, &asked), (Server, &told)], &["set user:*", "get user:*", "get user:*", "noop", "get NOT_FOUND", "incr user:* NON_NUMERIC !NON_NUMERIC"]);
}
