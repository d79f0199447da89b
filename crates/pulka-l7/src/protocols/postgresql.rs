//! PostgreSQL: simple and extended queries, pipelined or not, COPY, errors by SQLSTATE, cancellation, the switch to TLS.
//!
//! The server answers in order, so requests wait in a queue. What is between two `Sync`s of the extended protocol fails
//! together: after an error the server passes over everything up to the next one.

mod messages;
mod opening;

use messages::{ERROR, Portal, bind, command_rows, error_fields, parse, startup, statement_name};
use opening::{CANCEL, GSS, SSL, client_type, recognise, server_type};

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, answered_in_part, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::prepared::Prepared;
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, Statement, normalise};
use crate::text::printable;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    title: "PostgreSQL",
    versions: "protocol 3.0 to 3.2 (servers 7.4 to 18)",
    shows: "statement without literals, SQLSTATE, database; simple, extended and pipelined queries, COPY, logins, cancellation, notifications, the switch to TLS",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Postgresql::new(limits))),
};

/// Error of a request that the server passed over because one before it failed.
const ABORTED: &str = "aborted";

/// A message longer than this, at a place that may not be the beginning of one, is none.
const DOUBTFUL_BYTES: u32 = 16_777_216;
const MESSAGE_BYTES: u32 = 1_073_741_824;

enum Kind {
    /// A login, a simple query or a function call: `ReadyForQuery` ends it.
    Query,
    Execute,
    /// A statement that was sent to be prepared, and not to be executed with it.
    Prepare,
    Sync,
}

impl Kind {
    fn is_ended_by_ready(&self) -> bool {
        matches!(self, Kind::Query | Kind::Sync)
    }
}

struct Waiting {
    kind: Kind,
    transaction: Transaction,
}

pub struct Postgresql {
    limits: Limits,
    waiting: Flight<Waiting>,
    /// Requests that found no room: how many of them a `ReadyForQuery` ends. Until then none is kept.
    unseen: Option<u64>,
    statements: Prepared<Box<[u8]>>,
    portals: Prepared<Box<[u8]>>,
    database: Option<String>,
    dialect: Dialect,
    /// The client asked for encryption with this code, and waits for a single byte.
    asked: Option<u32>,
    /// The client sent something that only a `Sync` ends.
    in_group: bool,
    /// The server passes over everything up to the next `Sync`.
    aborting: bool,
    doubt: [bool; 2],
}

impl Postgresql {
    fn new(limits: Limits) -> Self {
        Postgresql {
            limits,
            waiting: Flight::new(limits.decoder_bytes / 4),
            unseen: None,
            statements: Prepared::new(256),
            portals: Prepared::new(32),
            database: None,
            dialect: Dialect::Postgresql,
            asked: None,
            in_group: false,
            aborting: false,
            doubt: [false; 2],
        }
    }

    fn push(&mut self, kind: Kind, mut transaction: Transaction, out: &mut Vec<Transaction>) {
        if let Some(database) = &self.database {
            transaction.attributes.push(("db.namespace", database.clone()));
        }
        let text = text_bytes(&transaction);
        if self.unseen.is_none() && self.waiting.has_room(text) {
            self.waiting.push(Waiting { kind, transaction }, text);
            return;
        }
        *self.unseen.get_or_insert(0) += u64::from(kind.is_ended_by_ready());
        if !matches!(kind, Kind::Sync | Kind::Prepare) {
            out.push(unfollowed(transaction)); // with an execution that follows, a statement that is prepared is one request
        }
    }

    fn begin(&mut self, kind: Kind, message: &Message<'_>, statement: Statement, out: &mut Vec<Transaction>) {
        self.push(kind, message.begins(PROTOCOL.name, Initiator::Client, statement.operation, statement.text), out);
    }

    fn untyped(&mut self, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let code = Reader::new(message.head.get(4..).unwrap_or_default()).u32_be().unwrap_or(0);
        match code {
            SSL | GSS => self.asked = Some(code),
            CANCEL => out.push(message.begins(PROTOCOL.name, Initiator::ClientOneWay, "CANCEL", "")),
            _ => {
                let database = startup(&message.head[8.min(message.head.len())..]);
                self.database = database.map(|name| printable(name, self.limits.text_bytes));
                self.begin(Kind::Query, message, Statement { operation: "CONNECT", text: String::new() }, out);
            }
        }
    }

