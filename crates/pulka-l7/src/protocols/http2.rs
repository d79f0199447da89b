//! HTTP/2 (RFC 9113) with full HPACK, and gRPC, which is spoken over it.
//!
//! Payloads are skipped, never kept. A stream that is met in its middle is read from its next frame: fields that refer to
//! parts of the header table that were not seen are left empty and the transaction says `pulka.partial`.

mod frame;
mod hpack;
mod huffman;

use std::collections::BTreeMap;

use frame::{Header, Kind, header_block};
use hpack::{Field, Name, Table};

use super::grpc;
use crate::decoder::{Decoder, Input, Limits, Opening, Protocol, Step, Transport, Verdict};
use crate::flight::unfollowed;
use crate::path::quantise;
use crate::protocols::http1::known_method;
use crate::text::printable;
use crate::transaction::{Initiator, NO_RESPONSE, PARTIAL, Party, Transaction};

pub static PROTOCOL: Protocol = Protocol {
    name: "http2",
    title: "HTTP/2",
    versions: "2, with prior knowledge, after an upgrade (h2c), and within TLS",
    shows: "method, quantised path, status, resets; HPACK with Huffman and dynamic tables, CONTINUATION, server push",
    streams: true,
    recognise,
    decoder: |_, limits| Box::new(Http2::new(limits)),
};

/// Where there is no room a new exchange is left out, unless the oldest is as old: its end was probably missed.
const STALE_NS: i64 = 30_000_000_000;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn recognise(opening: &Opening<'_>) -> Verdict {
    if opening.transport == Transport::Datagram {
        return Verdict::No;
    }
    if opening.client.starts_with(PREFACE) {
        return match opening.server {
            [] => Verdict::OneSided,
            server => server_verdict(server),
        };
    }
    if !opening.client.is_empty() && PREFACE.starts_with(opening.client) {
        return Verdict::NeedMore;
    }
    if opening.from_start && !opening.client.is_empty() {
        return Verdict::No;
    }
    middle_verdict(opening)
}

/// A server begins with its settings.
fn server_verdict(server: &[u8]) -> Verdict {
    match Header::read(server) {
        None => Verdict::NeedMore,
        Some(header) if header.is_valid() && matches!(header.kind, Kind::Settings | Kind::GoAway) => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}

/// Both parties send valid frames, and one of them a header that HPACK explains.
fn middle_verdict(opening: &Opening<'_>) -> Verdict {
    let (client, server) = (frames_verdict(opening.client, Party::Client), frames_verdict(opening.server, Party::Server));
    match (client, server) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::Yes, Verdict::Yes | Verdict::OneSided) | (Verdict::OneSided, Verdict::Yes) => Verdict::Yes,
        (Verdict::Yes, _) if opening.server.is_empty() => Verdict::OneSided,
        (_, Verdict::Yes) if opening.client.is_empty() => Verdict::OneSided,
        _ => Verdict::NeedMore,
    }
}

/// Yes: with a readable header; OneSided: valid frames; NeedMore: too few bytes.
fn frames_verdict(mut bytes: &[u8], from: Party) -> Verdict {
    let mut verdict = Verdict::NeedMore;
    while let Some(header) = Header::read(bytes) {
        if !header.is_valid() {
            return Verdict::No;
        }
        let Some(payload) = bytes.get(frame::HEADER_BYTES..frame::HEADER_BYTES + header.length) else { break };
        if header.kind == Kind::Headers && header.ends_headers() {
            let fields = header_block(&header, payload).and_then(|block| Table::default().decode(block).ok()).unwrap_or_default();
            let fits = |field: &Field| match from {
                Party::Client => matches!(field.name, Name::Method | Name::Path),
                Party::Server => matches!(field.name, Name::Status | Name::GrpcStatus),
            };
            return if fields.iter().any(fits) { Verdict::Yes } else { Verdict::No };
        }
        verdict = Verdict::OneSided;
        bytes = &bytes[frame::HEADER_BYTES + header.length..];
    }
    verdict
}

/// A request and what is known of its answer.
#[derive(Default)]
struct Exchange {
    transaction: Transaction,
    path: Option<Vec<u8>>,
    grpc: bool,
    grpc_status: Option<Vec<u8>>,
    answered: bool,
}

/// A header block that continues in the next frame.
struct Block {
    stream: u32,
    ends_stream: bool,
    promised: bool,
    bytes: Vec<u8>,
    start_ns: i64,
}

#[derive(Default)]
struct Flow {
    table: Table,
    block: Option<Block>,
    /// A frame that is being passed over ends its stream.
    ends: Option<u32>,
}

pub struct Http2 {
    limits: Limits,
    flows: [Flow; 2],
    exchanges: BTreeMap<u32, Exchange>,
    last_stream: u32,
    started: bool,
}

impl Http2 {
    pub fn new(limits: Limits) -> Self {
        Http2 { limits, flows: Default::default(), exchanges: BTreeMap::new(), last_stream: 0, started: false }
    }

