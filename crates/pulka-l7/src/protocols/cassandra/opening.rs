//! Recognising CQL: a request whose body begins as its operation's does, answered in the same version under its stream; in the
//! middle of a connection also the segments of version 5.

use super::segments::{SEGMENT_BYTES, segment};
use super::{HEADER_BYTES, Header, header, opcode};
use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, operation};
use crate::transaction::Party;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram || (opening.from_start && opening.client.is_empty() && !opening.server.is_empty()) {
        return Verdict::No;
    }
    if let Some(verdict) = (!opening.from_start).then(|| segments_go_on(opening)).flatten() {
        return verdict;
    }
    let begins = |bytes: &[u8], answers: bool| bytes.first().is_none_or(|version| matches!(version & 0x7f, 3..=5) && (version & 0x80 != 0) == answers);
    if !begins(opening.client, false) || !begins(opening.server, true) {
        return Verdict::No;
    }
    let (asked, told) = (header(Party::Client, opening.client), header(Party::Server, opening.server));
    if (asked.is_none() && opening.client.len() >= HEADER_BYTES) || (told.is_none() && opening.server.len() >= HEADER_BYTES) {
        return Verdict::No;
    }
    let Some(asked) = asked else { return Verdict::NeedMore };
    let fits = asks(&asked, &opening.client[HEADER_BYTES..]);
    match (fits, told) {
        (Verdict::No, _) => Verdict::No,
        (Verdict::NeedMore, _) => Verdict::NeedMore,
        (_, Some(told)) if told.version > asked.version || (told.stream != asked.stream && opening.from_start) => Verdict::No,
        (_, Some(_)) => Verdict::Yes,
        (Verdict::OneSided, None) => Verdict::OneSided,
        (_, None) => Verdict::NeedMore,
    }
}

/// After the login of version 5: segments whose checksums fit, and messages in them. `None` when they are something else.
fn segments_go_on(opening: &Opening<'_>) -> Option<Verdict> {
    let fits = |party, bytes: &[u8]| match segment(bytes) {
        None if bytes.len() < SEGMENT_BYTES => None,
        Some(segment) if segment.whole => bytes.get(SEGMENT_BYTES..SEGMENT_BYTES + HEADER_BYTES).map(|front| header(party, front).is_some_and(|header| header.version == 5)),
        _ => Some(false),
    };
    match (fits(Party::Client, opening.client), fits(Party::Server, opening.server)) {
        (Some(false), _) | (_, Some(false)) => None,
        (Some(true), Some(true)) => Some(Verdict::Yes),
        (None, None) => Some(Verdict::NeedMore),
        _ => Some(Verdict::OneSided),
    }
}

/// `OneSided` when it can be nothing else, `Yes` when it fits.
fn asks(header: &Header, body: &[u8]) -> Verdict {
    let length = header.body_bytes;
    let mut reader = Reader::new(body);
    if header.flags & 7 != 0 {
        return Verdict::Yes; // compressed, or with a payload before the body
    }
    match header.operation {
        opcode::OPTIONS => if length == 0 { Verdict::Yes } else { Verdict::No },
        opcode::STARTUP => {
            let expected = b"CQL_VERSION";
            match reader.u16_be() {
                Some(1..=16) => {
                    let options = reader.rest();
                    let named = memchr::memmem::find(options, expected).is_some();
                    if named { Verdict::OneSided } else if options.len() < 256 && options.len() < length as usize - 2 { Verdict::NeedMore } else { Verdict::No }
                }
                Some(_) => Verdict::No,
                None => if length >= 2 { Verdict::NeedMore } else { Verdict::No },
            }
        }
        opcode::QUERY | opcode::PREPARE => match reader.u32_be() {
            Some(sql) if u64::from(sql) + 4 <= u64::from(length) => tells_cql(&reader.rest()[..reader.rest().len().min(sql as usize)], sql as usize),
            Some(_) => Verdict::No,
            None => if length >= 4 { Verdict::NeedMore } else { Verdict::No },
        },
        opcode::EXECUTE => match reader.u16_be() {
            Some(id) => if (8..=64).contains(&id) && length > u32::from(id) { Verdict::Yes } else { Verdict::No },
            None => if length >= 8 { Verdict::NeedMore } else { Verdict::No },
        },
        opcode::BATCH => if body.first().is_none_or(|kind| *kind <= 2) && length >= 6 { Verdict::Yes } else { Verdict::No },
        opcode::REGISTER => if (4..=512).contains(&length) { Verdict::Yes } else { Verdict::No },
        opcode::AUTH_RESPONSE => if (4..=65_536).contains(&length) { Verdict::Yes } else { Verdict::No },
        _ => Verdict::No,
    }
}

fn tells_cql(sql: &[u8], length: usize) -> Verdict {
    if sql.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
        return Verdict::No;
    }
    match operation(sql, Dialect::Cassandra) {
        verb if verb != OTHER && (sql.len() == length || sql.len() > 16) => Verdict::OneSided,
        _ if sql.len() == length || sql.len() > 64 => Verdict::No,
        _ => Verdict::NeedMore,
    }
}
