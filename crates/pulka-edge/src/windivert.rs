//! Windows as a source, packets: records of WinDivert 2.2 in sniffing mode. A block is the 80 bytes of WINDIVERT_ADDRESS and, at the network
//! layer, the packet from its IP header on; at the flow layer there is no packet, and the address tells the process. Recorded bytes in, events
//! out: nothing here calls Windows. Layout: windivert.h and the manual at reqrypt.org/windivert-doc.html.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;
use pulka_l7::capture::packet::{Body, Segment, segment};
use pulka_l7::connection::Side;
use pulka_l7::reader::Reader;

use crate::event::Event;
use crate::tracker::{Conn, Facts, Piece};

const NETWORK: u8 = 0;
const FLOW: u8 = 2;
const FLOW_ESTABLISHED: u8 = 1;
const FLOW_DELETED: u8 = 2;
const OUTBOUND: u32 = 1 << 17;
const LOOPBACK: u32 = 1 << 18;
/// Raw IP among the link types of captures.
const RAW: u32 = 101;

/// Turns ticks of the performance counter, which are the time stamps, into Unix times.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    pub per_s: u64,
    /// A reading of the counter, and the Unix time in ns at which it was made.
    pub reading: i64,
    pub at_ns: i64,
}

impl Ticks {
    fn unix_ns(&self, ticks: i64) -> i64 {
        let ns = (i128::from(ticks) - i128::from(self.reading)) * 1_000_000_000 / i128::from(self.per_s.max(1));
        self.at_ns.saturating_add(i64::try_from(ns).unwrap_or(0))
    }
}

struct Address {
    ticks: i64,
    layer: u8,
    event: u8,
    flags: u32,
}

fn address(fields: &mut Reader<'_>) -> Option<Address> {
    let (ticks, bits) = (fields.u64_le()? as i64, fields.u32_le()?);
    fields.u32_le()?;
    Some(Address { ticks, layer: bits as u8, event: (bits >> 8) as u8, flags: bits })
}

type Ends = (SocketAddr, SocketAddr);

struct Known {
    conn: Conn,
    ended: [bool; 2],
}

pub struct WinDivert {
    ticks: Ticks,
    connections_max: usize,
    known: HashMap<Ends, Known, ahash::RandomState>,
    /// Of flows: TCP and UDP ports are apart.
    processes: HashMap<(Ends, bool), u32, ahash::RandomState>,
    opened: u64,
    /// Blocks that were no address, packets that were neither TCP nor UDP, connections beyond the bound.
    pub passed_over: u64,
}

impl WinDivert {
    pub fn new(ticks: Ticks, connections_max: usize) -> WinDivert {
        WinDivert { ticks, connections_max, known: HashMap::default(), processes: HashMap::default(), opened: 0, passed_over: 0 }
    }

    /// Connections and flows that are remembered.
    pub fn held(&self) -> usize {
        self.known.len() + self.processes.len()
    }

    pub fn block<'a>(&mut self, block: &'a [u8], tell: &mut impl FnMut(Event<'a>)) {
        if self.read(block, tell).is_none() {
            self.passed_over += 1;
        }
    }

    fn read<'a>(&mut self, block: &'a [u8], tell: &mut impl FnMut(Event<'a>)) -> Option<()> {
        let mut fields = Reader::new(block);
        let address = address(&mut fields)?;
        let data = fields.bytes(64)?;
        match address.layer {
            NETWORK => self.packet(&address, segment(RAW, fields.rest())?, tell),
            FLOW => self.flow(&address, data, tell),
            _ => None,
        }
    }

    fn packet<'a>(&mut self, address: &Address, segment: Segment<'a>, tell: &mut impl FnMut(Event<'a>)) -> Option<()> {
        let ends = (segment.source, segment.destination);
        // What stays on the machine is seen once, going out, and has both ends here.
        if address.flags & (OUTBOUND | LOOPBACK) != 0 {
            self.end(address, ends, Side::A, &segment, tell)?;
        }
        if address.flags & OUTBOUND == 0 || address.flags & LOOPBACK != 0 {
            self.end(address, (ends.1, ends.0), Side::B, &segment, tell)?;
        }
        Some(())
    }

