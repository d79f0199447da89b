//! The seam of protocols: what one offers (`Protocol`), how it is recognised (`Verdict`), how it is decoded (`Decoder`).
//!
//! A decoder never buffers bytes. It looks at the front of what a party has sent (`Input`) and answers with a `Step`: take
//! so many, skip a payload that is not wanted, come again when there are more. The stream keeps what is not taken yet, up
//! to a limit, which makes every decoder resumable at any byte, bounded in memory, and blind to how bytes were cut.

use std::collections::VecDeque;

use crate::transaction::{Party, Transaction};

/// Limits of one connection. A source opens as many as its budget divides by `connection_bytes`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What is looked at, per direction, to find the protocol.
    pub opening_bytes: usize,
    /// What is kept, per direction, of a message that is not complete.
    pub buffer_bytes: usize,
    /// What a decoder may hold of its own: requests in flight, tables.
    pub decoder_bytes: usize,
    /// Requests that wait for an answer; the oldest is given up when there are more.
    pub in_flight: usize,
    /// Length of operations, targets and attributes.
    pub text_bytes: usize,
}

impl Limits {
    pub const DEFAULT: Limits = Limits { opening_bytes: 4096, buffer_bytes: 65_536, decoder_bytes: 262_144, in_flight: 256, text_bytes: 256 };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream of bytes: TCP, or a Unix socket.
    Stream,
    /// Messages: UDP. `Input::bytes` is then exactly one of them.
    Datagram,
}

/// The first bytes of both parties; empty while a party has said nothing. Stream: up to `opening_bytes` of each.
/// Datagram: the first message of each.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    pub transport: Transport,
    pub client: &'a [u8],
    pub server: &'a [u8],
    /// The connection was seen from its first byte. False: bytes begin where a chunk began, probably a message.
    pub from_start: bool,
}

/// What a protocol says of an opening. It must be steady: more bytes turn `NeedMore` into anything, `OneSided` into `Yes`
/// or `No`, and never change `Yes` or `No`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not this protocol, whatever follows.
    No,
    /// It may be; more bytes of this or the other party will tell.
    NeedMore,
    /// One party has spoken, and it can be nothing else. Taken when the other never speaks.
    OneSided,
    /// Both parties have spoken, both fit, and their messages fit each other.
    Yes,
}

/// One line of the registry.
pub struct Protocol {
    /// The name everywhere: file, captures, fuzz target, documentation. Lower case, as `postgresql`.
    pub name: &'static str,
    /// For the support matrix: `PostgreSQL`, `protocol 3.0, 3.2`, `simple and extended queries, ...`.
    pub title: &'static str,
    pub versions: &'static str,
    pub shows: &'static str,
    /// One party may send message after message without an answer between them, so that the beginnings of packets do not tell of all of them.
    pub streams: bool,
    pub recognise: fn(&Opening<'_>) -> Verdict,
    pub decoder: fn(Transport, Limits) -> Box<dyn Decoder>,
}

/// The front of what a party has sent and no step has taken.
pub struct Input<'a> {
    pub bytes: &'a [u8],
    /// Bytes of this direction before `bytes`, missing ones included: sizes of messages are differences of positions.
    pub position: u64,
    pub(crate) marks: &'a VecDeque<(u64, i64)>,
    pub(crate) taken_ns: i64,
}

impl Input<'_> {
    /// When the byte at `offset` arrived, in ns; of the last one when `offset` is beyond the end.
    pub fn ns_at(&self, offset: usize) -> i64 {
        let position = self.position + offset as u64;
        let after = self.marks.partition_point(|(start, _)| *start <= position);
        after.checked_sub(1).and_then(|index| self.marks.get(index)).map_or(self.taken_ns, |(_, ns)| *ns)
    }

    /// When the last byte that was taken or skipped arrived, in ns.
    pub fn taken_ns(&self) -> i64 {
        self.taken_ns
    }
}

/// What a decoder does with the front of its input.
pub enum Step {
    /// Come again when at least this many bytes are there (counted from the front, so more than there are now).
    Need(usize),
    /// Come again when the other party has moved on: what these bytes mean depends on it.
    Wait,
    /// Take so many of the bytes that are there. Zero is a change of state, allowed a few times in a row.
    Take(usize),
    /// Pass over so many bytes, there or still to come, without keeping them; then come again, even with no bytes. A gap
    /// within is harmless.
    Skip(u64),
    /// These bytes make no sense (after a gap, or in the middle of a stream): go on where the next chunk begins.
    Lost,
    /// Take so many bytes; the rest of both directions belongs to another protocol.
    Become(usize, Next),
}

/// What a connection becomes after an upgrade.
pub enum Next {
    /// A protocol that the upgrade named, by its registered name.
    Decoder(&'static str, Box<dyn Decoder>),
    /// Whatever the next bytes are: a tunnel, or TLS after the server agreed to it.
    Classify,
    /// Nothing that can be read, with the reason, as `encrypted after STARTTLS`.
    Opaque(&'static str),
}

/// A resumable state machine over what both parties send.
///
/// `parse` is called for `from` whenever it has new bytes or the decoder asked for it, until the answer is `Need` or `Wait`.
/// It must give the same transactions however the bytes are cut into chunks.
pub trait Decoder: Send {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step;

    /// `bytes` of `from` are missing, and what was buffered of it is gone. The next input is what follows the gap.
    fn gap(&mut self, from: Party, bytes: u64, out: &mut Vec<Transaction>);

    /// `from` sends nothing any more. A message that only ends with the stream is complete now.
    fn end(&mut self, from: Party, at_ns: i64, out: &mut Vec<Transaction>);

    /// The connection is over: what is in flight comes out, with `NO_RESPONSE` when there was no answer.
    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>);

    /// Heap bytes it holds, roughly. The stream gives a connection up when they exceed `Limits::decoder_bytes`.
    fn held_bytes(&self) -> usize;
}
