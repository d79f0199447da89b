//! Capture files as a source: packets are put in order per connection and fed to the decoders.
//!
//! A capture is untrusted: memory is bounded by `Settings`, whatever it holds.

pub mod file;
pub mod packet;
pub mod reassembly;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use file::{File, FileError, Packet};
use packet::{Body, Segment, segment};
use reassembly::{Piece, Reassembly};

use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::transaction::{Initiator, NO_RESPONSE, Transaction};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// Connections that are followed at once; those that were silent longest make room.
    pub connections: usize,
    /// Of all connections together.
    pub memory_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { limits: Limits::DEFAULT, connections: 65_536, memory_bytes: 64 << 20 }
    }
}

/// A transaction and who spoke.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub transaction: Transaction,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Counts connections from zero.
    pub connection: u64,
}

/// A connection that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    pub connection: u64,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub transport: Transport,
    /// None when nothing was recognised, with the reason.
    pub protocol: Option<&'static str>,
    pub opaque: Option<&'static str>,
    pub transactions: u64,
    pub bytes: u64,
}

/// What came out since it was taken last.
#[derive(Default, Debug)]
pub struct Found {
    pub transactions: Vec<Seen>,
    pub connections: Vec<Closed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    /// Neither TCP nor UDP, or fragments, or of a link that is not read.
    pub packets_passed_over: u64,
    /// Connections that were given up to stay within the settings.
    pub connections_evicted: u64,
    pub bytes_missing: u64,
}

pub struct Capture {
    file: File,
    flows: Flows,
}

impl Capture {
    pub fn new(settings: Settings) -> Self {
        Capture { file: File::default(), flows: Flows { settings, table: BTreeMap::new(), held_bytes: 0, opened: 0, packets: 0, counts: Counts::default(), found: Found::default() } }
    }

    /// The next piece of the file, of any size.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.push(bytes, &mut |packet| self.flows.packet(&packet))
    }

    /// The file is over. True when it ended within a packet.
    pub fn finish(&mut self) -> bool {
        let mut rest: Vec<(u64, Key)> = self.flows.table.iter().map(|(key, flow)| (flow.number, *key)).collect();
        rest.sort_unstable();
        for (_, key) in rest {
            self.flows.close(&key, None);
        }
        self.file.is_cut()
    }

    pub fn take(&mut self) -> Found {
        std::mem::take(&mut self.flows.found)
    }

    pub fn counts(&self) -> Counts {
        self.flows.counts
    }

    /// Heap bytes of connections that are followed, roughly.
    pub fn held_bytes(&self) -> usize {
        self.flows.held_bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    datagram: bool,
    low: SocketAddr,
    high: SocketAddr,
}

struct Flow {
    number: u64,
    /// The address of side A, who was seen first.
    first: SocketAddr,
    /// None after its end, so that late packets do not begin it anew.
    connection: Option<Box<Connection>>,
    order: [Reassembly; 2],
    spoke: [bool; 2],
    last_packet: u64,
    last_ns: i64,
    held_bytes: usize,
    bytes: u64,
    transactions: u64,
}

struct Flows {
    settings: Settings,
    table: BTreeMap<Key, Flow>,
    held_bytes: usize,
    opened: u64,
    packets: u64,
    counts: Counts,
    found: Found,
}

/// Of a flow in the table, beside what its connection holds.
const FLOW_BYTES: usize = 1024;