    /// After an upgrade, which answers the HTTP/1 request as stream 1.
    pub fn after_upgrade(limits: Limits, request: Transaction) -> Self {
        let mut decoder = Http2::new(limits);
        let transaction = Transaction { protocol: PROTOCOL.name, ..request };
        decoder.last_stream = 1;
        decoder.exchanges.insert(1, Exchange { transaction, ..Exchange::default() });
        decoder
    }

    fn preface(&mut self, input: &Input<'_>) -> Option<Step> {
        if self.started || input.bytes.is_empty() {
            return None;
        }
        if input.bytes.len() < PREFACE.len() && PREFACE.starts_with(input.bytes) {
            return Some(Step::Need(PREFACE.len()));
        }
        self.started = true;
        input.bytes.starts_with(PREFACE).then_some(Step::Take(PREFACE.len()))
    }

    fn frame(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        let Some(header) = Header::read(input.bytes) else { return Step::Need(frame::HEADER_BYTES) };
        if !header.is_valid() {
            self.gap(from, 0, out);
            return Step::Lost;
        }
        let size = frame::HEADER_BYTES + header.length;
        let flow = &mut self.flows[from.index()];
        if !header.kind.is_read() || size > self.limits.buffer_bytes {
            if header.kind.is_read() {
                flow.table.forget(); // a header larger than we keep
            }
            flow.ends = header.ends_stream().then_some(header.stream);
            self.count(from, &header, size);
            return Step::Skip(size as u64);
        }
        let Some(payload) = input.bytes.get(frame::HEADER_BYTES..size) else { return Step::Need(size) };
        self.count(from, &header, size);
        let (start_ns, end_ns) = (input.ns_at(0), input.ns_at(size - 1));
        match header.kind {
            Kind::Reset => self.reset(header.stream, payload, end_ns, out),
            Kind::Continuation => self.continues(from, &header, payload, end_ns, out),
            _ => self.headers(from, &header, payload, start_ns, end_ns, out),
        }
        Step::Take(size)
    }

    fn count(&mut self, from: Party, header: &Header, size: usize) {
        let Some(exchange) = self.exchanges.get_mut(&header.stream) else { return };
        match from {
            Party::Client => exchange.transaction.request_bytes += size as u64,
            Party::Server => exchange.transaction.response_bytes += size as u64,
        }
    }

    fn headers(&mut self, from: Party, header: &Header, payload: &[u8], start_ns: i64, end_ns: i64, out: &mut Vec<Transaction>) {
        let Some(bytes) = header_block(header, payload) else { return self.flows[from.index()].table.forget() };
        let promised = header.kind == Kind::PushPromise;
        let stream = if promised { frame::promised(header, payload) } else { header.stream };
        let block = Block { stream, ends_stream: header.ends_stream(), promised, bytes: bytes.to_vec(), start_ns };
        if from == Party::Client && stream > self.last_stream {
            self.last_stream = stream; // what comes for earlier ones is a trailer, perhaps of an exchange that is over
            self.begin(stream, start_ns, frame::HEADER_BYTES + header.length, out);
        }
        if header.ends_headers() {
            self.block(from, block, end_ns, out);
        } else {
            self.flows[from.index()].block = Some(block);
        }
    }

    fn continues(&mut self, from: Party, header: &Header, payload: &[u8], end_ns: i64, out: &mut Vec<Transaction>) {
        let flow = &mut self.flows[from.index()];
        let Some(mut block) = flow.block.take().filter(|block| header.stream == block.stream || block.promised) else { return flow.table.forget() };
        if block.bytes.len() + payload.len() > self.limits.buffer_bytes {
            return flow.table.forget();
        }
        block.bytes.extend_from_slice(payload);
        if header.ends_headers() {
            self.block(from, block, end_ns, out);
        } else {
            flow.block = Some(block);
        }
    }

    fn begin(&mut self, stream: u32, start_ns: i64, bytes: usize, out: &mut Vec<Transaction>) {
        if self.exchanges.len() >= self.limits.in_flight
            && let Some((&oldest, exchange)) = self.exchanges.first_key_value()
            && (start_ns.saturating_sub(exchange.transaction.start_ns) > STALE_NS || self.exchanges.len() > self.limits.in_flight)
        {
            self.leave_out(oldest, out);
        }
        let transaction = Transaction { start_ns, end_ns: start_ns, request_bytes: bytes as u64, ..Transaction::default() };
        self.exchanges.insert(stream, Exchange { transaction, ..Exchange::default() });
    }

    fn leave_out(&mut self, stream: u32, out: &mut Vec<Transaction>) {
        if let Some(exchange) = self.exchanges.remove(&stream) {
            let end_ns = exchange.transaction.end_ns;
            out.push(unfollowed(self.finished(Exchange { answered: true, ..exchange }, end_ns, None)));
        }
    }

