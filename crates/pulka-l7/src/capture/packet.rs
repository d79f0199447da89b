//! A packet's layers down to TCP and UDP: link, VLAN tags, IPv4 or IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Debug, PartialEq)]
pub struct Segment<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub body: Body,
    pub payload: &'a [u8],
    /// Bytes of the payload that the capture cut off.
    pub missing: u32,
}

#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Body {
    Tcp { sequence: u32, acknowledged: Option<u32>, syn: bool, fin: bool, rst: bool },
    Udp,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The TCP or UDP segment of a packet; None for anything else, and for all but the first fragment.
pub fn segment(link: u32, data: &[u8]) -> Option<Segment<'_>> {
    match link {
        0 | 108 => network(data.get(4..)?),                      // BSD loopback: a family, in either byte order
        1 => ethernet(u16_at(data, 12)?, data.get(14..)?),
        12 | 14 | 101 | 228 | 229 => network(data),              // raw IP
        9 | 50 => ppp(data),
        113 => ethernet(u16_at(data, 14)?, data.get(16..)?),     // Linux cooked
        276 => ethernet(u16_at(data, 0)?, data.get(20..)?),      // Linux cooked, version 2
        _ => None,
    }
}

fn ppp(data: &[u8]) -> Option<Segment<'_>> {
    let data = data.strip_prefix(&[0xff, 0x03]).unwrap_or(data);
    match u16_at(data, 0)? {
        0x0021 | 0x0057 => network(&data[2..]),
        _ => None,
    }
}

fn ethernet(mut kind: u16, mut data: &[u8]) -> Option<Segment<'_>> {
    for _ in 0..4 {
        match kind {
            IPV4 | IPV6 => return network(data),
            0x8100 | 0x88a8 | 0x9100 => (kind, data) = (u16_at(data, 2)?, data.get(4..)?), // VLAN tags
            0x8864 => return ppp(data.get(6..)?),                                          // PPPoE
            0x8847 => {
                let bottom = data.get(2)? & 1 == 1; // MPLS labels
                data = data.get(4..)?;
                if bottom {
                    return network(data);
                }
            }
            _ => return None,
        }
    }
    None
}

fn network(data: &[u8]) -> Option<Segment<'_>> {
    match data.first()? >> 4 {
        4 => ipv4(data),
        6 => ipv6(data),
        _ => None,
    }
}

fn ipv4(data: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(data[0] & 15) * 4;
    let total = match usize::from(u16_at(data, 2)?) {
        0 => data.len(), // left to the network card
        total => total,
    };
    let fragment = u16_at(data, 6)?;
    if header < 20 || total < header || fragment & 0x1fff != 0 {
        return None;
    }
    let address = |offset: usize| data.get(offset..)?.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes)));
    let (source, destination) = (address(12)?, address(16)?);
    transport(*data.get(9)?, source, destination, data.get(header..data.len().min(total))?, total - header)
}

fn ipv6(data: &[u8]) -> Option<Segment<'_>> {
    let address = |offset: usize| data.get(offset..)?.first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes)));
    let (source, destination) = (address(8)?, address(24)?);
    let length = match usize::from(u16_at(data, 4)?) {
        0 => data.len().saturating_sub(40),
        length => length,
    };
    let (mut next, mut offset) = (*data.get(6)?, 40);
    for _ in 0..8 {
        let skipped = match next {
            0 | 43 | 60 | 135 => (usize::from(*data.get(offset + 1)?) + 1) * 8,
            51 => (usize::from(*data.get(offset + 1)?) + 2) * 4,
            44 if u16_at(data, offset + 2)? & 0xfff8 == 0 => 8,
            _ => break,
        };
        (next, offset) = (*data.get(offset)?, offset + skipped);
    }
    let end = data.len().min(40 + length);
    transport(next, source, destination, data.get(offset..end)?, (40 + length).checked_sub(offset)?)
}

/// `length`: of the segment on the wire, of which `data` may be only the beginning.
fn transport(protocol: u8, source: IpAddr, destination: IpAddr, data: &[u8], length: usize) -> Option<Segment<'_>> {
    let (source, destination) = (SocketAddr::new(source, u16_at(data, 0)?), SocketAddr::new(destination, u16_at(data, 2)?));
    let (body, header) = match protocol {
        6 => tcp(data)?,
        17 => (Body::Udp, 8),
        _ => return None,
    };
    let payload = data.get(header..)?;
    let missing = u32::try_from((length.checked_sub(header)?).saturating_sub(payload.len())).ok()?;
    Some(Segment { source, destination, body, payload, missing })
}

fn tcp(data: &[u8]) -> Option<(Body, usize)> {
    let word = |offset: usize| data.get(offset..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
    let (header, flags) = (usize::from(data.get(12)? >> 4) * 4, *data.get(13)?);
    let acknowledged = if flags & 16 == 0 { None } else { Some(word(8)?) };
    let body = Body::Tcp { sequence: word(4)?, acknowledged, syn: flags & 2 != 0, fin: flags & 1 != 0, rst: flags & 4 != 0 };
    (header >= 20).then_some((body, header))
}

fn u16_at(data: &[u8], offset: usize) -> Option<u16> {
    data.get(offset..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &[u8] = &[0x12, 0x34, 0, 53, 0, 10, 0, 0, b'h', b'i'];

    fn ip4() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(UDP);
        packet
    }

    fn ip6(with_options: bool) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 10 + 8 * u8::from(with_options), if with_options { 60 } else { 17 }, 64];
        packet.extend([0; 15]);
        packet.push(1);
        packet.extend([0; 15]);
        packet.push(2);
        if with_options {
            packet.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        }
        packet.extend(UDP);
        packet
    }

    fn framed(header: &[u8], packet: &[u8]) -> Vec<u8> {
        [header, packet].concat()
    }

    #[test]
    fn every_link_leads_to_the_segment() {
        let ethernet = [&[0; 12][..], &[8, 0]].concat();
        let vlans = [&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 0x86, 0xdd]].concat();
        let cooked = [&[0; 14][..], &[8, 0]].concat();
        let cooked2 = [&[0x86, 0xdd][..], &[0; 18]].concat();
        let pppoe = [&[0; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 32, 0, 0x21]].concat();
        for (link, data) in [
            (1, framed(&ethernet, &ip4())),
            (1, framed(&vlans, &ip6(false))),
            (1, framed(&pppoe, &ip4())),
            (113, framed(&cooked, &ip4())),
            (276, framed(&cooked2, &ip6(true))),
            (101, ip6(true)),
            (0, framed(&[2, 0, 0, 0], &ip4())),
            (108, framed(&[0, 0, 0, 2], &ip4())),
        ] {
            let found = segment(link, &data).expect("a segment");
            assert_eq!((found.payload, found.source.port(), found.destination.port(), found.missing), (&b"hi"[..], 0x1234, 53, 0));
        }
    }

    #[test]
    fn cut_packets_tell_what_is_missing_and_fragments_are_left_out() {
        let packet = ip4();
        assert_eq!(segment(101, &packet[..29]).map(|found| (found.payload.len(), found.missing)), Some((1, 1)));
        let mut fragment = ip4();
        fragment[7] = 1;
        assert_eq!(segment(101, &fragment), None);
        for length in 0..packet.len() {
            segment(101, &packet[..length]);
            segment(1, &packet[..length]);
        }
    }
}
