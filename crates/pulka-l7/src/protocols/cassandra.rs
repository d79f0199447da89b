//! Cassandra's CQL protocol: queries, prepared statements, batches, errors by code, events; answers find their requests by
//! stream. Version 5 puts its messages into checksummed segments after the login; a message may go on in the next one.

mod errors;
mod opening;
mod segments;

use errors::error_name;
use opening::recognise;
use segments::{SEGMENT_BYTES, Segment, segment};

use crate::decoder::{Decoder, Input, Limits, Next, Protocol, Step};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::prepared::Prepared;
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, Statement, normalise};
use crate::text::printable;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "cassandra",
    title: "Cassandra CQL, ScyllaDB",
    versions: "native protocol 3, 4, 5 (5 uncompressed); of compressed messages operations and durations only",
    shows: "statement without literals, keyspace, error; prepared statements, batches, events",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Cassandra::new(limits)),
};

pub const HEADER_BYTES: usize = 9;
pub const BODY_BYTES: u32 = 268_435_456;
/// How much of a segment is looked at; longer ones mostly hold a single message.
const LOOKED_AT_BYTES: usize = 32_768;

mod opcode {
    pub const ERROR: u8 = 0;
    pub const STARTUP: u8 = 1;
    pub const READY: u8 = 2;
    pub const AUTHENTICATE: u8 = 3;
    pub const OPTIONS: u8 = 5;
    pub const QUERY: u8 = 7;
    pub const RESULT: u8 = 8;
    pub const PREPARE: u8 = 9;
    pub const EXECUTE: u8 = 10;
    pub const REGISTER: u8 = 11;
    pub const EVENT: u8 = 12;
    pub const BATCH: u8 = 13;
    pub const AUTH_CHALLENGE: u8 = 14;
    pub const AUTH_RESPONSE: u8 = 15;
}

const COMPRESSED: u8 = 1;
const TRACING: u8 = 2;
const PAYLOAD: u8 = 4;
const WARNING: u8 = 8;

pub struct Header {
    pub version: u8,
    pub flags: u8,
    pub stream: i16,
    pub operation: u8,
    pub body_bytes: u32,
}

/// None when there are too few bytes, or when `from` sends no such header.
pub fn header(from: Party, bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    let (version, flags, stream, operation, body_bytes) = (reader.u8()?, reader.u8()?, reader.i16_be()?, reader.u8()?, reader.u32_be()?);
    let answers = matches!(operation, 0 | 2 | 3 | 6 | 8 | 12 | 14 | 16);
    let fits = (version & 0x80 != 0) == (from == Party::Server)
        && matches!(version & 0x7f, 3..=5)
        && flags < 32
        && operation <= 16
        && operation != 4
        && answers == (from == Party::Server)
        && body_bytes < BODY_BYTES
        && (stream >= 0 || (stream == -1 && operation == opcode::EVENT));
    fits.then_some(Header { version: version & 0x7f, flags, stream, operation, body_bytes })
}

struct Waiting {
    stream: i16,
    prepares: Option<Statement>,
    login: bool,
    transaction: Transaction,
}

pub struct Messages {
    limits: Limits,
    waiting: Flight<Waiting>,
    statements: Prepared<Box<[u8]>>,
    keyspace: Option<String>,
    version: u8,
    /// The login is done, and version 5 segments follow; per party.
    ready: bool,
}

impl Messages {
    fn request(&mut self, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        self.version = header.version;
        let compressed = header.flags & COMPRESSED != 0;
        let body = if compressed { None } else { body(header, message.head) };
        if header.operation == opcode::AUTH_RESPONSE {
            if let Some(waiting) = self.waiting.find(|waiting| waiting.login && waiting.stream == header.stream) {
                waiting.transaction.request_bytes += message.bytes;
            }
            return;
        }
        let (operation, target) = self.describe(header.operation, body);
        let prepares = (header.operation == opcode::PREPARE).then(|| body.map(|body| self.statement(body))).flatten();
        let mut transaction = message.begins(PROTOCOL.name, Initiator::Client, operation, target);
        transaction.attributes.extend(self.keyspace.clone().map(|keyspace| ("db.namespace", keyspace)));
        let text = text_bytes(&transaction) * if prepares.is_some() { 2 } else { 1 };
        let waiting = Waiting { stream: header.stream, prepares, login: header.operation == opcode::STARTUP, transaction };
        out.extend(self.waiting.push_keyed(waiting, text).map(|given_up| unfollowed(given_up.transaction)));
    }

