//! Follows every connection of a source: whose it is, who is the client, what its bytes mean.

use std::net::SocketAddr;

use hashbrown::HashMap;
use pulka_l7::connection::{Chunk, Connection, Side};
use pulka_l7::decoder::{Limits, Transport};
use pulka_l7::flight::IN_FLIGHT;
use pulka_l7::protocols::http1;
use pulka_l7::transaction::{Initiator, PARTIAL, Transaction};

use crate::event::Event;
use crate::flow::{self, Flow};
use crate::red::{End, Peer, Process, Red};
use crate::replay;

/// A connection's name in its source. Of datagrams, one socket has several, told apart by the peer.
pub type Conn = u64;

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub keys_max: usize,
    /// Of all decoders together.
    pub held_bytes_max: usize,
    /// A connection that says nothing for so long is closed.
    pub idle_ns: i64,
    pub limits: Limits,
}

/// What a source may do with a connection from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Copy the beginning of each message and of each packet.
    Keep,
    /// Copy everything, as far as there is room: many messages share a packet.
    Whole,
    Ignore,
    /// The same, of what it sends: it is told of what its peer sends, too.
    KeepSent,
    WholeSent,
}

/// Bytes of one direction as a source saw them. Side A is the local one.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    pub from: Side,
    /// Unix time in ns.
    pub at_ns: i64,
    pub sequence: u32,
    pub length: u32,
    pub tls: bool,
    pub data: &'a [u8],
}

/// What is known of a connection besides its bytes; later facts complete earlier ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    pub client: Option<Side>,
    pub process: Process,
    /// Of the network; 0: not known, or not told when connections in it end.
    pub namespace: u32,
}

/// Datagrams have no end; a peer that is silent for so long is forgotten.
const DATAGRAMS_IDLE_NS: i64 = 10_000_000_000;

struct Tracked {
    connection: Connection,
    facts: Facts,
    wire: [Flow; 2],
    plaintext: [Flow; 2],
    at_ns: i64,
    judged: Option<Verdict>,
    has_tls: bool,
    /// The other end, whose bytes are told once, by who sends them.
    twin: Option<Conn>,
    /// Its memory was needed: what comes is passed over.
    given_up: bool,
    /// It turned out to be TLS, whose plaintext was looked for at so many ticks; None: it is none, or was counted.
    awaits_plaintext: Option<u8>,
}

/// As decoders call it.
const ENCRYPTED: &str = "encrypted (TLS)";
/// Its library may have to be found first.
const PLAINTEXT_TICKS: u8 = 9;

/// Why connections show nothing, and what was given up: exported, never silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub opened: u64,
    pub transactions: u64,
    pub pieces: u64,
    /// Gaps that may have cost a message.
    pub gaps: u64,
    pub refused: u64,
    pub evicted: u64,
    pub idle: u64,
    /// Requests that were counted but not followed, because too many were under way on their connection.
    pub in_flight: u64,
    /// Connections that were given up because of a mistake of ours.
    pub failed: u64,
}

pub struct Tracker {
    bounds: Bounds,
    tracked: HashMap<Conn, Tracked, ahash::RandomState>,
    datagrams: HashMap<(Conn, SocketAddr), Tracked, ahash::RandomState>,
    /// By (local, remote): on one machine both ends of a connection are seen, and each tells the other's process.
    ends: HashMap<(SocketAddr, SocketAddr), Conn, ahash::RandomState>,
    pub red: Red,
    pub counters: Counters,
    verdicts: Vec<(Conn, Verdict)>,
    opaque: HashMap<(Process, &'static str), u64, ahash::RandomState>,
    out: Vec<Transaction>,
    /// What it is told, written down to be replayed: on request only, for it holds payloads.
    pub tap: Option<Vec<u8>>,
}

/// A recording ends there.
const TAP_BYTES_MAX: usize = 64 << 20;

impl Tracked {
    fn new(transport: Transport, facts: Facts, from_start: bool, at_ns: i64, limits: Limits) -> Tracked {
        let connection = Connection::new(transport, facts.client, from_start, limits);
        Tracked { connection, facts, wire: Default::default(), plaintext: Default::default(), at_ns, judged: None, twin: None, given_up: false, has_tls: false, awaits_plaintext: None }
    }

