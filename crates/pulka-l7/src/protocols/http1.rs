//! HTTP/1.0 and 1.1 (and 0.9): pipelines, chunked bodies, 100-continue, upgrades, HEAD, bodies that end with the connection.
//!
//! Bodies are skipped, never kept. Framing follows RFC 9112, section 6.3.

mod head;

use std::collections::VecDeque;

pub use head::known_method;
use head::{Fields, OTHER_METHOD, Upgrade, begins_known_method, chunk_size, request_line, status_line, without_line_end};

use crate::decoder::{Decoder, Input, Limits, Next, Opening, Protocol, Step, Transport, Verdict};
use crate::flight::unfollowed;
use crate::path::quantise;
use crate::protocols::http2::Http2;
use crate::registry;
use crate::text::printable;
use crate::transaction::{Initiator, NO_RESPONSE, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "http1",
    title: "HTTP/1",
    versions: "0.9, 1.0, 1.1",
    shows: "method, quantised path, status; pipelines, chunked bodies, 100-continue, HEAD, upgrades to WebSocket and HTTP/2, CONNECT",
    streams: false,
    recognise,
    decoder: |_, limits| Box::new(Http1::new(limits)),
};

/// A header longer than this is given up.
const HEAD_BYTES: u64 = 262_144;

fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    match (request_verdict(opening.client), response_verdict(opening.server)) {
        (Verdict::No, _) | (_, Verdict::No) if !is_http_09(opening) => Verdict::No,
        (Verdict::NeedMore, Verdict::NeedMore) => Verdict::NeedMore,
        (Verdict::OneSided, Verdict::OneSided) => Verdict::Yes,
        (Verdict::OneSided, _) if opening.server.is_empty() => Verdict::OneSided,
        (_, Verdict::OneSided) if opening.client.is_empty() => Verdict::OneSided,
        _ if is_http_09(opening) => Verdict::Yes,
        _ => Verdict::NeedMore,
    }
}

/// `OneSided` when `bytes` begin with a request line.
fn request_verdict(bytes: &[u8]) -> Verdict {
    let bytes = without_empty_lines(bytes);
    match memchr::memchr(b'\n', bytes) {
        Some(end) => request_line(without_line_end(&bytes[..end])).map_or(Verdict::No, |_| Verdict::OneSided),
        None if memchr::memchr(b' ', bytes).map_or(bytes.len() <= 24, |space| space <= 24) && plausible_start(bytes) => Verdict::NeedMore,
        None => Verdict::No,
    }
}

fn plausible_start(bytes: &[u8]) -> bool {
    let token = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    token.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) && bytes.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\r')
}

fn response_verdict(bytes: &[u8]) -> Verdict {
    let prefix = b"HTTP/1.";
    match memchr::memchr(b'\n', bytes) {
        Some(end) => status_line(without_line_end(&bytes[..end])).map_or(Verdict::No, |_| Verdict::OneSided),
        None if bytes.len() >= 13 => status_line(bytes).map_or(Verdict::No, |_| Verdict::OneSided),
        None if bytes.starts_with(prefix) || prefix.starts_with(bytes) => Verdict::NeedMore,
        None => Verdict::No,
    }
}

/// A whole request line without a version, answered by a body without a status line.
fn is_http_09(opening: &Opening<'_>) -> bool {
    let Some(end) = memchr::memchr(b'\n', opening.client) else { return false };
    let versionless = request_line(without_line_end(&opening.client[..end])).is_some_and(|line| line.version.is_none());
    versionless && opening.server.first().is_some_and(|first| !b"$+-:*_HR".contains(first)) // not Redis, HTTP/1 or RTSP
}

fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[start.min(4)..]
}

/// A request whose answer is not complete.
struct Request {
    transaction: Transaction,
    number: u64,
    head: bool,
    connect: bool,
    upgrade: Option<Upgrade>,
    versionless: bool,
}

/// Where in its messages a party is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// At a request or status line.
    Start,
    /// After a gap: at the first chunk that begins like a message.
    Hunting,
    Header,
    /// The client said it would wait for 100-continue: what follows is its body, or its next request after a refusal.
    Expected(u64),
    /// At a body of so many bytes.
    Body(u64),
    ChunkSize,
    Trailer,
    UntilEnd,
    Done,
}

struct Flow {
    place: Place,
    fields: Fields,
    /// Position and arrival of the message's first byte.
    start: u64,
    start_ns: i64,
    /// Position and arrival of the last byte of it so far.
    seen: u64,
    seen_ns: i64,
    status: u16,
}

impl Flow {
    fn start_message(&mut self, input: &Input<'_>) {
        *self = Flow { place: Place::Header, fields: Fields::default(), start: input.position, start_ns: input.ns_at(0), seen: input.position, seen_ns: input.ns_at(0), status: 0 };
    }
}