    fn describe(&self, operation: u8, body: Option<Reader<'_>>) -> (&'static str, String) {
        let nothing = String::new();
        match (operation, body) {
            (opcode::STARTUP, _) => ("CONNECT", nothing),
            (opcode::OPTIONS, _) => ("OPTIONS", nothing),
            (opcode::REGISTER, _) => ("REGISTER", nothing),
            (opcode::QUERY, Some(body)) => {
                let statement = self.statement(body);
                (statement.operation, statement.text)
            }
            (opcode::PREPARE, body) => ("PREPARE", body.map(|body| self.statement(body).text).unwrap_or_default()),
            (opcode::EXECUTE, Some(body)) => {
                let known = short_bytes(body).and_then(|id| self.statements.get(|known| **known == *id));
                known.map_or((OTHER, nothing), |statement| (statement.operation, statement.text.clone()))
            }
            (opcode::BATCH, body) => ("BATCH", body.and_then(|body| self.batch(body)).unwrap_or_default()),
            _ => (OTHER, nothing),
        }
    }

    /// The statement of a QUERY or PREPARE, which may be cut off.
    fn statement(&self, mut body: Reader<'_>) -> Statement {
        let length = body.u32_be().unwrap_or(0) as usize;
        let sql = &body.rest()[..body.rest().len().min(length)];
        normalise(sql, Dialect::Cassandra, self.limits.text_bytes)
    }

    /// The first statement of a batch.
    fn batch(&self, mut body: Reader<'_>) -> Option<String> {
        body.u8()?;
        body.u16_be()?;
        match body.u8()? {
            0 => Some(self.statement(body).text),
            _ => self.statements.get(|known| short_bytes(body).is_some_and(|id| **known == *id)).map(|statement| statement.text.clone()),
        }
    }

    fn response(&mut self, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        if header.operation == opcode::EVENT {
            let kind = body(header, message.head).and_then(|mut body| body.u16_be().and_then(|length| body.bytes(length.into()))).unwrap_or_default();
            return out.push(message.begins(PROTOCOL.name, Initiator::ServerOneWay, "EVENT", printable(kind, 32)));
        }
        self.ready |= matches!(header.operation, opcode::READY | opcode::AUTHENTICATE);
        if matches!(header.operation, opcode::AUTHENTICATE | opcode::AUTH_CHALLENGE) {
            if let Some(waiting) = self.waiting.find(|waiting| waiting.stream == header.stream) {
                message.answers(&mut waiting.transaction);
            }
            return;
        }
        let Some(Waiting { mut transaction, prepares, .. }) = self.waiting.take(|waiting| waiting.stream == header.stream) else { return };
        message.answers(&mut transaction);
        match (header.operation, body(header, message.head).filter(|_| header.flags & COMPRESSED == 0)) {
            (opcode::ERROR, Some(mut body)) => {
                let code = body.u32_be().unwrap_or(0);
                transaction.status = format!("0x{code:04x}").into();
                transaction.error = Some(error_name(code).map_or_else(|| transaction.status.clone(), Into::into));
            }
            (opcode::ERROR, None) => transaction.error = Some("error".into()),
            (opcode::RESULT, Some(body)) => self.result(body, prepares),
            _ => {}
        }
        out.push(transaction);
    }

    /// Results tell the number of a prepared statement, and the keyspace that is used from now on.
    fn result(&mut self, mut body: Reader<'_>, prepares: Option<Statement>) {
        match body.u32_be() {
            Some(3) => {
                let name = body.u16_be().and_then(|length| body.bytes(length.into()));
                self.keyspace = name.map(|name| printable(name, self.limits.text_bytes));
            }
            Some(4) => {
                if let (Some(id), Some(statement)) = (short_bytes(body), prepares) {
                    self.statements.insert(id.into(), statement);
                }
            }
            _ => {}
        }
    }
}

/// What comes after tracing id, warnings and custom payload; empty when these are cut off.
fn body<'a>(header: &Header, head: &'a [u8]) -> Option<Reader<'a>> {
    let mut reader = Reader::new(head.get(HEADER_BYTES..)?);
    let answer = matches!(header.operation, opcode::ERROR | opcode::RESULT);
    if answer && header.flags & TRACING != 0 {
        reader.bytes(16)?;
    }
    if answer && header.flags & WARNING != 0 {
        for _ in 0..reader.u16_be()? {
            let length = reader.u16_be()?;
            reader.bytes(length.into())?;
        }
    }
    if header.flags & PAYLOAD != 0 {
        for _ in 0..reader.u16_be()? {
            let length = reader.u16_be()?;
            reader.bytes(length.into())?;
            let length = reader.i32_be()?;
            reader.bytes(usize::try_from(length).unwrap_or(0))?;
        }
    }
    Some(reader)
}

