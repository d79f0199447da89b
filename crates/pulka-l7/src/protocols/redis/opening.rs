//! Recognising Redis: an array of strings that begins with a word, and a typed reply.

use super::{is_type, length, line_end, without_line_end};
use crate::decoder::{Opening, Transport, Verdict};

/// Commands that people and health checks write as plain lines. None is also one of POP3, SMTP, FTP or IRC with such an answer.
const INLINE: &[&[u8]] = &[
    b"PING", b"INFO", b"GET", b"SET", b"DEL", b"INCR", b"DECR", b"MGET", b"KEYS", b"EXISTS", b"SELECT", b"DBSIZE", b"ECHO", b"TTL", b"EXPIRE", b"MONITOR", b"CONFIG", b"HGET", b"HSET", b"HGETALL",
    b"LRANGE", b"LLEN", b"LPUSH", b"RPUSH", b"LPOP", b"RPOP", b"SADD", b"SMEMBERS", b"ZADD", b"ZRANGE", b"XADD", b"PUBLISH", b"SUBSCRIBE", b"PSUBSCRIBE", b"FLUSHALL", b"FLUSHDB",
];

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    let server = replies(opening.server);
    if opening.client.is_empty() && opening.from_start && !opening.server.is_empty() {
        return refuses(opening.server);
    }
    match (sends(opening.client), server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided | Verdict::Yes, Verdict::OneSided) => Verdict::Yes,
        (Verdict::Yes, _) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// A server that takes no more clients says so before it is asked.
fn refuses(server: &[u8]) -> Verdict {
    let known = [&b"-ERR max number of clients"[..], b"-DENIED "];
    if known.iter().any(|known| server.starts_with(known)) {
        Verdict::OneSided
    } else if known.iter().any(|known| known.starts_with(server)) {
        Verdict::NeedMore
    } else {
        Verdict::No
    }
}

/// `Yes` when it can be nothing else, `OneSided` when it fits.
fn sends(client: &[u8]) -> Verdict {
    match client.first() {
        None => Verdict::NeedMore,
        Some(b'*') => array(client),
        Some(byte) if byte.is_ascii_alphabetic() => inline(client),
        Some(_) => Verdict::No,
    }
}

fn array(client: &[u8]) -> Verdict {
    let Some(count_end) = line_end(client) else { return digits(&client[1..]) };
    let Some(Some(1..=1_048_576)) = length(&client[1..count_end]) else { return Verdict::No };
    let rest = &client[count_end..];
    let Some(b'$') = rest.first() else { return if rest.is_empty() { Verdict::NeedMore } else { Verdict::No } };
    let Some(end) = line_end(rest) else { return digits(&rest[1..]) };
    let Some(Some(bytes @ 1..=64)) = length(&rest[1..end]) else { return Verdict::No };
    let name = &rest[end..rest.len().min(end + bytes as usize)];
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Verdict::No;
    }
    if name.len() >= 2 { Verdict::Yes } else { Verdict::NeedMore }
}

fn digits(bytes: &[u8]) -> Verdict {
    let fits = bytes.len() <= 12 && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\r');
    if fits { Verdict::NeedMore } else { Verdict::No }
}

fn inline(client: &[u8]) -> Verdict {
    let word = client.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let known = |exact: bool| INLINE.iter().any(|known| if exact { known.eq_ignore_ascii_case(word) } else { known.len() >= word.len() && known[..word.len()].eq_ignore_ascii_case(word) });
    match line_end(client) {
        Some(end) if known(true) && client[..end].iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) => Verdict::OneSided,
        None if word.len() == client.len() && known(false) => Verdict::NeedMore,
        None if word.len() < client.len() && known(true) && client.len() < 1024 => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

/// `OneSided` when the first line is one of a reply.
fn replies(server: &[u8]) -> Verdict {
    let Some(kind) = server.first() else { return Verdict::NeedMore };
    if !is_type(*kind) {
        return Verdict::No;
    }
    let end = line_end(server);
    let line = without_line_end(&server[1..end.unwrap_or(server.len())]);
    let text = || line.iter().all(|byte| !byte.is_ascii_control());
    let number = || line.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'i' | b'n' | b'f' | b'a'));
    let fits = match kind {
        b'+' | b'-' => text() && line.first().is_none_or(|byte| byte.is_ascii_alphanumeric()),
        b':' | b',' | b'(' => number() && line.len() <= 64,
        b'_' => line.is_empty(),
        b'#' => matches!(line, b"" | b"t" | b"f"),
        _ if end.is_some() => length(line).is_some(),
        _ => line.len() <= 12 && line.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'),
    };
    match end {
        _ if !fits => Verdict::No,
        Some(_) => Verdict::OneSided,
        None if server.len() > 512 => Verdict::No,
        None => Verdict::NeedMore,
    }
}