impl Flows {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        self.counts.packets += 1;
        let Some(segment) = segment(packet.link, packet.data) else {
            self.counts.packets_passed_over += 1;
            return;
        };
        let (low, high) = (segment.source.min(segment.destination), segment.source.max(segment.destination));
        let key = Key { datagram: segment.body == Body::Udp, low, high };
        match segment.body {
            Body::Udp => self.datagram(key, packet.at_ns, &segment),
            Body::Tcp { .. } => self.tcp(key, packet.at_ns, &segment),
        }
        self.stay_within_memory(&key);
    }

    fn datagram(&mut self, key: Key, at_ns: i64, segment: &Segment<'_>) {
        self.open(key, segment, at_ns, None, true);
        let Some(flow) = self.table.get_mut(&key) else { return };
        let (side, mut out) = (flow.touch(segment, self.packets, at_ns), Vec::new());
        if let Some(connection) = &mut flow.connection {
            connection.chunk(&Chunk { side, at_ns, tls: false, data: segment.payload }, &mut out);
        }
        self.settle(&key, out);
    }

    fn tcp(&mut self, key: Key, at_ns: i64, segment: &Segment<'_>) {
        let Body::Tcp { sequence, acknowledged, syn, fin, rst } = segment.body else { return };
        if syn {
            self.syn(key, at_ns, segment, sequence, acknowledged.is_some());
        } else if !segment.payload.is_empty() || segment.missing > 0 {
            self.open(key, segment, at_ns, None, false);
        }
        let Some(flow) = self.table.get_mut(&key) else { return };
        let side = flow.touch(segment, self.packets, at_ns);
        let Some(connection) = &mut flow.connection else { return };
        let (mut out, mut missing) = (Vec::new(), 0);
        let [a, b] = &mut flow.order;
        let (own, other) = if side == Side::A { (a, b) } else { (b, a) };
        let first = sequence.wrapping_add(u32::from(syn));
        if !segment.payload.is_empty() || segment.missing > 0 {
            own.segment(first, at_ns, segment.payload, segment.missing, &mut |piece| missing += feed(connection, side, piece, &mut out));
        }
        if let Some(acknowledged) = acknowledged {
            other.acknowledged(acknowledged, &mut |piece| missing += feed(connection, side.other(), piece, &mut out));
        }
        let ended = own.is_finished();
        if fin {
            own.finish(first.wrapping_add(segment.payload.len() as u32).wrapping_add(segment.missing));
        }
        if own.is_finished() && !ended {
            connection.end(side, at_ns, &mut out);
        }
        let over = rst || (own.is_finished() && other.is_finished());
        self.counts.bytes_missing += missing;
        self.settle(&key, out);
        if over {
            self.close(&key, Some(at_ns));
        }
    }

    /// A SYN opens a connection, anew when its addresses and ports were in use before.
    fn syn(&mut self, key: Key, at_ns: i64, segment: &Segment<'_>, sequence: u32, answer: bool) {
        let client = if answer { segment.destination } else { segment.source };
        if let Some(flow) = self.table.get(&key) {
            let order = &flow.order[flow.side(segment.source).index()];
            let again = order.is_new() || (flow.connection.is_some() && order.began_with(sequence));
            if !again && !answer {
                self.close(&key, Some(at_ns));
                self.forget(&key);
            }
        }
        self.open(key, segment, at_ns, Some(client), true);
        let Some(flow) = self.table.get_mut(&key) else { return };
        let side = flow.side(segment.source);
        if flow.order[side.index()].is_new() {
            flow.order[side.index()].begin(sequence);
        }
    }

    fn open(&mut self, key: Key, segment: &Segment<'_>, at_ns: i64, client: Option<SocketAddr>, from_start: bool) {
        if self.table.contains_key(&key) {
            return;
        }
        if self.table.len() >= self.settings.connections {
            self.evict(self.settings.connections / 16 + 1);
        }
        let transport = if key.datagram { Transport::Datagram } else { Transport::Stream };
        let client = client.map(|client| if client == segment.source { Side::A } else { Side::B });
        let flow = Flow {
            number: self.opened,
            first: segment.source,
            connection: Some(Box::new(Connection::new(transport, client, from_start, self.settings.limits))),
            order: Default::default(),
            spoke: [false; 2],
            last_packet: self.packets,
            last_ns: at_ns,
            held_bytes: 0,
            bytes: 0,
            transactions: 0,
        };
        self.opened += 1;
        self.table.insert(key, flow);
    }

    /// Takes what a flow said, and what it holds now.
    fn settle(&mut self, key: &Key, out: Vec<Transaction>) {
        let Some(flow) = self.table.get_mut(key) else { return };
        let held = FLOW_BYTES + flow.connection.as_ref().map_or(0, |connection| connection.held_bytes()) + flow.order.iter().map(Reassembly::held_bytes).sum::<usize>();
        self.held_bytes = self.held_bytes + held - flow.held_bytes;
        flow.held_bytes = held;
        flow.transactions += out.len() as u64;
        let (client, server) = flow.ends(key);
        let seen = |transaction| Seen { transaction, client, server, connection: flow.number };
        self.found.transactions.extend(out.into_iter().map(seen));
    }

    fn close(&mut self, key: &Key, at_ns: Option<i64>) {
        let Some(flow) = self.table.get_mut(key) else { return };
        let Some(mut connection) = flow.connection.take() else { return };
        let (mut out, mut missing) = (Vec::new(), 0);
        for (side, order) in [Side::A, Side::B].into_iter().zip(&mut flow.order) {
            order.flush(&mut |piece| missing += feed(&mut connection, side, piece, &mut out));
        }
        let opaque = connection.opaque();
        connection.close(at_ns.unwrap_or(flow.last_ns), &mut out);
        let (client, protocol) = (connection.client(), connection.protocol());
        let opaque = opaque.or(if protocol.is_none() { Some("too little was said to recognise a protocol") } else { None });
        if flow.spoke != [true, true] {
            forgive_silence(&mut out); // only one direction was captured: nobody knows that there was no answer
        }
        let (client, server) = if client == Some(Side::B) { (key.other(flow.first), flow.first) } else { (flow.first, key.other(flow.first)) };
        self.counts.bytes_missing += missing;
        flow.transactions += out.len() as u64;
        self.found.transactions.extend(out.into_iter().map(|transaction| Seen { transaction, client, server, connection: flow.number }));
        let transport = if key.datagram { Transport::Datagram } else { Transport::Stream };
        let (connection, transactions, bytes) = (flow.number, flow.transactions, flow.bytes);
        self.found.connections.push(Closed { connection, client, server, transport, protocol, opaque, transactions, bytes });
        self.settle(key, Vec::new());
    }

    fn stay_within_memory(&mut self, current: &Key) {
        let alone = self.table.get(current).is_some_and(|flow| flow.held_bytes > self.settings.memory_bytes);
        if alone {
            self.close(current, None);
        } else if self.held_bytes > self.settings.memory_bytes {
            self.evict(self.table.len() / 16 + 1);
        }
    }

    /// Closes the `count` connections that were silent longest.
    fn evict(&mut self, count: usize) {
        let mut ages: Vec<(u64, Key)> = self.table.iter().map(|(key, flow)| (flow.last_packet, *key)).collect();
        let count = count.min(ages.len());
        ages.sort_unstable();
        for (_, key) in &ages[..count] {
            self.close(key, None);
            self.forget(key);
            self.counts.connections_evicted += 1;
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(flow) = self.table.remove(key) {
            self.held_bytes -= flow.held_bytes;
        }
    }
}