    fn client(&mut self, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let body = message.head.get(5..).unwrap_or_default();
        match message.head[0] {
            b'Q' => {
                let sql = Reader::new(body).cstring().unwrap_or(body);
                self.begin(Kind::Query, message, self.normalise(sql), out);
            }
            b'F' => self.begin(Kind::Query, message, Statement { operation: "CALL", text: String::new() }, out),
            b'P' => self.prepare(message, body, out),
            b'B' => self.bind(body),
            b'E' => self.execute(message, body, out),
            b'C' => {
                self.in_group = true;
                if let Some(name) = statement_name(body) {
                    self.statements.remove(|known| **known == *name);
                }
            }
            b'D' | b'H' => self.in_group = true,
            b'S' => {
                (self.in_group, self.aborting) = (false, false);
                self.push(Kind::Sync, Transaction::default(), out);
            }
            b'd' => {
                if let Some(waiting) = self.waiting.back() {
                    waiting.transaction.request_bytes += message.bytes;
                }
            }
            _ => {}
        }
    }

    fn normalise(&self, sql: &[u8]) -> Statement {
        normalise(sql, self.dialect, self.limits.text_bytes)
    }

    fn prepare(&mut self, message: &Message<'_>, body: &[u8], out: &mut Vec<Transaction>) {
        self.in_group = true;
        let Some((name, sql)) = parse(body) else { return };
        let statement = self.normalise(sql);
        self.statements.insert(name.into(), statement.clone());
        if !self.aborting {
            let transaction = message.begins(PROTOCOL.name, Initiator::Client, "PREPARE", statement.text);
            self.push(Kind::Prepare, transaction, out);
        }
    }

    fn bind(&mut self, body: &[u8]) {
        self.in_group = true;
        let Some(Portal { portal, statement: name }) = bind(body) else { return };
        let statement = self.statements.get(|known| **known == *name).cloned();
        self.portals.insert(portal.into(), statement.unwrap_or(Statement { operation: OTHER, text: String::new() }));
    }

    /// A statement that was just sent to be prepared is one request with its execution.
    fn execute(&mut self, message: &Message<'_>, body: &[u8], out: &mut Vec<Transaction>) {
        self.in_group = true;
        let portal = Reader::new(body).cstring().unwrap_or_default();
        let statement = self.portals.get(|known| **known == *portal).cloned();
        let statement = statement.unwrap_or(Statement { operation: OTHER, text: String::new() });
        if self.aborting {
            let mut transaction = message.begins(PROTOCOL.name, Initiator::Client, statement.operation, statement.text);
            transaction.error = Some(ABORTED.into());
            out.push(transaction);
            return;
        }
        if self.unseen.is_none()
            && let Some(Waiting { kind: kind @ Kind::Prepare, transaction }) = self.waiting.back()
            && *transaction.target == *statement.text
        {
            *kind = Kind::Execute;
            transaction.operation = statement.operation.into();
            transaction.request_bytes += message.bytes;
            transaction.end_ns = message.end_ns;
            return;
        }
        self.begin(Kind::Execute, message, statement, out);
    }

    fn server(&mut self, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let body = message.head.get(5..).unwrap_or_default();
        match message.head[0] {
            b'A' => return self.notification(message, body, out),
            b'S' => return self.parameter(body),
            b'N' | b'K' => return,
            _ => {}
        }
        if let Some(waiting) = self.waiting.front() {
            message.answers(&mut waiting.transaction);
        }
        match message.head[0] {
            b'E' => self.failed(body, out),
            b'Z' => self.ready(out),
            b'C' | b'I' | b's' => self.completed(body, out),
            b'1' => self.finish_if(|kind| matches!(kind, Kind::Prepare), out),
            b'W' => self.finish_if(|kind| matches!(kind, Kind::Query), out), // replication: it has no end
            _ => {}
        }
    }

    fn parameter(&mut self, body: &[u8]) {
        let mut reader = Reader::new(body);
        if reader.cstring() == Some(b"standard_conforming_strings") {
            self.dialect = if reader.cstring() == Some(b"off") { Dialect::PostgresqlEscapes } else { Dialect::Postgresql };
        }
    }

    fn notification(&self, message: &Message<'_>, body: &[u8], out: &mut Vec<Transaction>) {
        let channel = Reader::new(body.get(4..).unwrap_or_default()).cstring().unwrap_or_default();
        out.push(message.begins(PROTOCOL.name, Initiator::ServerOneWay, "NOTIFY", printable(channel, self.limits.text_bytes)));
    }

    fn finish_if(&mut self, is_it: impl Fn(&Kind) -> bool, out: &mut Vec<Transaction>) {
        if self.waiting.front().is_some_and(|waiting| is_it(&waiting.kind)) {
            out.extend(self.waiting.pop().map(|waiting| waiting.transaction));
        }
    }

