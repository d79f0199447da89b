//! AMQP 0-9-1 (RabbitMQ): requests and answers per channel, publications with or without confirmation, deliveries until they
//! are acknowledged, the codes of closed channels and connections.

mod channels;
mod methods;
mod opening;

use channels::{Channels, Content, Incoming};
use methods::{Method, close_name, destination, is_client_method, is_server_method, method_name, request_target};
use opening::recognise;

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::reader::Reader;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "amqp",
    title: "AMQP 0-9-1 (RabbitMQ)",
    versions: "0-9, 0-9-1 (not 1.0)",
    shows: "publish, deliver, get with exchange and routing key, confirmations, acknowledgements and rejections, declarations, close codes",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Amqp::new(limits))),
};

pub const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// What every frame ends with.
pub const END: u8 = 0xce;
pub const FRAME_BYTES: u32 = 16_777_216;

/// Consumers that refuse a message.
const REJECTED: &str = "rejected";
/// Brokers that do not take responsibility for a publication.
const NACK: &str = "nack";

enum Kind {
    /// The answer to this method of a class.
    Answer(u16, u16),
    /// A confirmation of the n-th publication.
    Confirm(u64),
    /// An acknowledgement of this delivery.
    Acknowledge(u64),
}

struct Waiting {
    channel: u16,
    kind: Kind,
    transaction: Transaction,
}

pub struct Amqp {
    limits: Limits,
    waiting: Flight<Waiting>,
    unacknowledged: Flight<Waiting>,
    channels: Channels,
    /// The login, from the client's first bytes until the connection is open.
    login: Option<Transaction>,
}

impl Amqp {
    fn new(limits: Limits) -> Self {
        Amqp { limits, waiting: Flight::new(limits.decoder_bytes / 8), unacknowledged: Flight::new(limits.decoder_bytes / 8), channels: Channels::default(), login: None }
    }

    fn method(&mut self, from: Party, channel: u16, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let Some(method) = Method::read(&message.head[7..]) else { return };
        if let Some(login) = &mut self.login {
            if from == Party::Server { message.answers(login) } else { login.request_bytes += message.bytes }
        }
        match (from, method.class, method.number) {
            (_, 10, 50) | (_, 20, 40) => self.closes(from, channel, message, &method, out),
            (Party::Server, 10, 41) => out.extend(self.login.take()),
            (_, 10, _) => {}
            (Party::Client, 60, 40) => self.publishes(channel, message, &method),
            (Party::Server, 60, 60) => self.delivers(channel, message, &method),
            (Party::Server, 60, 50) => self.returns(channel, message, &method),
            (Party::Server, 60, 71) => self.gets(channel, message),
            (Party::Client, 60, 80 | 90 | 120) => self.acknowledged(channel, message, &method, out),
            (Party::Server, 60, 80 | 120) => self.confirmed(channel, message, &method, out),
            (Party::Client, ..) => self.request(channel, message, &method, out),
            (Party::Server, ..) => self.answer(channel, message, &method, out),
        }
    }

    fn request(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>, out: &mut Vec<Transaction>) {
        let Some(name) = method_name(method.class, method.number) else { return };
        let request = request_target(method, self.limits.text_bytes);
        let transaction = message.begins(PROTOCOL.name, Initiator::Client, name, request.target);
        if (method.class, method.number) == (60, 20) {
            self.channels.of(channel).acknowledges = !request.no_ack;
        }
        if (method.class, method.number) == (85, 10) {
            self.channels.of(channel).confirms = Some(0);
        }
        if request.no_wait {
            return out.push(Transaction { initiator: Initiator::ClientOneWay, ..transaction });
        }
        let text = text_bytes(&transaction);
        let waiting = Waiting { channel, kind: Kind::Answer(method.class, method.number), transaction };
        out.extend(self.waiting.push_keyed(waiting, text).map(|given_up| unfollowed(given_up.transaction)));
    }

    fn answer(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>, out: &mut Vec<Transaction>) {
        let asked = match (method.class, method.number) {
            (40, 51) => 40,
            (60, 72) => 70,
            (_, number) => number.saturating_sub(1),
        };
        let is_it = |waiting: &Waiting| waiting.channel == channel && matches!(waiting.kind, Kind::Answer(class, number) if (class, number) == (method.class, asked));
        if let Some(mut waiting) = self.waiting.take(is_it) {
            message.answers(&mut waiting.transaction);
            if (method.class, method.number) == (60, 72) {
                waiting.transaction.status = "empty".into();
            }
            out.push(waiting.transaction);
        }
        if (method.class, method.number) == (20, 41) {
            self.channels.forget(channel);
        }
    }

