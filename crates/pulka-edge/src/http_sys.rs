//! Windows as a source, HTTP.sys: events of the ETW provider Microsoft-Windows-HttpService, which tell requests of IIS and of everything else that
//! is built on HTTP.sys, within TLS too, because that ends there. A block is the 80 bytes of EVENT_HEADER, the related activity's id (zeros: there
//! is none) and the event's own data. Recorded bytes in, events out: nothing here calls Windows.
//!
//! A connection (21 to 23) is an activity; a request (1) is another one, related to it; then come what was asked (2), where it was delivered (3),
//! the status (4, 8, or 16 and 17 from the cache that 25 and 27 tell of), and what was sent (10 to 14), which ends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;
use pulka_l7::path::quantise;
use pulka_l7::reader::Reader;
use pulka_l7::transaction::{NO_RESPONSE, Transaction};

use crate::event::Event;
use crate::red::{End, Peer};

/// dd5ef90a-6398-47a4-ad34-4dcecdef795f, as it is in memory.
const PROVIDER: [u8; 16] = [0x0a, 0xf9, 0x5e, 0xdd, 0x98, 0x63, 0xa4, 0x47, 0xad, 0x34, 0x4d, 0xce, 0xcd, 0xef, 0x79, 0x5f];
/// Between 1601 and 1970, in units of 100 ns.
const UNIX_EPOCH_FILETIME: i64 = 116_444_736_000_000_000;
const PATH_BYTES: usize = 256;
const QUEUE_BYTES: usize = 64;

/// HTTP_VERB.
const VERBS: [&str; 20] = [
    "_OTHER", "_OTHER", "_OTHER", "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "TRACK", "MOVE", "COPY", "PROPFIND", "PROPPATCH", "MKCOL", "LOCK",
    "UNLOCK", "SEARCH",
];

type Activity = [u8; 16];

struct Header {
    process: u32,
    at_ns: i64,
    id: u16,
    activity: Activity,
    related: Activity,
}

fn header(fields: &mut Reader<'_>) -> Option<Header> {
    fields.bytes(12)?; // size, type, flags, property, thread
    let process = fields.u32_le()?;
    let at_ns = (fields.u64_le()? as i64).saturating_sub(UNIX_EPOCH_FILETIME).saturating_mul(100);
    let provider = fields.array::<16>()?;
    let id = fields.u16_le()?;
    fields.bytes(22)?; // the rest of the descriptor, times of the processor
    let (activity, related) = (fields.array()?, fields.array()?);
    (provider == PROVIDER).then_some(Header { process, at_ns, id, activity, related })
}

struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    tls: bool,
}

struct Request {
    connection: Activity,
    transaction: Transaction,
    url: String,
    process: u32,
}

pub struct HttpSys {
    entries_max: usize,
    connections: HashMap<Activity, Connection, ahash::RandomState>,
    requests: HashMap<Activity, Request, ahash::RandomState>,
    cached: HashMap<String, u16, ahash::RandomState>,
    /// Events of others, events that are too short, requests of connections that are not known or for which there is no room.
    pub passed_over: u64,
}

impl HttpSys {
    /// At most `entries_max` connections, requests and cached answers, each.
    pub fn new(entries_max: usize) -> HttpSys {
        HttpSys { entries_max, connections: HashMap::default(), requests: HashMap::default(), cached: HashMap::default(), passed_over: 0 }
    }

    pub fn held(&self) -> usize {
        self.connections.len() + self.requests.len() + self.cached.len()
    }

    pub fn block(&mut self, block: &[u8], tell: &mut impl FnMut(Event<'static>)) {
        let mut fields = Reader::new(block);
        let read = header(&mut fields).and_then(|header| self.event(&header, fields, tell));
        self.passed_over += u64::from(read.is_none());
    }

    fn event(&mut self, header: &Header, mut fields: Reader<'_>, tell: &mut impl FnMut(Event<'static>)) -> Option<()> {
        match header.id {
            21 => self.connected(header, fields),
            23 => self.closed(header, tell),
            34 => self.connections.get_mut(&header.activity).map(|connection| connection.tls = true),
            1 => self.received(header),
            2 => self.parsed(header, fields),
            3 => self.delivered(header, fields),
            4 | 8 => {
                fields.bytes(16)?;
                let status = fields.u16_le()?;
                self.requests.get_mut(&header.activity).map(|request| answered(&mut request.transaction, header.at_ns, status))
            }
            10..=14 => self.finish(header, tell),
            16 | 17 => self.answered_by_cache(header, tell),
            25 => {
                let (url, status) = (fields.utf16_le()?, fields.u16_le()?);
                (self.cached.len() < self.entries_max).then(|| self.cached.insert(url, status)).map(|_| ())
            }
            27 => self.cached.remove(&fields.utf16_le()?).map(|_| ()),
            _ => None,
        }
    }

