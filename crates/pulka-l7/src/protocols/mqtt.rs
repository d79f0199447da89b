//! MQTT 3.1, 3.1.1 and 5: logins, publications of each quality of service in both directions, subscriptions, reason codes.

mod opening;
mod packets;

use opening::recognise;
use packets::{Connect, Kind, Packet, Published, code_after, connect, publish, reason_name, subscribed, topic_filter};

use crate::decoder::{Limits, Next, Protocol};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::{Frame, Framed, Frames, Message};
use crate::subject::quantise_name;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    title: "MQTT",
    versions: "3.1, 3.1.1, 5",
    shows: "publish and deliver with topic, quality of service 0 to 2, subscribe, reason codes, topic aliases",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Frames::new(Mqtt::new(limits))),
};

/// Topics that a client or server gave a number.
const ALIASES: usize = 64;

struct Waiting {
    from: Party,
    kind: Kind,
    id: u16,
    transaction: Transaction,
}

pub struct Mqtt {
    limits: Limits,
    version: u8,
    waiting: Flight<Waiting>,
    aliases: [Vec<(u16, String)>; 2],
    doubt: [bool; 2],
}

impl Mqtt {
    fn new(limits: Limits) -> Self {
        Mqtt { limits, version: 4, waiting: Flight::new(limits.decoder_bytes / 4), aliases: Default::default(), doubt: [false; 2] }
    }

    fn begin(&mut self, from: Party, kind: Kind, id: u16, transaction: Transaction, out: &mut Vec<Transaction>) {
        let text = text_bytes(&transaction);
        out.extend(self.waiting.push_keyed(Waiting { from, kind, id, transaction }, text).map(|given_up| unfollowed(given_up.transaction)));
    }

    fn finish(&mut self, from: Party, asked: Kind, id: u16, message: &Message<'_>, code: u8, out: &mut Vec<Transaction>) {
        let is_it = |waiting: &Waiting| waiting.from != from && waiting.kind == asked && waiting.id == id;
        if let Some(Waiting { mut transaction, .. }) = self.waiting.take(is_it) {
            message.answers(&mut transaction);
            self.judge(&mut transaction, asked, code);
            out.push(transaction);
        }
    }

    /// Codes of 0x80 and above are failures; before version 5 a login is refused with small ones.
    fn judge(&self, transaction: &mut Transaction, asked: Kind, code: u8) {
        let failed = code >= 0x80 || (asked == Kind::Connect && self.version < 5 && code > 0);
        if failed {
            transaction.status = code.to_string().into();
            transaction.error = Some(reason_name(code, asked == Kind::Connect && self.version < 5).into());
        }
    }

    fn publish(&mut self, from: Party, packet: &Packet<'_>, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let Some(Published { topic, id, alias }) = publish(packet, self.version) else { return };
        let name = quantise_name(topic, b"/", self.limits.text_bytes);
        let target = self.alias(from, alias, name);
        let quality = (packet.flags >> 1) & 3;
        let (one_way, asks, name) = match from {
            Party::Client => (Initiator::ClientOneWay, Initiator::Client, "publish"),
            Party::Server => (Initiator::ServerOneWay, Initiator::Server, "deliver"),
        };
        let mut transaction = message.begins(PROTOCOL.name, if quality == 0 { one_way } else { asks }, name, target);
        transaction.attributes.push(("pulka.mqtt.qos", quality.to_string()));
        if quality == 0 { out.push(transaction) } else { self.begin(from, Kind::Publish, id, transaction, out) }
    }

    /// The topic's name, which its alias stands for from then on.
    fn alias(&mut self, from: Party, alias: Option<u16>, name: String) -> String {
        let (Some(alias), aliases) = (alias, &mut self.aliases[from.index()]) else { return name };
        let index = aliases.iter().position(|(known, _)| *known == alias);
        match index {
            Some(index) if name.is_empty() => return aliases[index].1.clone(),
            Some(index) => aliases[index].1.clone_from(&name),
            None if aliases.len() < ALIASES && !name.is_empty() => aliases.push((alias, name.clone())),
            None => {}
        }
        name
    }

