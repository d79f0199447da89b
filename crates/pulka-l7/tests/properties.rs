//! What holds for every protocol: bytes cut anywhere give the same, and no bytes do harm.

use proptest::prelude::*;
use pulka_l7::capture::{Capture, Settings};
use pulka_l7::connection::Side;
use pulka_l7::decoder::{Opening, Transport};
use pulka_l7::registry::PROTOCOLS;
use pulka_l7::testing::{Client, Server, feed_anything, feed_unknown, play};
use pulka_l7::transaction::Party;

type Talk = Vec<(Party, Vec<u8>)>;

fn http1_message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    (prop_oneof!["GET", "POST", "HEAD", "PUT"], "/[a-z]{1,8}/[0-9]{1,4}", any::<bool>(), body, 0..6usize).prop_map(|(method, path, chunked, body, kind)| {
        let (status, answer) = [("200 OK", true), ("404 Not Found", true), ("503 Busy", true), ("204 No Content", false), ("304 Not Modified", false), ("201 Created", true)][kind];
        let sent = if method == "POST" || method == "PUT" { framed(chunked, &body) } else { b"\r\n".to_vec() };
        let back = if method == "HEAD" || !answer { b"\r\n".to_vec() } else { framed(!chunked, &body) };
        ([format!("{method} {path}?q=1 HTTP/1.1\r\nHost: a\r\n").into_bytes(), sent].concat(), [format!("HTTP/1.1 {status}\r\n").into_bytes(), back].concat())
    })
}

