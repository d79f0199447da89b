//! DNS over UDP and TCP (RFC 1035, RFC 7766), and multicast DNS.

mod message;

use std::collections::VecDeque;

use message::{Message, message, rcode_name, type_name};

use crate::decoder::{Decoder, Input, Limits, Opening, Protocol, Step, Transport, Verdict};
use crate::flight::unfollowed;
use crate::text::printable;
use crate::transaction::{Initiator, NO_RESPONSE, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    title: "DNS",
    versions: "over UDP and TCP, multicast",
    shows: "type, name, response code; updates and notifications",
    streams: false,
    recognise,
    decoder: |transport, limits| Box::new(Dns::new(transport, limits)),
};

/// Of a message over TCP no more than this is looked at.
const LOOKED_AT: usize = 8192;

fn recognise(opening: &Opening<'_>) -> Verdict {
    let (client, server) = (side_verdict(opening, opening.client, false), side_verdict(opening, opening.server, true));
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::OneSided | Verdict::Yes, Verdict::OneSided | Verdict::Yes) => Verdict::Yes,
        (Verdict::Yes, _) if opening.server.is_empty() => Verdict::OneSided,
        (_, Verdict::Yes) if opening.client.is_empty() => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// Yes: a message that holds together to its last byte; OneSided: one whose beginning does.
fn side_verdict(opening: &Opening<'_>, bytes: &[u8], response: bool) -> Verdict {
    let bytes = match (opening.transport, bytes) {
        (_, []) => return Verdict::NeedMore,
        (Transport::Datagram, datagram) => datagram,
        (Transport::Stream, stream) => {
            let Some(length) = stream.first_chunk::<2>().map(|pair| usize::from(u16::from_be_bytes(*pair))) else { return Verdict::NeedMore };
            if length < 12 {
                return Verdict::No;
            }
            match stream.get(2..2 + length) {
                Some(message) => message,
                None => return begun_verdict(&stream[2..], response),
            }
        }
    };
    match message(bytes) {
        Some(found) if found.response == response && (found.question.is_some() || response && found.rcode != 0) => {
            if found.whole { Verdict::Yes } else { Verdict::OneSided }
        }
        _ => Verdict::No,
    }
}

/// A message over TCP of which only the beginning is here.
fn begun_verdict(bytes: &[u8], response: bool) -> Verdict {
    match (bytes, message(bytes)) {
        ([_, _, flags, ..], _) if (*flags >> 7 == 1) != response || *flags & 0x78 > 0x30 => Verdict::No,
        ([_, _, _, _, high, ..], _) if *high != 0 => Verdict::No,
        ([_, _, _, _, _, questions, ..], _) if *questions != 1 && !(response && *questions == 0) => Verdict::No,
        (_, Some(found)) if found.question.is_some() => Verdict::OneSided,
        _ if bytes.len() < 512 => Verdict::NeedMore,
        _ => Verdict::No,
    }
}

struct Query {
    id: u16,
    transaction: Transaction,
}

pub struct Dns {
    transport: Transport,
    limits: Limits,
    waiting: VecDeque<Query>,
}

impl Dns {
    pub fn new(transport: Transport, limits: Limits) -> Self {
        Dns { transport, limits, waiting: VecDeque::new() }
    }

    fn message(&mut self, bytes: &[u8], start_ns: i64, end_ns: i64, size: u64, out: &mut Vec<Transaction>) {
        match message(bytes) {
            Some(found) if found.response => self.response(&found, start_ns, end_ns, size, out),
            Some(found) => self.query(&found, start_ns, end_ns, size, out),
            None => {}
        }
    }

    fn query(&mut self, found: &Message, start_ns: i64, end_ns: i64, size: u64, out: &mut Vec<Transaction>) {
        let transaction = Transaction { start_ns, end_ns, request_bytes: size, ..self.named(found) };
        let known = |query: &&mut Query| query.id == found.id && query.transaction.target == transaction.target && query.transaction.operation == transaction.operation;
        if let Some(first) = self.waiting.iter_mut().find(known) {
            first.transaction.request_bytes += size; // asked again: the wait began with the first
            return;
        }
        if self.waiting.len() >= self.limits.in_flight
            && let Some(oldest) = self.waiting.pop_front()
        {
            out.push(unfollowed(oldest.transaction));
        }
        self.waiting.push_back(Query { id: found.id, transaction });
    }

    fn named(&self, found: &Message) -> Transaction {
        let (name, kind) = found.question.as_ref().map_or((&[][..], None), |(name, kind)| (&name[..], Some(*kind)));
        let operation = match found.opcode {
            4 => "NOTIFY".into(),
            5 => "UPDATE".into(),
            2 => "STATUS".into(),
            _ => kind.map(type_name).unwrap_or_default().into(),
        };
        Transaction { protocol: PROTOCOL.name, operation, target: printable(&name.to_ascii_lowercase(), self.limits.text_bytes).into(), ..Transaction::default() }
    }

    fn response(&mut self, found: &Message, start_ns: i64, end_ns: i64, size: u64, out: &mut Vec<Transaction>) {
        let named = self.named(found);
        let asked = |query: &Query| query.id == found.id && (found.question.is_none() || (query.transaction.target == named.target && query.transaction.operation == named.operation));
        let query = self.waiting.iter().position(asked).and_then(|place| self.waiting.remove(place));
        let unasked = Transaction { initiator: Initiator::ServerOneWay, start_ns, ..named }; // multicast, or its query was not seen
        let mut transaction = query.map_or(unasked, |query| query.transaction);
        transaction.status = rcode_name(found.rcode).into();
        transaction.error = (found.rcode != 0).then(|| transaction.status.clone());
        transaction.first_byte_ns = Some(start_ns);
        transaction.end_ns = end_ns;
        transaction.response_bytes = size;
        transaction.attributes.push(("dns.answer.count", found.answers.to_string()));
        if found.truncated {
            transaction.attributes.push(("dns.truncated", "true".into()));
        }
        out.push(transaction);
    }
}

fn unanswered(query: Transaction, at_ns: i64) -> Transaction {
    Transaction { error: Some(NO_RESPONSE.into()), end_ns: at_ns.max(query.end_ns), ..query }
}

impl Decoder for Dns {
    fn parse(&mut self, _from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if self.transport == Transport::Datagram {
            if !input.bytes.is_empty() {
                let ns = input.ns_at(0);
                self.message(input.bytes, ns, ns, input.bytes.len() as u64, out);
            }
            return Step::Need(1);
        }
        let Some(length) = input.bytes.first_chunk::<2>().map(|pair| usize::from(u16::from_be_bytes(*pair))) else { return Step::Need(2) };
        if length < 12 {
            return Step::Lost;
        }
        let looked_at = (2 + length).min(LOOKED_AT);
        let Some(bytes) = input.bytes.get(2..looked_at) else { return Step::Need(looked_at) };
        self.message(bytes, input.ns_at(0), input.ns_at(looked_at - 1), 2 + length as u64, out);
        Step::Skip(2 + length as u64)
    }

    fn gap(&mut self, _from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {}

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        out.extend(self.waiting.drain(..).map(|query| unanswered(query.transaction, at_ns)));
    }

    fn held_bytes(&self) -> usize {
        self.waiting.len() * (size_of::<Query>() + self.limits.text_bytes)
    }
}

#[cfg(test)]
mod tests;
