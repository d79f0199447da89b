//! MySQL and MariaDB: text and prepared statements, several results, errors by code, logins of any kind, files that a
//! client sends, packets that go on in the next one, the switch to TLS.
//!
//! A packet says neither what it is nor whether it is the last; only the command that it answers tells. Whether results
//! end with an EOF or an OK packet (`CLIENT_DEPRECATE_EOF`) shows in its length, so that it need not be known.

mod answer;
mod opening;
mod packets;

use answer::{Answer, Progress};
use opening::recognise;
use packets::{Packet, capability, command_name, error_code, greeting, login, query_text};

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, answered_in_part, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::prepared::Prepared;
use crate::reader::Reader;
use crate::statement::{Dialect, OTHER, Statement, normalise};
use crate::text::printable;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "mysql",
    title: "MySQL, MariaDB",
    versions: "protocol 10 with CLIENT_PROTOCOL_41 (MySQL 4.1 to 9, MariaDB 5 to 12), not compressed",
    shows: "statement without literals, error code, database; text and prepared statements, logins, LOAD DATA LOCAL, the switch to TLS",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Mysql::new(limits))),
};

/// A packet of this length goes on in the next one.
const CONTINUED: u32 = 0x00ff_ffff;
/// A status of the server.
const NO_BACKSLASH_ESCAPES: u16 = 512;

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Before the server's greeting, or in the middle of a connection.
    Start,
    /// After the greeting: the client's next packet is its login.
    Greeted,
    /// The client may send more of its login, until the server is content.
    Login,
    Commands,
}

struct Waiting {
    answer: Answer,
    transaction: Transaction,
}

pub struct Mysql {
    limits: Limits,
    phase: Phase,
    /// What both parties can; None when the login was not seen.
    capabilities: Option<u32>,
    waiting: Flight<Waiting>,
    statements: Prepared<u32>,
    /// For executions of "the last one", which MariaDB's clients send before its number is known.
    last_prepared: Option<Statement>,
    database: Option<String>,
    dialect: Dialect,
    /// The client sends a file: its packets are no commands until an empty one.
    sends_file: bool,
    continued: [bool; 2],
    doubt: [bool; 2],
}

impl Mysql {
    fn new(limits: Limits) -> Self {
        Mysql {
            limits,
            phase: Phase::Start,
            capabilities: None,
            waiting: Flight::new(limits.decoder_bytes / 8),
            statements: Prepared::new(256),
            last_prepared: None,
            database: None,
            dialect: Dialect::Mysql,
            sends_file: false,
            continued: [false; 2],
            doubt: [false; 2],
        }
    }

    fn begin(&mut self, message: &Message<'_>, answer: Answer, operation: &'static str, target: String, out: &mut Vec<Transaction>) {
        let mut transaction = message.begins(PROTOCOL.name, Initiator::Client, operation, target);
        if let Some(database) = &self.database {
            transaction.attributes.push(("db.namespace", database.clone()));
        }
        let text = text_bytes(&transaction);
        if !self.waiting.has_room(text) {
            out.extend(self.waiting.drain().map(|waiting| unfollowed(waiting.transaction)));
        }
        out.extend(self.waiting.push(Waiting { answer, transaction }, text).map(|refused| unfollowed(refused.transaction)));
    }