impl Key {
    fn other(&self, address: SocketAddr) -> SocketAddr {
        if address == self.low { self.high } else { self.low }
    }
}

impl Flow {
    fn side(&self, source: SocketAddr) -> Side {
        if source == self.first { Side::A } else { Side::B }
    }

    fn touch(&mut self, segment: &Segment<'_>, packet: u64, at_ns: i64) -> Side {
        let side = self.side(segment.source);
        self.spoke[side.index()] = true;
        (self.last_packet, self.last_ns) = (packet, self.last_ns.max(at_ns));
        self.bytes += segment.payload.len() as u64 + u64::from(segment.missing);
        side
    }

    /// Client and server as far as they are known; else the side that was seen first is taken as client.
    fn ends(&self, key: &Key) -> (SocketAddr, SocketAddr) {
        let client = self.connection.as_ref().and_then(|connection| connection.client());
        if client == Some(Side::B) { (key.other(self.first), self.first) } else { (self.first, key.other(self.first)) }
    }
}

/// Hands a piece on; returns how many bytes of it are missing.
fn feed(connection: &mut Connection, side: Side, piece: Piece<'_>, out: &mut Vec<Transaction>) -> u64 {
    match piece {
        Piece::Bytes { at_ns, data } => connection.chunk(&Chunk { side, at_ns, tls: false, data }, out),
        Piece::Gap { bytes } => {
            connection.gap(side, bytes, false, out);
            return bytes;
        }
    }
    0
}

fn forgive_silence(out: &mut [Transaction]) {
    for transaction in out {
        if transaction.error.as_deref() == Some(NO_RESPONSE) {
            (transaction.error, transaction.initiator) = (None, Initiator::ClientOneWay);
        }
    }
}
