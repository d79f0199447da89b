//! MongoDB: commands of OP_MSG and of the older operations, collections, errors by name; answers find their requests by id.

mod bson;
mod opening;

use bson::{Document, Failure, failure};
use opening::recognise;

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::reader::Reader;
use crate::text::printable;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "mongodb",
    title: "MongoDB",
    versions: "OP_MSG (servers 3.6 to 8), OP_QUERY, OP_REPLY and the older writes; what is compressed is counted, but not looked into",
    shows: "command, collection, database, error; unacknowledged writes, write errors, exhausted cursors",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Mongodb { limits, waiting: Flight::new(limits.decoder_bytes / 4), doubt: [false; 2] })),
};

pub const REPLY: i32 = 1;
pub const UPDATE: i32 = 2001;
pub const INSERT: i32 = 2002;
pub const QUERY: i32 = 2004;
pub const GET_MORE: i32 = 2005;
pub const DELETE: i32 = 2006;
pub const KILL_CURSORS: i32 = 2007;
pub const COMPRESSED: i32 = 2012;
pub const MSG: i32 = 2013;

pub const HEADER_BYTES: usize = 16;
/// 48 MB, the limit of the protocol, and room for a header.
pub const MESSAGE_BYTES: std::ops::Range<i32> = 16..50_331_648;

const MORE_TO_COME: u32 = 2;
const CHECKSUM: u32 = 1;
const QUERY_FAILURE: u32 = 2;
const COMMAND_NOT_FOUND: i64 = 59;

pub struct Header {
    pub length: i32,
    pub id: i32,
    pub answers: i32,
    pub operation: i32,
}

pub fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    Some(Header { length: reader.i32_le()?, id: reader.i32_le()?, answers: reader.i32_le()?, operation: reader.i32_le()? })
}

pub fn is_operation(operation: i32) -> bool {
    matches!(operation, REPLY | UPDATE..=INSERT | QUERY..=KILL_CURSORS | COMPRESSED | MSG)
}

struct Waiting {
    id: i32,
    transaction: Transaction,
}

struct Mongodb {
    limits: Limits,
    waiting: Flight<Waiting>,
    doubt: [bool; 2],
}

/// What a request asks for.
#[derive(Default)]
struct Request {
    operation: String,
    collection: String,
    database: String,
    unanswered: bool,
}

impl Mongodb {
    fn request(&mut self, message: &Message<'_>, header: &Header, out: &mut Vec<Transaction>) {
        let request = request(header.operation, &message.head[HEADER_BYTES..]).unwrap_or_default();
        let limit = self.limits.text_bytes;
        let operation = if request.operation.is_empty() { "OTHER".to_owned() } else { request.operation };
        let mut transaction = message.begins(PROTOCOL.name, Initiator::Client, operation, printable(request.collection.as_bytes(), limit));
        if !request.database.is_empty() {
            transaction.attributes.push(("db.namespace", printable(request.database.as_bytes(), limit)));
        }
        if request.unanswered {
            transaction.initiator = Initiator::ClientOneWay;
            return out.push(transaction);
        }
        let text = text_bytes(&transaction);
        let given_up = self.waiting.push_keyed(Waiting { id: header.id, transaction }, text);
        out.extend(given_up.map(|waiting| unfollowed(waiting.transaction)));
    }

    fn response(&mut self, message: &Message<'_>, header: &Header, out: &mut Vec<Transaction>) {
        let Some(Waiting { mut transaction, .. }) = self.waiting.take(|waiting| waiting.id == header.answers) else { return };
        message.answers(&mut transaction);
        if let Some(Failure { code, name }) = answered(header.operation, &message.head[HEADER_BYTES..]) {
            transaction.status = code.to_string().into();
            if code == COMMAND_NOT_FOUND {
                transaction.operation = "OTHER".into();
            }
            transaction.error = Some(name.map_or_else(|| transaction.status.clone(), Into::into));
        }
        out.push(transaction);
    }
}

