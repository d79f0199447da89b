//! Kafka: by API and version, topics, consumer groups and error codes; answers find their requests by correlation id.

mod apis;
mod errors;
mod fields;
mod opening;
mod requests;
mod responses;

use apis::{METADATA, SASL_HANDSHAKE, api_name, header};
use errors::error_name;
use opening::recognise;
use responses::Topics;

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::reader::Reader;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "kafka",
    title: "Kafka",
    versions: "request header 1 and 2: all APIs by name; topics and errors of Produce 0 to 13, Fetch 0 to 18, Metadata 0 to 13 (brokers 0.8 to 4)",
    shows: "API and version, topics, consumer group, error; producers that want no acknowledgement, topic ids",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Kafka::new(limits))),
};

const MESSAGE_BYTES: u32 = 1_073_741_824;

struct Waiting {
    correlation: i32,
    key: i16,
    version: i16,
    transaction: Transaction,
}

pub struct Kafka {
    limits: Limits,
    waiting: Flight<Waiting>,
    /// Names of topics by id, from answers to Metadata.
    topics: Topics,
    /// The client sends tokens without a header, as the first version of SaslHandshake has it.
    tokens: bool,
    doubt: [bool; 2],
}

impl Kafka {
    fn new(limits: Limits) -> Self {
        Kafka { limits, waiting: Flight::new(limits.decoder_bytes / 4), topics: Topics::default(), tokens: false, doubt: [false; 2] }
    }

    fn request(&mut self, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let Some(header) = header(&message.head[4..]) else { return };
        self.tokens = header.key == SASL_HANDSHAKE && header.version == 0;
        let body = requests::body(&header, &self.topics, self.limits.text_bytes);
        let mut transaction = message.begins(PROTOCOL.name, Initiator::Client, api_name(header.key), body.topics);
        transaction.attributes.push(("pulka.kafka.api.version", header.version.to_string()));
        transaction.attributes.extend(body.group.map(|group| ("messaging.consumer.group.name", group)));
        if body.unanswered {
            transaction.initiator = Initiator::ClientOneWay;
            return out.push(transaction);
        }
        let text = text_bytes(&transaction);
        let waiting = Waiting { correlation: header.correlation, key: header.key, version: header.version, transaction };
        out.extend(self.waiting.push_keyed(waiting, text).map(|given_up| unfollowed(given_up.transaction)));
    }

    fn response(&mut self, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let Some(correlation) = Reader::new(&message.head[4..]).i32_be() else { return };
        let Some(Waiting { key, version, mut transaction, .. }) = self.waiting.take(|waiting| waiting.correlation == correlation) else { return };
        message.answers(&mut transaction);
        if key == METADATA {
            self.topics.learn(&message.head[8..], version);
        }
        if let Some(code) = responses::error(key, version, &message.head[8..]).filter(|code| *code != 0) {
            transaction.status = code.to_string().into();
            transaction.error = error_name(code);
        }
        out.push(transaction);
    }
}

impl Framed for Kafka {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        let wanted = if from == Party::Client { 12 } else { 8 };
        let mut reader = Reader::new(bytes);
        let Some(length) = reader.u32_be() else { return Frame::Need(wanted) };
        if length >= MESSAGE_BYTES || (length < wanted as u32 - 4 && !self.tokens) {
            return Frame::Lost;
        }
        if self.tokens && from == Party::Client && bytes.len() < wanted && bytes.len() as u64 == u64::from(length) + 4 {
            return Frame::Message(u64::from(length) + 4);
        }
        if bytes.len() < wanted {
            return Frame::Need(wanted.min(length as usize + 4));
        }
        let fits = match from {
            Party::Client => self.tokens || (header(reader.rest()).is_some() && (!self.doubt[0] || length < 16_777_216)),
            Party::Server => !self.doubt[1] || reader.i32_be().is_some_and(|correlation| self.waiting.find(|waiting| waiting.correlation == correlation).is_some()),
        };
        if fits { Frame::Message(u64::from(length) + 4) } else { Frame::Lost }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        self.doubt[from.index()] = false;
        match from {
            Party::Client => self.request(message, out),
            Party::Server => self.response(message, out),
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
        self.waiting.held_bytes() + self.topics.held_bytes()
    }
}

#[cfg(test)]
mod tests;
