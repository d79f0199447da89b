//! Loads the object, attaches feature by feature, and talks to its maps.

use std::any::Any;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, Iter, ProgramError, UProbe};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};

use crate::feature::{self, Answer, Feature, answer_of, describe};
use crate::library::Point;
use crate::multi::{Code, Multi};
use crate::ring::Ring;
use crate::watchdog::{self, Cost};
use crate::wire::{CONN_RECORD_BYTES, Conn, Record};
use crate::cgroup;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the BPF programs cannot be loaded: {0}")]
    Load(String),
    /// A feature of the minimum hook set does not work; the text names it and what it needs.
    #[error("this machine lacks what the agent cannot do without: {0}")]
    Missing(String),
    #[error("a map of the BPF programs cannot be used: {0}")]
    Map(String),
}

/// Bounds that the programs keep, all in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Captured whole after each change of direction on a connection.
    pub burst_bytes: u32,
    /// Captured of each packet beyond that.
    pub head_bytes: u32,
    /// Captured before a verdict is looked for.
    pub ask_bytes: u32,
    /// A power of two.
    pub ring_bytes: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { burst_bytes: 64 << 10, head_bytes: 512, ask_bytes: 4 << 10, ring_bytes: 4 << 20 }
    }
}

/// What the reader wants of a connection from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep = 1,
    Ignore = 2,
    Whole = 3,
    /// The same, of what it sends: its peer is on this machine, and tells the rest.
    KeepSent = 9,
    WholeSent = 11,
}

/// Whatever detaches when it is dropped.
type Link = Box<dyn Any + Send + Sync>;

pub struct Probe {
    ebpf: Ebpf,
    features: Vec<Feature>,
    links: Vec<Vec<Link>>,
    /// Loaded: perf events are not needed.
    multi: Option<Multi>,
    controls: Array<MapData, [u32; CONTROLS]>,
    control: [u32; CONTROLS],
    verdicts: HashMap<MapData, u64, u8>,
    drops: PerCpuArray<MapData, u64>,
}

/// What programs are loaded with. It goes once they are: the kernel's types take megabytes.
struct Loading {
    btf: Btf,
    /// The programs of `tls` for `uprobe_multi`, or why that is not to be used.
    multi: Result<Code, String>,
}

/// Members of `struct control`.
const CONTROLS: usize = 7;

const RELEASE_STACK_BYTES: usize = 64 << 10;

const OFF: &str = "switched off by edge_without";

pub const DROPS: [&str; 3] = ["ring_full", "no_storage", "copy_failed"];

impl Probe {
    /// Load and attach all features but those `without`. The agent's own process is left out of what is seen.
    pub fn attach(object: &[u8], limits: Limits, without: &[String]) -> Result<Probe, Error> {
        let (mut probe, mut loading) = Probe::load(object, limits)?;
        let is_off = |name: &str| without.iter().any(|other| other == name);
        if is_off(feature::UPROBE_MULTI) {
            loading.multi = Err(OFF.to_owned());
        }
        for index in 0..probe.features.len() {
            let name = probe.features[index].name;
            probe.features[index].answer = if is_off(name) {
                Answer::No(OFF.to_owned())
            } else {
                probe.start(index, &loading)
            };
        }
        match probe.features.iter().find(|feature| feature.required && feature.answer != Answer::Yes) {
            Some(Feature { name, answer: Answer::No(why) | Answer::Unknown(why), .. }) => Err(Error::Missing(format!("{name} {why}"))),
            _ => {
                probe.pause(false)?; // only now: a connection seen in one direction first would be one answer behind for good
                Ok(probe)
            }
        }
    }

    /// What would work here: every program is loaded, none attached.
    pub fn examine(object: &[u8]) -> Result<Vec<Feature>, Error> {
        let (mut probe, loading) = Probe::load(object, Limits::default())?;
        for index in 0..probe.features.len() {
            let tried = probe.load_feature(index, &loading);
            let answer = tried.map_or_else(|error| answer_of(&error, probe.features[index].needs), |()| Answer::Yes);
            probe.features[index].answer = probe.forbidden(index).unwrap_or(answer);
        }
        if cgroup::root().is_none() {
            probe.features[feature::BYTES].answer = Answer::No("needs cgroup v2 mounted".to_owned());
        }
        Ok(probe.features)
    }

