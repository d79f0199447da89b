//! Recognising Kafka: a request with a known API, version and client id, answered under its correlation id.

use super::apis::{Header, header};
use super::requests;
use super::responses::Topics;
use crate::decoder::{Opening, Transport, Verdict};
use crate::reader::Reader;

const REQUEST_BYTES: std::ops::Range<u32> = 8..104_857_600;
const ANSWER_BYTES: std::ops::Range<u32> = 4..1_073_741_824;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram || (opening.from_start && opening.client.is_empty() && !opening.server.is_empty()) {
        return Verdict::No;
    }
    let mut answer = Reader::new(opening.server);
    if answer.u32_be().is_some_and(|length| !ANSWER_BYTES.contains(&length)) || answer.i32_be().is_some_and(|correlation| correlation < 0) {
        return Verdict::No;
    }
    let asked = asks(opening.client);
    if matches!(asked, Verdict::No | Verdict::NeedMore) {
        return asked;
    }
    let sent = header(&opening.client[4..]).map(|header| header.correlation);
    let mut reader = Reader::new(opening.server);
    match (reader.u32_be(), reader.i32_be()) {
        (Some(_), answered @ Some(_)) if answered == sent => Verdict::Yes,
        (Some(_), Some(_)) => Verdict::No,
        _ if asked == Verdict::Yes => Verdict::NeedMore,
        _ => asked,
    }
}

/// `OneSided` when the client has a printable name, `Yes` when it fits and only the answer can confirm it.
fn asks(client: &[u8]) -> Verdict {
    let mut reader = Reader::new(client);
    let Some(length) = reader.u32_be() else { return Verdict::NeedMore };
    if !REQUEST_BYTES.contains(&length) {
        return Verdict::No;
    }
    let Some(header) = (reader.rest().len() >= 8).then(|| header(reader.rest())) else { return Verdict::NeedMore };
    let Some(header) = header else { return Verdict::No };
    if client.len() as u64 >= u64::from(length) + 4 && is_about_topics(&header) {
        return Verdict::OneSided;
    }
    let mut rest = header.rest;
    let Some(name) = rest.i16_be() else { return if length == 8 { Verdict::Yes } else { Verdict::NeedMore } };
    let shown = &rest.rest()[..rest.rest().len().min(usize::try_from(name).unwrap_or(0))];
    match name {
        -1 => Verdict::Yes,
        0..=255 if i64::from(length) < 10 + i64::from(name) || !shown.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => Verdict::No,
        0..=255 if shown.len() >= 3 || (shown.len() == name as usize && !shown.is_empty()) => Verdict::OneSided,
        0 => Verdict::Yes,
        1..=255 => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

/// A whole request that names topics as topics are named.
fn is_about_topics(header: &Header<'_>) -> bool {
    let topics = requests::body(header, &Topics::default(), 249).topics;
    topics.len() >= 3 && topics.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b','))
}