pub struct Http1 {
    limits: Limits,
    flows: [Flow; 2],
    waiting: VecDeque<Request>,
    /// Requests behind those that wait, for which there was no room: so many answers are passed over.
    unseen: u64,
    /// Requests begun so far; the one being sent has this number.
    requests: u64,
    /// A request line was read, its header is not complete.
    begun: Option<Request>,
}

impl Http1 {
    pub fn new(limits: Limits) -> Self {
        let flow = || Flow { place: Place::Start, fields: Fields::default(), start: 0, start_ns: 0, seen: 0, seen_ns: 0, status: 0 };
        Http1 { limits, flows: [flow(), flow()], waiting: VecDeque::new(), unseen: 0, requests: 0, begun: None }
    }

    fn start_line(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let Some(end) = line_end(input.bytes) else { return self.incomplete_start(from, input) };
        let line = without_line_end(&input.bytes[..end]);
        if line.is_empty() {
            return Step::Take(end);
        }
        let understood = match from {
            Party::Client => self.request_starts(line, input),
            Party::Server => self.response_starts(line, input, out),
        };
        if understood { Step::Take(end) } else { self.not_a_start(from, input) }
    }

    /// Bytes that cannot become a start line are not waited for.
    fn incomplete_start(&mut self, from: Party, input: &Input<'_>) -> Step {
        let verdict = match from {
            Party::Client => request_verdict(input.bytes),
            Party::Server => response_verdict(input.bytes),
        };
        if verdict == Verdict::No { self.not_a_start(from, input) } else { Step::Need(input.bytes.len() + 1) }
    }

    fn not_a_start(&mut self, from: Party, input: &Input<'_>) -> Step {
        let flow = &mut self.flows[from.index()];
        if from == Party::Server && self.waiting.front().is_some_and(|request| request.versionless) {
            (flow.start, flow.start_ns, flow.place) = (input.position, input.ns_at(0), Place::UntilEnd);
            return Step::Take(0);
        }
        flow.place = Place::Hunting;
        Step::Lost
    }

    fn request_starts(&mut self, line: &[u8], input: &Input<'_>) -> bool {
        let Some(line) = request_line(line) else { return false };
        self.requests += 1;
        let transaction = Transaction {
            protocol: PROTOCOL.name,
            operation: known_method(line.method).unwrap_or(OTHER_METHOD).into(),
            target: quantise(line.target, self.limits.text_bytes).into(),
            start_ns: input.ns_at(0),
            end_ns: input.ns_at(0),
            attributes: vec![("network.protocol.version", line.version.map_or("0.9".into(), |minor| format!("1.{minor}")))],
            ..Transaction::default()
        };
        let request = Request {
            transaction,
            number: self.requests,
            head: line.method == b"HEAD",
            connect: line.method == b"CONNECT",
            upgrade: None,
            versionless: line.version.is_none(),
        };
        self.flows[0].start_message(input);
        if line.version.is_none() {
            self.flows[0].place = Place::Done;
            self.waiting.push_back(request);
        } else {
            self.begun = Some(request);
        }
        true
    }

    fn response_starts(&mut self, line: &[u8], input: &Input<'_>, out: &mut Vec<Transaction>) -> bool {
        let Some(status) = status_line(line) else { return false };
        let flow = &mut self.flows[1];
        let resumed = flow.place == Place::Hunting;
        flow.start_message(input);
        flow.status = status;
        if resumed {
            self.give_up_all_but_last(out);
        }
        true
    }

    /// After a gap in the answers nobody can tell which they answered, but rarely more than one is under way.
    fn give_up_all_but_last(&mut self, out: &mut Vec<Transaction>) {
        let last = usize::from(std::mem::take(&mut self.unseen) == 0);
        while self.waiting.len() > last {
            out.extend(self.waiting.pop_front().map(|request| request.transaction));
        }
    }

    fn header(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let flow = &mut self.flows[from.index()];
        let Some(end) = line_end(input.bytes) else { return Step::Need(input.bytes.len() + 1) };
        let line = without_line_end(&input.bytes[..end]);
        if input.position - flow.start > HEAD_BYTES {
            self.cut(from, out);
            return Step::Lost;
        }
        if line.is_empty() {
            return match from {
                Party::Client => self.request_header_ends(end, out),
                Party::Server => self.response_header_ends(end, input, out),
            };
        }
        if !matches!(line[0], b' ' | b'\t') {
            flow.fields.read(line); // else a folded continuation, which no field of ours may have
        }
        Step::Take(end)
    }

