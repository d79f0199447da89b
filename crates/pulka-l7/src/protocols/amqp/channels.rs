//! What is known of each channel, and the messages that are coming over it in several frames.

use crate::flight::text_bytes;
use crate::frames::Message;
use crate::transaction::{Party, Transaction};

/// More channels than these are not told apart.
const CHANNELS: usize = 256;

pub struct Channel {
    id: u16,
    /// Publications so far, when the broker confirms them.
    pub confirms: Option<u64>,
    /// Its consumers acknowledge what they get.
    pub acknowledges: bool,
}

pub enum Incoming {
    Publish,
    Deliver(u64),
    Get,
    Other,
}

pub struct Content {
    party: Party,
    channel: u16,
    pub incoming: Incoming,
    pub transaction: Transaction,
    /// Bytes of the body that are still to come; None before the header.
    left: Option<u64>,
}

#[derive(Default)]
pub struct Channels {
    channels: Vec<Channel>,
    contents: Vec<Content>,
}

impl Channels {
    pub fn of(&mut self, id: u16) -> &mut Channel {
        let index = self.channels.iter().position(|channel| channel.id == id).unwrap_or_else(|| {
            if self.channels.len() == CHANNELS {
                self.channels.swap_remove(0);
            }
            self.channels.push(Channel { id, confirms: None, acknowledges: false });
            self.channels.len() - 1
        });
        &mut self.channels[index]
    }

    pub fn forget(&mut self, id: u16) {
        self.channels.retain(|channel| channel.id != id);
        self.contents.retain(|content| content.channel != id);
    }

    /// A message begins; a header and a body come.
    pub fn begin(&mut self, party: Party, channel: u16, incoming: Incoming, transaction: Transaction) {
        self.contents.retain(|content| (content.party, content.channel) != (party, channel));
        if self.contents.len() < CHANNELS {
            self.contents.push(Content { party, channel, incoming, transaction, left: None });
        }
    }

    pub fn announce(&mut self, party: Party, channel: u16, body_bytes: u64) {
        if let Some(content) = self.contents.iter_mut().find(|content| (content.party, content.channel) == (party, channel)) {
            content.left = Some(body_bytes);
        }
    }

    /// A header (of no body bytes) or a part of the body. The message, when that was its last frame.
    pub fn content(&mut self, party: Party, channel: u16, message: &Message<'_>, body_bytes: Option<u64>) -> Option<Content> {
        let index = self.contents.iter().position(|content| (content.party, content.channel) == (party, channel))?;
        let content = &mut self.contents[index];
        let left = content.left?.saturating_sub(body_bytes.unwrap_or(0));
        content.left = Some(left);
        content.transaction.end_ns = message.end_ns;
        if matches!(content.incoming, Incoming::Get) { content.transaction.response_bytes += message.bytes } else { content.transaction.request_bytes += message.bytes }
        (left == 0).then(|| self.contents.swap_remove(index))
    }

    pub fn lose(&mut self, party: Party) {
        self.contents.retain(|content| content.party != party);
    }

    pub fn held_bytes(&self) -> usize {
        self.channels.capacity() * size_of::<Channel>()
            + self.contents.capacity() * size_of::<Content>()
            + self.contents.iter().map(|content| text_bytes(&content.transaction)).sum::<usize>()
    }
}
