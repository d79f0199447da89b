//! The binary protocol: a header of 24 bytes with an operation, an opaque number that comes back, and lengths.

use super::PROTOCOL;
use crate::decoder::{Limits, Next};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Message};
use crate::reader::Reader;
use crate::subject::key_space;
use crate::transaction::{Initiator, Party, Transaction};

pub const REQUEST: u8 = 0x80;
pub const RESPONSE: u8 = 0x81;
pub const HEADER_BYTES: usize = 24;
const BODY_BYTES: u32 = 134_217_728;

struct Waiting {
    operation: u8,
    opaque: u32,
    transaction: Transaction,
}

pub struct Binary {
    limits: Limits,
    waiting: Flight<Waiting>,
}

pub struct Header {
    pub magic: u8,
    pub operation: u8,
    pub key_bytes: u16,
    pub extra_bytes: u8,
    /// Of a response.
    pub status: u16,
    pub body_bytes: u32,
    pub opaque: u32,
}

/// None when there are too few bytes, or when it is none.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    let (magic, operation, key_bytes, extra_bytes, data_type) = (reader.u8()?, reader.u8()?, reader.u16_be()?, reader.u8()?, reader.u8()?);
    let (status, body_bytes, opaque) = (reader.u16_be()?, reader.u32_be()?, reader.u32_be()?);
    reader.bytes(8)?;
    let fits = data_type == 0 && key_bytes <= 250 && body_bytes < BODY_BYTES && u32::from(key_bytes) + u32::from(extra_bytes) <= body_bytes;
    (fits && operation_name(operation).is_some()).then_some(Header { magic, operation, key_bytes, extra_bytes, status, body_bytes, opaque })
}

fn operation_name(operation: u8) -> Option<&'static str> {
    Some(match operation {
        0x00 | 0x09 | 0x0c | 0x0d => "get",
        0x01 | 0x11 => "set",
        0x02 | 0x12 => "add",
        0x03 | 0x13 => "replace",
        0x04 | 0x14 => "delete",
        0x05 | 0x15 => "incr",
        0x06 | 0x16 => "decr",
        0x07 | 0x17 => "quit",
        0x08 | 0x18 => "flush_all",
        0x0a => "noop",
        0x0b => "version",
        0x0e | 0x19 => "append",
        0x0f | 0x1a => "prepend",
        0x10 => "stats",
        0x1b => "verbosity",
        0x1c => "touch",
        0x1d | 0x1e | 0x23 | 0x24 => "gat",
        0x20 => "sasl_list",
        0x21 => "sasl_auth",
        0x22 => "sasl_step",
        _ => return None,
    })
}

fn is_quiet(operation: u8) -> bool {
    matches!(operation, 0x09 | 0x0d | 0x11..=0x1a | 0x1e | 0x24)
}

/// The name of a status; absent keys and values that did not change are answers, not failures.
fn status_name(status: u16) -> (&'static str, bool) {
    match status {
        0x00 => ("", false),
        0x01 => ("NOT_FOUND", false),
        0x02 => ("EXISTS", false),
        0x03 => ("TOO_LARGE", true),
        0x04 => ("INVALID_ARGUMENTS", true),
        0x05 => ("NOT_STORED", false),
        0x06 => ("NON_NUMERIC", true),
        0x20 => ("AUTH_ERROR", true),
        0x21 => ("AUTH_CONTINUE", false),
        0x81 => ("UNKNOWN_COMMAND", true),
        0x82 => ("OUT_OF_MEMORY", true),
        0x83 => ("NOT_SUPPORTED", true),
        0x84 => ("INTERNAL_ERROR", true),
        0x85 => ("BUSY", true),
        0x86 => ("TEMPORARY_FAILURE", true),
        _ => ("ERROR", true),
    }
}

impl Binary {
    pub fn new(limits: Limits) -> Self {
        Binary { limits, waiting: Flight::new(limits.decoder_bytes / 4) }
    }

    fn request(&mut self, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let key = HEADER_BYTES + usize::from(header.extra_bytes);
        let key = message.head.get(key..key + usize::from(header.key_bytes)).unwrap_or_default();
        let sasl = matches!(header.operation, 0x20..=0x22);
        let target = if sasl { String::new() } else { key_space(key, self.limits.text_bytes) };
        let transaction = message.begins(PROTOCOL.name, Initiator::Client, operation_name(header.operation).unwrap_or("OTHER"), target);
        let text = text_bytes(&transaction);
        if !self.waiting.has_room(text) {
            out.extend(self.waiting.drain().map(|waiting| unfollowed(waiting.transaction)));
        }
        let refused = self.waiting.push(Waiting { operation: header.operation, opaque: header.opaque, transaction }, text);
        out.extend(refused.map(|waiting| unfollowed(waiting.transaction)));
    }

    /// Quiet requests that the answer has passed by had nothing to say.
    fn response(&mut self, header: &Header, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let is_it = |waiting: &Waiting| waiting.operation == header.operation && waiting.opaque == header.opaque;
        if self.waiting.find(is_it).is_none() {
            return;
        }
        while let Some(waiting) = self.waiting.front() {
            if is_it(waiting) {
                message.answers(&mut waiting.transaction);
                if header.operation == 0x10 && header.key_bytes > 0 {
                    return; // one of several statistics; the last one is empty
                }
                let (status, failed) = status_name(header.status);
                waiting.transaction.status = status.into();
                waiting.transaction.error = failed.then(|| status.into());
                out.extend(self.waiting.pop().map(|waiting| waiting.transaction));
                return;
            }
            waiting.transaction.end_ns = message.end_ns.max(waiting.transaction.end_ns);
            out.extend(self.waiting.pop().filter(|waiting| is_quiet(waiting.operation)).map(|waiting| waiting.transaction));
        }
    }
}

impl Framed for Binary {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        let magic = if from == Party::Client { REQUEST } else { RESPONSE };
        if bytes[0] != magic {
            return Frame::Lost;
        }
        match header(bytes) {
            Some(header) => Frame::Message(HEADER_BYTES as u64 + u64::from(header.body_bytes)),
            None if bytes.len() < HEADER_BYTES => Frame::Need(HEADER_BYTES),
            None => Frame::Lost,
        }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        let header = header(message.head)?;
        match from {
            Party::Client => self.request(&header, message, out),
            Party::Server => self.response(&header, message, out),
        }
        None
    }

    fn gap(&mut self, _from: Party, _out: &mut Vec<Transaction>) {
        self.waiting.clear();
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            out.push(if is_quiet(waiting.operation) || waiting.operation == 7 { waiting.transaction } else { unanswered(waiting.transaction, at_ns) });
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes()
    }
}