    fn learn(&mut self, facts: Facts) {
        let known = &mut self.facts;
        if known.client.is_none() && let Some(client) = facts.client {
            known.client = Some(client);
            self.connection.set_client(client);
        }
        known.local = known.local.or(facts.local);
        known.remote = known.remote.or(facts.remote);
        if known.process == 0 {
            known.process = facts.process;
        }
        if known.namespace == 0 {
            known.namespace = facts.namespace;
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, gaps: &mut u64, out: &mut Vec<Transaction>) {
        self.at_ns = piece.at_ns;
        self.has_tls |= piece.tls;
        let flows = if piece.tls { &mut self.plaintext } else { &mut self.wire };
        let connection = &mut self.connection;
        flows[piece.from.index()].piece(piece.sequence, piece.length, piece.data, feed(connection, piece.from, piece.at_ns, piece.tls, gaps, out));
    }

    fn give_up(&mut self, gaps: &mut u64, out: &mut Vec<Transaction>) {
        let (connection, at_ns) = (&mut self.connection, self.at_ns);
        for (flows, tls) in [(&mut self.wire, false), (&mut self.plaintext, true)] {
            for side in [Side::A, Side::B] {
                flows[side.index()].give_up(&mut feed(connection, side, at_ns, tls, gaps, out));
            }
        }
    }

    fn close(&mut self, at_ns: i64, gaps: &mut u64, out: &mut Vec<Transaction>) {
        self.give_up(gaps, out);
        self.connection.end(Side::A, at_ns, out);
        self.connection.end(Side::B, at_ns, out);
        self.connection.close(at_ns, out);
    }

    fn held_bytes(&self) -> usize {
        self.connection.held_bytes() + self.wire.iter().chain(&self.plaintext).map(Flow::held_bytes).sum::<usize>()
    }

    /// Whether its plaintext did not come in all the time there was, told once.
    fn stays_encrypted(&mut self, is_over: bool) -> bool {
        let Some(ticks) = &mut self.awaits_plaintext else { return false };
        *ticks += 1;
        let decided = self.has_tls || is_over || *ticks > PLAINTEXT_TICKS;
        if decided {
            self.awaits_plaintext = None;
        }
        decided && !self.has_tls
    }

    /// A decision on whether its bytes are worth copying, made once its protocol is known, and again when it shows nothing any more.
    fn judge(&mut self) -> Option<Verdict> {
        let stays = self.judged.is_some_and(|verdict| verdict == Verdict::Ignore || self.connection.opaque().is_none());
        if stays {
            return None;
        }
        let verdict = if self.connection.opaque().is_some() || self.connection.protocol() == Some("tls") {
            Verdict::Ignore
        } else {
            self.connection.protocol().map(|_| if self.connection.streams() { Verdict::Whole } else { Verdict::Keep })?
        };
        self.judged = Some(verdict);
        self.awaits_plaintext = (self.connection.protocol() == Some("tls") && self.connection.opaque().is_none()).then_some(0);
        Some(verdict)
    }
}

fn feed<'a>(connection: &'a mut Connection, side: Side, at_ns: i64, tls: bool, gaps: &'a mut u64, out: &'a mut Vec<Transaction>) -> impl FnMut(flow::Event<'_>) + 'a {
    move |event| match event {
        flow::Event::Data(data) => connection.chunk(&Chunk { side, at_ns, tls, data }, out),
        flow::Event::Gap(bytes) => *gaps += u64::from(connection.gap(side, bytes, tls, out)),
    }
}

impl Tracker {
    pub fn new(bounds: Bounds) -> Tracker {
        Tracker {
            bounds,
            tracked: HashMap::default(),
            datagrams: HashMap::default(),
            ends: HashMap::default(),
            red: Red::new(bounds.keys_max),
            counters: Counters::default(),
            verdicts: Vec::new(),
            opaque: HashMap::default(),
            out: Vec::new(),
            tap: None,
        }
    }

    fn tap(&mut self, event: &Event<'_>) {
        if let Some(recording) = self.tap.as_mut().filter(|recording| recording.len() < TAP_BYTES_MAX) {
            replay::encode(event, recording);
        }
    }

    /// A connection begins (`from_start`), or one that is older is told of.
    pub fn open(&mut self, conn: Conn, facts: Facts, from_start: bool, at_ns: i64) {
        self.tap(&Event::Open { conn, facts, from_start, at_ns });
        if let Some(tracked) = self.tracked.get_mut(&conn) {
            tracked.learn(facts);
        } else if self.has_room() {
            self.counters.opened += 1;
            self.tracked.insert(conn, Tracked::new(Transport::Stream, facts, from_start, at_ns, self.bounds.limits));
        } else {
            return;
        }
        self.find_by_ends(conn);
    }

    /// More facts on a connection that may be known; one that is not stays so.
    pub fn learn(&mut self, conn: Conn, facts: Facts) {
        self.tap(&Event::Learn { conn, facts });
        if let Some(tracked) = self.tracked.get_mut(&conn) {
            tracked.learn(facts);
            self.find_by_ends(conn);
        }
    }

    fn find_by_ends(&mut self, conn: Conn) {
        if let Some(Facts { local: Some(local), remote: Some(remote), .. }) = self.tracked.get(&conn).map(|tracked| tracked.facts) {
            self.ends.insert((local, remote), conn);
        }
    }

    pub fn piece(&mut self, conn: Conn, client: Option<Side>, piece: &Piece<'_>) {
        self.counters.pieces += 1;
        self.tap(&Event::Bytes { conn, client, piece: *piece });
        if !self.tracked.contains_key(&conn) {
            self.open(conn, Facts { client, ..Facts::default() }, false, piece.at_ns);
        }
        self.follow(conn, piece);
        if piece.from == Side::A && !piece.tls && let Some(twin) = self.tracked.get(&conn).and_then(|tracked| tracked.twin) {
            self.follow(twin, &Piece { from: Side::B, ..*piece });
        }
    }

    fn follow(&mut self, conn: Conn, piece: &Piece<'_>) {
        let Some(tracked) = self.tracked.get_mut(&conn).filter(|tracked| !tracked.given_up) else { return };
        tracked.piece(piece, &mut self.counters.gaps, &mut self.out);
        if let Some(verdict) = tracked.judge() {
            self.verdicts.push((conn, verdict));
            if let Some(reason) = tracked.connection.opaque() {
                *self.opaque.entry((tracked.facts.process, reason)).or_default() += 1;
            }
            self.pair(conn, verdict);
        }
        if !self.out.is_empty() {
            self.count(conn);
        }
    }

    /// With both ends in one network namespace, what the one receives is what the other has sent: half of the records do.
    fn pair(&mut self, conn: Conn, verdict: Verdict) {
        let sent = match verdict {
            Verdict::Keep => Verdict::KeepSent,
            Verdict::Whole => Verdict::WholeSent,
            _ => return,
        };
        let Some(Facts { local: Some(local), remote: Some(remote), namespace: namespace @ 1.., .. }) = self.tracked.get(&conn).map(|tracked| tracked.facts) else { return };
        let Some(twin) = self.ends.get(&(remote, local)).copied().filter(|twin| *twin != conn) else { return };
        let fits = |other: &&mut Tracked| other.judged == Some(verdict) && other.facts.namespace == namespace && other.twin.is_none() && !other.given_up;
        let Some(other) = self.tracked.get_mut(&twin).filter(fits) else { return };
        other.twin = Some(conn);
        if let Some(tracked) = self.tracked.get_mut(&conn) {
            tracked.twin = Some(twin);
        }
        self.verdicts.retain(|(other, _)| *other != conn && *other != twin); // the source looks only until it finds one
        self.verdicts.extend([(conn, sent), (twin, sent)]);
    }

    /// One whole message between a socket and a peer.
    pub fn datagram(&mut self, conn: Conn, facts: Facts, from: Side, at_ns: i64, data: &[u8]) {
        let Some(remote) = facts.remote else { return };
        self.tap(&Event::Datagram { conn, facts, from, at_ns, data });
        if !self.datagrams.contains_key(&(conn, remote)) && !self.has_room() {
            return;
        }
        if let Some(local) = facts.local && self.ends.len() < self.bounds.connections_max {
            self.ends.insert((local, remote), conn);
        }
        let limits = self.bounds.limits;
        let tracked = self.datagrams.entry((conn, remote)).or_insert_with(|| Tracked::new(Transport::Datagram, facts, true, at_ns, limits));
        tracked.learn(facts);
        tracked.at_ns = at_ns;
        tracked.connection.chunk(&Chunk { side: from, at_ns, tls: false, data }, &mut self.out);
        let facts = tracked.facts;
        let client = tracked.connection.client();
        if !self.out.is_empty() {
            let peer = self.twin(&facts).map_or(0, |twin| twin.facts.process);
            self.emit(facts, client, false, peer);
        }
    }

    pub fn close(&mut self, conn: Conn, at_ns: i64) {
        self.tap(&Event::Close { conn, at_ns });
        let Some(tracked) = self.tracked.get_mut(&conn) else { return };
        tracked.close(at_ns, &mut self.counters.gaps, &mut self.out);
        if tracked.stays_encrypted(true) {
            *self.opaque.entry((tracked.facts.process, ENCRYPTED)).or_default() += 1;
        }
        self.count(conn);
        if let Some(tracked) = self.tracked.remove(&conn) {
            self.forget(&tracked.facts, conn);
            if let Some(other) = tracked.twin.and_then(|twin| self.tracked.get_mut(&twin)) {
                other.twin = None;
            }
        }
    }

    /// Close what is idle, stop waiting for lost pieces, and keep memory within its bound. Called about once a second.
    pub fn tick(&mut self, now_ns: i64) {
        let bound = self.bounds;
        let mut held = 0;
        let (mut idle, mut waiting) = (Vec::new(), Vec::new());
        for (conn, tracked) in &mut self.tracked {
            held += tracked.held_bytes();
            if tracked.stays_encrypted(false) {
                *self.opaque.entry((tracked.facts.process, ENCRYPTED)).or_default() += 1;
            }
            if now_ns.saturating_sub(tracked.at_ns) > bound.idle_ns && tracked.twin.is_none() {
                idle.push(*conn); // of a pair, the source would tell only one direction when it wakes up
            } else if now_ns.saturating_sub(tracked.at_ns) > 1_000_000_000 && tracked.wire.iter().any(Flow::waits) {
                waiting.push(*conn);
            }
        }
        self.counters.idle += idle.len() as u64;
        idle.into_iter().for_each(|conn| self.close(conn, now_ns));
        for conn in waiting {
            if let Some(tracked) = self.tracked.get_mut(&conn) {
                tracked.give_up(&mut self.counters.gaps, &mut self.out);
            }
            self.count(conn);
        }
        let silent = bound.idle_ns.min(DATAGRAMS_IDLE_NS);
        let ended: Vec<_> = self.datagrams.iter().filter(|(_, tracked)| now_ns.saturating_sub(tracked.at_ns) > silent).map(|(key, _)| *key).collect();
        ended.iter().for_each(|key| self.give_up_answers(key, now_ns)); // all, before the first is forgotten: they name each other
        for key in ended {
            if let Some(tracked) = self.datagrams.remove(&key) {
                self.forget(&tracked.facts, key.0);
            }
        }
        if held > bound.held_bytes_max {
            self.evict(held - bound.held_bytes_max, now_ns);
        }
    }

    /// The process of a connection, 0 while it is not known; None for a connection that is not followed.
    pub fn process(&self, conn: Conn) -> Option<Process> {
        self.tracked.get(&conn).map(|tracked| tracked.facts.process)
    }

    /// The connection between two addresses, if it is followed and they are known.
    pub fn conn(&self, local: SocketAddr, remote: SocketAddr) -> Option<Conn> {
        self.ends.get(&(local, remote)).copied()
    }

    /// Connections whose process is not known, which a walk over open files may tell.
    pub fn unowned(&self) -> usize {
        self.tracked.values().filter(|tracked| tracked.facts.process == 0).count()
    }

    pub fn verdicts(&mut self) -> Vec<(Conn, Verdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// Connections that show nothing, by process and reason, since the last time.
    pub fn opaque(&mut self) -> Vec<(Process, &'static str, u64)> {
        self.opaque.drain().map(|((process, reason), count)| (process, reason, count)).collect()
    }

    pub fn connections(&self) -> usize {
        self.tracked.len() + self.datagrams.len()
    }

    fn has_room(&mut self) -> bool {
        let room = self.connections() < self.bounds.connections_max;
        self.counters.refused += u64::from(!room);
        room
    }

    /// The largest go first: one of them frees what many small ones would.
    fn evict(&mut self, bytes: usize, now_ns: i64) {
        let mut sizes: Vec<(usize, Conn)> = self.tracked.iter().map(|(conn, tracked)| (tracked.held_bytes(), *conn)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let mut freed = 0;
        for (size, conn) in sizes {
            if freed >= bytes {
                return;
            }
            freed += size;
            self.counters.evicted += 1;
            self.verdicts.push((conn, Verdict::Ignore));
            self.give_up(conn, now_ns);
        }
    }

    /// It stays, empty, so that its next bytes do not begin it anew.
    fn give_up(&mut self, conn: Conn, now_ns: i64) {
        let Some(tracked) = self.tracked.get_mut(&conn) else { return };
        tracked.close(now_ns, &mut self.counters.gaps, &mut self.out);
        self.count(conn);
        if let Some(tracked) = self.tracked.get_mut(&conn) {
            (tracked.connection, tracked.given_up) = (Connection::new(Transport::Stream, None, false, self.bounds.limits), true);
        }
    }

    /// A decoder has failed on a connection, or on that of its other end: neither is asked for anything any more.
    pub fn break_off(&mut self, conn: Conn) {
        self.counters.failed += 1;
        self.out.clear();
        let twin = self.tracked.get(&conn).and_then(|tracked| tracked.twin);
        for conn in [Some(conn), twin].into_iter().flatten() {
            if let Some(tracked) = self.tracked.get_mut(&conn) {
                *tracked = Tracked { given_up: true, ..Tracked::new(Transport::Stream, tracked.facts, false, tracked.at_ns, self.bounds.limits) };
                self.verdicts.push((conn, Verdict::Ignore));
            }
        }
        self.datagrams.retain(|(other, _), _| *other != conn);
    }

    /// Of a peer that is silent: what was asked and not answered has failed.
    fn give_up_answers(&mut self, key: &(Conn, SocketAddr), now_ns: i64) {
        let Some(tracked) = self.datagrams.get_mut(key) else { return };
        tracked.connection.close(now_ns, &mut self.out);
        let (facts, client) = (tracked.facts, tracked.connection.client());
        let peer = self.twin(&facts).map_or(0, |twin| twin.facts.process);
        self.emit(facts, client, false, peer);
    }

    fn forget(&mut self, facts: &Facts, conn: Conn) {
        if let (Some(local), Some(remote)) = (facts.local, facts.remote) && self.ends.get(&(local, remote)) == Some(&conn) {
            self.ends.remove(&(local, remote));
        }
    }

    fn count(&mut self, conn: Conn) {
        let Some(tracked) = self.tracked.get(&conn) else { return self.out.clear() };
        let (facts, client, tls) = (tracked.facts, tracked.connection.client(), tracked.has_tls);
        let peer = self.twin(&facts).map_or(0, |twin| twin.facts.process);
        self.emit(facts, client, tls, peer);
    }

    /// The other end, where it is on this machine.
    fn twin(&self, facts: &Facts) -> Option<&Tracked> {
        let (local, remote) = facts.local.zip(facts.remote)?;
        let conn = self.ends.get(&(remote, local))?;
        self.tracked.get(conn).or_else(|| self.datagrams.get(&(*conn, local)))
    }

    fn emit(&mut self, facts: Facts, client: Option<Side>, tls: bool, peer: Process) {
        let local_is_client = facts.client.or(client) == Some(Side::A);
        let own = facts.local.map(|local| local.ip()).filter(|_| peer == 0);
        // A request that was before the agent: its answer, as a message of its own, would turn the server into a client.
        for transaction in self.out.drain(..).filter(|transaction| !http1::is_unasked(transaction)) {
            let pushed = matches!(transaction.initiator, Initiator::Server | Initiator::ServerOneWay);
            let end = End { process: facts.process, is_client: local_is_client != pushed, tls, peer: peer_of(&facts, local_is_client, peer), own };
            self.counters.transactions += 1;
            self.counters.in_flight += u64::from(transaction.attributes.last().is_some_and(|(name, value)| *name == PARTIAL && value == IN_FLIGHT));
            self.red.add(end, transaction);
        }
    }
}

fn peer_of(facts: &Facts, local_is_client: bool, process: Process) -> Peer {
    let server = if local_is_client { facts.remote } else { facts.local };
    Peer { process, address: facts.remote.map(|remote| remote.ip()), port: server.map_or(0, |server| server.port()) }
}