    fn request_header_ends(&mut self, end: usize, out: &mut Vec<Transaction>) -> Step {
        let fields = std::mem::take(&mut self.flows[0].fields);
        self.queue_begun(&fields, out);
        let flow = &mut self.flows[0];
        flow.place = match (fields.chunked, fields.content_length) {
            (true, _) => Place::ChunkSize,
            (_, Some(length @ 1..)) if fields.expects_continue => Place::Expected(length),
            (_, Some(length @ 1..)) => Place::Body(length),
            _ => Place::Done,
        };
        Step::Take(end)
    }

    fn queue_begun(&mut self, fields: &Fields, out: &mut Vec<Transaction>) {
        let Some(mut request) = self.begun.take() else { return };
        request.upgrade = fields.upgrade;
        if let Some(host) = &fields.host {
            request.transaction.attributes.push(("server.address", printable(without_port(host), self.limits.text_bytes)));
        }
        if fields.ambiguous {
            request.transaction.attributes.push(("pulka.http.framing", "ambiguous".into()));
        }
        if self.unseen > 0 || self.waiting.len() >= self.limits.in_flight {
            self.unseen += 1;
            return out.push(unfollowed(request.transaction));
        }
        self.waiting.push_back(request);
    }

    fn response_header_ends(&mut self, end: usize, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let flow = &mut self.flows[1];
        let fields = std::mem::take(&mut flow.fields);
        let request = self.waiting.front();
        if flow.status == 101 {
            return self.upgraded(end, fields.upgrade, input, out);
        }
        if flow.status < 200 {
            flow.place = Place::Start;
            return Step::Take(end);
        }
        if request.is_some_and(|request| request.connect) && flow.status < 300 {
            self.answered(input.position + end as u64, input.ns_at(end - 1), out);
            return Step::Become(end, Next::Classify);
        }
        let bodyless = request.is_some_and(|request| request.head) || matches!(flow.status, 204 | 304);
        flow.place = match (fields.chunked, fields.content_length) {
            _ if bodyless => Place::Done,
            (true, _) => Place::ChunkSize,
            (_, Some(0)) => Place::Done,
            (_, Some(length)) => Place::Body(length),
            (_, None) => Place::UntilEnd,
        };
        Step::Take(end)
    }

    fn upgraded(&mut self, end: usize, to: Option<Upgrade>, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let to = to.or_else(|| self.waiting.front().and_then(|request| request.upgrade));
        if to == Some(Upgrade::H2c) {
            let request = self.waiting.pop_front().map(|request| request.transaction).unwrap_or_default();
            return Step::Become(end, Next::Decoder("http2", Box::new(Http2::after_upgrade(self.limits, request))));
        }
        self.answered(input.position + end as u64, input.ns_at(end - 1), out);
        let websocket = registry::named("websocket").filter(|_| to == Some(Upgrade::WebSocket));
        let next = websocket.map_or(Next::Opaque("upgraded to a protocol that is not read"), |protocol| {
            Next::Decoder(protocol.name, (protocol.decoder)(Transport::Stream, self.limits))
        });
        Step::Become(end, next)
    }

    /// The answer to the oldest request is complete.
    fn answered(&mut self, end: u64, end_ns: i64, out: &mut Vec<Transaction>) {
        let server = &mut self.flows[1];
        let status = std::mem::take(&mut server.status);
        if self.waiting.is_empty() && self.unseen > 0 {
            self.unseen -= 1;
            return;
        }
        let request = self.waiting.pop_front().or_else(|| self.begun.take());
        let number = request.as_ref().map(|request| request.number);
        let mut transaction = request.map_or_else(|| unasked(server.start_ns), |request| request.transaction);
        if status > 0 {
            transaction.status = status.to_string().into();
        }
        transaction.error = (status >= 500).then(|| transaction.status.clone());
        transaction.first_byte_ns = Some(server.start_ns);
        transaction.end_ns = end_ns.max(transaction.end_ns);
        transaction.response_bytes = end.saturating_sub(server.start);
        if number == Some(self.requests) && transaction.request_bytes == 0 {
            transaction.request_bytes = self.flows[0].seen.saturating_sub(self.flows[0].start); // answered before its body was complete
        }
        out.push(transaction);
    }

    fn message_ends(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let flow = &mut self.flows[from.index()];
        flow.place = Place::Start;
        if from == Party::Server {
            self.answered(input.position, input.taken_ns(), out);
        } else if let Some(request) = self.waiting.back_mut().filter(|request| request.number == self.requests) {
            request.transaction.request_bytes = input.position - flow.start;
            request.transaction.end_ns = input.taken_ns();
        }
        Step::Take(0)
    }

