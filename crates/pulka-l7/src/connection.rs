//! What a source of bytes calls: one `Connection` per socket, or per pair of addresses and ports.
//!
//! A source says what it knows: who opened the connection (SYN, sockops) and whether it was seen from its first byte.

use crate::decoder::{Limits, Protocol, Transport};
use crate::registry;
use crate::stream::Stream;
use crate::transaction::Transaction;

/// The two ends of a connection, before it is known which of them is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

/// Bytes as they arrived: in order, without holes (those are `gap`s), however cut. Of a datagram: all of it.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Who sent it.
    pub side: Side,
    /// Unix time in ns.
    pub at_ns: i64,
    /// Plaintext from within TLS (a probe on the library), not what was on the wire.
    pub tls: bool,
    pub data: &'a [u8],
}

pub struct Connection {
    transport: Transport,
    client: Option<Side>,
    from_start: bool,
    limits: Limits,
    wire: Stream,
    inside_tls: Option<Box<Stream>>,
}

impl Connection {
    pub fn new(transport: Transport, client: Option<Side>, from_start: bool, limits: Limits) -> Self {
        Connection { transport, client, from_start, limits, wire: Stream::new(transport, client, from_start, limits), inside_tls: None }
    }

    /// Of a protocol that is known beforehand; nothing is classified.
    pub fn speaking(protocol: &'static Protocol, transport: Transport, client: Side, limits: Limits) -> Self {
        let wire = Stream::speaking(protocol, transport, client, limits);
        Connection { transport, client: Some(client), from_start: true, limits, wire, inside_tls: None }
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Transaction>) {
        self.stream(chunk.tls).bytes(chunk.side, chunk.at_ns, chunk.data, out);
    }

    /// `bytes` that `side` sent are missing here. Whether a message may be missing with them.
    pub fn gap(&mut self, side: Side, bytes: u64, tls: bool, out: &mut Vec<Transaction>) -> bool {
        self.stream(tls).gap(side, bytes, out)
    }

    /// `side` sends nothing any more (FIN).
    pub fn end(&mut self, side: Side, at_ns: i64, out: &mut Vec<Transaction>) {
        self.wire.end(side, at_ns, out);
        if let Some(inside) = &mut self.inside_tls {
            inside.end(side, at_ns, out);
        }
    }

    /// The connection is over (both FINs, RST, idle for too long).
    pub fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        self.wire.close(at_ns, out);
        if let Some(inside) = &mut self.inside_tls {
            inside.close(at_ns, out);
        }
    }

    /// Says who opened it, when a source learns that later.
    pub fn set_client(&mut self, client: Side) {
        self.client = Some(client);
        self.wire.set_client(client);
        if let Some(inside) = &mut self.inside_tls {
            inside.set_client(client);
        }
    }

    /// The protocol's registered name once it is found; of the plaintext when there is any.
    pub fn protocol(&self) -> Option<&'static str> {
        self.inside_tls.as_ref().and_then(|inside| inside.protocol()).or_else(|| self.wire.protocol())
    }

    /// The decoder's own line of the registry, once the protocol is found.
    pub fn streams(&self) -> bool {
        self.protocol().and_then(registry::named).is_some_and(|protocol| protocol.streams)
    }

    /// Who is the client: told by the source, or by the protocol.
    pub fn client(&self) -> Option<Side> {
        self.client.or_else(|| self.inside_tls.as_ref().and_then(|inside| inside.client())).or_else(|| self.wire.client())
    }

    /// Why nothing is read, when nothing is.
    pub fn opaque(&self) -> Option<&'static str> {
        self.inside_tls.as_ref().map_or_else(|| self.wire.opaque(), |inside| inside.opaque())
    }

    pub fn held_bytes(&self) -> usize {
        self.wire.held_bytes() + self.inside_tls.as_ref().map_or(0, |inside| inside.held_bytes())
    }

    fn stream(&mut self, tls: bool) -> &mut Stream {
        if !tls {
            return &mut self.wire;
        }
        self.inside_tls.get_or_insert_with(|| Box::new(Stream::new(self.transport, self.client, self.from_start, self.limits)))
    }
}
