//! Bindings of `pulka_probe`: the agent on a Linux host, and what it counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use pulka_edge::report::{Row, rows};
use pulka_edge::replay::replay;
use pulka_edge::tracker::{Bounds, Tracker};
use pulka_l7::decoder::Limits as DecoderLimits;
use pulka_l7::transaction::Transaction;
use pulka_probe::agent::{Agent, Options};
use pulka_probe::process::Process;
use pulka_probe::targets::Target;
use pulka_probe::{Answer, Error, Feature, Limits, Probe};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<EdgeAgent>()?;
    module.add_class::<EdgeExemplar>()?;
    module.add_class::<EdgeFeature>()?;
    module.add_class::<EdgeProcess>()?;
    module.add_class::<EdgeRow>()?;
    module.add_class::<EdgeStatus>()?;
    module.add_function(wrap_pyfunction!(edge_examine, module)?)?;
    module.add_function(wrap_pyfunction!(edge_replay, module)?)?;
    module.add_function(wrap_pyfunction!(edge_process, module)?)
}

fn to_python(error: Error) -> PyErr {
    match error {
        Error::Missing(_) => PyOSError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}

#[pyclass(frozen, module = "pulka._native")]
pub struct EdgeAgent {
    agent: Mutex<Agent>,
}

#[pymethods]
impl EdgeAgent {
    #[new]
    #[pyo3(signature = (programs, *, burst_bytes, head_bytes, ring_bytes, connections_max, keys_max, held_bytes_max, idle_s, poll_ms, cpu_share, without))]
    #[allow(clippy::too_many_arguments)] // keyword arguments, one per setting
    fn new(
        py: Python<'_>,
        programs: Vec<u8>,
        burst_bytes: u32,
        head_bytes: u32,
        ring_bytes: u32,
        connections_max: usize,
        keys_max: usize,
        held_bytes_max: usize,
        idle_s: f64,
        poll_ms: u64,
        cpu_share: f64,
        without: Vec<String>,
    ) -> PyResult<Self> {
        let limits = Limits { burst_bytes, head_bytes, ring_bytes, ..Limits::default() };
        let idle_ns = (idle_s * 1e9) as i64;
        let bounds = Bounds { connections_max, keys_max, held_bytes_max, idle_ns, limits: DecoderLimits::DEFAULT };
        let options = Options { limits, bounds, poll: Duration::from_millis(poll_ms), cpu_share, without };
        let agent = py.detach(|| Agent::start(&programs, options)).map_err(to_python)?;
        Ok(EdgeAgent { agent: Mutex::new(agent) })
    }

    fn processes(&self, py: Python<'_>) -> Vec<EdgeProcess> {
        self.with(py, |agent| agent.processes()).into_iter().map(EdgeProcess::of).collect()
    }

    fn listeners(&self, py: Python<'_>) -> Vec<(u16, u32)> {
        self.with(py, |agent| agent.listeners())
    }

    fn reap(&self, py: Python<'_>) -> Vec<u32> {
        self.with(py, |agent| agent.reap())
    }

    /// Names are asked for once the counts are taken: whoever is in them was met before.
    fn report(&self, py: Python<'_>, names: Bound<'_, PyAny>) -> PyResult<Vec<EdgeRow>> {
        let series = self.with(py, |agent| agent.with_tracker(|tracker| tracker.red.take()));
        let names: HashMap<u32, String> = names.call0()?.extract()?;
        let rows = py.detach(|| rows(series, |process| names.get(&process).cloned()));
        Ok(rows.into_iter().map(EdgeRow::of).collect())
    }

    fn opaque(&self, py: Python<'_>) -> Vec<(u32, &'static str, u64)> {
        self.with(py, |agent| agent.with_tracker(|tracker| tracker.opaque()))
    }

    fn libraries(&self, py: Python<'_>) -> Vec<(String, Vec<&'static str>, String)> {
        let of = |target: Target| {
            let mut functions: Vec<&'static str> = target.points.iter().map(|point| point.function).collect();
            functions.dedup();
            (target.path, functions, target.trouble)
        };
        self.with(py, |agent| agent.targets()).into_iter().map(of).collect()
    }

    fn status(&self, py: Python<'_>) -> EdgeStatus {
        let status = self.with(py, |agent| agent.status());
        let counters = status.counters;
        let counters = [
            ("transactions", counters.transactions),
            ("connections_opened", counters.opened),
            ("connections_refused", counters.refused),
            ("connections_evicted", counters.evicted),
            ("connections_failed", counters.failed),
            ("connections_idle", counters.idle),
            ("pieces", counters.pieces),
            ("gaps", counters.gaps),
            ("requests_in_flight", counters.in_flight),
            ("ring_records", status.records),
            ("ring_bytes", status.bytes),
            ("plaintext_unbound", status.unbound),
        ];
        EdgeStatus {
            features: status.features.into_iter().map(EdgeFeature::of).collect(),
            shares: status.shares,
            drops: status.drops.into_iter().collect(),
            counters: counters.into_iter().collect(),
            connections: status.connections,
        }
    }

    /// Begin to write down what is seen; `tapped` gives it and ends that. It holds payloads.
    fn tap(&self, py: Python<'_>) {
        self.with(py, |agent| agent.with_tracker(|tracker| tracker.tap = Some(Vec::new())));
    }

    fn tapped(&self, py: Python<'_>) -> Vec<u8> {
        self.with(py, |agent| agent.with_tracker(|tracker| tracker.tap.take())).unwrap_or_default()
    }

    fn pause(&self, py: Python<'_>, paused: bool) -> PyResult<()> {
        self.with(py, |agent| agent.pause(paused)).map_err(to_python)
    }

    fn stop(&self, py: Python<'_>) {
        self.with(py, Agent::stop);
    }
}

impl EdgeAgent {
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Agent) -> T + Send) -> T {
        py.detach(|| work(&mut self.agent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct EdgeStatus {
    features: Vec<EdgeFeature>,
    shares: Option<Vec<f64>>,
    drops: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
    connections: usize,
}

#[pyclass(frozen, get_all, module = "pulka._native", skip_from_py_object)]
#[derive(Clone)]
pub struct EdgeFeature {
    name: &'static str,
    purpose: &'static str,
    needs: &'static str,
    required: bool,
    works: Option<bool>,
    reason: String,
    way: String,
}

impl EdgeFeature {
    fn of(feature: Feature) -> Self {
        let (works, reason) = match feature.answer {
            Answer::Yes => (Some(true), String::new()),
            Answer::No(reason) => (Some(false), reason),
            Answer::Unknown(reason) => (None, reason),
        };
        EdgeFeature { name: feature.name, purpose: feature.purpose, needs: feature.needs, required: feature.required, works, reason, way: feature.way }
    }
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct EdgeProcess {
    pid: u32,
    exe: String,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cgroup: String,
    cwd: String,
}

impl EdgeProcess {
    fn of(process: Process) -> Self {
        let Process { pid, exe, argv, env, cgroup, cwd, .. } = process;
        EdgeProcess { pid, exe, argv, env: env.into_iter().collect(), cgroup, cwd }
    }
}

#[pymethods]
impl EdgeProcess {
    #[new]
    #[pyo3(signature = (*, pid=0, exe=String::new(), argv=Vec::new(), env=BTreeMap::new(), cgroup=String::new(), cwd=String::new()))]
    fn new(pid: u32, exe: String, argv: Vec<String>, env: BTreeMap<String, String>, cgroup: String, cwd: String) -> Self {
        EdgeProcess { pid, exe, argv, env, cgroup, cwd }
    }
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct EdgeRow {
    service: String,
    is_client: bool,
    tls: bool,
    peer: String,
    address: String,
    own_address: String,
    port: u16,
    protocol: &'static str,
    operation: String,
    target: String,
    status: String,
    error: Option<String>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    scale: i32,
    offset: i32,
    counts: Vec<u64>,
    zeros: u64,
    one_way: u64,
    request_bytes: u64,
    response_bytes: u64,
    p50: f64,
    p99: f64,
    exemplars: Vec<EdgeExemplar>,
}

impl EdgeRow {
    fn of(row: Row) -> Self {
        let (key, series) = (row.key, row.series);
        let durations = series.durations;
        let (p50, p99) = (durations.quantile(0.5), durations.quantile(0.99));
        EdgeRow {
            service: key.service,
            is_client: key.is_client,
            tls: key.tls,
            peer: key.peer,
            address: key.address.map_or_else(String::new, |address| address.to_string()),
            own_address: key.own_address.map_or_else(String::new, |address| address.to_string()),
            port: key.port,
            protocol: key.protocol,
            operation: key.operation,
            target: key.target,
            status: key.status,
            error: key.error,
            count: durations.count,
            sum: durations.sum,
            min: if durations.count == 0 { 0.0 } else { durations.min },
            max: durations.max,
            scale: durations.scale,
            offset: durations.offset,
            counts: durations.counts,
            zeros: durations.zeros,
            one_way: series.one_way,
            request_bytes: series.request_bytes,
            response_bytes: series.response_bytes,
            p50,
            p99,
            exemplars: series.slowest.into_iter().chain(series.failing).map(EdgeExemplar::of).collect(),
        }
    }
}

#[pyclass(frozen, get_all, module = "pulka._native", skip_from_py_object)]
#[derive(Clone)]
pub struct EdgeExemplar {
    start_ns: i64,
    end_ns: i64,
    error: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

impl EdgeExemplar {
    fn of(transaction: Transaction) -> Self {
        let Transaction { start_ns, end_ns, error, attributes, .. } = transaction;
        EdgeExemplar { start_ns, end_ns, error: error.map(|text| text.into_owned()), attributes }
    }
}

/// What a recording of `EdgeAgent.tap` tells, counted as the agent does.
#[pyfunction]
#[pyo3(signature = (recording, *, connections_max=65_536, keys_max=10_000, held_bytes_max=67_108_864))]
fn edge_replay(py: Python<'_>, recording: &[u8], connections_max: usize, keys_max: usize, held_bytes_max: usize) -> Vec<EdgeRow> {
    let bounds = Bounds { connections_max, keys_max, held_bytes_max, idle_ns: i64::MAX, limits: DecoderLimits::DEFAULT };
    let rows = py.detach(|| {
        let mut tracker = Tracker::new(bounds);
        replay(recording, &mut tracker);
        rows(tracker.red.take(), |process| Some(process.to_string()))
    });
    rows.into_iter().map(EdgeRow::of).collect()
}

/// Which features would work here; nothing is attached.
#[pyfunction]
fn edge_examine(py: Python<'_>, programs: Vec<u8>) -> PyResult<Vec<EdgeFeature>> {
    let features = py.detach(|| Probe::examine(&programs)).map_err(to_python)?;
    Ok(features.into_iter().map(EdgeFeature::of).collect())
}

/// What `/proc` tells of a process; None when it is gone.
#[pyfunction]
fn edge_process(pid: u32) -> Option<EdgeProcess> {
    Process::read(pid).map(EdgeProcess::of)
}
