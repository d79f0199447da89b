use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::{Initiator, Party};

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

fn content(channel: u16, body: &[u8]) -> Vec<u8> {
    let header = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0, 0]].concat();
    let (first, second) = body.split_at(body.len() / 2);
    [frame(2, channel, &header), frame(3, channel, first), frame(3, channel, second)].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn publish(exchange: &str, key: &str) -> Vec<u8> {
    [method(1, 60, 40, &[&[0, 0][..], &short(exchange), &short(key), &[0]].concat()), content(1, b"secret")].concat()
}

fn deliver(tag: u64) -> Vec<u8> {
    [method(1, 60, 60, &[&short("ctag")[..], &tag.to_be_bytes(), &[0], &short("shop"), &short("orders.4711")].concat()), content(1, b"secret")].concat()
}

fn tag(number: u16, tag: u64, bits: u8) -> Vec<u8> {
    method(1, 60, number, &[&tag.to_be_bytes()[..], &[bits]].concat())
}

fn close(class: u16, number: u16, code: u16) -> Vec<u8> {
    method(if class == 10 { 0 } else { 1 }, class, number, &[&code.to_be_bytes()[..], &short("secret"), &[0, 60, 0, 40]].concat())
}

fn login() -> Vec<(Party, Vec<u8>)> {
    vec![
        (Client, b"AMQP\0\0\x09\x01".to_vec()),
        (Server, method(0, 10, 10, b"\0\x09\0\0\0\0")),
        (Client, method(0, 10, 11, b"\0\0\0\0\x05PLAIN\0\0\0\x06secret")),
        (Server, method(0, 10, 30, &[0; 8])),
        (Client, [method(0, 10, 31, &[0; 8]), method(0, 10, 40, b"\x01/\0\0")].concat()),
        (Server, method(0, 10, 41, b"\0")),
        (Client, method(1, 20, 10, b"\0")),
        (Server, method(1, 20, 11, &[0; 4])),
    ]
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    let script = [login(), script.to_vec()].concat();
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("amqp"));
    assert_eq!(lines(&talk(&script)), [&["connect", "channel.open"], expected].concat());
    assert_any_cut(&script);
}

#[test]
fn declarations_and_publications() {
    let declare = method(1, 50, 10, &[&[0, 0][..], &short("orders"), &[0], &[0; 4]].concat());
    check(&[(Client, declare), (Server, method(1, 50, 11, &[&short("orders")[..], &[0; 8]].concat())), (Client, publish("shop", "orders.4711")), (Client, publish("", "orders"))], &["queue.declare orders", "publish shop:orders.*", "publish orders"]);
}

#[test]
fn confirmed_publications() {
    check(
        &[
            (Client, method(1, 85, 10, &[0])),
            (Server, method(1, 85, 11, &[])),
            (Client, [publish("a", ""), publish("b", ""), publish("c", "")].concat()),
            (Server, [tag(80, 2, 1), tag(120, 3, 0)].concat()),
        ],
        &["confirm.select", "publish a", "publish b", "publish c !nack"],
    );
}

#[test]
fn deliveries_end_when_they_are_acknowledged() {
    let consume = |bits: u8| method(1, 60, 20, &[&[0, 0][..], &short("orders"), &short(""), &[bits], &[0; 4]].concat());
    let consumed = || method(1, 60, 21, &short("ctag"));
    let script = [(Client, consume(0)), (Server, [consumed(), deliver(1), deliver(2), deliver(3)].concat()), (Client, tag(80, 1, 0)), (Client, tag(90, 2, 1))];
    check(&script, &["consume orders", "deliver shop:orders.*", "deliver shop:orders.* !rejected", "deliver shop:orders.*"]);
    let script = [login(), script.to_vec()].concat();
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    let out = talk(&script);
    assert_eq!([out[3].initiator, out[4].initiator, out[5].initiator], [Initiator::Server, Initiator::Server, Initiator::ServerOneWay]);
    assert_eq!((out[3].end_ns - out[3].start_ns, out[4].end_ns - out[4].start_ns), (1000, 2000));
    check(&[(Client, consume(2)), (Server, [consumed(), deliver(1)].concat())], &["consume orders", "deliver shop:orders.*"]);
}

#[test]
fn gets() {
    let get = || method(1, 60, 70, &[&[0, 0][..], &short("orders"), &[0]].concat());
    let got = [method(1, 60, 71, &[&[0; 9][..], &short("shop"), &short("orders"), &[0; 4]].concat()), content(1, b"secret")].concat();
    check(&[(Client, get()), (Server, got), (Client, get()), (Server, method(1, 60, 72, b"\0"))], &["get orders", "get orders empty"]);
}

#[test]
fn close_codes() {
    let declare = method(1, 50, 10, &[&[0, 0][..], &short("orders"), &[1], &[0; 4]].concat());
    check(&[(Client, declare), (Server, close(20, 40, 404)), (Client, method(1, 20, 41, b""))], &["queue.declare orders 404 !NOT_FOUND"]);
    check(&[(Client, publish("gone", "a")), (Server, close(20, 40, 404))], &["publish gone:a", "channel.close 404 !NOT_FOUND"]);
    check(&[(Server, close(10, 50, 320)), (Client, method(0, 10, 51, b""))], &["connection.close 320 !CONNECTION_FORCED"]);
    check(&[(Client, close(20, 40, 200)), (Server, method(1, 20, 41, b"")), (Client, close(10, 50, 200)), (Server, method(0, 10, 51, b""))], &["channel.close"]);
    let script = [&login()[..3], &[(Server, close(10, 50, 403))]].concat();
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(lines(&talk(&script)), ["connect 403 !ACCESS_REFUSED"]);
}

#[test]
fn met_in_the_middle() {
    use crate::connection::{Chunk, Connection, Side};
    let mut connection = Connection::new(crate::decoder::Transport::Stream, None, false, Default::default());
    let mut out = Vec::new();
    for _ in 0..2 {
        connection.chunk(&Chunk { side: Side::B, at_ns: 1, tls: false, data: &publish("shop", "a") }, &mut out);
    }
    connection.close(2, &mut out);
    assert_eq!((connection.client(), lines(&out)), (Some(Side::B), vec!["publish shop:a".to_owned(); 2]));
}
