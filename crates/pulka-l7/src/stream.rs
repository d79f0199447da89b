//! One stream of bytes in both directions: first its protocol is found, then its decoder is driven.

use crate::buffer::Buffer;
use crate::connection::Side;
use crate::decoder::{Decoder, Limits, Next, Protocol, Step, Transport, Verdict};
use crate::opening::{Event, Opener, Outcome};
use crate::transaction::{Party, Transaction};

/// Steps in a row that take nothing, upgrades of one connection, lost chunks in a row: more of them is not a protocol.
const IDLE_STEPS: usize = 8;
const UPGRADES: usize = 4;
const LOST_CHUNKS: usize = 64;
/// Larger chunks are fed in pieces, so that a buffer exceeds its limit by no more than one.
const PIECE_BYTES: usize = 16_384;

pub struct Stream {
    transport: Transport,
    limits: Limits,
    state: State,
    upgrades: usize,
    /// What it is, or was when it ended.
    found: Option<(&'static str, Side)>,
}

enum State {
    Opening(Box<Opener>),
    Decoding(Box<Decoding>),
    /// Not read, with the reason.
    Opaque(&'static str),
}

struct Decoding {
    client: Side,
    decoder: Box<dyn Decoder>,
    flows: [Flow; 2],
    lost_chunks: usize,
    idle_steps: usize,
    /// Until the other party has spoken: what to ask, and transactions that wait for the answer.
    unconfirmed: Option<Box<Unconfirmed>>,
}

struct Unconfirmed {
    opener: Opener,
    protocol: &'static Protocol,
    held: Vec<Transaction>,
    /// The opener knows these bytes already.
    replaying: bool,
}

#[derive(Default)]
struct Flow {
    buffer: Buffer,
    need: usize,
    waits: bool,
}

/// What `advance` ended with.
enum Pause {
    Blocked { moved: bool },
    Became(Next),
    Hopeless(&'static str),
}

impl Stream {
    pub fn new(transport: Transport, client: Option<Side>, from_start: bool, limits: Limits) -> Self {
        Stream { transport, limits, state: State::Opening(Box::new(Opener::new(transport, client, from_start))), upgrades: 0, found: None }
    }

    /// Of a protocol that is known beforehand; nothing is classified.
    pub fn speaking(protocol: &'static Protocol, transport: Transport, client: Side, limits: Limits) -> Self {
        let decoding = Decoding::new(client, (protocol.decoder)(transport, limits), None);
        Stream { transport, limits, state: State::Decoding(Box::new(decoding)), upgrades: 0, found: Some((protocol.name, client)) }
    }

    pub fn protocol(&self) -> Option<&'static str> {
        self.found.map(|(name, _)| name)
    }

    pub fn client(&self) -> Option<Side> {
        self.found.map(|(_, client)| client)
    }