fn framed(chunked: bool, body: &[u8]) -> Vec<u8> {
    if !chunked {
        return [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    }
    let mut out = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(37) {
        out.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    [out, b"0\r\n\r\n".to_vec()].concat()
}

fn http1_talk() -> impl Strategy<Value = Talk> {
    (proptest::collection::vec(http1_message(), 1..6), any::<bool>()).prop_map(|(messages, pipelined)| {
        if pipelined {
            let (sent, back): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
            return vec![(Client, sent.concat()), (Server, back.concat())];
        }
        messages.into_iter().flat_map(|(sent, back)| [(Client, sent), (Server, back)]).collect()
    })
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request on `stream` with a secret, perhaps a body, perhaps continued; and its answer.
fn http2_exchange(stream: u32, (path, body, continued, status): (String, Vec<u8>, bool, u8)) -> (Vec<u8>, Vec<u8>) {
    let (end_stream, end_headers) = (u8::from(body.is_empty()), 4);
    let block = [&[0x83, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), b"\x40\x01x\x07hunter2"].concat();
    let mut sent = match continued {
        true => [frame(1, end_stream, stream, &block[..3]), frame(9, end_headers, stream, &block[3..])].concat(),
        false => frame(1, end_headers | end_stream, stream, &block),
    };
    if !body.is_empty() {
        sent.extend(frame(0, 1, stream, &body));
    }
    (sent, [frame(1, end_headers, stream, &[0x88 + status]), frame(0, 1, stream, b"hunter2")].concat())
}

fn http2_talk() -> impl Strategy<Value = (usize, Talk)> {
    let exchange = ("/[a-z]{1,8}", proptest::collection::vec(any::<u8>(), 0..300), any::<bool>(), 0..7u8);
    proptest::collection::vec(exchange, 1..8).prop_map(|exchanges| {
        let count = exchanges.len();
        let streams = exchanges.into_iter().enumerate().map(|(index, exchange)| http2_exchange(index as u32 * 2 + 1, exchange));
        let (sent, back): (Vec<_>, Vec<_>) = streams.unzip();
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
        (count, vec![(Client, [hello, sent.concat()].concat()), (Server, [frame(4, 0, 0, &[]), back.concat()].concat())])
    })
}

fn dns_talk() -> impl Strategy<Value = (usize, Talk)> {
    proptest::collection::vec(("[a-z]{1,12}", 0..4u8), 1..20).prop_map(|names| {
        let message = |index: usize, name: &str, flags: [u8; 2]| {
            let body = [&[0, index as u8], &flags[..], &[0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8], name.as_bytes(), &[0, 0, 1, 0, 1]].concat();
            [&(body.len() as u16).to_be_bytes()[..], &body].concat()
        };
        let ask = names.iter().enumerate().flat_map(|(index, (name, _))| message(index, name, [1, 0])).collect();
        let tell = names.iter().enumerate().rev().flat_map(|(index, (name, code))| message(index, name, [0x81, 0x80 | code])).collect();
        (names.len(), vec![(Client, ask), (Server, tell)])
    })
}

fn script(talk: &Talk) -> Vec<(Party, &[u8])> {
    talk.iter().map(|(party, line)| (*party, &line[..])).collect()
}

/// A script for `feed_anything`: cut into pieces, with some bytes changed and gaps in between.
fn spoiled(talk: &Talk, sizes: &[usize], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sizes = sizes.iter().cycle();
    for (party, line) in talk {
        let mut rest = &line[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap_or(&1)).clamp(1, rest.len()));
            out.extend([u8::from(*party == Server), piece.len() as u8, (piece.len() >> 8) as u8]);
            out.extend(piece);
            rest = after;
        }
    }
    for (place, value) in changes {
        let length = out.len();
        if let Some(byte) = out.get_mut(place % length.max(1)) {
            *byte = *value;
        }
    }
    out
}

proptest! {
    #[test]
    fn http1_cut_anywhere_gives_the_same(talk in http1_talk(), sizes in proptest::collection::vec(1..60usize, 1..8)) {
        let whole = play(&script(&talk), Some(Side::A), &[usize::MAX]);
        let requests: usize = talk.iter().filter(|(party, _)| *party == Client).map(|(_, line)| line.windows(10).filter(|window| window.ends_with(b" HTTP/1.1")).count()).sum();
        prop_assert!(!whole.1.is_empty() && whole.1.len() <= requests);
        prop_assert_eq!(&play(&script(&talk), Some(Side::A), &sizes).1, &whole.1);
        prop_assert_eq!(&play(&script(&talk), None, &sizes).1, &whole.1);
    }

    #[test]
    fn http2_cut_anywhere_gives_the_same((count, talk) in http2_talk(), sizes in proptest::collection::vec(1..60usize, 1..8)) {
        let whole = play(&script(&talk), Some(Side::A), &[usize::MAX]);
        prop_assert_eq!(whole.1.len(), count);
        let shown = format!("{:?}", whole.1);
        prop_assert!(!shown.contains("hunter2"));
        prop_assert_eq!(&play(&script(&talk), Some(Side::A), &sizes), &whole);
        prop_assert_eq!(&play(&script(&talk), None, &sizes), &whole);
    }

    #[test]
    fn dns_cut_anywhere_gives_the_same((count, talk) in dns_talk(), sizes in proptest::collection::vec(1..60usize, 1..8)) {
        let whole = play(&script(&talk), Some(Side::A), &[usize::MAX]);
        prop_assert_eq!(whole.1.len(), count);
        prop_assert_eq!(&play(&script(&talk), Some(Side::A), &sizes), &whole);
        prop_assert_eq!(&play(&script(&talk), None, &sizes), &whole);
    }

    #[test]
    fn no_bytes_harm_a_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..4000), datagram in any::<bool>()) {
        let transport = if datagram { Transport::Datagram } else { Transport::Stream };
        for protocol in PROTOCOLS {
            feed_anything(protocol.name, transport, &bytes);
        }
        feed_unknown(transport, datagram, &bytes);
    }

    #[test]
    fn spoiled_conversations_harm_nobody(talk in http1_talk(), sizes in proptest::collection::vec(1..60usize, 1..8), changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..20)) {
        let script = spoiled(&talk, &sizes, &changes);
        feed_unknown(Transport::Stream, true, &script);
        feed_unknown(Transport::Stream, false, &script);
        for protocol in PROTOCOLS {
            feed_anything(protocol.name, Transport::Stream, &script);
        }
    }

    #[test]
    fn no_file_harms_the_reader(start in 0..3usize, bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1..500usize) {
        let magic: &[u8] = [&[0xd4, 0xc3, 0xb2, 0xa1][..], &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a], &[]][start];
        let file = [magic, &bytes].concat();
        let mut capture = Capture::new(Settings { connections: 8, memory_bytes: 65_536, ..Settings::default() });
        for piece in file.chunks(piece) {
            if capture.push(piece).is_err() {
                break;
            }
        }
        capture.finish();
    }
}

/// Lengths that are the least there may be, and less, which random bytes hardly ever have.
#[test]
fn frames_of_hardly_any_length_do_no_harm() {
    for kind in 0..=u8::MAX {
        for least in 0..12 {
            for start in [&[kind, 0, 0, 0, least][..], &[kind, 0, least], &[kind, least], &[0, 0, 0, least, kind], &[least, 0, 0, 0, kind], &[0, 0, least, kind]] {
                for zeros in [0, 1, 4, 12] {
                    let frame = [start, &[0; 12][..zeros]].concat();
                    for (client, server) in [(&frame[..], &b""[..]), (b"", &frame), (&frame, &frame), (b"Q\0\0\0\x0dSELECT 1\0", &frame)] {
                        for protocol in PROTOCOLS {
                            (protocol.recognise)(&Opening { transport: Transport::Stream, client, server, from_start: false });
                        }
                    }
                }
            }
        }
    }
}
