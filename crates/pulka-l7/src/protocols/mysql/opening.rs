//! Recognising MySQL: the server's greeting and the client's login, or a command with its answer in the middle.

use super::packets::capability;
use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, operation};

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    match sequence(opening.server) {
        Some(0) => combine(greets(opening.server), logs_in(opening.client)),
        None if opening.client.is_empty() || sequence(opening.client).is_none() => possible(opening),
        _ if !opening.from_start || sequence(opening.client) == Some(0) => middle(opening),
        _ => Verdict::No,
    }
}

fn combine(greeting: Verdict, login: Verdict) -> Verdict {
    match (greeting, login) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided, Verdict::OneSided) => Verdict::Yes,
        (Verdict::OneSided, _) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// Too few bytes of a packet's header are there: its length is less than a megabyte, so the third byte is small.
fn possible(opening: &Opening<'_>) -> Verdict {
    let fits = |bytes: &[u8]| bytes.len() >= 4 || bytes.get(2).is_none_or(|high| *high < 16);
    if fits(opening.client) && fits(opening.server) { Verdict::NeedMore } else { Verdict::No }
}

fn sequence(bytes: &[u8]) -> Option<u8> {
    bytes.get(3).copied()
}

fn length(bytes: &[u8]) -> usize {
    bytes.first_chunk::<3>().map_or(0, |[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]) as usize)
}

fn greets(server: &[u8]) -> Verdict {
    let (length, body) = (length(server), &server[4..]);
    match body.first() {
        None => if (9..=512).contains(&length) { Verdict::NeedMore } else { Verdict::No },
        Some(10) if (30..=512).contains(&length) => version(&body[1..], length),
        Some(0xff) if (9..=512).contains(&length) => refuses(&body[1..], length),
        Some(_) => Verdict::No,
    }
}

/// A version like `8.0.36` or `5.5.5-10.11.6-MariaDB`, and a zero between both parts of the salt.
fn version(body: &[u8], length: usize) -> Verdict {
    let version = body.split(|byte| *byte == 0).next().unwrap_or_default();
    let fits = |(index, byte): (usize, &u8)| if index == 0 { byte.is_ascii_digit() } else { byte.is_ascii_graphic() || *byte == b' ' };
    if !version.iter().enumerate().all(fits) || (version.len() >= 4 && memchr::memchr(b'.', &version[..4]).is_none()) || (version.is_empty() && !body.is_empty()) {
        return Verdict::No;
    }
    let filler = body.get(version.len() + 13);
    if version.len() + 14 > length || filler.is_some_and(|filler| *filler != 0) {
        return Verdict::No;
    }
    if version.len() >= 4 { Verdict::OneSided } else { Verdict::NeedMore }
}

/// An error in place of a greeting, as `Too many connections`.
fn refuses(body: &[u8], length: usize) -> Verdict {
    let Some([low, high]) = body.first_chunk::<2>() else { return Verdict::NeedMore };
    let text = &body[2..body.len().min(length - 1)];
    let known = (1000..5000).contains(&u16::from_le_bytes([*low, *high]));
    match text.len() {
        _ if !known || text.iter().any(|byte| byte.is_ascii_control()) => Verdict::No,
        0..8 => Verdict::NeedMore,
        _ => Verdict::OneSided,
    }
}

/// The first packet after the greeting: of protocol 4.1, with 19 zeros where nothing is said.
fn logs_in(client: &[u8]) -> Verdict {
    let Some(sequence) = sequence(client) else { return Verdict::NeedMore };
    let (length, body) = (length(client), &client[4..]);
    if sequence != 1 || !(32..=65_535).contains(&length) {
        return Verdict::No;
    }
    if let Some(capabilities) = Reader::new(body).u32_le()
        && capabilities & capability::PROTOCOL_41 == 0
    {
        return Verdict::No;
    }
    match body.get(9..28) {
        Some(filler) if filler.iter().any(|byte| *byte != 0) => Verdict::No,
        Some(_) => Verdict::OneSided,
        None => Verdict::NeedMore,
    }
}

fn middle(opening: &Opening<'_>) -> Verdict {
    match (commands(opening.client), answers(opening.server)) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::Yes, Verdict::OneSided) | (Verdict::OneSided, Verdict::OneSided) => Verdict::Yes,
        (Verdict::Yes, _) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// `Yes` when it can be nothing else, `OneSided` when it fits.
fn commands(client: &[u8]) -> Verdict {
    if client.is_empty() {
        return Verdict::NeedMore;
    }
    let Some(sequence) = sequence(client) else { return Verdict::NeedMore };
    let (length, body) = (length(client), &client[4..]);
    let Some((command, rest)) = body.split_first() else {
        return if sequence == 0 && (1..1_048_576).contains(&length) { Verdict::NeedMore } else { Verdict::No };
    };
    if sequence != 0 || !(1..1_048_576).contains(&length) || body.len() > length {
        return Verdict::No;
    }
    match command {
        0x03 | 0x16 => tells_sql(rest.strip_prefix(&[0, 1]).unwrap_or(rest), body.len() == length),
        0x0e | 0x09 | 0x1f if length == 1 => Verdict::OneSided,
        0x17 if length >= 10 => match rest.get(5..9) {
            Some([1, 0, 0, 0]) => Verdict::OneSided,
            Some(_) => Verdict::No,
            None => Verdict::NeedMore,
        },
        0x02 if length > 1 && rest.iter().all(|byte| byte.is_ascii_graphic()) => Verdict::OneSided,
        _ => Verdict::No,
    }
}

fn tells_sql(sql: &[u8], complete: bool) -> Verdict {
    if sql.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
        return Verdict::No;
    }
    match operation(sql, Dialect::Mysql) {
        verb if verb != OTHER && (complete || sql.len() > 16) => Verdict::Yes,
        _ if complete || sql.len() > 64 => Verdict::No,
        _ => Verdict::NeedMore,
    }
}

/// The first packet of an answer: OK, an error, a number of columns.
fn answers(server: &[u8]) -> Verdict {
    if server.is_empty() {
        return Verdict::NeedMore;
    }
    let Some(sequence) = sequence(server) else { return Verdict::NeedMore };
    let (length, body) = (length(server), &server[4..]);
    let fits = match body.first() {
        None => return if sequence == 1 && length < 65_536 { Verdict::NeedMore } else { Verdict::No },
        Some(0) => (7..=1024).contains(&length),
        Some(0xff) => (9..=1024).contains(&length),
        Some(0xfc) => length == 3,
        Some(0xfb) => (2..=1024).contains(&length),
        Some(1..=0xfa) => length <= 2 || (length > 40 && body.len() >= 7 && body.starts_with(b"Uptime:")),
        Some(_) => false,
    };
    if sequence == 1 && fits { Verdict::OneSided } else { Verdict::No }
}
