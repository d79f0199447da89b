//! TLS handshakes: version, cipher, server name, application protocol. What follows is encrypted and never looked at.
//!
//! RFC 8446 (1.3), RFC 5246 (1.2). Inner bytes come from probes on libraries, as another stream of the same connection.

mod hello;

use hello::{ClientHello, ServerHello, cipher_name, version_name};

use crate::decoder::{Decoder, Input, Limits, Next, Opening, Protocol, Step, Transport, Verdict};
use crate::text::printable;
use crate::transaction::{Initiator, NO_RESPONSE, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    title: "TLS",
    versions: "SSL 3.0, TLS 1.0 to 1.3",
    shows: "handshakes: server name, version, cipher, application protocol (ALPN), alerts; never what is encrypted",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Tls::new(limits)),
};

const RECORD_HEADER: usize = 5;
const RECORD_BYTES: usize = 16_384 + 2048;
const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// Hellos of more than this are not kept.
const HELLO_BYTES: usize = 32_768;

fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    let (client, server) = (record_verdict(opening.client, 1, opening.from_start), record_verdict(opening.server, 2, opening.from_start));
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::Yes, Verdict::Yes) => Verdict::Yes,
        (Verdict::Yes, _) if opening.server.is_empty() => Verdict::OneSided,
        (_, Verdict::Yes) if opening.client.is_empty() => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// Yes when `bytes` begin with a record that holds a hello of this kind, an alert of a server, or, in the middle, data.