    /// PUBREC says that a publication of quality 2 arrived, or that it failed; PUBCOMP ends it.
    fn received(&mut self, from: Party, packet: &Packet<'_>, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let (id, code) = code_after(packet);
        if code >= 0x80 {
            return self.finish(from, Kind::Publish, id, message, code, out);
        }
        if let Some(waiting) = self.waiting.find(|waiting| waiting.from != from && waiting.kind == Kind::Publish && waiting.id == id) {
            message.answers(&mut waiting.transaction);
        }
    }

    fn asks(&mut self, from: Party, kind: Kind, packet: &Packet<'_>, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let (id, topic) = topic_filter(packet, self.version).unwrap_or_default();
        let name = if kind == Kind::Subscribe { "subscribe" } else { "unsubscribe" };
        let transaction = message.begins(PROTOCOL.name, Initiator::Client, name, quantise_name(topic, b"/", self.limits.text_bytes));
        self.begin(from, kind, id, transaction, out);
    }

    fn disconnects(&self, from: Party, packet: &Packet<'_>, message: &Message<'_>, out: &mut Vec<Transaction>) {
        let initiator = if from == Party::Client { Initiator::ClientOneWay } else { Initiator::ServerOneWay };
        let mut transaction = message.begins(PROTOCOL.name, initiator, "disconnect", "");
        self.judge(&mut transaction, Kind::Disconnect, packet.body.first().copied().unwrap_or(0));
        out.push(transaction);
    }
}

impl Framed for Mqtt {
    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame {
        match packets::length(from, bytes) {
            packets::Length::More => Frame::Need(bytes.len() + 1),
            packets::Length::Whole(_) if self.doubt[from.index()] && !opening::whole_packet_fits(from, bytes, self.version) => Frame::Lost,
            packets::Length::Whole(whole) => Frame::Message(whole),
            packets::Length::Wrong => Frame::Lost,
        }
    }

    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next> {
        self.doubt[from.index()] = false;
        let packet = Packet::read(message.head)?;
        match packet.kind {
            Kind::Connect => {
                let Connect { version } = connect(&packet)?;
                self.version = version;
                self.begin(from, Kind::Connect, 0, message.begins(PROTOCOL.name, Initiator::Client, "connect", ""), out);
            }
            Kind::Connack => self.finish(from, Kind::Connect, 0, message, packet.body.get(1).copied().unwrap_or(0), out),
            Kind::Publish => self.publish(from, &packet, message, out),
            Kind::Puback | Kind::Pubcomp => {
                let (id, code) = code_after(&packet);
                self.finish(from, Kind::Publish, id, message, code, out);
            }
            Kind::Pubrec => self.received(from, &packet, message, out),
            Kind::Subscribe | Kind::Unsubscribe => self.asks(from, packet.kind, &packet, message, out),
            Kind::Suback | Kind::Unsuback => {
                let asked = if packet.kind == Kind::Suback { Kind::Subscribe } else { Kind::Unsubscribe };
                let (id, code) = subscribed(&packet, self.version).unwrap_or_default();
                self.finish(from, asked, id, message, code, out);
            }
            Kind::Pingreq => self.begin(from, Kind::Pingreq, 0, message.begins(PROTOCOL.name, Initiator::Client, "ping", ""), out),
            Kind::Pingresp => self.finish(from, Kind::Pingreq, 0, message, 0, out),
            Kind::Disconnect => self.disconnects(from, &packet, message, out),
            Kind::Pubrel | Kind::Auth => {}
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
        self.waiting.held_bytes() + self.aliases.iter().flatten().map(|(_, name)| name.len() + size_of::<(u16, String)>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