    fn publishes(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>) {
        let mut reader = method.arguments;
        let _reserved = reader.u16_be();
        let target = destination(&mut reader, self.limits.text_bytes).unwrap_or_default();
        let transaction = message.begins(PROTOCOL.name, Initiator::ClientOneWay, "publish", target);
        self.channels.begin(Party::Client, channel, Incoming::Publish, transaction);
    }

    fn delivers(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>) {
        let mut reader = method.arguments;
        let _consumer = reader.u8().and_then(|length| reader.bytes(length.into()));
        let tag = reader.u64_be().unwrap_or(0);
        let _redelivered = reader.u8();
        let target = destination(&mut reader, self.limits.text_bytes).unwrap_or_default();
        let transaction = message.begins(PROTOCOL.name, Initiator::ServerOneWay, "deliver", target);
        self.channels.begin(Party::Server, channel, Incoming::Deliver(tag), transaction);
    }

    fn returns(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>) {
        let mut reader = method.arguments;
        let code = reader.u16_be().unwrap_or(0);
        let _text = reader.u8().and_then(|length| reader.bytes(length.into()));
        let target = destination(&mut reader, self.limits.text_bytes).unwrap_or_default();
        let mut transaction = message.begins(PROTOCOL.name, Initiator::ServerOneWay, "return", target);
        fail(&mut transaction, code);
        self.channels.begin(Party::Server, channel, Incoming::Other, transaction);
    }

    /// The message that answers a `get` comes after this.
    fn gets(&mut self, channel: u16, message: &Message<'_>) {
        let is_it = |waiting: &Waiting| waiting.channel == channel && matches!(waiting.kind, Kind::Answer(60, 70));
        if let Some(mut waiting) = self.waiting.take(is_it) {
            message.answers(&mut waiting.transaction);
            self.channels.begin(Party::Server, channel, Incoming::Get, waiting.transaction);
        }
    }

    fn content(&mut self, from: Party, channel: u16, message: &Message<'_>, body_bytes: Option<u64>, out: &mut Vec<Transaction>) {
        let Some(Content { incoming, mut transaction, .. }) = self.channels.content(from, channel, message, body_bytes) else { return };
        match incoming {
            Incoming::Publish => {
                if let Some(count) = &mut self.channels.of(channel).confirms {
                    *count += 1;
                    transaction.initiator = Initiator::Client;
                    let waiting = Waiting { channel, kind: Kind::Confirm(*count), transaction };
                    let text = text_bytes(&waiting.transaction);
                    out.extend(self.waiting.push_keyed(waiting, text).map(|given_up| unfollowed(given_up.transaction)));
                    return;
                }
            }
            Incoming::Deliver(tag) if self.channels.of(channel).acknowledges => {
                let waiting = Waiting { channel, kind: Kind::Acknowledge(tag), transaction };
                let text = text_bytes(&waiting.transaction);
                out.extend(self.unacknowledged.push_keyed(waiting, text).map(|given_up| unfollowed(given_up.transaction)));
                return;
            }
            _ => {}
        }
        out.push(transaction);
    }

    /// Ends everything up to a tag, or the one with it.
    fn settle(from: &mut Flight<Waiting>, is_it: impl Fn(&Waiting) -> bool, mut end: impl FnMut(Transaction)) {
        while let Some(waiting) = from.take(&is_it) {
            end(waiting.transaction);
        }
    }

    fn confirmed(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>, out: &mut Vec<Transaction>) {
        let (tag, multiple) = method.tag();
        let is_it = |waiting: &Waiting| waiting.channel == channel && matches!(waiting.kind, Kind::Confirm(known) if known == tag || (multiple && (known <= tag || tag == 0)));
        Self::settle(&mut self.waiting, is_it, |mut transaction| {
            message.answers(&mut transaction);
            transaction.error = (method.number == 120).then(|| NACK.into());
            out.push(transaction);
        });
    }

    fn acknowledged(&mut self, channel: u16, message: &Message<'_>, method: &Method<'_>, out: &mut Vec<Transaction>) {
        let (tag, multiple) = method.tag();
        let multiple = multiple && method.number != 90;
        let is_it = |waiting: &Waiting| waiting.channel == channel && matches!(waiting.kind, Kind::Acknowledge(known) if known == tag || (multiple && (known <= tag || tag == 0)));
        Self::settle(&mut self.unacknowledged, is_it, |mut transaction| {
            message.answers(&mut transaction);
            transaction.initiator = Initiator::Server;
            transaction.error = (method.number != 80).then(|| REJECTED.into());
            out.push(transaction);
        });
    }

