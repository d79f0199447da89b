//! Recorded events as a source: what a tracker was told, written down and told again. A recording holds payloads; it is for tests and for
//! finding faults, on request, and is never sent anywhere.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use pulka_l7::connection::Side;
use pulka_l7::reader::Reader;

use crate::event::{Event, blocks, write_block};
use crate::tracker::{Facts, Piece, Tracker};

/// Told of every event but `Done`, which no recording of ours holds.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let mut block = Vec::new();
    match event {
        Event::Open { conn, facts, from_start, at_ns } => {
            head(1, *conn, *at_ns, &mut block);
            block.push(u8::from(*from_start));
            write_facts(facts, &mut block);
        }
        Event::Learn { conn, facts } => {
            head(2, *conn, 0, &mut block);
            write_facts(facts, &mut block);
        }
        Event::Bytes { conn, client, piece } => {
            head(3, *conn, piece.at_ns, &mut block);
            block.extend([side_code(*client), side_code(Some(piece.from)), u8::from(piece.tls)]);
            block.extend(piece.sequence.to_le_bytes());
            block.extend(piece.length.to_le_bytes());
            block.extend(piece.data);
        }
        Event::Datagram { conn, facts, from, at_ns, data } => {
            head(4, *conn, *at_ns, &mut block);
            block.push(side_code(Some(*from)));
            write_facts(facts, &mut block);
            block.extend(*data);
        }
        Event::Close { conn, at_ns } => head(5, *conn, *at_ns, &mut block),
        Event::Done { .. } => return,
    }
    write_block(&block, out);
}

fn head(kind: u8, conn: u64, at_ns: i64, block: &mut Vec<u8>) {
    block.push(kind);
    block.extend(conn.to_le_bytes());
    block.extend(at_ns.to_le_bytes());
}

/// None for a block that is no event.
pub fn decode(block: &[u8]) -> Option<Event<'_>> {
    let mut fields = Reader::new(block);
    let (kind, conn, at_ns) = (fields.u8()?, fields.u64_le()?, fields.u64_le()? as i64);
    Some(match kind {
        1 => Event::Open { conn, from_start: fields.u8()? != 0, facts: read_facts(&mut fields)?, at_ns },
        2 => Event::Learn { conn, facts: read_facts(&mut fields)? },
        3 => {
            let (client, from, tls) = (side(fields.u8()?), side(fields.u8()?)?, fields.u8()? != 0);
            let (sequence, length) = (fields.u32_le()?, fields.u32_le()?);
            Event::Bytes { conn, client, piece: Piece { from, at_ns, sequence, length, tls, data: fields.rest() } }
        }
        4 => {
            let (from, facts) = (side(fields.u8()?)?, read_facts(&mut fields)?);
            Event::Datagram { conn, facts, from, at_ns, data: fields.rest() }
        }
        5 => Event::Close { conn, at_ns },
        _ => return None,
    })
}

/// Tell a tracker everything of a recording. Returns how many events there were.
pub fn replay(recording: &[u8], tracker: &mut Tracker) -> u64 {
    blocks(recording).filter_map(decode).map(|event| tracker.take(event)).count() as u64
}

fn side_code(side: Option<Side>) -> u8 {
    side.map_or(0, |side| side.index() as u8 + 1)
}

fn side(code: u8) -> Option<Side> {
    match code {
        1 => Some(Side::A),
        2 => Some(Side::B),
        _ => None,
    }
}

fn write_facts(facts: &Facts, block: &mut Vec<u8>) {
    block.extend(facts.process.to_le_bytes());
    block.extend(facts.namespace.to_le_bytes());
    block.push(side_code(facts.client));
    for end in [facts.local, facts.remote] {
        let address = end.map_or(Ipv6Addr::UNSPECIFIED, |end| match end.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        });
        block.push(u8::from(end.is_some()));
        block.extend(address.octets());
        block.extend(end.map_or(0, |end| end.port()).to_le_bytes());
    }
}

fn read_facts(fields: &mut Reader<'_>) -> Option<Facts> {
    let (process, namespace, client) = (fields.u32_le()?, fields.u32_le()?, side(fields.u8()?));
    let mut end = || {
        let (known, address, port) = (fields.u8()? != 0, Ipv6Addr::from(fields.array::<16>()?), fields.u16_le()?);
        Some(known.then(|| SocketAddr::new(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4), port)))
    };
    Some(Facts { local: end()?, remote: end()?, client, process, namespace })
}
