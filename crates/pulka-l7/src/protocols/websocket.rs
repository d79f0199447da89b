//! WebSocket (RFC 6455) after HTTP's upgrade: messages, of one frame or several, pings, and why it was closed.
//!
//! What is in messages is not looked at. A connection cannot be met in its middle: frames are too much like anything.

use crate::decoder::{Limits, Next, Protocol, Verdict};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::reader::Reader;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "websocket",
    title: "WebSocket",
    versions: "13 (RFC 6455), with any extension",
    shows: "text and binary messages in each direction, pings with their pongs, close codes",
    streams: true,
    recognise: |_| Verdict::No,
    decoder: |_, limits| Box::new(Frames::new(Websocket { limits, fragments: [None, None], pings: [None, None] })),
};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

struct Websocket {
    limits: Limits,
    /// A message whose last frame is still to come.
    fragments: [Option<Transaction>; 2],
    pings: [Option<Transaction>; 2],
}

struct Header {
    last: bool,
    kind: u8,
    key: Option<[u8; 4]>,
    /// Of the header.
    bytes: usize,
    payload_bytes: u64,
}

/// Err: how many bytes are needed. None: no frame. Clients have to mask what they send, but not all do.
fn header(bytes: &[u8]) -> Option<Result<Header, usize>> {
    let [first, second, ..] = *bytes else { return Some(Err(2)) };
    let (kind, masked, short) = (first & 15, second & 0x80 != 0, second & 0x7f);
    let control = kind >= CLOSE;
    if !matches!(kind, CONTINUATION..=BINARY | CLOSE..=PONG) || (control && (short > 125 || first & 0x80 == 0)) || first & 0x30 != 0 {
        return None;
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let whole = 2 + extended + if masked { 4 } else { 0 };
    if bytes.len() < whole {
        return Some(Err(whole));
    }
    let mut reader = Reader::new(&bytes[2..]);
    let payload_bytes = match short {
        126 => reader.u16_be().map(u64::from),
        127 => reader.u64_be().filter(|length| *length < 1 << 48),
        _ => Some(u64::from(short)),
    }?;
    let key = if masked { reader.array() } else { None };
    Some(Ok(Header { last: first & 0x80 != 0, kind, key, bytes: whole, payload_bytes }))
}

impl Websocket {
    fn data(&mut self, from: Party, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let fragments = &mut self.fragments[from.index()];
        let mut transaction = match fragments.take() {
            Some(mut begun) if header.kind == CONTINUATION => {
                begun.request_bytes += message.bytes;
                begun.end_ns = message.end_ns;
                begun
            }
            _ if header.kind == CONTINUATION => return, // its beginning was lost
            _ => message.begins(PROTOCOL.name, one_way(from), if header.kind == TEXT { "text" } else { "binary" }, ""),
        };
        if header.last {
            transaction.end_ns = message.end_ns;
            out.push(transaction);
        } else {
            *fragments = Some(transaction);
        }
    }

    fn close_frame(&self, from: Party, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let mut transaction = message.begins(PROTOCOL.name, one_way(from), "close", "");
        if let Some(code) = message.head.get(header.bytes..).and_then(|payload| payload.first_chunk::<2>()) {
            let key = header.key.unwrap_or_default();
            let code = u16::from_be_bytes([code[0] ^ key[0], code[1] ^ key[1]]);
            transaction.status = code.to_string().into();
            transaction.error = close_error(code).map(Into::into);
        }
        out.push(transaction);
    }
}

fn one_way(from: Party) -> Initiator {
    if from == Party::Client { Initiator::ClientOneWay } else { Initiator::ServerOneWay }
}

/// Normal closure and going away are no failures.
fn close_error(code: u16) -> Option<&'static str> {
    Some(match code {
        1000 | 1001 | 1005 => return None,
        1002 => "protocol_error",
        1003 => "unsupported_data",
        1006 => "abnormal_closure",
        1007 => "invalid_payload",
        1008 => "policy_violation",
        1009 => "message_too_big",
        1010 => "mandatory_extension",
        1011 => "internal_error",
        1012 => "service_restart",
        1013 => "try_again_later",
        1014 => "bad_gateway",
        1015 => "tls_handshake",
        _ => "application_error",
    })
}

impl Framed for Websocket {
    const HEAD_BYTES: usize = 256;

    fn frame(&mut self, _from: Party, bytes: &[u8]) -> Frame {
        match header(bytes) {
            Some(Ok(header)) => Frame::Message(header.bytes as u64 + header.payload_bytes),
            Some(Err(need)) => Frame::Need(need),
            None => Frame::Lost,
        }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        let Some(Ok(header)) = header(message.head) else { return None };
        match header.kind {
            CLOSE => self.close_frame(from, &header, message, out),
            PING => {
                let initiator = if from == Party::Client { Initiator::Client } else { Initiator::Server };
                self.pings[from.index()] = Some(message.begins(PROTOCOL.name, initiator, "ping", ""));
            }
            PONG => {
                if let Some(mut ping) = self.pings[from.other().index()].take() {
                    message.answers(&mut ping);
                    out.push(ping);
                }
            }
            _ => self.data(from, &header, message, out),
        }
        None
    }

    fn gap(&mut self, from: Party, _out: &mut Vec<Transaction>) {
        self.fragments[from.index()] = None;
    }

    fn close(&mut self, _at_ns: i64, out: &mut Vec<Transaction>) {
        out.extend(self.fragments.iter_mut().filter_map(Option::take));
    }

    fn held_bytes(&self) -> usize {
        self.limits.text_bytes
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Client, Script, Server, assert_any_cut, lines, talk};

    const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [1u8, 2, 3, 4];
        let hidden: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        [&[first, 0x80 | payload.len() as u8][..], &key, &hidden].concat()
    }

    #[test]
    fn messages_pings_and_close_codes() {
        let long = [&[0x82, 127][..], &70_000u64.to_be_bytes(), &[7; 70_000]].concat();
        let said = [masked(0x81, b"secret"), masked(0x01, b"in two "), masked(0x89, b"p"), masked(0x80, b"frames")].concat();
        let (pong, closed) = ([&[0x8a, 1, b'p'][..], &long].concat(), masked(0x88, &1011u16.to_be_bytes()));
        let script: Script<'_> = &[(Client, UPGRADE), (Server, SWITCH), (Client, &said), (Server, &pong), (Client, &closed), (Server, b"\x88\x02\x03\xe8")];
        assert_eq!(lines(&talk(script))[1..], ["text", "text", "ping", "binary", "close 1011 !internal_error", "close 1000"]);
        assert_any_cut(script);
    }
}
