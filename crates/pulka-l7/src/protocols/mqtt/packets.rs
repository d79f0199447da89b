//! Control packets: a type, flags, a length of one to four bytes, a body.

use crate::reader::Reader;
use crate::transaction::Party;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

const KINDS: [Kind; 15] = [
    Kind::Connect,
    Kind::Connack,
    Kind::Publish,
    Kind::Puback,
    Kind::Pubrec,
    Kind::Pubrel,
    Kind::Pubcomp,
    Kind::Subscribe,
    Kind::Suback,
    Kind::Unsubscribe,
    Kind::Unsuback,
    Kind::Pingreq,
    Kind::Pingresp,
    Kind::Disconnect,
    Kind::Auth,
];

/// The type and flags of a first byte that `from` may send.
pub fn kind(from: Party, first: u8) -> Option<Kind> {
    let kind = *KINDS.get(usize::from(first >> 4).checked_sub(1)?)?;
    let flags = first & 15;
    let flags_fit = match kind {
        Kind::Publish => flags & 6 != 6,
        Kind::Pubrel | Kind::Unsubscribe => flags == 2 || kind == Kind::Unsubscribe && matches!(flags, 2 | 10),
        Kind::Subscribe => matches!(flags, 2 | 10),
        _ => flags == 0,
    };
    let may_send = match kind {
        Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::Pingreq => from == Party::Client,
        Kind::Connack | Kind::Suback | Kind::Unsuback | Kind::Pingresp => from == Party::Server,
        _ => true,
    };
    (flags_fit && may_send).then_some(kind)
}

pub enum Length {
    More,
    Whole(u64),
    Wrong,
}

/// The length of the packet that `bytes` begin with.
pub fn length(from: Party, bytes: &[u8]) -> Length {
    let Some(kind) = bytes.first().map(|first| kind(from, *first)) else { return Length::More };
    let Some(kind) = kind else { return Length::Wrong };
    let mut value = 0u64;
    for (index, byte) in bytes[1..].iter().take(4).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if body_may_have(kind, value) { Length::Whole(value + index as u64 + 2) } else { Length::Wrong };
        }
    }
    if bytes.len() >= 5 { Length::Wrong } else { Length::More }
}

fn body_may_have(kind: Kind, bytes: u64) -> bool {
    match kind {
        Kind::Connect => (10..=327_680).contains(&bytes),
        Kind::Pingreq | Kind::Pingresp => bytes == 0,
        Kind::Connack | Kind::Unsuback | Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => bytes >= 2,
        Kind::Publish => bytes >= 2,
        Kind::Subscribe | Kind::Unsubscribe => bytes >= 5,
        Kind::Suback => bytes >= 3,
        Kind::Disconnect | Kind::Auth => bytes <= 131_072,
    }
}

pub struct Packet<'a> {
    pub kind: Kind,
    pub flags: u8,
    /// Its first bytes.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    pub fn read(head: &'a [u8]) -> Option<Self> {
        let kind = *KINDS.get(usize::from(head.first()? >> 4).checked_sub(1)?)?;
        let digits = head[1..].iter().take(4).position(|byte| byte & 0x80 == 0)?;
        Some(Packet { kind, flags: head[0] & 15, body: &head[digits + 2..] })
    }
}

pub struct Connect {
    pub version: u8,
}

/// None when it is not the beginning of MQTT.
pub fn connect(packet: &Packet<'_>) -> Option<Connect> {
    let mut reader = Reader::new(packet.body);
    let name = text(&mut reader)?;
    let version = reader.u8()? & 0x7f; // the high bit marks a bridge
    let known = matches!((name, version), (b"MQTT", 4 | 5) | (b"MQIsdp", 3));
    known.then_some(Connect { version })
}

pub struct Published<'a> {
    pub topic: &'a [u8],
    pub id: u16,
    pub alias: Option<u16>,
}