    fn load(object: &[u8], limits: Limits) -> Result<(Probe, Loading), Error> {
        let btf = Btf::from_sys_fs().map_err(|error| Error::Missing(format!("bytes needs a kernel with BTF ({})", describe(&error))))?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
            .map_max_entries("ring", limits.ring_bytes)
            .load(object)
            .map_err(|error| Error::Load(describe(&error)))?;
        let control =
            [1, std::process::id(), limits.burst_bytes, limits.head_bytes, limits.ask_bytes, limits.ring_bytes / 4, limits.ring_bytes];
        let features = feature::all();
        let multi = Code::relocate(object, &btf, &ebpf, features[feature::TLS].programs);
        let mut controls = Array::try_from(taken(&mut ebpf, "controls")?).map_err(map_error)?;
        controls.set(0, control, 0).map_err(map_error)?;
        let verdicts = HashMap::try_from(taken(&mut ebpf, "verdicts")?).map_err(map_error)?;
        let drops = PerCpuArray::try_from(taken(&mut ebpf, "drops")?).map_err(map_error)?;
        let links = features.iter().map(|_| Vec::new()).collect();
        Ok((Probe { ebpf, features, links, multi: None, controls, control, verdicts, drops }, Loading { btf, multi }))
    }

    /// Why a feature must not be used although its programs may load.
    fn forbidden(&self, index: usize) -> Option<Answer> {
        let no = |why: &str| Some(Answer::No(why.to_owned()));
        if index != feature::TLS {
            return None;
        }
        if feature::kills_filtered_processes(&rustix::system::uname().release().to_string_lossy()) {
            return no("needs Linux 6.14 or one before 6.11: between them a uretprobe may end a process that has a seccomp filter");
        }
        if !cfg!(target_arch = "x86_64") {
            return no("needs x86-64");
        }
        (self.features[feature::OWNER].answer != Answer::Yes).then_some(Answer::No("needs the feature owner, which tells the socket of a session".to_owned()))
    }

    fn start(&mut self, index: usize, loading: &Loading) -> Answer {
        if let Some(no) = self.forbidden(index) {
            return no;
        }
        match self.load_feature(index, loading).and_then(|()| self.attach_feature(index)) {
            Ok(links) => {
                self.links[index] = links;
                Answer::Yes
            }
            Err(error) => answer_of(&error, self.features[index].needs),
        }
    }

    fn load_feature(&mut self, index: usize, loading: &Loading) -> Result<(), ProgramError> {
        if index == feature::TLS && self.load_multi(&loading.multi) {
            return Ok(());
        }
        self.features[index].programs.iter().try_for_each(|program| self.load_program(program, &loading.btf))
    }

    /// Whether `uprobe_multi` is the way; otherwise each function gets a perf event.
    fn load_multi(&mut self, code: &Result<Code, String>) -> bool {
        let loaded = code.as_ref().map_err(String::clone).and_then(Multi::load);
        self.features[feature::TLS].way = match &loaded {
            Ok(_) => "by uprobe_multi".to_owned(),
            Err(why) => format!("by perf events; uprobe_multi: {why}"),
        };
        self.multi = loaded.ok();
        self.multi.is_some()
    }

    fn attach_feature(&mut self, index: usize) -> Result<Vec<Link>, ProgramError> {
        let programs = self.features[index].programs;
        programs.iter().filter_map(|program| self.attach_program(program).transpose()).collect()
    }

    fn load_program(&mut self, name: &str, btf: &Btf) -> Result<(), ProgramError> {
        let Some(program) = self.ebpf.program_mut(name) else { return Err(ProgramError::NotLoaded) };
        match name {
            "tls_enter" | "tls_exit" | "go_write" | "go_read" | "go_read_return" | "rust_chunk" | "rust_consume" => <&mut UProbe>::try_from(program)?.load(),
            "bytes_ingress" | "bytes_egress" => <&mut CgroupSkb>::try_from(program)?.load(),
            "conn_files" => <&mut Iter>::try_from(program)?.load("task_file", btf),
            "conn_state" => <&mut BtfTracePoint>::try_from(program)?.load("inet_sock_set_state", btf),
            "owner_sends" => <&mut BtfTracePoint>::try_from(program)?.load("tcp_sendmsg_locked", btf),
            _ => <&mut BtfTracePoint>::try_from(program)?.load("sock_recv_length", btf),
        }
    }

    /// Links are owned by the probe: dropping one detaches. An iterator is attached each time it is read.
    fn attach_program(&mut self, name: &str) -> Result<Option<Link>, ProgramError> {
        let Some(program) = self.ebpf.program_mut(name) else { return Err(ProgramError::NotLoaded) };
        if let Ok(program) = <&mut CgroupSkb>::try_from(&mut *program) {
            let root = cgroup::root().ok_or(ProgramError::NotLoaded)?;
            let root = File::open(root).map_err(ProgramError::IOError)?;
            let Some(at) = *program.expected_attach_type() else { return Err(ProgramError::UnexpectedProgramType) };
            let link = program.attach(root, at, CgroupAttachMode::Single)?;
            return Ok(Some(Box::new(program.take_link(link)?)));
        }
        if let Ok(program) = <&mut BtfTracePoint>::try_from(program) {
            let link = program.attach()?;
            return Ok(Some(Box::new(program.take_link(link)?)));
        }
        Ok(None)
    }

