//! Memcached: the text protocol with its meta commands, and the binary one. Values are skipped.
//!
//! Text commands are answered in order. Quiet ones are answered only sometimes: those that an answer has passed by are done.

mod binary;
mod opening;
mod text;

use binary::Binary;
use opening::recognise;
use text::{Answer, Command, answer, command};

use crate::decoder::{Decoder, Input, Limits, Protocol, Step};
use crate::flight::{Flight, text_bytes, unanswered, unfollowed};
use crate::frames::Frames;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "memcached",
    title: "Memcached",
    versions: "text, meta commands (1.6), binary (1.4 to 1.6)",
    shows: "command, key space before the first colon, status; pipelines, noreply and quiet commands",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Memcached { limits, speaks: Speaks::Unknown }),
};

const LINE_BYTES: usize = 16_384;

/// Which of its two protocols it is shows in the first byte.
enum Speaks {
    Unknown,
    Text(Box<Text>),
    Binary(Box<Frames<Binary>>),
}

struct Memcached {
    limits: Limits,
    speaks: Speaks,
}

impl Memcached {
    fn decoder(&mut self) -> Option<&mut dyn Decoder> {
        match &mut self.speaks {
            Speaks::Unknown => None,
            Speaks::Text(text) => Some(&mut **text),
            Speaks::Binary(binary) => Some(&mut **binary),
        }
    }
}

impl Decoder for Memcached {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if let (Speaks::Unknown, Some(first)) = (&self.speaks, input.bytes.first()) {
            self.speaks = match first {
                0x80 | 0x81 => Speaks::Binary(Box::new(Frames::new(Binary::new(self.limits)))),
                _ => Speaks::Text(Box::new(Text::new(self.limits))),
            };
        }
        self.decoder().map_or(Step::Need(1), |decoder| decoder.parse(from, input, out))
    }

    fn gap(&mut self, from: Party, bytes: u64, out: &mut Vec<Transaction>) {
        if let Some(decoder) = self.decoder() {
            decoder.gap(from, bytes, out);
        }
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        if let Some(decoder) = self.decoder() {
            decoder.close(at_ns, out);
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.speaks {
            Speaks::Unknown => 0,
            Speaks::Text(text) => text.held_bytes(),
            Speaks::Binary(binary) => binary.held_bytes(),
        }
    }
}

struct Waiting {
    quiet: bool,
    transaction: Transaction,
}

/// The text protocol.
struct Text {
    limits: Limits,
    waiting: Flight<Waiting>,
    /// A command whose value is being passed over, and whether it is answered.
    sending: Option<(Waiting, u64, bool)>,
    /// Where the answer that is coming began.
    answer: Option<(u64, i64)>,
    /// The answer whose value is being passed over is complete with it.
    ends: bool,
    doubt: bool,
}

impl Text {
    fn new(limits: Limits) -> Self {
        Text { limits, waiting: Flight::new(limits.decoder_bytes / 2), sending: None, answer: None, ends: false, doubt: false }
    }

    fn client(&mut self, input: &Input<'_>, end: usize, out: &mut Vec<Transaction>) -> Step {
        let line = &input.bytes[..end];
        let known = command(line, self.limits.text_bytes);
        let Some(Command { name, target, value_bytes, replies, quiet }) = known.or_else(|| self.misspelt(line)) else { return Step::Lost };
        self.doubt = false;
        let transaction = Transaction {
            protocol: PROTOCOL.name,
            initiator: if replies { Initiator::Client } else { Initiator::ClientOneWay },
            operation: name.into(),
            target: target.into(),
            start_ns: input.ns_at(0),
            end_ns: input.ns_at(end - 1),
            request_bytes: end as u64,
            ..Transaction::default()
        };
        let waiting = Waiting { quiet, transaction };
        match value_bytes {
            Some(bytes) => {
                self.sending = Some((waiting, input.position, replies));
                Step::Skip(end as u64 + bytes + 2)
            }
            None => {
                self.sent(waiting, replies, out);
                Step::Take(end)
            }
        }
    }