    /// One end's view of a packet; `ends` are (local, remote).
    fn end<'a>(&mut self, address: &Address, ends: Ends, from: Side, segment: &Segment<'a>, tell: &mut impl FnMut(Event<'a>)) -> Option<()> {
        let at_ns = self.ticks.unix_ns(address.ticks);
        let Body::Tcp { sequence, acknowledged, syn, fin, rst } = segment.body else {
            let facts = self.facts(ends, None, true);
            let conn = u64::from(ends.0.port()) | 1 << 63;
            tell(Event::Datagram { conn, facts, from, at_ns, data: segment.payload });
            return Some(());
        };
        let opens = syn && acknowledged.is_none();
        if opens && let Some(before) = self.known.remove(&ends) {
            tell(Event::Close { conn: before.conn, at_ns });
        }
        let client = syn.then(|| if acknowledged.is_some() { from.other() } else { from });
        let conn = self.conn(ends, client, opens, at_ns, tell)?;
        let length = segment.payload.len() as u32 + segment.missing;
        if length > 0 {
            let piece = Piece { from, at_ns, sequence: sequence.wrapping_add(u32::from(syn)), length, tls: false, data: segment.payload };
            tell(Event::Bytes { conn, client, piece });
        }
        self.ends(ends, from, fin, rst, at_ns, tell);
        Some(())
    }

    fn conn<'a>(&mut self, ends: Ends, client: Option<Side>, from_start: bool, at_ns: i64, tell: &mut impl FnMut(Event<'a>)) -> Option<Conn> {
        if let Some(known) = self.known.get(&ends) {
            return Some(known.conn);
        }
        if self.known.len() >= self.connections_max {
            return None;
        }
        self.opened += 1;
        self.known.insert(ends, Known { conn: self.opened, ended: [false; 2] });
        tell(Event::Open { conn: self.opened, facts: self.facts(ends, client, false), from_start, at_ns });
        Some(self.opened)
    }

    fn ends<'a>(&mut self, ends: Ends, from: Side, fin: bool, rst: bool, at_ns: i64, tell: &mut impl FnMut(Event<'a>)) {
        let Some(known) = self.known.get_mut(&ends) else { return };
        known.ended[from.index()] |= fin;
        if rst || known.ended == [true; 2] {
            tell(Event::Close { conn: known.conn, at_ns });
            self.known.remove(&ends);
        }
    }

    fn facts(&self, ends: Ends, client: Option<Side>, udp: bool) -> Facts {
        let process = self.processes.get(&(ends, udp)).copied().unwrap_or(0);
        Facts { local: Some(ends.0), remote: Some(ends.1), client, process, namespace: 0 }
    }

    /// WINDIVERT_DATA_FLOW: two endpoint ids, the process, both addresses and ports (in the byte order of the machine), the protocol.
    fn flow<'a>(&mut self, address: &Address, data: &[u8], tell: &mut impl FnMut(Event<'a>)) -> Option<()> {
        let mut fields = Reader::new(data);
        fields.bytes(16)?;
        let process = fields.u32_le()?;
        let (local, remote) = (ip(&mut fields)?, ip(&mut fields)?);
        let ends = (SocketAddr::new(local, fields.u16_le()?), SocketAddr::new(remote, fields.u16_le()?));
        let udp = fields.u8()? == 17;
        match address.event {
            FLOW_DELETED => self.processes.remove(&(ends, udp)),
            FLOW_ESTABLISHED if self.processes.len() < self.connections_max => self.processes.insert((ends, udp), process),
            _ => return None,
        };
        if let Some(known) = self.known.get(&ends).filter(|_| !udp) {
            tell(Event::Learn { conn: known.conn, facts: self.facts(ends, None, udp) });
        }
        Some(())
    }
}

/// Four words, the lowest first; IPv4 as a mapped address.
fn ip(fields: &mut Reader<'_>) -> Option<IpAddr> {
    let words = [fields.u32_le()?, fields.u32_le()?, fields.u32_le()?, fields.u32_le()?];
    let address = words.iter().rev().fold(0u128, |sum, word| sum << 32 | u128::from(*word));
    let address = Ipv6Addr::from(address);
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}
