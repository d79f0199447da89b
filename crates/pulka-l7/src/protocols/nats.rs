//! NATS: publications, deliveries, requests that are answered on an inbox, headers with a status, errors.
//!
//! Lines, and payloads of a told length, which are skipped.

mod line;
mod opening;

use line::{Line, error_class, parse};
use opening::recognise;

use crate::decoder::{Decoder, Input, Limits, Next, Protocol, Step};
use crate::flight::{Flight, text_bytes, unanswered};
use crate::subject::quantise_name;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "nats",
    title: "NATS",
    versions: "client protocol of servers 0.8 to 2.12, with headers",
    shows: "publish, deliver and subscribe with subject, requests with their answers, no responders, errors",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Nats::new(limits)),
};

/// INFO and CONNECT are lines of JSON, which may be long.
const LINE_BYTES: usize = 65_536;
/// How much of a message's headers is looked at: `NATS/1.0 503`.
const STATUS_BYTES: u64 = 16;

/// A message whose payload is being passed over.
struct Coming {
    start: u64,
    start_ns: i64,
    subject: Box<[u8]>,
    reply: Option<Box<[u8]>>,
    status: Option<u16>,
}

struct Waiting {
    reply: Box<[u8]>,
    transaction: Transaction,
}

pub struct Nats {
    limits: Limits,
    login: Option<Transaction>,
    pings: [Option<Transaction>; 2],
    coming: [Option<Coming>; 2],
    /// Messages of each party that ask for an answer.
    waiting: [Flight<Waiting>; 2],
}

impl Nats {
    fn new(limits: Limits) -> Self {
        let flight = || Flight::new(limits.decoder_bytes / 8);
        Nats { limits, login: None, pings: [None, None], coming: [None, None], waiting: [flight(), flight()] }
    }

    fn begins(&self, input: &Input<'_>, bytes: usize, initiator: Initiator, operation: &'static str, subject: &[u8]) -> Transaction {
        Transaction {
            protocol: PROTOCOL.name,
            initiator,
            operation: operation.into(),
            target: quantise_name(subject, b".", self.limits.text_bytes).into(),
            start_ns: input.ns_at(0),
            end_ns: input.ns_at(bytes - 1),
            request_bytes: bytes as u64,
            ..Transaction::default()
        }
    }

    fn line(&mut self, from: Party, input: &Input<'_>, end: usize, line: Line<'_>, out: &mut Vec<Transaction>) -> Step {
        match (from, line) {
            (Party::Client, Line::Connect) => self.login = Some(self.begins(input, end, Initiator::Client, "CONNECT", b"")),
            (Party::Client, Line::Subscribe(subject)) => out.push(self.begins(input, end, Initiator::ClientOneWay, "subscribe", subject)),
            (Party::Client, Line::Unsubscribe) => out.push(self.begins(input, end, Initiator::ClientOneWay, "unsubscribe", b"")),
            (_, Line::Ping) => {
                let initiator = if from == Party::Client { Initiator::Client } else { Initiator::Server };
                if from == Party::Server || self.login.is_none() {
                    self.pings[from.index()] = Some(self.begins(input, end, initiator, "PING", b""));
                }
            }
            (_, Line::Pong) => {
                let ping = self.pings[from.other().index()].take();
                let login = if from == Party::Server { self.login.take() } else { None };
                out.extend([login, ping].into_iter().flatten().map(|asked| answered(asked, input.ns_at(0), input.ns_at(end - 1), end as u64)));
            }
            (Party::Server, Line::Ok) => out.extend(self.login.take().map(|login| answered(login, input.ns_at(0), input.ns_at(end - 1), end as u64))),
            (Party::Server, Line::Error(text)) => self.error(input, end, text, out),
            (Party::Server, Line::Info) => {}
            (_, Line::Message { subject, reply, header_bytes, bytes }) => return self.message(from, input, end, (subject, reply), (header_bytes, bytes)),
            _ => return Step::Lost,
        }
        Step::Take(end)
    }

    fn error(&mut self, input: &Input<'_>, end: usize, text: &[u8], out: &mut Vec<Transaction>) {
        let mut failed = match self.login.take() {
            Some(login) => answered(login, input.ns_at(0), input.ns_at(end - 1), end as u64),
            None => self.begins(input, end, Initiator::ServerOneWay, "error", b""),
        };
        failed.error = Some(error_class(text).into());
        out.push(failed);
    }