    /// The message that `from` was sending is cut off: what is known of it counts.
    fn cut(&mut self, from: Party, out: &mut Vec<Transaction>) {
        let place = std::mem::replace(&mut self.flows[from.index()].place, Place::Hunting);
        match from {
            Party::Client => self.queue_begun(&Fields::default(), out),
            Party::Server if !matches!(place, Place::Start | Place::Hunting) => {
                let (seen, seen_ns) = (self.flows[1].seen, self.flows[1].seen_ns);
                self.answered(seen, seen_ns, out);
            }
            Party::Server => {}
        }
    }

    /// After a refusal a client may leave out the body that it announced.
    fn expected(&mut self, length: u64, input: &Input<'_>) -> Step {
        if input.bytes.is_empty() {
            return Step::Need(1);
        }
        let refused = self.waiting.back().is_none_or(|request| request.number != self.requests);
        if refused && begins_known_method(input.bytes) {
            if memchr::memchr(b' ', input.bytes).is_none() {
                return Step::Need(input.bytes.len() + 1);
            }
            self.flows[0].place = Place::Start;
        } else {
            self.flows[0].place = Place::Body(length);
        }
        Step::Take(0)
    }

    fn chunk(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let Some(end) = line_end(input.bytes) else {
            return if input.bytes.len() > 4096 { self.broken(from, out) } else { Step::Need(input.bytes.len() + 1) };
        };
        match chunk_size(without_line_end(&input.bytes[..end])) {
            Some(0) => {
                self.flows[from.index()].place = Place::Trailer;
                Step::Take(end)
            }
            Some(size) => Step::Skip(end as u64 + size + 2),
            None => self.broken(from, out),
        }
    }

    fn broken(&mut self, from: Party, out: &mut Vec<Transaction>) -> Step {
        self.cut(from, out);
        Step::Lost
    }

    fn trailer(&mut self, from: Party, input: &Input<'_>) -> Step {
        let Some(end) = line_end(input.bytes) else { return Step::Need(input.bytes.len() + 1) };
        if without_line_end(&input.bytes[..end]).is_empty() {
            self.flows[from.index()].place = Place::Done;
        }
        Step::Take(end)
    }
}

impl Decoder for Http1 {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let flow = &mut self.flows[from.index()];
        if flow.place != Place::Start && input.position > flow.seen {
            (flow.seen, flow.seen_ns) = (input.position, input.taken_ns());
        }
        match flow.place {
            Place::Start | Place::Hunting if input.bytes.is_empty() => Step::Need(1),
            Place::Start | Place::Hunting => self.start_line(from, input, out),
            Place::Header => self.header(from, input, out),
            Place::Expected(length) => self.expected(length, input),
            Place::Body(length) => {
                flow.place = Place::Done;
                Step::Skip(length)
            }
            Place::ChunkSize => self.chunk(from, input, out),
            Place::Trailer => self.trailer(from, input),
            Place::UntilEnd if input.bytes.is_empty() => Step::Need(1),
            Place::UntilEnd => Step::Take(input.bytes.len()),
            Place::Done => self.message_ends(from, input, out),
        }
    }

    fn gap(&mut self, from: Party, _bytes: u64, out: &mut Vec<Transaction>) {
        if self.flows[from.index()].place != Place::UntilEnd {
            self.cut(from, out);
        }
    }

    fn end(&mut self, from: Party, _at_ns: i64, out: &mut Vec<Transaction>) {
        if from == Party::Server {
            self.cut(from, out);
        }
    }

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        self.cut(Party::Client, out);
        self.cut(Party::Server, out);
        out.extend(self.waiting.drain(..).map(|request| no_response(request, at_ns)));
    }

    fn held_bytes(&self) -> usize {
        (self.waiting.len() + 1) * (size_of::<Request>() + self.limits.text_bytes)
    }
}

/// An answer whose request was not seen.
fn unasked(start_ns: i64) -> Transaction {
    Transaction { protocol: PROTOCOL.name, initiator: Initiator::ServerOneWay, operation: OTHER_METHOD.into(), start_ns, end_ns: start_ns, ..Transaction::default() }
}

pub fn is_unasked(transaction: &Transaction) -> bool {
    transaction.initiator == Initiator::ServerOneWay && transaction.protocol == PROTOCOL.name
}

fn no_response(request: Request, at_ns: i64) -> Transaction {
    Transaction { error: Some(NO_RESPONSE.into()), end_ns: at_ns.max(request.transaction.end_ns), ..request.transaction }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|end| end + 1)
}

/// A host without its port; `[::1]:80` is `[::1]`.
pub fn without_port(host: &[u8]) -> &[u8] {
    let bracket = memchr::memchr(b']', host).map_or(0, |end| end + 1);
    memchr::memchr(b':', &host[bracket..]).map_or(host, |colon| &host[..bracket + colon])
}

#[cfg(test)]
mod tests;
