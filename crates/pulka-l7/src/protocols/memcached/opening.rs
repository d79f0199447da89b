//! Recognising Memcached: a whole command line and an answer that fits it, or the header of the binary protocol.

use super::binary::{HEADER_BYTES, REQUEST, RESPONSE, header};
use super::text::{answer, command};
use crate::decoder::{Opening, Transport, Verdict};

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram || (opening.from_start && opening.client.is_empty() && !opening.server.is_empty()) {
        return Verdict::No;
    }
    let (client, server) = match opening.client.first() {
        Some(&REQUEST) => (binary(opening.client, REQUEST), binary(opening.server, RESPONSE)),
        Some(_) => (asks(opening.client), answers(opening)),
        None => return if opening.server.first().is_some_and(|first| !first.is_ascii_alphanumeric() && *first != RESPONSE) { Verdict::No } else { Verdict::NeedMore },
    };
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided | Verdict::Yes, Verdict::OneSided) => Verdict::Yes,
        (Verdict::Yes, _) => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

fn binary(bytes: &[u8], magic: u8) -> Verdict {
    match header(bytes) {
        _ if bytes.first().is_some_and(|first| *first != magic) => Verdict::No,
        Some(header) if header.magic == magic => Verdict::OneSided,
        None if bytes.len() < HEADER_BYTES => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

/// `Yes` when it can be nothing else (a storage command with its numbers), `OneSided` when it fits.
fn asks(client: &[u8]) -> Verdict {
    let Some(end) = memchr::memchr(b'\n', client) else {
        let fits = client.len() < 2048 && client.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r')) && client[0].is_ascii_lowercase();
        return if fits { Verdict::NeedMore } else { Verdict::No };
    };
    match command(&client[..=end], 64) {
        Some(command) if command.value_bytes.is_some() && command.name != "ms" => Verdict::Yes,
        Some(command) if command.name != "quit" => if begins_with_commands(client) { Verdict::Yes } else { Verdict::OneSided },
        _ => Verdict::No,
    }
}

/// Three commands in a row are no accident; a long pipeline may fill the opening before the server answers.
fn begins_with_commands(client: &[u8]) -> bool {
    let mut lines = client.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n"));
    (0..3).all(|_| lines.next().is_some_and(|line| command(line, 64).is_some_and(|command| command.value_bytes.is_none())))
}

/// Whether the first line answers the first command.
fn answers(opening: &Opening<'_>) -> Verdict {
    let asked = opening.client.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).next().and_then(|word| std::str::from_utf8(word).ok());
    match memchr::memchr(b'\n', opening.server) {
        Some(end) if opening.server[..end].ends_with(b"\r") && answer(&opening.server[..=end], asked).is_some() => Verdict::OneSided,
        Some(_) => Verdict::No,
        None if opening.server.len() < 512 && opening.server.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r')) => Verdict::NeedMore,
        None => Verdict::No,
    }
}