    fn client(&mut self, message: &Message<'_>, packet: &Packet<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        match self.phase {
            Phase::Start if packet.sequence != 0 => {}
            Phase::Greeted => return self.login(message, packet, out),
            Phase::Login => self.add_to_request(message),
            Phase::Start | Phase::Commands if self.sends_file => {
                self.sends_file = packet.length > 0;
                self.add_to_request(message);
            }
            Phase::Start | Phase::Commands if packet.sequence != 0 => self.add_to_request(message),
            Phase::Start | Phase::Commands => self.command(message, packet.body, out),
        }
        None
    }

    fn add_to_request(&mut self, message: &Message<'_>) {
        if let Some(waiting) = self.waiting.back() {
            waiting.transaction.request_bytes += message.bytes;
        }
    }

    fn login(&mut self, message: &Message<'_>, packet: &Packet<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        let login = login(packet.body);
        if packet.length == 32 && login.capabilities & capability::SSL != 0 {
            return Some(Next::Classify);
        }
        self.phase = Phase::Login;
        self.capabilities = Some(login.capabilities & self.capabilities.unwrap_or(u32::MAX));
        self.database = login.database.filter(|name| !name.is_empty()).map(|name| printable(name, self.limits.text_bytes));
        self.begin(message, Answer::Login, "CONNECT", String::new(), out);
        None
    }

    fn command(&mut self, message: &Message<'_>, body: &[u8], out: &mut Vec<Transaction>) {
        self.phase = Phase::Commands;
        let Some((command, rest)) = body.split_first() else { return };
        let name = command_name(*command);
        match command {
            0x01 | 0x18 => {} // QUIT and LONG_DATA are not answered
            0x19 => {
                let id = Reader::new(rest).u32_le();
                self.statements.remove(|known| Some(*known) == id);
            }
            0x02 => {
                self.database = Some(printable(rest, self.limits.text_bytes));
                self.begin(message, Answer::Single, name, printable(rest, self.limits.text_bytes), out);
            }
            0x03 => {
                let attributes = self.capabilities.map(|known| known & capability::QUERY_ATTRIBUTES != 0);
                let statement = normalise(query_text(rest, attributes), self.dialect, self.limits.text_bytes);
                self.begin(message, Answer::First, statement.operation, statement.text, out);
            }
            0x0a => self.begin(message, Answer::First, name, String::new(), out),
            0x04 => self.begin(message, Answer::Rows, name, String::new(), out),
            0x11 => {
                self.phase = Phase::Login;
                self.begin(message, Answer::Login, name, String::new(), out);
            }
            0x12 | 0x1e => self.begin(message, Answer::Single, name, String::new(), out),
            0x16 => {
                let statement = normalise(rest, self.dialect, self.limits.text_bytes);
                self.last_prepared = Some(statement.clone());
                self.begin(message, Answer::Prepared, name, statement.text, out);
            }
            0x17 | 0xfa => self.execute(message, rest, Answer::First, out),
            0x1c => self.execute(message, rest, Answer::Rows, out),
            _ => self.begin(message, Answer::Single, name, String::new(), out),
        }
    }

    fn execute(&mut self, message: &Message<'_>, rest: &[u8], answer: Answer, out: &mut Vec<Transaction>) {
        let id = Reader::new(rest).u32_le();
        let known = if id == Some(u32::MAX) { self.last_prepared.as_ref() } else { self.statements.get(|known| Some(*known) == id) };
        let statement = known.cloned().unwrap_or(Statement { operation: OTHER, text: String::new() });
        let operation = if answer == Answer::Rows { "FETCH" } else { statement.operation };
        self.begin(message, answer, operation, statement.text, out);
    }

    fn server(&mut self, message: &Message<'_>, packet: &Packet<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        if self.phase == Phase::Start && packet.sequence == 0 {
            return self.greeted(message, packet, out);
        }
        let waiting = self.waiting.front()?;
        if waiting.transaction.first_byte_ns.is_none() && packet.sequence == 0 {
            return None; // no answer begins a sequence: it is what a gap left over
        }
        message.answers(&mut waiting.transaction);
        if let Some(status) = answer::status(waiting.answer, packet) {
            self.dialect = if status & NO_BACKSLASH_ESCAPES != 0 { Dialect::MysqlStandard } else { Dialect::Mysql };
        }
        let progress = answer::packet(&mut waiting.answer, packet, self.capabilities);
        match progress {
            Progress::More => {}
            Progress::File => self.sends_file = true,
            Progress::Prepared(id) => self.prepared(id),
            Progress::PreparedDone(id) => {
                self.prepared(id);
                out.extend(self.finish());
            }
            Progress::Done => {
                let login = self.phase == Phase::Login;
                out.extend(self.finish());
                if login && self.capabilities.is_some_and(|known| known & (capability::COMPRESS | capability::ZSTD) != 0) {
                    return Some(Next::Opaque("compressed"));
                }
            }
            Progress::Failed(code) => {
                if let Some(mut transaction) = self.finish() {
                    transaction.status = code.to_string().into();
                    transaction.error = Some(transaction.status.clone());
                    out.push(transaction);
                }
            }
        }
        None
    }

    fn finish(&mut self) -> Option<Transaction> {
        self.sends_file = false;
        if self.phase == Phase::Login {
            self.phase = Phase::Commands;
        }
        self.waiting.pop().map(|waiting| waiting.transaction)
    }

    /// The number of the statement whose preparation is being answered.
    fn prepared(&mut self, id: u32) {
        let Some(waiting) = self.waiting.front() else { return };
        let text = waiting.transaction.target.to_string();
        let operation = normalise(text.as_bytes(), self.dialect, self.limits.text_bytes).operation;
        self.statements.insert(id, Statement { operation, text });
    }

    fn greeted(&mut self, message: &Message<'_>, packet: &Packet<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        if let Some(code) = error_code(packet.body) {
            let mut refused = message.begins(PROTOCOL.name, Initiator::Client, "CONNECT", "");
            (refused.request_bytes, refused.response_bytes, refused.first_byte_ns) = (0, message.bytes, Some(message.start_ns));
            refused.status = code.to_string().into();
            refused.error = Some(refused.status.clone());
            out.push(refused);
        } else if let Some(capabilities) = greeting(packet.body) {
            self.capabilities = Some(capabilities);
            self.phase = Phase::Greeted;
        }
        None
    }

    /// Whether bytes after a gap may be a packet.
    fn believable(&mut self, from: Party, bytes: &[u8], length: u32) -> bool {
        let waits = self.waiting.front().is_some();
        match from {
            Party::Client => bytes[3] == 0 && (1..1_048_576).contains(&length) && bytes.get(4).is_none_or(|command| *command <= 0x1f),
            Party::Server => waits && bytes[3] == 1 && length > 0,
        }
    }
}