    fn connected(&mut self, header: &Header, mut fields: Reader<'_>) -> Option<()> {
        fields.u64_le()?;
        let (local, remote) = (socket_address(&mut fields)?, socket_address(&mut fields)?);
        if self.connections.len() >= self.entries_max {
            return None;
        }
        self.connections.insert(header.activity, Connection { local, remote, tls: false });
        Some(())
    }

    fn received(&mut self, header: &Header) -> Option<()> {
        if !self.connections.contains_key(&header.activity) || self.requests.len() >= self.entries_max {
            return None;
        }
        let transaction = Transaction { protocol: "http1", operation: "_OTHER".into(), start_ns: header.at_ns, end_ns: header.at_ns, ..Transaction::default() };
        self.requests.insert(header.related, Request { connection: header.activity, transaction, url: String::new(), process: 0 });
        Some(())
    }

    fn parsed(&mut self, header: &Header, mut fields: Reader<'_>) -> Option<()> {
        let request = self.requests.get_mut(&header.activity)?;
        fields.u64_le()?;
        let (verb, url) = (fields.u32_le()?, fields.utf16_le()?);
        request.transaction.operation = VERBS.get(verb as usize).copied().unwrap_or("_OTHER").into();
        request.transaction.target = quantise(url.as_bytes(), PATH_BYTES).into();
        request.url = url;
        Some(())
    }

    /// The request queue is what IIS calls an application pool.
    fn delivered(&mut self, header: &Header, mut fields: Reader<'_>) -> Option<()> {
        let request = self.requests.get_mut(&header.activity)?;
        fields.bytes(20)?;
        let queue: String = fields.utf16_le()?.chars().take(QUEUE_BYTES).collect();
        request.process = header.process;
        request.transaction.attributes.push(("pulka.http.request_queue", queue));
        Some(())
    }

    /// What the cache answers at once has no status of its own; what is being put into it goes on to be sent.
    fn answered_by_cache(&mut self, header: &Header, tell: &mut impl FnMut(Event<'static>)) -> Option<()> {
        let request = self.requests.get_mut(&header.activity)?;
        if !request.transaction.status.is_empty() {
            return Some(());
        }
        let status = if header.id == 17 { Some(304) } else { self.cached.get(&request.url).copied() };
        answered(&mut request.transaction, header.at_ns, status?);
        self.finish(header, tell)
    }

    fn finish(&mut self, header: &Header, tell: &mut impl FnMut(Event<'static>)) -> Option<()> {
        let request = self.requests.remove(&header.activity)?;
        self.tell(request, header.at_ns, tell)
    }

    fn closed(&mut self, header: &Header, tell: &mut impl FnMut(Event<'static>)) -> Option<()> {
        let open: Vec<Activity> = self.requests.iter().filter(|(_, request)| request.connection == header.activity).map(|(activity, _)| *activity).collect();
        for activity in open {
            if let Some(request) = self.requests.remove(&activity) {
                self.tell(request, header.at_ns, tell);
            }
        }
        self.connections.remove(&header.activity).map(|_| ())
    }

    fn tell(&self, request: Request, at_ns: i64, tell: &mut impl FnMut(Event<'static>)) -> Option<()> {
        let Connection { local, remote, tls } = self.connections.get(&request.connection)?;
        let mut transaction = request.transaction;
        if transaction.status.is_empty() {
            transaction.error = Some(NO_RESPONSE.into());
        }
        transaction.end_ns = at_ns.max(transaction.start_ns);
        let peer = Peer { process: 0, address: Some(remote.ip()), port: local.port() };
        tell(Event::Done { end: End { process: request.process, is_client: false, tls: *tls, peer, own: Some(local.ip()) }, transaction: Box::new(transaction) });
        Some(())
    }
}

fn answered(transaction: &mut Transaction, at_ns: i64, status: u16) {
    transaction.status = status.to_string().into();
    transaction.error = (status >= 500).then(|| transaction.status.clone());
    transaction.first_byte_ns = Some(at_ns);
}

/// A length and a SOCKADDR_IN (16 bytes) or SOCKADDR_IN6 (28).
fn socket_address(fields: &mut Reader<'_>) -> Option<SocketAddr> {
    let length = fields.u32_le()?;
    let mut own = Reader::new(fields.bytes(length as usize).filter(|bytes| matches!(bytes.len(), 16 | 28))?);
    own.u16_le()?;
    let port = u16::from_be_bytes(own.array()?);
    let address = if length == 16 {
        IpAddr::V4(Ipv4Addr::from(own.array::<4>()?))
    } else {
        own.u32_le()?;
        IpAddr::V6(Ipv6Addr::from(own.array::<16>()?))
    };
    Some(SocketAddr::new(address, port))
}
