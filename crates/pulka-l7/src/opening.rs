//! Finding a connection's protocol: once, by content, confirmed in both directions.
//!
//! Until it is found, chunks wait here in order. When roles are unknown, every protocol is tried with either side as client.

use crate::connection::Side;
use crate::decoder::{Limits, Opening, Protocol, Transport, Verdict};
use crate::registry::PROTOCOLS;

/// How often a stream that was met in its middle may begin anew at the next chunk.
const TRIES: usize = 16;

/// Chunks that wait; more of them are no opening.
const EVENTS: usize = 1024;

/// What happened on a stream, in order.
pub enum Event {
    Bytes { side: Side, at_ns: i64, data: Vec<u8> },
    Gap { side: Side, bytes: u64 },
    End { side: Side, at_ns: i64 },
}

pub enum Outcome {
    /// More bytes will tell.
    Open,
    /// `confirmed` is false when only one party has spoken so far.
    Found { protocol: &'static Protocol, client: Side, confirmed: bool },
    Unknown,
}

pub struct Opener {
    transport: Transport,
    client: Option<Side>,
    from_start: bool,
    tries: usize,
    first: [Vec<u8>; 2],
    closed: [bool; 2],
    waiting: Vec<Event>,
    waiting_bytes: usize,
    /// Per side as client, a bit for each protocol that is not ruled out.
    candidates: [u64; 2],
}

impl Opener {
    pub fn new(transport: Transport, client: Option<Side>, from_start: bool) -> Self {
        let all = u64::MAX >> (64 - PROTOCOLS.len());
        let may = |side| if client.is_none_or(|client| client == side) { all } else { 0 };
        Opener {
            transport,
            client,
            from_start,
            tries: 0,
            first: [Vec::new(), Vec::new()],
            closed: [false; 2],
            waiting: Vec::new(),
            waiting_bytes: 0,
            candidates: [may(Side::A), may(Side::B)],
        }
    }

    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.waiting.capacity() * size_of::<Event>() + self.first[0].capacity() + self.first[1].capacity()
    }

    pub fn set_client(&mut self, client: Side) {
        self.client = Some(client);
        self.candidates[client.other().index()] = 0;
    }

    pub fn push(&mut self, event: Event, limits: &Limits) {
        match &event {
            Event::Bytes { side, data, .. } => self.listen(*side, data, limits),
            Event::Gap { side, .. } if self.first[side.index()].is_empty() => self.from_start = false,
            Event::Gap { side, .. } => self.closed[side.index()] = true,
            Event::End { .. } => {}
        }
        match (self.waiting.last_mut(), event) {
            (Some(Event::Bytes { side, at_ns, data }), Event::Bytes { side: again, at_ns: same_ns, data: more }) if *side == again && *at_ns == same_ns => data.extend(more),
            (_, event) => self.waiting.push(event),
        }
    }

    fn listen(&mut self, side: Side, data: &[u8], limits: &Limits) {
        self.waiting_bytes += data.len();
        let first = &mut self.first[side.index()];
        let datagram_seen = self.transport == Transport::Datagram && !first.is_empty();
        if !datagram_seen && !self.closed[side.index()] {
            first.extend_from_slice(&data[..data.len().min(limits.opening_bytes.saturating_sub(first.len()))]);
        }
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.waiting)
    }

    /// Asks every protocol that is left. `last`: no more bytes will come.
    pub fn decide(&mut self, limits: &Limits, last: bool) -> Outcome {
        let mut one_sided = None;
        let mut several = false;
        for client in [Side::A, Side::B] {
            for (index, protocol) in PROTOCOLS.iter().copied().enumerate() {
                if self.candidates[client.index()] & (1 << index) == 0 {
                    continue;
                }
                match (protocol.recognise)(&self.opening(client)) {
                    Verdict::Yes => return Outcome::Found { protocol, client, confirmed: true },
                    Verdict::No => self.candidates[client.index()] &= !(1 << index),
                    Verdict::OneSided => {
                        several |= one_sided.is_some();
                        one_sided = Some((protocol, client));
                    }
                    Verdict::NeedMore => {}
                }
            }
        }
        if self.candidates == [0, 0] {
            return self.begin_anew(limits, last);
        }
        match one_sided {
            Some((protocol, client)) if !several && (last || self.is_full(limits)) => Outcome::Found { protocol, client, confirmed: false },
            _ if last => Outcome::Unknown,
            _ if self.is_full(limits) => self.begin_anew(limits, false),
            _ => Outcome::Open,
        }
    }

    /// Whether the bytes that are known fit `protocol` now that more are there.
    pub fn confirm(&self, protocol: &Protocol, client: Side) -> Verdict {
        (protocol.recognise)(&self.opening(client))
    }

    fn opening(&self, client: Side) -> Opening<'_> {
        Opening { transport: self.transport, client: &self.first[client.index()], server: &self.first[client.other().index()], from_start: self.from_start }
    }

    fn is_full(&self, limits: &Limits) -> bool {
        self.waiting_bytes > 2 * limits.opening_bytes || self.waiting.len() > EVENTS || self.first.iter().any(|first| first.len() >= limits.opening_bytes)
    }

    /// A stream that was met in its middle may become readable where its next chunk begins; what came after it is kept.
    fn begin_anew(&mut self, limits: &Limits, last: bool) -> Outcome {
        if self.from_start || self.tries == TRIES {
            return Outcome::Unknown;
        }
        let tries = self.tries + 1;
        let mut events = self.take_events().into_iter();
        let _dropped = events.by_ref().find(|event| matches!(event, Event::Bytes { .. }));
        *self = Opener::new(self.transport, self.client, false);
        self.tries = tries;
        events.for_each(|event| self.push(event, limits));
        if self.waiting_bytes > 0 { self.decide(limits, last) } else { Outcome::Open }
    }
}
