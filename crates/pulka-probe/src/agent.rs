//! The thread that reads the ring and counts. It takes no lock for a record, only one per turn.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pulka_edge::tracker::{Bounds, Counters, Facts, Piece, Tracker, Verdict as Judgement};
use pulka_l7::connection::Side;
use rustix::time::{ClockId, clock_gettime};

use crate::feature::{self, Answer, Feature};
use crate::probe::{Error, Limits, Probe, Verdict};
use crate::process::{self, Process};
use crate::watchdog::{Cost, Sample, Strikes};
use crate::sessions::Sessions;
use crate::sockets;
use crate::targets::{Target, Targets};
use crate::wire::{Bytes, Conn, Direction, LISTEN, Record, Role};

#[derive(Clone, Debug)]
pub struct Options {
    pub limits: Limits,
    pub bounds: Bounds,
    /// How long records may wait in the ring.
    pub poll: Duration,
    /// Share of one core that the programs of one feature may take.
    pub cpu_share: f64,
    pub without: Vec<String>,
}

/// What the agent says of itself.
#[derive(Clone, Debug)]
pub struct Status {
    pub features: Vec<Feature>,
    /// Share of one core in the last sample, in the order of the features; None before the first.
    pub shares: Option<Vec<f64>>,
    pub drops: Vec<(&'static str, u64)>,
    pub counters: Counters,
    pub connections: usize,
    pub records: u64,
    pub bytes: u64,
    /// Pieces of plaintext whose connection was never told.
    pub unbound: u64,
}

pub struct Agent {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inner: Mutex<Inner>,
    stop: AtomicBool,
}

struct Inner {
    probe: Probe,
    tracker: Tracker,
    /// When each process started: a later one may get its number.
    processes: HashMap<u32, u64>,
    fresh: Vec<Process>,
    gone: Vec<u32>,
    clock: Clock,
    watch: Watch,
    listeners: HashMap<u16, u32>,
    /// Who answers questions: a datagram that comes in tells nothing of who will take it.
    resolvers: Vec<Conn>,
    sessions: Sessions,
    targets: Targets,
    /// Connections whose process is to be looked at for a TLS library, and such processes.
    encrypted: HashSet<u64>,
    encrypting: HashSet<u32>,
    unowned: usize,
    records: u64,
    bytes: u64,
}

/// After so many, verdicts are told, and whoever waits for the counts gets them.
const TURN_RECORDS: u64 = 4096;
const TICK: Duration = Duration::from_secs(1);
const SAMPLE_EVERY: u32 = 10;
/// Sockets whose process a walk did not find (the kernel's own) are not looked for every second.
const WALK_EVERY: u32 = 10;
const DNS: u16 = 53;

impl Agent {
    pub fn start(object: &[u8], options: Options) -> Result<Agent, Error> {
        let mut probe = Probe::attach(object, options.limits, &options.without)?;
        let mut ring = probe.ring()?;
        let strikes = vec![Strikes::default(); probe.features().len()];
        let watch = Watch { budget: options.cpu_share, strikes, sample: None, shares: None, turn: 0 };
        let mut inner = Inner {
            probe,
            tracker: Tracker::new(options.bounds),
            processes: HashMap::new(),
            fresh: Vec::new(),
            gone: Vec::new(),
            clock: Clock::now(),
            watch,
            listeners: HashMap::new(),
            resolvers: Vec::new(),
            sessions: Sessions::default(),
            targets: Targets::default(),
            encrypted: HashSet::new(),
            encrypting: HashSet::new(),
            unowned: 0,
            records: 0,
            bytes: 0,
        };
        inner.walk();
        inner.visit_all();
        let shared = Arc::new(Shared { inner: Mutex::new(inner), stop: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        let run = move || {
            let (mut ticked, mut more) = (Instant::now(), false);
            while !theirs.stop.load(Ordering::Relaxed) {
                if !more {
                    ring.wait(options.poll);
                }
                let mut inner = theirs.lock();
                let mut records = 0;
                let bytes = ring.drain(TURN_RECORDS, |record| {
                    records += 1;
                    inner.contained(record);
                });
                more = records >= TURN_RECORDS;
                inner.records += records;
                inner.bytes += bytes as u64;
                inner.tell_verdicts();
                inner.look_for_tls();
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    inner.tick();
                }
            }
        };
        let thread = std::thread::Builder::new().name("pulka-edge".to_owned()).spawn(run).map_err(|error| Error::Load(error.to_string()))?;
        Ok(Agent { shared, thread: Some(thread) })
    }

    /// Work on the tracker while nothing is counted.
    pub fn with_tracker<T>(&self, work: impl FnOnce(&mut Tracker) -> T) -> T {
        work(&mut self.shared.lock().tracker)
    }

    /// Processes that were seen for the first time since the last call.
    pub fn processes(&self) -> Vec<Process> {
        std::mem::take(&mut self.shared.lock().fresh)
    }

    /// Ports that are listened on, with the process.
    pub fn listeners(&self) -> Vec<(u16, u32)> {
        self.shared.lock().listeners.iter().map(|(port, process)| (*port, *process)).collect()
    }

    /// Forget processes that are gone; returns them.
    pub fn reap(&self) -> Vec<u32> {
        let mut inner = self.shared.lock();
        inner.reap();
        std::mem::take(&mut inner.gone)
    }

    /// Files with a TLS library, and what became of them.
    pub fn targets(&self) -> Vec<Target> {
        self.shared.lock().targets.all().cloned().collect()
    }

    pub fn status(&self) -> Status {
        let inner = self.shared.lock();
        Status {
            features: inner.probe.features().to_vec(),
            shares: inner.watch.shares.clone(),
            drops: inner.probe.drops(),
            counters: inner.tracker.counters,
            connections: inner.tracker.connections(),
            records: inner.records,
            bytes: inner.bytes,
            unbound: inner.sessions.given_up,
        }
    }

    pub fn pause(&self, paused: bool) -> Result<(), Error> {
        self.shared.lock().probe.pause(paused)
    }

    /// Detach everything. Also happens when the agent is dropped, and when the process ends in whatever way.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.lock().probe.detach_all();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What others send must not end the agent, whatever a decoder gets wrong: it costs that connection.
    fn contained(&mut self, record: Record<'_>) {
        let conn = record.conn();
        if catch_unwind(AssertUnwindSafe(|| self.record(record))).is_err() {
            self.tracker.break_off(conn);
        }
    }

    fn record(&mut self, record: Record<'_>) {
        match record {
            Record::Bytes(bytes) => {
                if is_tls(bytes.data) {
                    self.encrypted.insert(bytes.conn);
                }
                self.piece(&bytes, false);
            }
            Record::Plaintext(session, bytes) if bytes.conn == 0 => self.sessions.keep(session, &bytes),
            Record::Plaintext(_, bytes) => self.piece(&bytes, true),
            Record::Bind(session, conn) => {
                for waiting in self.sessions.bind(session) {
                    self.piece(&waiting.bytes(conn), true);
                }
            }
            Record::Open(conn) => {
                let (facts, at_ns) = (self.facts(&conn), self.clock.unix_ns(conn.ts_ns));
                self.tracker.open(conn.conn, facts, true, at_ns);
            }
            Record::Owner(conn) => {
                let facts = self.facts(&conn);
                self.tracker.learn(conn.conn, facts);
            }
            Record::Close(conn) => {
                let facts = self.facts(&conn);
                if self.encrypted.remove(&conn.conn) {
                    self.encrypting.insert(facts.process); // its connections may all be over before they are looked at
                }
                self.tracker.learn(conn.conn, facts);
                self.tracker.close(conn.conn, self.clock.unix_ns(conn.ts_ns));
            }
            Record::Datagram(conn, direction, data) => {
                let from = if direction == Direction::Egress { Side::A } else { Side::B };
                let facts = self.facts(&conn);
                self.tracker.datagram(conn.conn, facts, from, self.clock.unix_ns(conn.ts_ns), data);
            }
        }
    }

    fn piece(&mut self, bytes: &Bytes<'_>, tls: bool) {
        let from = if bytes.direction == Direction::Egress { Side::A } else { Side::B };
        let at_ns = self.clock.unix_ns(bytes.ts_ns);
        let piece = Piece { from, at_ns, sequence: bytes.sequence, length: bytes.length, tls, data: bytes.data };
        self.tracker.piece(bytes.conn, client(bytes.role), &piece);
    }

    /// Libraries of the machine and of the processes that have sockets now, so that their next connection is read from its first byte.
    fn visit_all(&mut self) {
        if self.probe.features()[feature::TLS].answer == Answer::Yes {
            let (targets, probe) = (&mut self.targets, &mut self.probe);
            targets.visit_installed(|path, points| probe.attach_tls(path, points));
            self.processes.keys().for_each(|pid| targets.visit(*pid, |path, points| probe.attach_tls(path, points)));
        }
    }

    /// Connections that turned out to be encrypted: their processes' libraries are probed from now on.
    fn look_for_tls(&mut self) {
        let (tracker, targets, probe, encrypting) = (&self.tracker, &mut self.targets, &mut self.probe, &mut self.encrypting);
        self.encrypted.retain(|conn| match tracker.process(*conn) {
            Some(0) => true, // its process will be known soon
            known => {
                encrypting.extend(known);
                false
            }
        });
        let is_on = probe.features()[feature::TLS].answer == Answer::Yes;
        for pid in encrypting.drain().filter(|pid| is_on && *pid != 0) {
            targets.visit(pid, |path, points| probe.attach_tls(path, points));
        }
    }

    /// A server's end belongs to who listens where nothing tells the process that serves it.
    fn facts(&mut self, conn: &Conn) -> Facts {
        let owner = self.owner(conn);
        let told = self.probe.features()[feature::OWNER].answer == Answer::Yes;
        let listens = match (conn.udp, conn.role) {
            (true, _) => self.resolver(conn),
            (false, Role::Server) if !told => self.listeners.get(&conn.local.port()).copied().unwrap_or(0),
            _ => 0,
        };
        let process = if owner == 0 { listens } else { owner };
        Facts { local: Some(conn.local), remote: Some(conn.remote), client: client(conn.role), process, namespace: self.namespace(conn) }
    }

    /// 0 where nothing tells that a connection ends: one that is followed by what its two ends send must stay until it does.
    fn namespace(&self, conn: &Conn) -> u32 {
        if self.probe.features()[feature::STATE].answer == Answer::Yes { conn.namespace } else { 0 }
    }

    /// Whose socket it is; of sockets that are known by their addresses only, the one process that has all of them.
    fn resolver(&mut self, conn: &Conn) -> u32 {
        let by_address = |known: &&Conn| known.conn == 0 && conn.local.port() == DNS;
        let process = match self.resolvers.iter().find(|known| known.conn == conn.conn) {
            Some(exact) => exact.tgid,
            None => self.resolvers.iter().find(by_address).map_or(0, |first| first.tgid),
        };
        let is_one = self.resolvers.iter().all(|known| known.conn != 0 || known.tgid == process);
        if !is_one {
            return 0;
        }
        self.meet(process);
        process
    }

    /// Each second, so that another process that gets the number is not taken for the one before.
    fn reap(&mut self) {
        let gone: Vec<u32> = self.processes.iter().filter(|(pid, started)| !process::runs(**pid, **started)).map(|(pid, _)| *pid).collect();
        for pid in &gone {
            self.processes.remove(pid);
            self.targets.forget(*pid);
        }
        self.gone.extend(gone);
    }

    /// A process that was forked for this one connection may be gone already: it counts as the one it was forked from, of which it is a part.
    fn owner(&mut self, conn: &Conn) -> u32 {
        if self.meet(conn.tgid) || !self.meet(conn.parent) { conn.tgid } else { conn.parent }
    }

    /// Whether it is known now: of one that is gone nothing can be read.
    fn meet(&mut self, pid: u32) -> bool {
        if pid != 0 && !self.processes.contains_key(&pid) && let Some(process) = Process::read(pid) {
            self.processes.insert(pid, process.started);
            self.fresh.push(process);
        }
        self.processes.contains_key(&pid)
    }

    /// Sockets that are older than the agent, or whose process is not known: from the table of open files.
    fn walk(&mut self) {
        let own = std::process::id();
        let files = self.files();
        let at_ns = self.clock.unix_ns(0);
        let listening: Vec<&Conn> = files.iter().filter(|conn| conn.state == LISTEN && !conn.udp && conn.tgid != own).collect();
        for conn in &listening {
            self.meet(conn.tgid);
            self.listeners.insert(conn.local.port(), conn.tgid);
        }
        self.resolvers = files.iter().filter(|conn| conn.udp && conn.local.port() == DNS && conn.remote.port() == 0 && conn.tgid != own).copied().collect();
        for conn in files.iter().filter(|conn| conn.conn != 0 && conn.state != LISTEN && !conn.udp && conn.remote.port() != 0 && conn.tgid != own) {
            self.meet(conn.tgid);
            let serves = listening.iter().any(|listener| listener.local.port() == conn.local.port());
            let side = if serves { Side::B } else { Side::A };
            let facts = Facts { local: Some(conn.local), remote: Some(conn.remote), client: Some(side), process: conn.tgid, namespace: self.namespace(conn) };
            self.tracker.open(conn.conn, facts, false, at_ns.max(self.clock.wall_ns()));
        }
        for conn in files.iter().filter(|conn| conn.conn != 0 && conn.tgid == own) {
            let _ = self.probe.verdict(conn.conn, Verdict::Ignore);
        }
    }

    /// Of connections that the kernel's tables have by their addresses only, those that are followed.
    fn files(&mut self) -> Vec<Conn> {
        if self.probe.features()[feature::FILES].answer == Answer::Yes {
            return self.probe.files();
        }
        let by_ends = |conn: Conn| Conn { conn: self.tracker.conn(conn.local, conn.remote).unwrap_or(0), ..conn };
        sockets::open().into_iter().map(by_ends).collect()
    }

    fn tell_verdicts(&mut self) {
        for (conn, judgement) in self.tracker.verdicts() {
            let verdict = match judgement {
                Judgement::Keep => Verdict::Keep,
                Judgement::Whole => Verdict::Whole,
                Judgement::Ignore => Verdict::Ignore,
                Judgement::KeepSent => Verdict::KeepSent,
                Judgement::WholeSent => Verdict::WholeSent,
            };
            let _ = self.probe.verdict(conn, verdict); // a full map only costs a longer look at the connection
        }
    }

    fn tick(&mut self) {
        self.clock = Clock::now();
        self.tracker.tick(self.clock.wall_ns());
        let unowned = self.tracker.unowned();
        if unowned > 0 && (unowned != self.unowned || self.watch.turn.is_multiple_of(WALK_EVERY)) {
            self.walk();
        }
        self.unowned = unowned;
        self.reap();
        self.watch.tick(&mut self.probe);
    }
}

fn client(role: Role) -> Option<Side> {
    match role {
        Role::Client => Some(Side::A),
        Role::Server => Some(Side::B),
        Role::Unknown => None,
    }
}

/// A record of TLS: a handshake, or application data of a connection that is older than the agent.
fn is_tls(data: &[u8]) -> bool {
    matches!(data, [0x16 | 0x17, 3, 0..=4, ..])
}

/// Turns the kernel's monotonic times into Unix times; read again each second, because the wall clock may be set.
struct Clock {
    offset_ns: i64,
}

impl Clock {
    fn now() -> Clock {
        let monotonic = clock_gettime(ClockId::Monotonic);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        Clock { offset_ns: wall - (monotonic.tv_sec * 1_000_000_000 + monotonic.tv_nsec) }
    }