    fn message(&mut self, from: Party, input: &Input<'_>, end: usize, names: (&[u8], Option<&[u8]>), (header_bytes, bytes): (u64, u64)) -> Step {
        let looked_at = header_bytes.min(STATUS_BYTES) as usize;
        let Some(header) = input.bytes.get(end..end + looked_at) else { return Step::Need(end + looked_at) };
        let status = header.strip_prefix(b"NATS/1.0 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
        let (subject, reply) = (names.0.into(), names.1.map(Into::into));
        self.coming[from.index()] = Some(Coming { start: input.position, start_ns: input.ns_at(0), subject, reply, status });
        Step::Skip(end as u64 + bytes + 2)
    }

    /// A message with its payload has come.
    fn came(&mut self, from: Party, coming: Coming, input: &Input<'_>, out: &mut Vec<Transaction>) {
        let size = input.position - coming.start;
        if let Some(Waiting { transaction, .. }) = self.waiting[from.other().index()].take(|waiting| waiting.reply == coming.subject) {
            let mut transaction = answered(transaction, coming.start_ns, input.taken_ns(), size);
            if let Some(status @ 400..) = coming.status {
                transaction.status = status.to_string().into();
                transaction.error = Some(if status == 503 { "no_responders".into() } else { transaction.status.clone() });
            }
            return out.push(transaction);
        }
        let (one_way, asks, name) = match from {
            Party::Client => (Initiator::ClientOneWay, Initiator::Client, if coming.reply.is_some() { "request" } else { "publish" }),
            Party::Server => (Initiator::ServerOneWay, Initiator::Server, "deliver"),
        };
        let mut transaction = Transaction {
            protocol: PROTOCOL.name,
            initiator: one_way,
            operation: name.into(),
            target: quantise_name(&coming.subject, b".", self.limits.text_bytes).into(),
            start_ns: coming.start_ns,
            end_ns: input.taken_ns(),
            request_bytes: size,
            ..Transaction::default()
        };
        let Some(reply) = coming.reply else { return out.push(transaction) };
        transaction.initiator = asks;
        let text = text_bytes(&transaction) + reply.len();
        let given_up = self.waiting[from.index()].push_keyed(Waiting { reply, transaction }, text);
        out.extend(given_up.map(|waiting| one_way_after_all(waiting.transaction)));
    }
}

/// Nobody answered on this connection: it was a message and no request.
fn one_way_after_all(transaction: Transaction) -> Transaction {
    let initiator = if transaction.initiator == Initiator::Client { Initiator::ClientOneWay } else { Initiator::ServerOneWay };
    Transaction { initiator, ..transaction }
}

fn answered(mut transaction: Transaction, start_ns: i64, end_ns: i64, bytes: u64) -> Transaction {
    transaction.first_byte_ns = Some(start_ns);
    transaction.end_ns = end_ns.max(transaction.end_ns);
    transaction.response_bytes = bytes;
    transaction
}

impl Decoder for Nats {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if let Some(coming) = self.coming[from.index()].take() {
            self.came(from, coming, input, out);
        }
        match input.bytes.first() {
            None => return Step::Need(1),
            Some(0x16) if from == Party::Client => return Step::Become(0, Next::Classify), // TLS, as the server's INFO asked for
            Some(b'\r' | b'\n') => return Step::Take(1),
            Some(byte) if !byte.is_ascii_alphabetic() && !matches!(byte, b'+' | b'-') => return Step::Lost,
            Some(_) => {}
        }
        let Some(end) = memchr::memchr(b'\n', input.bytes).map(|end| end + 1) else {
            return if input.bytes.len() < LINE_BYTES - 1 { Step::Need(input.bytes.len() + 1) } else { Step::Lost };
        };
        match parse(from, &input.bytes[..end]) {
            Some(line) => self.line(from, input, end, line, out),
            None => Step::Lost,
        }
    }

    fn gap(&mut self, from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {
        self.coming[from.index()] = None;
        self.pings = [None, None];
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        out.extend(self.login.take().map(|login| unanswered(login, at_ns)));
        while let Some(waiting) = self.waiting[0].pop() {
            out.push(unanswered(waiting.transaction, at_ns));
        }
        while let Some(waiting) = self.waiting[1].pop() {
            out.push(one_way_after_all(waiting.transaction));
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.iter().map(Flight::held_bytes).sum::<usize>() + self.coming.iter().flatten().map(|coming| coming.subject.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