impl Framed for Mysql {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        let Some([a, b, c, _]) = bytes.first_chunk::<4>() else { return Frame::Need(4) };
        let length = u32::from_le_bytes([*a, *b, *c, 0]);
        if self.doubt[from.index()] && !self.believable(from, bytes, length) {
            return Frame::Lost;
        }
        Frame::Message(u64::from(length) + 4)
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        self.doubt[from.index()] = false;
        let packet = Packet { length: (message.bytes - 4) as u32, sequence: message.head[3], body: &message.head[4..] };
        if std::mem::replace(&mut self.continued[from.index()], packet.length == CONTINUED) {
            let waiting = if from == Party::Client { self.waiting.back() } else { self.waiting.front() };
            match (waiting, from) {
                (Some(waiting), Party::Client) => waiting.transaction.request_bytes += message.bytes,
                (Some(waiting), Party::Server) => message.answers(&mut waiting.transaction),
                (None, _) => {}
            }
            return None;
        }
        match from {
            Party::Client => self.client(message, &packet, out),
            Party::Server => self.server(message, &packet, out),
        }
    }

    fn gap(&mut self, from: Party, _out: &mut Vec<Transaction>) {
        self.doubt[from.index()] = true;
        self.continued[from.index()] = false;
        self.sends_file = false;
        self.phase = if self.phase == Phase::Start { Phase::Start } else { Phase::Commands };
        self.waiting.clear();
    }

    fn awaits_one(&self) -> bool {
        self.phase == Phase::Commands && self.waiting.len() == 1
    }

    fn answered(&mut self, end_ns: i64, bytes: u64, out: &mut Vec<Transaction>) {
        out.extend(self.finish().map(|mut transaction| {
            answered_in_part(&mut transaction, end_ns, bytes);
            transaction
        }));
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            out.push(unanswered(waiting.transaction, at_ns));
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes() + self.statements.held_bytes()
    }
}

#[cfg(test)]
mod tests;
