//! Redis and Valkey: RESP2 and RESP3, pipelines, inline commands, pushes of pub/sub, errors by their prefix.
//!
//! Replies come in order. Replies may nest, but to know where one ends it is enough to count what is still to come.
//! Values are skipped; of a command only the name, the space of its key and its subcommand are looked at.

mod command;
mod opening;

use command::{Command, Replies, inline_words};
use opening::recognise;

use std::borrow::Cow;

use crate::decoder::{Decoder, Input, Limits, Next, Protocol, Step};
use crate::flight::{Flight, unanswered, unfollowed};
use crate::subject::quantise_name;
use crate::text::printable;
use crate::transaction::{Initiator, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "redis",
    title: "Redis, Valkey",
    versions: "RESP2, RESP3 (servers 1.2 to 8)",
    shows: "command, key space before the first colon, error prefix; pipelines, inline commands, transactions, pub/sub",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Redis::new(limits)),
};

/// Longer words of a command are not looked at.
const WORD_BYTES: u64 = 128;
/// Lines that tell lengths and types are short; simple strings and inline commands may be longer.
const LINE_BYTES: usize = 65_536;

struct Request {
    operation: Cow<'static, str>,
    target: String,
    start_ns: i64,
    end_ns: i64,
    bytes: u64,
    /// How many replies it has.
    replies: u32,
}

impl Request {
    fn transaction(self, initiator: Initiator) -> Transaction {
        Transaction {
            protocol: PROTOCOL.name,
            initiator,
            operation: self.operation,
            target: self.target.into(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            request_bytes: self.bytes,
            ..Transaction::default()
        }
    }
}

/// A command whose words are still coming.
struct Sending {
    start: u64,
    start_ns: i64,
    left: u64,
    command: Command,
}

/// A reply that is still coming.
struct Reply {
    start: u64,
    start_ns: i64,
    kind: u8,
    /// Elements to come.
    left: u64,
    element: u64,
    /// First words of it: of an error its prefix, of a push what it is and on which channel.
    words: [Vec<u8>; 2],
    /// The last number in it: after a subscription, how many there are.
    number: i64,
}

pub struct Redis {
    limits: Limits,
    waiting: Flight<Request>,
    sending: Option<Sending>,
    reply: Option<Reply>,
    replies: Replies,
    /// The client subscribed under RESP2, where pushes look like replies.
    subscribed: bool,
    replies_seen: bool,
    replicates: bool,
}

impl Redis {
    fn new(limits: Limits) -> Self {
        Redis {
            limits,
            waiting: Flight::new(limits.decoder_bytes / 2),
            sending: None,
            reply: None,
            replies: Replies::On,
            subscribed: false,
            replies_seen: false,
            replicates: false,
        }
    }

    fn client(&mut self, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if self.sending.as_ref().is_some_and(|sending| sending.left == 0) {
            self.sent(input, out);
        }
        let Some(first) = input.bytes.first() else { return Step::Need(1) };
        let Some(end) = line_end(input.bytes) else { return incomplete(input.bytes, *first == b'*' || *first == b'$') };
        match (&mut self.sending, first) {
            (Some(sending), b'$') => match length(&input.bytes[1..end]) {
                Some(Some(bytes)) => word(sending, input.bytes, end, bytes),
                _ => Step::Lost,
            },
            (Some(_), _) => Step::Lost,
            (None, b'*') => match length(&input.bytes[1..end]) {
                Some(Some(words @ 1..=1_048_576)) => {
                    self.sending = Some(Sending { start: input.position, start_ns: input.ns_at(0), left: words, command: Command::default() });
                    Step::Take(end)
                }
                Some(_) => Step::Take(end),
                None => Step::Lost,
            },
            (None, b'\r' | b'\n') => Step::Take(end),
            (None, b'a'..=b'z' | b'A'..=b'Z') => self.inline(input, end),
            (None, _) => Step::Lost,
        }
    }

    fn inline(&mut self, input: &Input<'_>, end: usize) -> Step {
        let Some(command) = inline_words(&input.bytes[..end]) else { return Step::Lost };
        self.sending = Some(Sending { start: input.position, start_ns: input.ns_at(0), left: 0, command });
        Step::Take(end)
    }