    fn completed(&mut self, body: &[u8], out: &mut Vec<Transaction>) {
        if let (Some(waiting), Some(rows)) = (self.waiting.front(), command_rows(body)) {
            waiting.transaction.attributes.retain(|(name, _)| *name != "db.response.returned_rows");
            waiting.transaction.attributes.push(("db.response.returned_rows", rows));
        }
        self.finish_if(|kind| matches!(kind, Kind::Execute), out);
    }

    fn failed(&mut self, body: &[u8], out: &mut Vec<Transaction>) {
        let error = error_fields(body);
        let Some(waiting) = self.waiting.front() else {
            self.aborting = self.in_group;
            return;
        };
        if !matches!(waiting.kind, Kind::Sync) && waiting.transaction.error.is_none() {
            waiting.transaction.status = error.sqlstate.clone().into();
            waiting.transaction.error = Some(error.sqlstate.into());
        }
        match waiting.kind {
            Kind::Query if error.fatal => self.finish_if(|_| true, out),
            Kind::Query | Kind::Sync => {}
            Kind::Execute | Kind::Prepare => {
                self.finish_if(|_| true, out);
                self.abort(out);
            }
        }
    }

    /// The server passes over what was sent up to the next `Sync`, which may not have been sent yet.
    fn abort(&mut self, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.front() {
            if matches!(waiting.kind, Kind::Sync | Kind::Query) {
                return;
            }
            waiting.transaction.error = Some(ABORTED.into());
            self.finish_if(|_| true, out);
        }
        self.aborting = self.in_group;
    }

    /// `ReadyForQuery` answers a simple query, a login or a `Sync`, and all that came before those.
    fn ready(&mut self, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            let ends = waiting.kind.is_ended_by_ready();
            if !matches!(waiting.kind, Kind::Sync) {
                out.push(waiting.transaction);
            }
            if ends {
                return;
            }
        }
        self.unseen = self.unseen.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
    }
}

impl Framed for Postgresql {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        match (from, self.asked) {
            (Party::Client, Some(_)) => return Frame::Wait,
            (Party::Server, Some(_)) if bytes[0] != ERROR => return Frame::Message(1),
            _ => {}
        }
        if from == Party::Client && bytes[0] == 0 {
            let Some(length) = Reader::new(bytes).u32_be() else { return Frame::Need(8) };
            return if (8..=10_000).contains(&length) { Frame::Message(u64::from(length)) } else { Frame::Lost };
        }
        let known = if from == Party::Client { client_type(bytes[0]) } else { server_type(bytes[0]) };
        if !known {
            return Frame::Lost;
        }
        let Some(length) = Reader::new(&bytes[1..]).u32_be() else { return Frame::Need(5) };
        let limit = if self.doubt[from.index()] { DOUBTFUL_BYTES } else { MESSAGE_BYTES };
        if (4..limit).contains(&length) { Frame::Message(u64::from(length) + 1) } else { Frame::Lost }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        self.doubt[from.index()] = false;
        match (from, self.asked) {
            (Party::Client, _) if message.head[0] == 0 => self.untyped(message, out),
            (Party::Client, _) => self.client(message, out),
            (Party::Server, Some(code)) => {
                self.asked = None;
                match message.head[0] {
                    b'S' if code == SSL => return Some(Next::Classify),
                    b'G' => return Some(Next::Opaque("encrypted with GSSAPI")),
                    _ => {}
                }
            }
            (Party::Server, None) => self.server(message, out),
        }
        None
    }

    fn gap(&mut self, from: Party, _out: &mut Vec<Transaction>) {
        self.doubt[from.index()] = true;
        self.asked = None;
        self.unseen = None;
        if from == Party::Server {
            self.waiting.clear();
        }
    }

    fn awaits_one(&self) -> bool {
        self.unseen.is_none() && self.waiting.iter().filter(|waiting| waiting.kind.is_ended_by_ready()).count() == 1
    }

    fn answered(&mut self, end_ns: i64, bytes: u64, out: &mut Vec<Transaction>) {
        if let Some(waiting) = self.waiting.front() {
            answered_in_part(&mut waiting.transaction, end_ns, bytes);
        }
        self.ready(out);
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(Waiting { kind, transaction }) = self.waiting.pop() {
            if !matches!(kind, Kind::Sync) {
                out.push(unanswered(transaction, at_ns));
            }
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes() + self.statements.held_bytes() + self.portals.held_bytes()
    }
}

#[cfg(test)]
mod tests;
