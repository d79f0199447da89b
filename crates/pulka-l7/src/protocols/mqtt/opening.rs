//! Recognising MQTT: by its CONNECT. A connection met in its middle is believed only when both parties' first packets are
//! whole, fit, and one of them carries a topic.

use super::packets::{Kind, Length, Packet, connect, kind, length, publish, topic_filter};
use crate::decoder::{Opening, Transport, Verdict};
use crate::transaction::Party;

pub fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    if opening.client.first() == Some(&0x10) {
        let server = connack(opening.server);
        return match (connects(opening.client), server) {
            (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
            (Verdict::OneSided, Verdict::OneSided) => Verdict::Yes,
            (verdict, _) => verdict,
        };
    }
    if opening.from_start && (!opening.client.is_empty() || !opening.server.is_empty()) {
        return Verdict::No;
    }
    match (middle(Party::Client, opening.client), middle(Party::Server, opening.server)) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided, Verdict::OneSided | Verdict::Yes) | (Verdict::Yes, Verdict::OneSided) => Verdict::Yes,
        _ => Verdict::NeedMore,
    }
}

fn connects(client: &[u8]) -> Verdict {
    match length(Party::Client, client) {
        Length::Wrong => Verdict::No,
        Length::More => Verdict::NeedMore,
        Length::Whole(_) => {
            let Some(packet) = Packet::read(client) else { return Verdict::No };
            let begins = |name: &[u8]| packet.body.len() < name.len() && name.starts_with(packet.body);
            match connect(&packet) {
                Some(_) => Verdict::OneSided,
                None if begins(b"\x00\x04MQTT\x05") || begins(b"\x00\x06MQIsdp\x03") => Verdict::NeedMore,
                None => Verdict::No,
            }
        }
    }
}

/// The server's first packet: a CONNACK, an AUTH or a DISCONNECT of version 5.
fn connack(server: &[u8]) -> Verdict {
    match server {
        [] | [0x20 | 0xf0 | 0xe0] => Verdict::NeedMore,
        [0x20, 2, flags, code, ..] => if *flags <= 1 && (*code <= 5 || *code >= 0x80) { Verdict::OneSided } else { Verdict::No },
        [0x20, 3..=255, flags, ..] => if *flags <= 1 { Verdict::OneSided } else { Verdict::No },
        [0x20, 2..=255] | [0x20, 2, _] => Verdict::NeedMore,
        [0xf0 | 0xe0, _, ..] => Verdict::OneSided,
        _ => Verdict::No,
    }
}

/// `OneSided` when the first packet is whole and carries a topic, `Yes` when it is whole and fits.
fn middle(from: Party, bytes: &[u8]) -> Verdict {
    match length(from, bytes) {
        Length::Wrong => Verdict::No,
        Length::More => Verdict::NeedMore,
        Length::Whole(whole) if (bytes.len() as u64) < whole => if whole <= 4096 { Verdict::NeedMore } else { Verdict::No },
        Length::Whole(_) if !whole_packet_fits(from, bytes, 4) => Verdict::No,
        Length::Whole(_) => match kind(from, bytes[0]) {
            Some(Kind::Publish | Kind::Subscribe | Kind::Unsubscribe) => Verdict::OneSided,
            _ => Verdict::Yes,
        },
    }
}

/// Whether what is there of a packet makes sense: identifiers are not zero, topics are text.
pub fn whole_packet_fits(from: Party, bytes: &[u8], version: u8) -> bool {
    let (Some(kind), Some(packet)) = (kind(from, bytes[0]), Packet::read(bytes)) else { return false };
    let text = |topic: &[u8]| topic.iter().all(|byte| !byte.is_ascii_control()) && std::str::from_utf8(topic).is_ok();
    match kind {
        Kind::Publish => publish(&packet, version).is_some_and(|published| text(published.topic) && !published.topic.is_empty() && !published.topic.contains(&b'#')),
        Kind::Subscribe | Kind::Unsubscribe => [version, 5].into_iter().any(|version| topic_filter(&packet, version).is_some_and(|(id, topic)| id > 0 && !topic.is_empty() && text(topic))),
        Kind::Connect => connect(&packet).is_some(),
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp | Kind::Suback | Kind::Unsuback => !packet.body.starts_with(&[0, 0]),
        _ => true,
    }
}
