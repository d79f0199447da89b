use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};

fn message(id: u16, flags: u16, name: &str, kind: u16, answers: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = [id, flags, 1, answers, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, (kind >> 8) as u8, kind as u8, 0, 1]);
    for _ in 0..answers {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    }
    bytes
}

fn framed(message: Vec<u8>) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

fn datagrams(script: &[(Side, Vec<u8>)]) -> (Option<&'static str>, Vec<String>) {
    let (mut connection, mut out) = (Connection::new(Transport::Datagram, None, true, Limits::DEFAULT), Vec::new());
    for (index, (side, data)) in script.iter().enumerate() {
        connection.chunk(&Chunk { side: *side, at_ns: index as i64, tls: false, data }, &mut out);
    }
    connection.close(99, &mut out);
    (connection.protocol(), lines(&out))
}

#[test]
fn queries_and_answers_over_udp() {
    let (protocol, found) = datagrams(&[
        (Side::A, message(7, 0x100, "Shop.example", 1, 0)),
        (Side::A, message(8, 0x100, "shop.example", 28, 0)),
        (Side::A, message(7, 0x100, "shop.example", 1, 0)),
        (Side::B, message(8, 0x8183, "shop.example", 28, 0)),
        (Side::B, message(7, 0x8180, "shop.example", 1, 2)),
        (Side::A, message(9, 0x100, "lost.example", 15, 0)),
    ]);
    assert_eq!(protocol, Some("dns"));
    assert_eq!(found, ["AAAA shop.example NXDOMAIN !NXDOMAIN", "A shop.example NOERROR", "MX lost.example !no_response"]);
}

#[test]
fn roles_follow_from_the_messages() {
    let (_, found) = datagrams(&[(Side::B, message(7, 0x100, "a.example", 16, 0)), (Side::A, message(7, 0x8182, "a.example", 16, 0))]);
    assert_eq!(found, ["TXT a.example SERVFAIL !SERVFAIL"]);
    let (protocol, found) = datagrams(&[(Side::A, message(0, 0x8400, "printer.local", 12, 1))]);
    assert_eq!((protocol, found), (Some("dns"), vec!["PTR printer.local NOERROR".to_string()]));
}

#[test]
fn what_is_no_message_is_not_counted() {
    for bytes in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), vec![0; 12], vec![0; 48], message(1, 0x100, "a", 1, 0)[..15].to_vec()] {
        assert_eq!(datagrams(&[(Side::A, bytes.clone()), (Side::B, bytes)]).0, None);
    }
}

#[test]
fn over_tcp_messages_are_framed() {
    let queries = [framed(message(1, 0x100, "a.example", 1, 0)), framed(message(2, 0x100, "b.example", 252, 0))].concat();
    let answers = [framed(message(2, 0x8180, "b.example", 252, 900)), framed(message(1, 0x8185, "a.example", 1, 0))].concat();
    let script: Script<'_> = &[(Client, &queries), (Server, &answers)];
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("dns"));
    assert_eq!(lines(&talk(script)), ["AXFR b.example NOERROR", "A a.example REFUSED !REFUSED"]);
    assert_any_cut(script);
}
