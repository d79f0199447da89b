//! Recognising AMQP 0-9-1: its header, or whole frames with methods that the party may send.

use super::methods::{Method, is_client_method, is_server_method};
use super::{END, FRAME_BYTES, METHOD};
use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram || (opening.from_start && opening.client.is_empty() && !opening.server.is_empty()) {
        return Verdict::No;
    }
    let client = if opening.client.first() == Some(&b'A') { greets(opening.client) } else { speaks(opening.client, is_client_method) };
    let server = if opening.server.first() == Some(&b'A') { greets(opening.server) } else { speaks(opening.server, is_server_method) };
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided, Verdict::OneSided | Verdict::Yes) | (Verdict::Yes, Verdict::OneSided) => Verdict::Yes,
        (Verdict::OneSided, _) => Verdict::OneSided,
        (_, Verdict::OneSided) if !opening.from_start => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

fn greets(bytes: &[u8]) -> Verdict {
    let versions = [b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x08\x00", b"AMQP\x01\x01\x09\x01"];
    match () {
        () if versions.iter().any(|version| bytes.starts_with(*version)) => Verdict::OneSided,
        () if versions.iter().any(|version| version.starts_with(bytes)) => Verdict::NeedMore,
        () => Verdict::No,
    }
}

/// `OneSided` when a whole frame with a method is there, `Yes` when it is another frame that fits.
fn speaks(bytes: &[u8], may_send: fn(&Method<'_>) -> bool) -> Verdict {
    let mut reader = Reader::new(bytes);
    let (Some(kind), Some(channel), Some(length)) = (reader.u8(), reader.u16_be(), reader.u32_be()) else {
        return if matches!(bytes, [] | [1 | 2 | 3 | 8, ..]) { Verdict::NeedMore } else { Verdict::No };
    };
    let fits = match kind {
        METHOD => length >= 4 && Method::read(reader.rest()).is_none_or(|method| may_send(&method)),
        2 => length >= 14 && reader.rest().first_chunk::<4>().is_none_or(|[a, b, c, d]| (*a, *c, *d) == (0, 0, 0) && matches!(b, 10 | 20 | 40 | 50 | 60 | 85 | 90)),
        3 => length > 0,
        8 => length == 0 && channel == 0,
        _ => false,
    };
    match reader.rest().get(length as usize) {
        _ if !fits || length > FRAME_BYTES || channel > 8192 => Verdict::No,
        Some(&END) if kind == METHOD => Verdict::OneSided,
        Some(&END) => Verdict::Yes,
        Some(_) => Verdict::No,
        None => Verdict::NeedMore,
    }
}