    /// Probe the functions of a TLS library. What was attached of a file stays while the feature does.
    pub fn attach_tls(&mut self, path: &Path, points: &[Point]) -> Result<(), String> {
        let links = match &self.multi {
            Some(multi) => multi.attach(path, points).map_err(|error| error.to_string())?.into_iter().map(|link| Box::new(link) as Link).collect(),
            None => self.attach_uprobes(path, points).map_err(|error| describe(&error))?,
        };
        self.links[feature::TLS].extend(links);
        Ok(())
    }

    fn attach_uprobes(&mut self, path: &Path, points: &[Point]) -> Result<Vec<Link>, ProgramError> {
        let each = points.iter().flat_map(|point| point.kind.programs().iter().map(move |name| (name, point)));
        each.map(|(name, point)| self.attach_uprobe(name, path, point)).collect()
    }

    fn attach_uprobe(&mut self, name: &str, path: &Path, point: &Point) -> Result<Link, ProgramError> {
        let Some(program) = self.ebpf.program_mut(name) else { return Err(ProgramError::NotLoaded) };
        let program: &mut UProbe = program.try_into()?;
        let at = UProbeAttachPoint { location: UProbeAttachLocation::AbsoluteOffset(point.offset), cookie: Some(point.cookie) };
        let link = program.attach(at, path, UProbeScope::AllProcesses)?;
        Ok(Box::new(program.take_link(link)?))
    }

    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Detach a feature for good, and keep the reason.
    pub fn detach(&mut self, index: usize, reason: &str) {
        release(std::mem::take(&mut self.links[index]));
        self.features[index].answer = Answer::No(reason.to_owned());
    }

    pub fn detach_all(&mut self) {
        release(self.links.iter_mut().flat_map(std::mem::take).collect());
    }

    /// The reader's end; there is one.
    pub fn ring(&mut self) -> Result<Ring, Error> {
        let ring = RingBuf::try_from(taken(&mut self.ebpf, "ring")?).map_err(map_error)?;
        Ring::new(ring).map_err(|error| Error::Map(error.to_string()))
    }

    /// Let everything pass unseen, or see again, without detaching.
    pub fn pause(&mut self, paused: bool) -> Result<(), Error> {
        self.control[0] = u32::from(paused);
        self.controls.set(0, self.control, 0).map_err(map_error)
    }

    pub fn verdict(&mut self, conn: u64, verdict: Verdict) -> Result<(), Error> {
        self.verdicts.insert(conn, verdict as u8, 0).map_err(map_error)
    }

    /// Packets and records that were lost so far, by reason.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let count = |index: usize| self.drops.get(&(index as u32), 0).map_or(0, |values| values.iter().sum());
        DROPS.iter().enumerate().map(|(index, name)| (*name, count(index))).collect()
    }

    /// Run time of each feature's programs so far, in the order of `features`.
    pub fn costs(&self) -> Vec<Cost> {
        let mut costs: Vec<Cost> = self.features.iter().map(|feature| feature.programs.iter().map(|name| self.cost(name)).fold(Cost::default(), watchdog::sum)).collect();
        if let Some(multi) = &self.multi {
            costs[feature::TLS] = multi.cost(); // those of aya were not loaded
        }
        costs
    }

    fn cost(&self, name: &str) -> Cost {
        let info = self.ebpf.program(name).and_then(|program| program.info().ok());
        info.map_or(Cost::default(), |info| Cost { run_time: info.run_time(), runs: info.run_count() })
    }

    /// Every TCP and UDP socket that a process has open now, listeners included. Empty without the feature `files`.
    pub fn files(&mut self) -> Vec<Conn> {
        let mut bytes = Vec::new();
        if self.features[feature::FILES].answer != Answer::Yes || self.read_files(&mut bytes).is_none() {
            return Vec::new();
        }
        let records = bytes.chunks_exact(CONN_RECORD_BYTES).filter_map(Record::parse);
        records.filter_map(|record| if let Record::Open(conn) = record { Some(conn) } else { None }).collect()
    }

    fn read_files(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let program: &mut Iter = self.ebpf.program_mut("conn_files")?.try_into().ok()?;
        let link = program.attach().ok()?;
        let mut file = program.take_link(link).ok()?.into_file().ok()?;
        file.read_to_end(bytes).ok()?;
        Some(())
    }
}

/// All at once: for each uprobe the kernel waits until nobody can be within it any more, and those who wait at the same time wait once.
fn release(links: Vec<Link>) {
    thread::scope(|scope| {
        for link in links {
            let _ = thread::Builder::new().stack_size(RELEASE_STACK_BYTES).spawn_scoped(scope, move || drop(link)); // without a thread it is dropped here
        }
    });
}

fn taken(ebpf: &mut Ebpf, name: &str) -> Result<Map, Error> {
    ebpf.take_map(name).ok_or_else(|| Error::Map(format!("{name} is missing")))
}

fn map_error(error: aya::maps::MapError) -> Error {
    Error::Map(describe(&error))
}