    pub fn opaque(&self) -> Option<&'static str> {
        match &self.state {
            State::Opaque(reason) => Some(reason),
            _ => None,
        }
    }

    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Opening(opener) => opener.held_bytes(),
            State::Decoding(decoding) => decoding.held_bytes(),
            State::Opaque(_) => 0,
        }
    }

    pub fn set_client(&mut self, client: Side) {
        if let State::Opening(opener) = &mut self.state {
            opener.set_client(client);
        }
    }

    pub fn bytes(&mut self, side: Side, at_ns: i64, data: &[u8], out: &mut Vec<Transaction>) {
        if data.is_empty() {
            return;
        }
        match &self.state {
            State::Opening(_) => self.open(Event::Bytes { side, at_ns, data: data.into() }, out),
            State::Decoding(_) => self.decode(side, at_ns, data, out),
            State::Opaque(_) => {}
        }
    }

    /// Whether a message may be missing: not of a payload that is passed over anyway, nor where nothing is decoded.
    pub fn gap(&mut self, side: Side, bytes: u64, out: &mut Vec<Transaction>) -> bool {
        match &mut self.state {
            State::Opening(_) => {
                self.open(Event::Gap { side, bytes }, out);
                true
            }
            State::Decoding(decoding) => {
                let from = decoding.party(side);
                let flow = &mut decoding.flows[from.index()];
                flow.need = 0;
                let costs = !flow.buffer.gap(bytes);
                if costs {
                    decoding.decoder.gap(from, bytes, out);
                }
                if !decoding.flows[from.index()].buffer.skipping() {
                    self.drive(from, out);
                }
                costs
            }
            State::Opaque(_) => false,
        }
    }

    pub fn end(&mut self, side: Side, at_ns: i64, out: &mut Vec<Transaction>) {
        match &mut self.state {
            State::Opening(_) => self.open(Event::End { side, at_ns }, out),
            State::Decoding(decoding) => {
                let from = decoding.party(side);
                decoding.decoder.end(from, at_ns, out);
            }
            State::Opaque(_) => {}
        }
    }

    pub fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        if let State::Opening(opener) = &mut self.state {
            let outcome = opener.decide(&self.limits, true);
            self.settle(outcome, out);
        }
        if let State::Decoding(decoding) = &mut self.state {
            decoding.decoder.close(at_ns, out);
            decoding.release(out);
        }
        self.state = State::Opaque("closed");
    }

    fn open(&mut self, event: Event, out: &mut Vec<Transaction>) {
        let State::Opening(opener) = &mut self.state else { return };
        let speaks = matches!(event, Event::Bytes { .. });
        opener.push(event, &self.limits);
        if speaks {
            let outcome = opener.decide(&self.limits, false);
            self.settle(outcome, out);
        }
    }

    fn settle(&mut self, outcome: Outcome, out: &mut Vec<Transaction>) {
        let State::Opening(opener) = &mut self.state else { return };
        match outcome {
            Outcome::Open => {}
            Outcome::Unknown => self.state = State::Opaque("protocol not recognised"),
            Outcome::Found { protocol, client, confirmed } => {
                let events = opener.take_events();
                self.found = Some((protocol.name, client));
                let State::Opening(opener) = std::mem::replace(&mut self.state, State::Opaque("")) else { return };
                let unconfirmed = (!confirmed).then(|| Box::new(Unconfirmed { opener: *opener, protocol, held: Vec::new(), replaying: true }));
                self.state = State::Decoding(Box::new(Decoding::new(client, (protocol.decoder)(self.transport, self.limits), unconfirmed)));
                self.replay(events, out);
                if let State::Decoding(decoding) = &mut self.state && let Some(unconfirmed) = &mut decoding.unconfirmed {
                    unconfirmed.replaying = false;
                }
            }
        }
    }

    fn replay(&mut self, events: Vec<Event>, out: &mut Vec<Transaction>) {
        for event in events {
            match event {
                Event::Bytes { side, at_ns, data } => self.bytes(side, at_ns, &data, out),
                Event::Gap { side, bytes } => {
                    self.gap(side, bytes, out);
                }
                Event::End { side, at_ns } => self.end(side, at_ns, out),
            }
        }
    }

    fn decode(&mut self, side: Side, at_ns: i64, data: &[u8], out: &mut Vec<Transaction>) {
        if !self.confirmed(side, at_ns, data, out) {
            return;
        }
        let piece_bytes = if self.transport == Transport::Datagram { usize::MAX } else { PIECE_BYTES };
        for (index, piece) in data.chunks(piece_bytes).enumerate() {
            let State::Decoding(decoding) = &mut self.state else {
                return self.bytes(side, at_ns, &data[index * PIECE_BYTES..], out); // an upgrade within this chunk: classified anew
            };
            let from = decoding.party(side);
            decoding.flows[from.index()].buffer.push(at_ns, piece, index == 0);
            if !decoding.flows[from.index()].buffer.skipping() {
                self.drive(from, out);
            }
        }
    }

    /// Asks again, once the party that was silent speaks, whether the protocol is the right one.
    fn confirmed(&mut self, side: Side, at_ns: i64, data: &[u8], out: &mut Vec<Transaction>) -> bool {
        let State::Decoding(decoding) = &mut self.state else { return false };
        let client = decoding.client;
        let Some(unconfirmed) = decoding.unconfirmed.as_mut().filter(|unconfirmed| !unconfirmed.replaying) else { return true };
        unconfirmed.opener.push(Event::Bytes { side, at_ns, data: data[..data.len().min(self.limits.opening_bytes)].into() }, &self.limits);
        unconfirmed.opener.take_events();
        match unconfirmed.opener.confirm(unconfirmed.protocol, client) {
            Verdict::Yes => decoding.release(out),
            Verdict::No => {
                self.found = None;
                self.state = State::Opaque("protocol not recognised");
                return false;
            }
            _ => {}
        }
        true
    }

    /// Lets the decoder take what it can, of the party that has news and of the other one when it waits for it.
    fn drive(&mut self, first: Party, out: &mut Vec<Transaction>) {
        let mut party = first;
        loop {
            let State::Decoding(decoding) = &mut self.state else { return };
            match decoding.advance(party, self.transport, &self.limits, out) {
                Pause::Blocked { moved } => {
                    let other = party.other();
                    if !moved || !decoding.flows[other.index()].waits {
                        decoding.idle_steps = 0;
                        return;
                    }
                    party = other;
                }
                Pause::Hopeless(reason) => {
                    decoding.release(out);
                    self.state = State::Opaque(reason);
                }
                Pause::Became(next) => self.become_next(next, out),
            }
        }
    }

    fn become_next(&mut self, next: Next, out: &mut Vec<Transaction>) {
        let State::Decoding(decoding) = &mut self.state else { return };
        decoding.release(out);
        self.upgrades += 1;
        match next {
            _ if self.upgrades > UPGRADES => self.state = State::Opaque("too many upgrades"),
            Next::Opaque(reason) => self.state = State::Opaque(reason),
            Next::Decoder(name, decoder) => {
                self.found = Some((name, decoding.client));
                decoding.become_decoder(decoder);
            }
            Next::Classify => {
                let (client, events) = (decoding.client, decoding.leftovers());
                self.state = State::Opening(Box::new(Opener::new(self.transport, Some(client), true)));
                self.replay(events, out);
            }
        }
    }
}

