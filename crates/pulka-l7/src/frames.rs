//! Protocols whose messages begin with their length: a decoder made of "how long is it" and "what does it say".
//!
//! A message is handed over once, when its last byte has arrived, with its first `HEAD_BYTES`. The rest of a longer one is
//! passed over, not kept.

use std::borrow::Cow;

use crate::decoder::{Decoder, Input, Next, Step};
use crate::transaction::{Initiator, Party, Transaction};

/// What the front of the input is.
pub enum Frame {
    /// Come again with at least so many bytes.
    Need(usize),
    /// Come again when the other party has moved on.
    Wait,
    /// A message of so many bytes, its length included.
    Message(u64),
    /// Not a message of this protocol.
    Lost,
}

pub struct Message<'a> {
    /// The first bytes of it, its length included.
    pub head: &'a [u8],
    /// All of it.
    pub bytes: u64,
    /// Arrival of its first and of its last byte.
    pub start_ns: i64,
    pub end_ns: i64,
}

impl Message<'_> {
    /// The transaction that begins with this message.
    pub fn begins(&self, protocol: &'static str, initiator: Initiator, operation: impl Into<Cow<'static, str>>, target: impl Into<Cow<'static, str>>) -> Transaction {
        Transaction {
            protocol,
            initiator,
            operation: operation.into(),
            target: target.into(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            request_bytes: self.bytes,
            ..Transaction::default()
        }
    }

    /// This message is the answer to `request`, or a part of it.
    pub fn answers(&self, request: &mut Transaction) {
        request.first_byte_ns.get_or_insert(self.start_ns);
        request.end_ns = self.end_ns.max(request.end_ns);
        request.response_bytes += self.bytes;
    }
}

pub trait Framed: Send {
    /// How many bytes of a message are looked at.
    const HEAD_BYTES: usize = 4096;

    fn frame(&mut self, from: Party, bytes: &[u8]) -> Frame;

    /// Some: what follows this message is something else.
    fn message(&mut self, from: Party, message: &Message<'_>, out: &mut Vec<Transaction>) -> Option<Next>;

    /// Bytes are missing; what follows may begin within a message.
    fn gap(&mut self, from: Party, out: &mut Vec<Transaction>);

    /// Whether exactly one answer is awaited, so that what the server sends after a gap still belongs to it.
    fn awaits_one(&self) -> bool {
        false
    }

    /// The answer that was awaited is over, and what it said in the end was missed: `bytes` of it came last, until `end_ns`.
    fn answered(&mut self, _end_ns: i64, _bytes: u64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>);

    fn held_bytes(&self) -> usize;
}

/// A gap fell into the only answer that was awaited. Its frames cannot be told apart any more, and it lasts until the client speaks again.
struct Cut {
    bytes: u64,
    end_ns: i64,
}

/// A message whose rest is being passed over.
struct Long {
    head: Box<[u8]>,
    bytes: u64,
    start_ns: i64,
}

pub struct Frames<P> {
    protocol: P,
    long: [Option<Long>; 2],
    cut: Option<Cut>,
}

impl<P: Framed> Frames<P> {
    pub fn new(protocol: P) -> Self {
        Frames { protocol, long: [None, None], cut: None }
    }

    pub fn protocol(&mut self) -> &mut P {
        &mut self.protocol
    }

    fn complete(&mut self, from: Party, message: &Message<'_>, taken: usize, out: &mut Vec<Transaction>) -> Step {
        match self.protocol.message(from, message, out) {
            Some(next) => Step::Become(taken, next),
            None => Step::Take(taken),
        }
    }

    fn finish_cut(&mut self, out: &mut Vec<Transaction>) {
        if let Some(Cut { bytes, end_ns }) = self.cut.take() {
            self.protocol.answered(end_ns, bytes, out);
            self.protocol.gap(Party::Server, out);
        }
    }

    /// The next bytes of an answer that was cut: taken unread.
    fn pass_over(&mut self, input: &Input<'_>) -> Option<Step> {
        let (cut, last) = (self.cut.as_mut()?, input.bytes.len().checked_sub(1)?);
        cut.bytes += input.bytes.len() as u64;
        cut.end_ns = input.ns_at(last);
        Some(Step::Take(input.bytes.len()))
    }

    fn begin(&mut self, from: Party, input: &Input<'_>, bytes: u64, out: &mut Vec<Transaction>) -> Step {
        let look = usize::try_from(bytes).unwrap_or(usize::MAX).min(P::HEAD_BYTES);
        let Some(head) = input.bytes.get(..look) else { return Step::Need(look) };
        let start_ns = input.ns_at(0);
        match usize::try_from(bytes) {
            Ok(length) if length <= P::HEAD_BYTES => self.complete(from, &Message { head, bytes, start_ns, end_ns: input.ns_at(length.saturating_sub(1)) }, length, out),
            _ => {
                self.long[from.index()] = Some(Long { head: head.into(), bytes, start_ns });
                Step::Skip(bytes)
            }
        }
    }
}

impl<P: Framed> Decoder for Frames<P> {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if let Some(long) = self.long[from.index()].take() {
            let message = Message { head: &long.head, bytes: long.bytes, start_ns: long.start_ns, end_ns: input.taken_ns() };
            return self.complete(from, &message, 0, out);
        }
        if input.bytes.is_empty() {
            return Step::Need(1);
        }
        if from == Party::Client {
            self.finish_cut(out);
        } else if let Some(step) = self.pass_over(input) {
            return step;
        }
        match self.protocol.frame(from, input.bytes) {
            Frame::Need(bytes) => Step::Need(bytes),
            Frame::Wait => Step::Wait,
            Frame::Message(bytes) => self.begin(from, input, bytes, out),
            Frame::Lost => {
                self.protocol.gap(from, out);
                Step::Lost
            }
        }
    }

    fn gap(&mut self, from: Party, bytes: u64, out: &mut Vec<Transaction>) {
        self.long[from.index()] = None;
        match &mut self.cut {
            Some(cut) if from == Party::Server => cut.bytes += bytes,
            None if from == Party::Server && self.protocol.awaits_one() => self.cut = Some(Cut { bytes, end_ns: 0 }),
            _ => {
                self.finish_cut(out);
                self.protocol.gap(from, out);
            }
        }
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        self.finish_cut(out);
        self.protocol.close(at_ns, out);
    }

    fn held_bytes(&self) -> usize {
        self.protocol.held_bytes() + self.long.iter().flatten().map(|long| long.head.len()).sum::<usize>()
    }
}
