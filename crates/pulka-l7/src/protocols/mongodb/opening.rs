//! Recognising MongoDB: a request of a known operation that begins as it should, answered under its id.

use super::{COMPRESSED, HEADER_BYTES, KILL_CURSORS, MESSAGE_BYTES, MSG, QUERY, REPLY, header, is_operation};
use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram || (opening.from_start && opening.client.is_empty() && !opening.server.is_empty()) {
        return Verdict::No;
    }
    let answer = header(opening.server);
    let small = Reader::new(opening.server).i32_le().is_none_or(|length| MESSAGE_BYTES.contains(&length));
    if !small || answer.as_ref().is_some_and(|answer| !matches!(answer.operation, REPLY | COMPRESSED | MSG)) {
        return Verdict::No;
    }
    let asked = asks(opening.client);
    if asked != Verdict::OneSided {
        return asked;
    }
    let request = header(opening.client).map(|header| header.id);
    match answer {
        None => Verdict::OneSided,
        Some(answer) if Some(answer.answers) == request || !opening.from_start => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}

fn asks(client: &[u8]) -> Verdict {
    let Some(header) = header(client) else {
        let small = Reader::new(client).i32_le().is_none_or(|length| MESSAGE_BYTES.contains(&length));
        let known = client.get(12..14).is_none_or(|bytes| matches!(bytes[1], 0x07) || bytes == [1, 0]);
        return if small && known { Verdict::NeedMore } else { Verdict::No };
    };
    if !MESSAGE_BYTES.contains(&header.length) || !is_operation(header.operation) || header.operation == REPLY || header.answers > 0 {
        return Verdict::No;
    }
    let length = header.length as usize;
    body_begins(header.operation, &client[HEADER_BYTES..client.len().min(length)], length - HEADER_BYTES)
}

fn body_begins(operation: i32, body: &[u8], length: usize) -> Verdict {
    let mut reader = Reader::new(body);
    let Some(first) = reader.u32_le() else { return if length >= 4 { Verdict::NeedMore } else { Verdict::No } };
    match operation {
        MSG if first & !0x0001_0003 == 0 && length > 10 => section_begins(reader, length - 5),
        COMPRESSED if is_operation(first as i32) && length >= 9 => match reader.bytes(5) {
            Some([.., 0..=3]) => Verdict::OneSided,
            Some(_) => Verdict::No,
            None => Verdict::NeedMore,
        },
        KILL_CURSORS if first == 0 && length >= 8 => Verdict::OneSided,
        QUERY if first < 0x100 => named(reader.rest()),
        MSG | COMPRESSED | KILL_CURSORS | QUERY => Verdict::No,
        _ if first < 0x100 => named(reader.rest()),
        _ => Verdict::No,
    }
}

/// A document that fits and begins with a named field, or a sequence of documents.
fn section_begins(mut reader: Reader<'_>, length: usize) -> Verdict {
    match (reader.u8(), reader.u32_le()) {
        (Some(0), Some(size)) if size >= 5 && size as usize <= length => match reader.bytes(2) {
            Some([kind, first]) if (1..=0x13).contains(kind) && (first.is_ascii_alphabetic() || *first == b'_') => Verdict::OneSided,
            Some(_) => Verdict::No,
            None => Verdict::NeedMore,
        },
        (Some(1), Some(size)) if size >= 6 && size as usize <= length => match reader.bytes(2) {
            Some(name) if name.iter().all(u8::is_ascii_alphabetic) => Verdict::OneSided,
            Some(_) => Verdict::No,
            None => Verdict::NeedMore,
        },
        (Some(0 | 1) | None, None) => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

/// A name like `shop.orders`.
fn named(bytes: &[u8]) -> Verdict {
    let mut reader = Reader::new(bytes);
    match reader.cstring() {
        Some(name) if name.len() >= 3 && memchr::memchr(b'.', name).is_some() && shown(name) => Verdict::OneSided,
        None if bytes.len() < 256 && shown(bytes) => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

fn shown(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80)
}