fn record_verdict(bytes: &[u8], hello: u8, from_start: bool) -> Verdict {
    let Some([kind, 3, minor @ 0..=4, high, low]) = bytes.first_chunk::<RECORD_HEADER>() else {
        return if bytes.len() < RECORD_HEADER && bytes.first().is_none_or(|kind| (CHANGE_CIPHER..=DATA).contains(kind)) && bytes.get(1).is_none_or(|major| *major == 3) {
            Verdict::NeedMore
        } else {
            Verdict::No
        };
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    match *kind {
        HANDSHAKE if (4..=RECORD_BYTES).contains(&length) => match bytes.get(RECORD_HEADER..RECORD_HEADER + 6) {
            None => Verdict::NeedMore,
            Some([found, 0, _, _, 3, 0..=3] | [found, 0, _, _, 0x7f, _]) if *found == hello => Verdict::Yes,
            Some(_) if !from_start && *minor > 0 && bytes.get(RECORD_HEADER).is_some_and(|kind| matches!(kind, 0..=24)) => Verdict::NeedMore,
            Some(_) => Verdict::No,
        },
        ALERT if length == 2 && (hello == 2 || !from_start) => match bytes.get(RECORD_HEADER) {
            None => Verdict::NeedMore,
            Some(1 | 2) => Verdict::Yes,
            Some(_) => Verdict::No,
        },
        DATA if !from_start && (1..=RECORD_BYTES).contains(&length) && *minor > 0 => Verdict::Yes,
        _ => Verdict::No,
    }
}

/// A handshake message that is not complete.
#[derive(Default)]
struct Flow {
    message: Vec<u8>,
    said_hello: bool,
    encrypted: bool,
}

pub struct Tls {
    limits: Limits,
    flows: [Flow; 2],
    transaction: Option<Transaction>,
    client: ClientHello,
    server: Option<ServerHello>,
    alert: Option<u8>,
}

impl Tls {
    pub fn new(limits: Limits) -> Self {
        Tls { limits, flows: Default::default(), transaction: None, client: ClientHello::default(), server: None, alert: None }
    }

    fn record(&mut self, from: Party, kind: u8, body: &[u8], input: &Input<'_>) {
        match kind {
            HANDSHAKE if !self.flows[from.index()].encrypted => self.handshake(from, body, input),
            ALERT if body.len() == 2 && body[0] == 2 => self.alert = Some(body[1]),
            CHANGE_CIPHER | DATA => self.flows[from.index()].encrypted = true,
            _ => {}
        }
    }

    fn handshake(&mut self, from: Party, body: &[u8], input: &Input<'_>) {
        let flow = &mut self.flows[from.index()];
        if flow.said_hello && flow.message.is_empty() && !matches!(body.first(), Some(1 | 2)) {
            return; // certificates and keys
        }
        if self.transaction.is_none() {
            let start_ns = input.ns_at(0);
            let initiator = if from == Party::Client { Initiator::Client } else { Initiator::ServerOneWay }; // its request was not seen
            self.transaction = Some(Transaction { protocol: PROTOCOL.name, initiator, operation: "handshake".into(), start_ns, end_ns: start_ns, ..Transaction::default() });
        }
        flow.message.extend_from_slice(body);
        let Some([kind, a, b, c]) = flow.message.first_chunk::<4>() else { return };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if length > HELLO_BYTES {
            (flow.message, flow.said_hello) = (Vec::new(), true);
            return;
        }
        let Some(message) = flow.message.get(4..4 + length) else { return };
        match (from, kind) {
            (Party::Client, 1) => self.client = hello::client_hello(message),
            (Party::Server, 2) => self.server = hello::server_hello(message).or(self.server.take()),
            _ => {}
        }
        (flow.message, flow.said_hello) = (Vec::new(), true);
    }

    fn is_over(&self) -> bool {
        self.alert.is_some() || self.flows.iter().all(|flow| flow.encrypted)
    }

    fn finish(&mut self, end_ns: i64, out: &mut Vec<Transaction>) {
        let Some(mut transaction) = self.transaction.take() else { return };
        transaction.end_ns = end_ns.max(transaction.end_ns);
        transaction.target = printable(&self.client.server_name, self.limits.text_bytes).into();
        if let Some(server) = &self.server {
            transaction.status = version_name(server.version).into();
            transaction.attributes.push(("tls.cipher", cipher_name(server.cipher)));
        }
        let protocol = self.server.as_ref().and_then(|server| server.alpn.clone());
        match protocol {
            Some(protocol) => transaction.attributes.push(("tls.next_protocol", printable(&protocol, 64))),
            None if !self.client.alpn.is_empty() => transaction.attributes.push(("tls.client.supported_protocols", printable(&self.client.alpn, 128))),
            None => {}
        }
        transaction.error = match self.alert {
            Some(alert) => Some(hello::alert_name(alert).into()),
            None if transaction.first_byte_ns.is_none() && transaction.initiator == Initiator::Client => Some(NO_RESPONSE.into()),
            None => None,
        };
        out.push(transaction);
    }
}

impl Decoder for Tls {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let Some([kind, major, _, high, low]) = input.bytes.first_chunk::<RECORD_HEADER>() else { return Step::Need(RECORD_HEADER) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(CHANGE_CIPHER..=DATA + 1).contains(kind) || *major != 3 || length > RECORD_BYTES {
            return Step::Lost;
        }
        let size = RECORD_HEADER + length;
        if *kind == DATA {
            self.flows[from.index()].encrypted = true;
            if self.transaction.is_none() || self.is_over() {
                self.finish(input.ns_at(0), out);
                return Step::Become(0, Next::Opaque("encrypted (TLS)"));
            }
            return Step::Skip(size as u64);
        }
        let Some(body) = input.bytes.get(RECORD_HEADER..size) else { return Step::Need(size) };
        self.record(from, *kind, body, input);
        if let Some(transaction) = &mut self.transaction {
            let answers = from == Party::Server;
            *(if answers { &mut transaction.response_bytes } else { &mut transaction.request_bytes }) += size as u64;
            if answers {
                transaction.first_byte_ns.get_or_insert(input.ns_at(0));
            }
        }
        if self.is_over() {
            self.finish(input.ns_at(size - 1), out);
            return Step::Become(size, Next::Opaque("encrypted (TLS)"));
        }
        Step::Take(size)
    }

    fn gap(&mut self, from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {
        self.flows[from.index()].message = Vec::new();
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        self.finish(at_ns, out);
    }

    fn held_bytes(&self) -> usize {
        let client = self.client.server_name.capacity() + self.client.alpn.capacity();
        client + self.flows.iter().map(|flow| flow.message.capacity()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