impl Decoding {
    fn new(client: Side, decoder: Box<dyn Decoder>, unconfirmed: Option<Box<Unconfirmed>>) -> Self {
        Decoding { client, decoder, flows: Default::default(), lost_chunks: 0, idle_steps: 0, unconfirmed }
    }

    fn party(&self, side: Side) -> Party {
        if side == self.client { Party::Client } else { Party::Server }
    }

    fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.flows.iter().map(|flow| flow.buffer.held_bytes()).sum::<usize>()
    }

    fn become_decoder(&mut self, decoder: Box<dyn Decoder>) {
        self.decoder = decoder;
        for flow in &mut self.flows {
            (flow.need, flow.waits) = (0, true);
        }
    }

    /// What no step has taken, as chunks of each party.
    fn leftovers(&self) -> Vec<Event> {
        let side = |party| if party == Party::Client { self.client } else { self.client.other() };
        let of = |party: Party| {
            let input = self.flows[party.index()].buffer.input();
            (!input.bytes.is_empty()).then(|| Event::Bytes { side: side(party), at_ns: input.ns_at(0), data: input.bytes.into() })
        };
        [Party::Client, Party::Server].into_iter().filter_map(of).collect()
    }

    /// Transactions that waited for a confirmation come out.
    fn release(&mut self, out: &mut Vec<Transaction>) {
        if let Some(unconfirmed) = self.unconfirmed.take() {
            let later = std::mem::replace(out, unconfirmed.held);
            out.extend(later);
        }
    }

    fn advance(&mut self, from: Party, transport: Transport, limits: &Limits, out: &mut Vec<Transaction>) -> Pause {
        let mut moved = false;
        loop {
            let flow = &mut self.flows[from.index()];
            if flow.buffer.skipping() || flow.buffer.len() < flow.need {
                return Pause::Blocked { moved };
            }
            if self.idle_steps > IDLE_STEPS {
                return Pause::Hopeless("a decoder did not move on");
            }
            let (had, before) = (out.len(), flow.buffer.len());
            let step = self.decoder.parse(from, &flow.buffer.input(), out);
            if out.len() > had {
                self.lost_chunks = 0;
                self.hold(had, limits, out);
            }
            if self.decoder.held_bytes() > limits.decoder_bytes {
                return Pause::Hopeless("the decoder exceeds its memory");
            }
            let flow = &mut self.flows[from.index()];
            (flow.need, flow.waits) = (0, matches!(step, Step::Wait));
            match step {
                Step::Need(_) | Step::Wait if transport == Transport::Datagram => {
                    flow.buffer.take(before);
                    return Pause::Blocked { moved };
                }
                Step::Need(count) if count.max(before + 1) <= limits.buffer_bytes => {
                    flow.need = count.max(before + 1);
                    return Pause::Blocked { moved };
                }
                Step::Wait if before <= limits.buffer_bytes => return Pause::Blocked { moved },
                Step::Need(_) | Step::Wait => {
                    flow.buffer.take(before);
                    self.decoder.gap(from, 0, out);
                    self.lost_chunks += 1;
                }
                Step::Take(count) => flow.buffer.take(count),
                Step::Skip(count) => flow.buffer.skip(count),
                Step::Lost if before == 0 => return Pause::Blocked { moved },
                Step::Lost => {
                    flow.buffer.lose_chunk();
                    self.lost_chunks += 1;
                }
                Step::Become(count, next) => {
                    flow.buffer.take(count);
                    return Pause::Became(next);
                }
            }
            if self.lost_chunks > LOST_CHUNKS {
                return Pause::Hopeless("nothing readable for long");
            }
            let flow = &self.flows[from.index()];
            self.idle_steps = if flow.buffer.len() < before || flow.buffer.skipping() { 0 } else { self.idle_steps + 1 };
            moved = true;
        }
    }

    /// Keeps what `parse` has just emitted until the protocol is confirmed, or there is much of it.
    fn hold(&mut self, had: usize, limits: &Limits, out: &mut Vec<Transaction>) {
        let Some(unconfirmed) = &mut self.unconfirmed else { return };
        unconfirmed.held.extend(out.drain(had..));
        if unconfirmed.held.len() > limits.in_flight {
            self.release(out);
        }
    }
}