fn request(operation: i32, body: &[u8]) -> Option<Request> {
    let mut reader = Reader::new(body);
    match operation {
        MSG => {
            let flags = reader.u32_le()?;
            let body = command_section(reader, flags)?;
            Some(Request { unanswered: flags & MORE_TO_COME != 0, ..command(&body) })
        }
        COMPRESSED => {
            let original = reader.i32_le()?;
            reader.bytes(4)?;
            match reader.u8()? {
                0 if original != COMPRESSED => request(original, reader.rest()),
                _ => Some(Request { operation: "compressed".into(), ..Request::default() }),
            }
        }
        QUERY => {
            reader.bytes(4)?;
            let (database, collection) = split_name(reader.cstring()?);
            reader.bytes(8)?;
            if collection == b"$cmd" {
                let command = command(&Document::new(reader.rest())?);
                return Some(Request { database: text(database), ..command });
            }
            Some(Request { operation: "find".into(), collection: text(collection), database: text(database), unanswered: false })
        }
        UPDATE | INSERT | DELETE | GET_MORE => {
            reader.bytes(4)?;
            let (database, collection) = split_name(reader.cstring()?);
            let name = match operation {
                UPDATE => "update",
                INSERT => "insert",
                DELETE => "delete",
                _ => "getMore",
            };
            Some(Request { operation: name.into(), collection: text(collection), database: text(database), unanswered: operation != GET_MORE })
        }
        KILL_CURSORS => Some(Request { operation: "killCursors".into(), unanswered: true, ..Request::default() }),
        _ => None,
    }
}

/// The section with the command; sequences of documents may stand before it.
fn command_section(mut reader: Reader<'_>, flags: u32) -> Option<Document<'_>> {
    let checksum = if flags & CHECKSUM != 0 { 4 } else { 0 };
    while reader.rest().len() > checksum {
        match reader.u8()? {
            0 => return Document::new(reader.rest()),
            1 => {
                let size = Reader::new(reader.rest()).u32_le()?;
                reader.bytes(size.max(4) as usize)?;
            }
            _ => return None,
        }
    }
    None
}

fn command(document: &Document<'_>) -> Request {
    let mut request = Request::default();
    for (index, (name, value)) in document.elements().enumerate() {
        match name {
            _ if index == 0 && matches!(name, b"query" | b"$query") && value.document().is_some() => {
                return value.document().map_or_else(Request::default, |inner| command(&inner)); // a command with options around it
            }
            _ if index == 0 => {
                let fits = name.len() <= 32 && name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
                request.operation = if fits { text(name) } else { String::new() };
                request.collection = value.text().map(text).unwrap_or_default();
            }
            b"collection" => request.collection = value.text().map(text).unwrap_or_default(),
            b"$db" => request.database = value.text().map(text).unwrap_or_default(),
            _ => {}
        }
    }
    request
}

fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    memchr::memchr(b'.', name).map_or((name, &[][..]), |dot| (&name[..dot], &name[dot + 1..]))
}

fn text(bytes: &[u8]) -> String {
    printable(bytes, 255)
}

/// The error of an answer.
fn answered(operation: i32, body: &[u8]) -> Option<Failure> {
    let mut reader = Reader::new(body);
    match operation {
        MSG => {
            let flags = reader.u32_le()?;
            failure(&command_section(reader, flags)?)
        }
        REPLY => {
            let flags = reader.u32_le()?;
            reader.bytes(16)?;
            let failed = Document::new(reader.rest()).and_then(|document| failure(&document));
            if flags & QUERY_FAILURE != 0 { failed.or(Some(Failure { code: 0, name: Some("QueryFailure".into()) })) } else { failed }
        }
        COMPRESSED => {
            let original = reader.i32_le()?;
            reader.bytes(4)?;
            (reader.u8()? == 0 && original != COMPRESSED).then(|| answered(original, reader.rest()))?
        }
        _ => None,
    }
}

impl Framed for Mongodb {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        let Some(header) = header(bytes) else { return Frame::Need(HEADER_BYTES) };
        if !MESSAGE_BYTES.contains(&header.length) || !is_operation(header.operation) {
            return Frame::Lost;
        }
        if from == Party::Server && self.doubt[1] && self.waiting.find(|waiting| waiting.id == header.answers).is_none() {
            return Frame::Lost;
        }
        Frame::Message(header.length as u64)
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        self.doubt[from.index()] = false;
        let header = header(message.head)?;
        match from {
            Party::Client => self.request(message, &header, out),
            Party::Server => self.response(message, &header, out),
        }
        None
    }

    fn gap(&mut self, from: Party, _out: &mut Vec<Transaction>) {
        self.doubt[from.index()] = true;
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            out.push(unanswered(waiting.transaction, at_ns));
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes()
    }
}

#[cfg(test)]
mod tests;