    /// A whole header: of a request, an answer, or a trailer.
    fn block(&mut self, from: Party, block: Block, end_ns: i64, out: &mut Vec<Transaction>) {
        let Ok(fields) = self.flows[from.index()].table.decode(&block.bytes) else { return self.flows[from.index()].table.forget() };
        if block.promised {
            self.begin(block.stream, block.start_ns, 0, out);
        }
        let limit = self.limits.text_bytes;
        if let Some(exchange) = self.exchanges.get_mut(&block.stream) {
            exchange.transaction.end_ns = end_ns;
            if from == Party::Client || block.promised {
                exchange.requested(fields, limit);
                exchange.transaction.initiator = if block.promised { Initiator::Server } else { Initiator::Client };
                if self.exchanges.len() > self.limits.in_flight {
                    self.leave_out(block.stream, out); // those that came before may all end well
                }
            } else {
                exchange.answered(fields, block.start_ns);
            }
        }
        if block.ends_stream && from == Party::Server {
            self.end_stream(block.stream, end_ns, out);
        }
    }

    /// The server ends a stream: its exchange is complete, whatever the client still sends.
    fn end_stream(&mut self, stream: u32, end_ns: i64, out: &mut Vec<Transaction>) {
        if let Some(exchange) = self.exchanges.remove(&stream) {
            out.push(self.finished(exchange, end_ns, None));
        }
    }

    fn reset(&mut self, stream: u32, payload: &[u8], end_ns: i64, out: &mut Vec<Transaction>) {
        let code = payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        if let Some(exchange) = self.exchanges.remove(&stream) {
            out.push(self.finished(exchange, end_ns, (code != 0).then(|| frame::error_name(code))));
        }
    }

    fn finished(&self, exchange: Exchange, end_ns: i64, reset: Option<&'static str>) -> Transaction {
        let mut transaction = exchange.transaction;
        transaction.end_ns = end_ns.max(transaction.end_ns);
        if transaction.protocol.is_empty() {
            transaction.protocol = PROTOCOL.name;
        }
        if exchange.grpc {
            let http_status = std::mem::take(&mut transaction.status);
            grpc::complete(&mut transaction, exchange.path.as_deref(), exchange.grpc_status.as_deref(), &http_status, self.limits.text_bytes);
        } else {
            if let Some(path) = &exchange.path {
                transaction.target = quantise(path, self.limits.text_bytes).into();
            }
            transaction.error = transaction.status.starts_with('5').then(|| transaction.status.clone());
        }
        if transaction.operation.is_empty() {
            transaction.operation = "_OTHER".into();
            transaction.attributes.push((PARTIAL, "true".into()));
        }
        if let Some(reset) = reset {
            transaction.error = Some(reset.into());
        } else if !exchange.answered {
            transaction.error = Some(NO_RESPONSE.into());
        }
        transaction
    }
}

impl Exchange {
    fn requested(&mut self, fields: Vec<Field>, limit_bytes: usize) {
        for Field { name, value } in fields {
            let Some(value) = value else { continue };
            match name {
                Name::Method => self.transaction.operation = known_method(&value).unwrap_or("_OTHER").into(),
                Name::Path => self.path = Some(value),
                Name::Authority => self.transaction.attributes.push(("server.address", printable(crate::protocols::http1::without_port(&value), limit_bytes))),
                Name::ContentType => self.grpc |= is_grpc(&value),
                _ => {}
            }
        }
    }

    fn answered(&mut self, fields: Vec<Field>, start_ns: i64) {
        for Field { name, value } in fields {
            let Some(value) = value else { continue };
            match name {
                Name::Status if value.starts_with(b"1") => return, // 100-continue, early hints
                Name::Status => self.transaction.status = printable(&value, 3).into(),
                Name::ContentType => self.grpc |= is_grpc(&value),
                Name::GrpcStatus => self.grpc_status = Some(value),
                _ => {}
            }
        }
        self.answered = true;
        self.transaction.first_byte_ns.get_or_insert(start_ns);
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc") && !content_type.starts_with(b"application/grpc-web")
}

impl Decoder for Http2 {
    fn parse(&mut self, from: Party, input: &Input<'_>, out: &mut Vec<Transaction>) -> Step {
        if let Some(stream) = self.flows[from.index()].ends.take() {
            if from == Party::Server {
                self.end_stream(stream, input.taken_ns(), out);
            } else if let Some(exchange) = self.exchanges.get_mut(&stream) {
                exchange.transaction.end_ns = input.taken_ns();
            }
        }
        if from == Party::Client
            && let Some(step) = self.preface(input)
        {
            return step;
        }
        self.frame(from, input, out)
    }

    fn gap(&mut self, from: Party, _bytes: u64, _out: &mut Vec<Transaction>) {
        let flow = &mut self.flows[from.index()];
        flow.table.forget();
        (flow.block, flow.ends) = (None, None);
    }

    fn end(&mut self, _from: Party, _at_ns: i64, _out: &mut Vec<Transaction>) {}

    fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        for exchange in std::mem::take(&mut self.exchanges).into_values() {
            out.push(self.finished(exchange, at_ns, None));
        }
    }

    fn held_bytes(&self) -> usize {
        let flow = |flow: &Flow| flow.table.held_bytes() + flow.block.as_ref().map_or(0, |block| block.bytes.capacity());
        self.flows.iter().map(flow).sum::<usize>() + self.exchanges.len() * (size_of::<Exchange>() + 512)
    }
}

#[cfg(test)]
mod tests;
