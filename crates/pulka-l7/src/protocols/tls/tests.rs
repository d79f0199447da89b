use crate::connection::Side;
use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn client_hello(name: &str) -> Vec<u8> {
    let name = [&[0, 0, name.len() as u8 + 3, 0, 0, name.len() as u8][1..], name.as_bytes()].concat();
    let extensions = [extension(0, &name), extension(16, b"\0\x0c\x02h2\x08http/1.1")].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &(extensions.len() as u16).to_be_bytes(), &extensions].concat();
    message(1, &body)
}

fn server_hello(extensions: &[u8]) -> Vec<u8> {
    message(2, &[&[3, 3][..], &[9; 32], &[0], &[0x13, 1], &[0], &(extensions.len() as u16).to_be_bytes(), extensions].concat())
}

#[test]
fn a_handshake_tells_who_and_how() {
    let hello = record(22, &client_hello("shop.example"));
    let answer = [record(22, &server_hello(&extension(43, &[3, 4]))), record(20, &[1]), record(23, &[0; 40])].concat();
    let script: Script<'_> = &[(Client, &hello), (Server, &answer), (Client, &[record(20, &[1]), record(23, b"GET / HTTP/1.1")].concat()), (Server, &record(23, &[1; 9]))];
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("tls"));
    assert_eq!(lines(&talk(script)), ["handshake shop.example 1.3"]);
    let attributes = &talk(script)[0].attributes;
    assert_eq!(attributes[0], ("tls.cipher", "TLS_AES_128_GCM_SHA256".to_string()));
    assert_eq!(attributes[1], ("tls.client.supported_protocols", "h2,http/1.1".to_string()));
    assert_any_cut(script);
}

#[test]
fn a_hello_in_several_records_and_alpn_in_the_clear() {
    let hello = client_hello("a.example");
    let split = [record(22, &hello[..20]), record(22, &hello[20..])].concat();
    let answer = [record(22, &server_hello(&extension(16, b"\0\x03\x02h2"))), record(22, &message(11, &[0; 100]))].concat();
    let script: Script<'_> = &[(Client, &split), (Server, &answer), (Client, &record(20, &[1])), (Server, &record(20, &[1]))];
    assert_eq!(lines(&talk(script)), ["handshake a.example 1.2"]);
    assert!(talk(script)[0].attributes.contains(&("tls.next_protocol", "h2".to_string())));
    assert_any_cut(script);
}

#[test]
fn refusals() {
    let hello = record(22, &client_hello("a.example"));
    let script: Script<'_> = &[(Client, &hello), (Server, &record(21, &[2, 40]))];
    assert_eq!(lines(&talk(script)), ["handshake a.example !handshake_failure"]);
    assert_any_cut(script);
    assert_eq!(lines(&talk(&[(Client, &hello)])), ["handshake a.example !no_response"]);
}

#[test]
fn a_broken_hello_is_counted_and_does_no_harm() {
    let mut hello = client_hello("a.example");
    for length in [10, 30, 45, 60] {
        let end = hello.len() - 1;
        hello[end] = 0xff;
        let cut = record(22, &message(1, &hello[4..4 + length]));
        let script: Script<'_> = &[(Client, &cut), (Server, &record(22, &message(2, &[3, 3, 1])))];
        play(script, Some(Side::A), &[usize::MAX]);
    }
}