    fn sent(&mut self, input: &Input<'_>, out: &mut Vec<Transaction>) {
        let Some(Sending { start, start_ns, command, .. }) = self.sending.take() else { return };
        let described = command.describe(self.limits.text_bytes);
        self.replicates |= described.replicates;
        let request = Request {
            operation: described.operation,
            target: described.target,
            start_ns,
            end_ns: input.taken_ns(),
            bytes: input.position - start,
            replies: described.replies,
        };
        if self.replies.after(&command) {
            let text = request.target.capacity() + request.operation.len();
            let refused = self.waiting.push(request, text);
            out.extend(refused.map(|request| unfollowed(request.transaction(Initiator::Client))));
        } else {
            out.push(request.transaction(Initiator::ClientOneWay));
        }
    }

    fn server(&mut self, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if self.reply.as_ref().is_some_and(|reply| reply.left == 0)
            && let Some(reply) = self.reply.take()
        {
            if self.replied(&reply, input, out) {
                return Step::Become(0, Next::Opaque("replication of Redis"));
            }
            return Step::Take(0);
        }
        let Some(first) = input.bytes.first() else { return Step::Need(1) };
        if !is_type(*first) {
            self.reply = None;
            return Step::Lost;
        }
        let Some(end) = line_end(input.bytes) else { return incomplete(input.bytes, !matches!(first, b'+' | b'-' | b'(')) };
        if self.reply.is_none() {
            self.reply = Some(Reply { start: input.position, start_ns: input.ns_at(0), kind: *first, left: 1, element: 0, words: Default::default(), number: 0 });
        }
        let Some(reply) = &mut self.reply else { return Step::Lost };
        let step = element(reply, input.bytes, end);
        if matches!(step, Step::Lost) {
            self.reply = None;
        }
        step
    }

    /// A reply is complete. True when what follows is replication.
    fn replied(&mut self, reply: &Reply, input: &Input<'_>, out: &mut Vec<Transaction>) -> bool {
        let word = reply.words[0].to_ascii_uppercase();
        let aggregate = matches!(reply.kind, b'*' | b'>');
        let first = !std::mem::replace(&mut self.replies_seen, true);
        if aggregate && word.ends_with(b"SUBSCRIBE") && self.confirmed(&word, reply) {
            if let Some(waiting) = self.waiting.front() {
                waiting.replies -= 1;
                if waiting.replies > 0 {
                    waiting.end_ns = input.taken_ns();
                    return false;
                }
            }
        } else if reply.kind == b'>' || (self.subscribed && aggregate && word.ends_with(b"MESSAGE")) {
            self.pushed(reply, &word, input, out);
            return false;
        }
        match self.waiting.pop() {
            Some(request) => {
                let replicates = self.replicates && matches!(&*request.operation, "PSYNC" | "SYNC");
                self.subscribed &= request.operation != "RESET";
                out.push(answered(request.transaction(Initiator::Client), reply, input));
                return replicates && reply.kind != b'-';
            }
            None if first && reply.kind == b'-' => {
                let refused = Request { operation: "CONNECT".into(), target: String::new(), start_ns: reply.start_ns, end_ns: reply.start_ns, bytes: 0, replies: 1 };
                out.push(answered(refused.transaction(Initiator::Client), reply, input));
            }
            None => {}
        }
        false
    }

    /// Whether a confirmation of a subscription is for the oldest request.
    fn confirmed(&mut self, word: &[u8], reply: &Reply) -> bool {
        self.subscribed = reply.kind == b'*' && reply.number > 0;
        self.waiting.front().is_some_and(|request| request.operation.as_bytes() == word)
    }

    fn pushed(&self, reply: &Reply, word: &[u8], input: &Input<'_>, out: &mut Vec<Transaction>) {
        let channel = if word.ends_with(b"MESSAGE") { quantise_name(&reply.words[1], b".:/", self.limits.text_bytes) } else { String::new() };
        let request = Request {
            operation: printable(word, 32).into(),
            target: channel,
            start_ns: reply.start_ns,
            end_ns: input.taken_ns(),
            bytes: input.position - reply.start,
            replies: 0,
        };
        if !word.ends_with(b"SUBSCRIBE") {
            out.push(request.transaction(Initiator::ServerOneWay));
        }
    }
}

fn answered(mut transaction: Transaction, reply: &Reply, input: &Input<'_>) -> Transaction {
    transaction.first_byte_ns = Some(reply.start_ns);
    transaction.end_ns = input.taken_ns().max(transaction.end_ns);
    transaction.response_bytes = input.position - reply.start;
    if matches!(reply.kind, b'-' | b'!') {
        let prefix = error_prefix(&reply.words[0]);
        if reply.words[0].starts_with(b"ERR unknown command") {
            transaction.operation = "OTHER".into(); // anything may have been said, a password too
        }
        // Redirections are how a cluster says where a key is.
        transaction.error = (!matches!(&*prefix, "MOVED" | "ASK")).then(|| prefix.clone());
        transaction.status = prefix;
    }
    transaction
}

/// `WRONGTYPE` of `WRONGTYPE Operation against a key ...`, `ERR` when there is no such word.
fn error_prefix(line: &[u8]) -> Cow<'static, str> {
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let fits = (2..=24).contains(&word.len()) && word.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_' || byte.is_ascii_digit());
    if fits { String::from_utf8_lossy(word).into_owned().into() } else { "ERR".into() }
}

