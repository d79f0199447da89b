//! Recognising PostgreSQL: a login from the first byte, or typed messages of both parties in the middle.

use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, operation};

pub const SSL: u32 = 80_877_103;
pub const GSS: u32 = 80_877_104;
pub const CANCEL: u32 = 80_877_102;

pub fn client_type(byte: u8) -> bool {
    matches!(byte, b'Q' | b'P' | b'B' | b'D' | b'E' | b'S' | b'C' | b'H' | b'F' | b'X' | b'd' | b'c' | b'f' | b'p')
}

pub fn server_type(byte: u8) -> bool {
    matches!(byte, b'R' | b'K' | b'S' | b'Z' | b'T' | b'D' | b'C' | b'I' | b'E' | b'N' | b'A' | b'1' | b'2' | b'3' | b'n' | b's' | b't' | b'G' | b'H' | b'W' | b'd' | b'c' | b'V' | b'v')
}

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    let untyped = opening.client.first() == Some(&0);
    let client = if untyped { startup(opening.client) } else { typed(opening.client, client_fits) };
    let server = if untyped { welcome(opening.client, opening.server) } else { typed(opening.server, server_fits) };
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided, Verdict::OneSided) => Verdict::Yes,
        (Verdict::OneSided, _) if untyped || tells_sql(opening.client) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

fn startup(client: &[u8]) -> Verdict {
    let mut reader = Reader::new(client);
    let (Some(length), Some(code)) = (reader.u32_be(), reader.u32_be()) else {
        return if client.iter().zip([0, 0]).all(|(byte, zero)| *byte == zero) { Verdict::NeedMore } else { Verdict::No };
    };
    match code {
        SSL | GSS if length == 8 => Verdict::OneSided,
        CANCEL if (16..=268).contains(&length) => Verdict::OneSided,
        0x0003_0000..=0x0003_0002 if (9..=10_000).contains(&length) => name_begins(reader.rest()),
        _ => Verdict::No,
    }
}

/// Parameters of a login have names like `user` and `client_encoding`.
fn name_begins(bytes: &[u8]) -> Verdict {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let fits = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    match name.len() {
        _ if !fits => Verdict::No,
        0 if bytes.is_empty() => Verdict::NeedMore,
        4.. => Verdict::OneSided,
        _ if bytes.len() == name.len() => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

/// The answer to a login or to a request for encryption.
fn welcome(client: &[u8], server: &[u8]) -> Verdict {
    let code = Reader::new(client.get(4..).unwrap_or_default()).u32_be().unwrap_or(0);
    match (code, server) {
        (_, []) => Verdict::NeedMore,
        (SSL, [b'S' | b'N', ..]) | (GSS, [b'G' | b'N', ..]) => Verdict::OneSided,
        (CANCEL, _) => Verdict::No,
        (_, [b'R' | b'E' | b'N' | b'v' | b'S', ..]) => typed(server, server_fits),
        _ => Verdict::No,
    }
}

/// `OneSided` when the first message fits.
fn typed(bytes: &[u8], fits: fn(u8, usize, &[u8]) -> bool) -> Verdict {
    let Some((kind, rest)) = bytes.split_first() else { return Verdict::NeedMore };
    let Some(length) = Reader::new(rest).u32_be() else {
        let known = client_type(*kind) || server_type(*kind);
        return if known && rest.first().is_none_or(|byte| *byte < 0x40) { Verdict::NeedMore } else { Verdict::No };
    };
    let length = length as usize;
    let body = &rest[4..];
    match () {
        () if !(4..16_777_216).contains(&length) => Verdict::No,
        () if body.len() + 4 < length && body.len() < 512 => if_possible(*kind, length, fits),
        () if fits(*kind, length, &body[..body.len().min(length - 4)]) => Verdict::OneSided,
        () => Verdict::No,
    }
}

fn if_possible(kind: u8, length: usize, fits: fn(u8, usize, &[u8]) -> bool) -> Verdict {
    if fits(kind, length, b"") { Verdict::NeedMore } else { Verdict::No }
}

/// `body` is what is there of a message of `length` bytes; empty when it is not known yet.
fn client_fits(kind: u8, length: usize, body: &[u8]) -> bool {
    let unknown = body.is_empty() && length > 4;
    match kind {
        b'Q' => unknown || is_text_until_nul(body, length - 4),
        b'P' => unknown || prepares(body),
        b'B' => unknown || names(body, 2),
        b'E' => unknown || (length >= 9 && names(body, 1)),
        b'D' | b'C' => length >= 6 && (unknown || (matches!(body[0], b'S' | b'P') && names(&body[1..], 1))),
        b'S' | b'H' | b'X' | b'c' => length == 4,
        b'd' => true,
        b'f' => unknown || is_text_until_nul(body, length - 4),
        b'p' => length > 4,
        _ => false,
    }
}

fn server_fits(kind: u8, length: usize, body: &[u8]) -> bool {
    let unknown = body.is_empty() && length > 4;
    match kind {
        b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' => length == 4,
        b'Z' => length == 5 && (unknown || matches!(body[0], b'I' | b'T' | b'E')),
        b'C' => unknown || (body.first().is_some_and(u8::is_ascii_uppercase) && is_text_until_nul(body, length - 4)),
        b'S' => unknown || names(body, 2),
        b'E' | b'N' => unknown || (matches!(body.first(), Some(b'S' | b'V')) && body.get(1).is_none_or(u8::is_ascii_graphic)),
        b'T' | b'D' => length >= 6 && (unknown || (body.len() >= 2 && usize::from(u16::from_be_bytes([body[0], body[1]])) * 4 + 6 <= length)),
        b't' => length >= 6 && (unknown || (body.len() >= 2 && usize::from(u16::from_be_bytes([body[0], body[1]])) * 4 + 6 == length)),
        b'R' => length >= 8 && (unknown || body.starts_with(&[0, 0, 0])),
        b'G' | b'H' | b'W' => length >= 7 && (unknown || body[0] <= 1),
        b'K' => (12..=264).contains(&length),
        b'A' => length >= 10,
        b'd' => true,
        b'v' => length >= 12,
        b'V' => length >= 8,
        _ => false,
    }
}

/// Statement text: one NUL, at the end (which may not be there yet).
fn is_text_until_nul(body: &[u8], length: usize) -> bool {
    let nul = memchr::memchr(0, body);
    nul.map_or(body.len() < length, |nul| nul + 1 == length) && !body.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0)
}

fn prepares(body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    let name = reader.cstring();
    name.is_some_and(|name| name.len() < 64 && name.iter().all(|byte| !byte.is_ascii_control())) && reader.rest().iter().take_while(|byte| **byte != 0).all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// So many texts, each with its NUL.
fn names(body: &[u8], count: usize) -> bool {
    let mut reader = Reader::new(body);
    (0..count).all(|_| reader.cstring().is_some_and(|name| name.len() <= 1024 && name.iter().all(|byte| !byte.is_ascii_control())))
}

/// A statement with a verb that is known: no other protocol says that.
fn tells_sql(client: &[u8]) -> bool {
    let body = client.get(5..).unwrap_or_default();
    let sql = match client.first() {
        Some(b'Q') => body,
        Some(b'P') => memchr::memchr(0, body).map_or(&[][..], |end| &body[end + 1..]),
        _ => return false,
    };
    operation(sql, Dialect::Postgresql) != OTHER
}
