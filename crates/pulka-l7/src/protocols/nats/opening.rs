//! Recognising NATS: the server's INFO and the client's CONNECT, or lines that only NATS has.

use super::line::{Line, parse};
use crate::decoder::{Opening, Transport, Verdict};
use crate::transaction::Party;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    match (speaks(Party::Client, opening.client), speaks(Party::Server, opening.server)) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::NeedMore, Verdict::NeedMore) => Verdict::NeedMore,
        (Verdict::OneSided | Verdict::Yes, Verdict::OneSided | Verdict::Yes) => Verdict::Yes,
        (Verdict::OneSided, _) | (_, Verdict::OneSided) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// `OneSided` when it can be nothing else, `Yes` when it fits.
fn speaks(from: Party, bytes: &[u8]) -> Verdict {
    let words: &[&[u8]] = match from {
        Party::Client => &[b"CONNECT {", b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"PING\r\n", b"PONG\r\n"],
        Party::Server => &[b"INFO {", b"MSG ", b"HMSG ", b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR '"],
    };
    if words.iter().any(|word| word.len() > bytes.len() && word.starts_with(bytes)) {
        return Verdict::NeedMore;
    }
    if !words.iter().any(|word| bytes.starts_with(word)) {
        return Verdict::No;
    }
    match memchr::memchr(b'\n', bytes) {
        Some(end) => match parse(from, &bytes[..=end]) {
            None => Verdict::No,
            Some(Line::Ping | Line::Pong | Line::Ok | Line::Error(_) | Line::Unsubscribe) => Verdict::Yes,
            Some(_) => Verdict::OneSided,
        },
        None if bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\r') => Verdict::No,
        None if matches!(bytes[0], b'I' | b'C') => if bytes.len() >= 16 { Verdict::OneSided } else { Verdict::NeedMore },
        None if bytes.len() < 2048 => Verdict::NeedMore,
        None => Verdict::No,
    }
}