    fn unix_ns(&self, monotonic_ns: u64) -> i64 {
        self.offset_ns + monotonic_ns as i64
    }

    fn wall_ns(&self) -> i64 {
        let monotonic = clock_gettime(ClockId::Monotonic);
        self.offset_ns + monotonic.tv_sec * 1_000_000_000 + monotonic.tv_nsec
    }
}

/// Measures one second in ten.
struct Watch {
    budget: f64,
    strikes: Vec<Strikes>,
    sample: Option<(Sample, Instant, Vec<Cost>)>,
    shares: Option<Vec<f64>>,
    turn: u32,
}

impl Watch {
    fn tick(&mut self, probe: &mut Probe) {
        self.turn += 1;
        if let Some((_on, began, before)) = self.sample.take() {
            let shares: Vec<f64> = probe.costs().iter().zip(&before).map(|(after, before)| after.since(*before).share(began.elapsed())).collect();
            for (index, share) in shares.iter().enumerate() {
                let attached = probe.features()[index].answer == Answer::Yes;
                if self.strikes[index].over(*share, self.budget) && attached {
                    let reason = format!("detached: it took {:.0} % of a core, more than edge_cpu_share allows ({:.0} %)", share * 100.0, self.budget * 100.0);
                    probe.detach(index, &reason);
                }
            }
            self.shares = Some(shares);
        } else if self.turn % SAMPLE_EVERY == 1 && let Some(sample) = Sample::begin() {
            self.sample = Some((sample, Instant::now(), probe.costs()));
        }
    }
}