fn short_bytes(mut reader: Reader<'_>) -> Option<&[u8]> {
    let length = reader.u16_be()?;
    reader.bytes(length.into())
}

impl Framed for Messages {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        if bytes.len() < HEADER_BYTES {
            return Frame::Need(HEADER_BYTES);
        }
        header(from, bytes).map_or(Frame::Lost, |header| Frame::Message(HEADER_BYTES as u64 + u64::from(header.body_bytes)))
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        let header = header(from, message.head)?;
        match from {
            Party::Client => self.request(&header, message, out),
            Party::Server => self.response(&header, message, out),
        }
        None
    }

    fn gap(&mut self, _from: Party, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            out.push(unanswered(waiting.transaction, at_ns));
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes() + self.statements.held_bytes()
    }
}

struct Cassandra {
    messages: Frames<Messages>,
    /// Per party: messages come in segments. The client's does so once it knows that the server is ready.
    segmented: [bool; 2],
    /// Bytes that remain of a message which began in an earlier segment.
    left: [u64; 2],
}

impl Cassandra {
    fn new(limits: Limits) -> Self {
        let waiting = Flight::new(limits.decoder_bytes / 4);
        let messages = Messages { limits, waiting, statements: Prepared::new(256), keyspace: None, version: 0, ready: false };
        Cassandra { messages: Frames::new(messages), segmented: [false; 2], left: [0; 2] }
    }

    /// A segment's messages, all of which it holds, or the beginning of one that goes on in the next ones.
    fn in_segment(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let Some(front) = input.bytes.get(..SEGMENT_BYTES) else { return Step::Need(SEGMENT_BYTES) };
        let Some(Segment { payload_bytes, whole }) = segment(front) else {
            self.left[from.index()] = 0;
            return Step::Lost;
        };
        let all = SEGMENT_BYTES + payload_bytes + 4;
        let left = self.left[from.index()];
        if left > 0 && !whole {
            self.left[from.index()] = left.saturating_sub(payload_bytes as u64);
            return Step::Skip(all as u64);
        }
        let looked_at = all.min(LOOKED_AT_BYTES);
        let Some(bytes) = input.bytes.get(..looked_at) else { return Step::Need(looked_at) };
        let mut payload = &bytes[SEGMENT_BYTES..looked_at.min(SEGMENT_BYTES + payload_bytes)];
        let protocol = self.messages.protocol();
        while let Some(header) = header(from, payload) {
            let length = HEADER_BYTES as u64 + u64::from(header.body_bytes);
            let head = &payload[..payload.len().min(length as usize).min(Messages::HEAD_BYTES)];
            let message = Message { head, bytes: length, start_ns: input.ns_at(0), end_ns: input.ns_at(looked_at - 1) };
            protocol.message(from, &message, out);
            if !whole {
                self.left[from.index()] = length.saturating_sub(payload_bytes as u64);
                break;
            }
            payload = &payload[payload.len().min(length as usize)..];
        }
        Step::Skip(all as u64)
    }
}

impl Decoder for Cassandra {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if input.bytes.is_empty() && self.segmented[from.index()] {
            return Step::Need(1);
        }
        let first = input.bytes.first().copied();
        let protocol = self.messages.protocol();
        if protocol.version == 0 && segment(input.bytes).is_some() {
            (protocol.version, protocol.ready) = (5, true); // the login was not seen
        }
        // The server's answer to the login is the last message outside of segments.
        let segmented = self.segmented[from.index()] || (protocol.version == 5 && protocol.ready && first.is_some());
        self.segmented[from.index()] = segmented;
        if segmented { self.in_segment(from, input, out) } else { self.messages.parse(from, input, out) }
    }

    fn gap(&mut self, from: Party, bytes: u64, out: &mut Vec<Transaction>) {
        self.left[from.index()] = 0;
        self.messages.gap(from, bytes, out);
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        self.messages.close(at_ns, out);
    }

    fn held_bytes(&self) -> usize {
        self.messages.held_bytes()
    }
}

#[cfg(test)]
mod tests;