/// The next word of a command, of which the line that tells its length ends at `end`.
fn word(sending: &mut Sending, bytes: &[u8], end: usize, length: u64) -> Step {
    let whole = end as u64 + length + 2;
    if sending.command.wants_word() && length <= WORD_BYTES {
        if (bytes.len() as u64) < whole {
            return Step::Need(whole as usize);
        }
        sending.command.word(&bytes[end..whole as usize - 2]);
    } else {
        sending.command.long_word();
    }
    sending.left -= 1;
    Step::Skip(whole)
}

/// One element of a reply, of which the line ends at `end`.
fn element(reply: &mut Reply, bytes: &[u8], end: usize) -> Step {
    let line = without_line_end(&bytes[1..end]);
    let nested = match bytes[0] {
        b'$' | b'=' | b'!' => match length(line) {
            Some(Some(length)) => return blob(reply, bytes, end, length),
            Some(None) => 0,
            None => return Step::Lost,
        },
        b'*' | b'~' | b'>' => match length(line) {
            Some(count) => count.unwrap_or(0),
            None => return Step::Lost,
        },
        b'%' => match length(line) {
            Some(count) => count.unwrap_or(0).saturating_mul(2),
            None => return Step::Lost,
        },
        b'|' => match length(line) {
            Some(count) => count.unwrap_or(0).saturating_mul(2).saturating_add(1), // said beside the element that follows
            None => return Step::Lost,
        },
        b':' => {
            reply.number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            0
        }
        b'-' if reply.element == 0 => {
            reply.words[0] = line[..line.len().min(64)].to_vec();
            0
        }
        _ => 0,
    };
    if bytes[0] == b'|' && reply.element == 0 {
        reply.kind = b'|'; // the reply's own type comes after its attributes
    }
    reply.element += u64::from(reply.element > 0 || !matches!(bytes[0], b'*' | b'>' | b'|'));
    reply.left = reply.left.saturating_sub(1).saturating_add(nested);
    Step::Take(end)
}

fn blob(reply: &mut Reply, bytes: &[u8], end: usize, length: u64) -> Step {
    let whole = end as u64 + length + 2;
    let wanted = (reply.element < 2 && matches!(reply.kind, b'*' | b'>')) || (bytes[0] == b'!' && reply.element == 0);
    if wanted && length <= 2 * WORD_BYTES {
        if (bytes.len() as u64) < whole {
            return Step::Need(whole as usize);
        }
        reply.words[reply.element.min(1) as usize] = bytes[end..whole as usize - 2].to_vec();
    }
    reply.element += 1;
    reply.left -= 1;
    Step::Skip(whole)
}

/// Some(None) is RESP2's null.
fn length(line: &[u8]) -> Option<Option<u64>> {
    match without_line_end(line) {
        b"-1" => Some(None),
        digits if (1..=12).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => Some(Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))),
        _ => None,
    }
}

fn is_type(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'(' | b'!' | b'=' | b'%' | b'~' | b'>' | b'|')
}

fn incomplete(bytes: &[u8], short: bool) -> Step {
    if bytes.len() > if short { 64 } else { LINE_BYTES - 1 } { Step::Lost } else { Step::Need(bytes.len() + 1) }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|end| end + 1)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Decoder for Redis {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let step = if from == Party::Client { self.client(input, out) } else { self.server(input, out) };
        if matches!(step, Step::Lost) {
            self.gap(from, 0, out);
        }
        step
    }

    /// Nobody can tell which of what is under way lost its answer.
    fn gap(&mut self, from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {
        if from == Party::Client { self.sending = None } else { self.reply = None }
        self.waiting.clear();
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        while let Some(request) = self.waiting.pop() {
            out.push(unanswered(request.transaction(Initiator::Client), at_ns));
        }
    }

    fn held_bytes(&self) -> usize {
        self.waiting.held_bytes()
    }
}

#[cfg(test)]
mod tests;