    /// Unknown commands are answered too, but after a gap it is the middle of a value.
    fn misspelt(&self, line: &[u8]) -> Option<Command> {
        let text = line.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
        (text && !self.doubt).then(|| Command { name: "OTHER", target: String::new(), value_bytes: None, replies: true, quiet: false })
    }

    fn sent(&mut self, waiting: Waiting, replies: bool, out: &mut Vec<Transaction>) {
        if replies {
            let text = text_bytes(&waiting.transaction);
            out.extend(self.waiting.push(waiting, text).map(|refused| unfollowed(refused.transaction)));
        } else {
            out.push(waiting.transaction);
        }
    }

    fn server(&mut self, input: &Input<'_>, end: usize, out: &mut Vec<Transaction>) -> Step {
        let (start, start_ns) = *self.answer.get_or_insert((input.position, input.ns_at(0)));
        let asked = self.waiting.front().map(|waiting| waiting.transaction.operation.clone());
        match answer(&input.bytes[..end], asked.as_deref()) {
            None => {
                self.answer = None;
                Step::Lost
            }
            Some(Answer::Part { value_bytes: None }) => Step::Take(end),
            Some(Answer::Part { value_bytes: Some(bytes) }) => Step::Skip(end as u64 + bytes + 2),
            Some(Answer::Whole { value_bytes: Some(bytes), .. }) => {
                self.ends = true;
                Step::Skip(end as u64 + bytes + 2)
            }
            Some(Answer::Whole { status, error, value_bytes: None, barrier }) => {
                self.answer = None;
                let size = input.position + end as u64 - start;
                self.answered(&Told { status, error, barrier, start_ns, end_ns: input.ns_at(end - 1), bytes: size }, out);
                Step::Take(end)
            }
        }
    }

    /// A barrier ends the quiet commands before it, which had nothing to say.
    fn answered(&mut self, told: &Told, out: &mut Vec<Transaction>) {
        while let Some(Waiting { quiet, mut transaction }) = self.waiting.pop() {
            transaction.end_ns = told.end_ns.max(transaction.end_ns);
            if told.barrier && quiet {
                out.push(transaction);
                continue;
            }
            transaction.first_byte_ns = Some(told.start_ns);
            transaction.response_bytes = told.bytes;
            transaction.status = told.status.into();
            transaction.error = told.error.map(Into::into);
            return out.push(transaction);
        }
    }
}

struct Told {
    status: &'static str,
    error: Option<&'static str>,
    barrier: bool,
    start_ns: i64,
    end_ns: i64,
    bytes: u64,
}

impl Decoder for Text {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if from == Party::Client
            && let Some((mut waiting, start, replies)) = self.sending.take()
        {
            waiting.transaction.request_bytes = input.position - start;
            waiting.transaction.end_ns = input.taken_ns();
            self.sent(waiting, replies, out);
        }
        if from == Party::Server && std::mem::take(&mut self.ends) {
            let (start, start_ns) = self.answer.take().unwrap_or((input.position, input.taken_ns()));
            self.answered(&Told { status: "", error: None, barrier: false, start_ns, end_ns: input.taken_ns(), bytes: input.position - start }, out);
        }
        if input.bytes.is_empty() {
            return Step::Need(1);
        }
        let Some(end) = memchr::memchr(b'\n', input.bytes).map(|end| end + 1) else {
            return if input.bytes.len() < LINE_BYTES { Step::Need(input.bytes.len() + 1) } else { Step::Lost };
        };
        let step = if from == Party::Client { self.client(input, end, out) } else { self.server(input, end, out) };
        if matches!(step, Step::Lost) {
            self.gap(from, 0, out);
        }
        step
    }

    /// Nobody can tell which of what is under way lost its answer.
    fn gap(&mut self, from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {
        match from {
            Party::Client => (self.sending, self.doubt) = (None, true),
            Party::Server => (self.answer, self.ends) = (None, false),
        }
        self.waiting.clear();
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(waiting) = self.waiting.pop() {
            out.push(if waiting.quiet { waiting.transaction } else { unanswered(waiting.transaction, at_ns) });
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes()
    }
}

#[cfg(test)]
mod tests;