    /// A channel (class 20) or the connection (class 10) is closed, with a code and the method that was to blame.
    fn closes(&mut self, from: Party, channel: u16, message: &Message<'_>, method: &Method<'_>, out: &mut Vec<Transaction>) {
        let mut reader = method.arguments;
        let code = reader.u16_be().unwrap_or(0);
        if from == Party::Client && code < 300 {
            return if method.class == 20 { self.request(channel, message, method, out) } else { self.answer_login(code, out) };
        }
        let hit = out.len();
        self.answer_login(code, out);
        let whole = method.class == 10;
        Self::settle(&mut self.waiting, |waiting| whole || waiting.channel == channel, |mut transaction| {
            message.answers(&mut transaction);
            fail(&mut transaction, code);
            out.push(transaction);
        });
        Self::settle(&mut self.unacknowledged, |waiting| whole || waiting.channel == channel, |transaction| out.push(transaction));
        if out[hit..].iter().all(|transaction| transaction.error.is_none()) && code >= 300 {
            let initiator = if from == Party::Client { Initiator::ClientOneWay } else { Initiator::ServerOneWay };
            let name = if whole { "connection.close" } else { "channel.close" };
            let mut transaction = message.begins(PROTOCOL.name, initiator, name, "");
            fail(&mut transaction, code);
            out.push(transaction);
        }
        self.channels.forget(channel);
    }

    fn answer_login(&mut self, code: u16, out: &mut Vec<Transaction>) {
        if let Some(mut login) = self.login.take() {
            fail(&mut login, code);
            out.push(login);
        }
    }
}

fn fail(transaction: &mut Transaction, code: u16) {
    if code >= 300 {
        transaction.status = code.to_string().into();
        transaction.error = Some(close_name(code).map_or_else(|| transaction.status.clone(), Into::into));
    }
}

impl Framed for Amqp {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        if bytes[0] == b'A' {
            return match bytes.get(..4) {
                None => Frame::Need(8),
                Some(b"AMQP") => Frame::Message(8),
                Some(_) => Frame::Lost,
            };
        }
        let mut reader = Reader::new(bytes);
        let (Some(kind), Some(_), Some(length)) = (reader.u8(), reader.u16_be(), reader.u32_be()) else {
            return if matches!(bytes[0], METHOD | HEADER | BODY | HEARTBEAT) { Frame::Need(7) } else { Frame::Lost };
        };
        if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) || length > FRAME_BYTES || (kind == HEARTBEAT && length > 0) {
            return Frame::Lost;
        }
        let whole = length as usize + 8;
        if whole > Self::HEAD_BYTES {
            return Frame::Message(whole as u64);
        }
        let Some(last) = bytes.get(whole - 1) else { return Frame::Need(whole) };
        let known = kind != METHOD || Method::read(&bytes[7..]).is_some_and(|method| if from == Party::Client { is_client_method(&method) } else { is_server_method(&method) });
        if *last == END && known { Frame::Message(whole as u64) } else { Frame::Lost }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        let channel = u16::from_be_bytes([message.head[1], message.head[2]]);
        let body = u64::from(message.bytes.saturating_sub(8) as u32);
        match message.head[0] {
            b'A' if from == Party::Client => self.login = Some(message.begins(PROTOCOL.name, Initiator::Client, "connect", "")),
            METHOD => self.method(from, channel, message, out),
            HEADER => {
                let size = message.head.get(11..19).and_then(|size| size.try_into().ok()).map_or(0, u64::from_be_bytes);
                self.channels.announce(from, channel, size);
                self.content(from, channel, message, None, out);
            }
            BODY => self.content(from, channel, message, Some(body), out),
            _ => {}
        }
        None
    }

    fn gap(&mut self, from: Party, _out: &mut Vec<Transaction>) {
        self.channels.lose(from);
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        out.extend(self.login.take().map(|login| unanswered(login, at_ns)));
        while let Some(waiting) = self.waiting.pop() {
            out.push(unanswered(waiting.transaction, at_ns));
        }
        Self::settle(&mut self.unacknowledged, |_| true, |transaction| out.push(transaction));
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes() + self.unacknowledged.held_bytes() + self.channels.held_bytes()
    }
}

#[cfg(test)]
mod tests;