pub fn publish<'a>(packet: &Packet<'a>, version: u8) -> Option<Published<'a>> {
    let mut reader = Reader::new(packet.body);
    let topic = text(&mut reader)?;
    let id = if packet.flags & 6 != 0 { reader.u16_be()? } else { 0 };
    let alias = if version >= 5 { properties(&mut reader).and_then(topic_alias) } else { None };
    Some(Published { topic, id, alias })
}

/// Packet identifier and reason code, which only version 5 has.
pub fn code_after(packet: &Packet<'_>) -> (u16, u8) {
    let mut reader = Reader::new(packet.body);
    (reader.u16_be().unwrap_or(0), reader.u8().unwrap_or(0))
}

/// Identifier and first topic filter of a SUBSCRIBE or UNSUBSCRIBE.
pub fn topic_filter<'a>(packet: &Packet<'a>, version: u8) -> Option<(u16, &'a [u8])> {
    let mut reader = Reader::new(packet.body);
    let id = reader.u16_be()?;
    if version >= 5 {
        properties(&mut reader)?;
    }
    Some((id, text(&mut reader)?))
}

/// Identifier and the worst code of a SUBACK or UNSUBACK.
pub fn subscribed(packet: &Packet<'_>, version: u8) -> Option<(u16, u8)> {
    let mut reader = Reader::new(packet.body);
    let id = reader.u16_be()?;
    if version >= 5 {
        properties(&mut reader)?;
    }
    Some((id, reader.rest().iter().copied().max().unwrap_or(0)))
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u16_be()?;
    reader.bytes(length.into())
}

fn properties<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let length = reader.varint()?;
    reader.bytes(length as usize).map(Reader::new)
}

fn topic_alias(mut properties: Reader<'_>) -> Option<u16> {
    while let Some(id) = properties.u8() {
        match id {
            0x23 => return properties.u16_be(),
            0x01 => properties.bytes(1).map(|_| ())?,
            0x02 => properties.bytes(4).map(|_| ())?,
            0x0b => properties.varint().map(|_| ())?,
            0x03 | 0x08 | 0x09 => text(&mut properties).map(|_| ())?,
            0x26 => {
                text(&mut properties)?;
                text(&mut properties)?;
            }
            _ => return None,
        }
    }
    None
}

/// The name of a reason code; before version 5 logins had codes of their own.
pub fn reason_name(code: u8, old_login: bool) -> &'static str {
    if old_login {
        return match code {
            1 => "unsupported_protocol_version",
            2 => "client_identifier_not_valid",
            3 => "server_unavailable",
            4 => "bad_user_name_or_password",
            5 => "not_authorized",
            _ => "refused",
        };
    }
    match code {
        0x81 => "malformed_packet",
        0x82 => "protocol_error",
        0x83 => "implementation_specific_error",
        0x84 => "unsupported_protocol_version",
        0x85 => "client_identifier_not_valid",
        0x86 => "bad_user_name_or_password",
        0x87 => "not_authorized",
        0x88 => "server_unavailable",
        0x89 => "server_busy",
        0x8a => "banned",
        0x8b => "server_shutting_down",
        0x8c => "bad_authentication_method",
        0x8d => "keep_alive_timeout",
        0x8e => "session_taken_over",
        0x8f => "topic_filter_invalid",
        0x90 => "topic_name_invalid",
        0x91 => "packet_identifier_in_use",
        0x92 => "packet_identifier_not_found",
        0x93 => "receive_maximum_exceeded",
        0x94 => "topic_alias_invalid",
        0x95 => "packet_too_large",
        0x96 => "message_rate_too_high",
        0x97 => "quota_exceeded",
        0x98 => "administrative_action",
        0x99 => "payload_format_invalid",
        0x9a => "retain_not_supported",
        0x9b => "qos_not_supported",
        0x9c => "use_another_server",
        0x9d => "server_moved",
        0x9e => "shared_subscriptions_not_supported",
        0x9f => "connection_rate_exceeded",
        0xa0 => "maximum_connect_time",
        0xa1 => "subscription_identifiers_not_supported",
        0xa2 => "wildcard_subscriptions_not_supported",
        _ => "unspecified_error",
    }
}
