//! Bindings of `pulka_l7` and `pulka_edge`: capture files to Arrow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow_pyarrow::{PyArrowType, ToPyArrow};
use pulka_edge::red::{End, Key, Peer, Red, Series};
use pulka_l7::capture::{Capture as Core, Closed, Found, Seen, Settings};
use pulka_l7::decoder::Transport;
use pulka_l7::registry::PROTOCOLS;
use pulka_l7::transaction::Initiator;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Capture>()?;
    module.add_function(wrap_pyfunction!(edge_protocols, module)?)
}

/// The registry, as (name, title, versions, what is shown).
#[pyfunction]
fn edge_protocols() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    PROTOCOLS.iter().map(|protocol| (protocol.name, protocol.title, protocol.versions, protocol.shows)).collect()
}

#[pyclass(frozen, module = "pulka._native")]
pub struct Capture {
    inner: Mutex<Inner>,
}

struct Inner {
    capture: Core,
    red: Red,
}

type Batches = (PyArrowType<RecordBatch>, PyArrowType<RecordBatch>);

#[pymethods]
impl Capture {
    #[new]
    #[pyo3(signature = (*, connections_max, memory_bytes_max, keys_max))]
    fn new(connections_max: usize, memory_bytes_max: usize, keys_max: usize) -> Self {
        let settings = Settings { connections: connections_max.max(1), memory_bytes: memory_bytes_max, ..Settings::default() };
        Capture { inner: Mutex::new(Inner { capture: Core::new(settings), red: Red::new(keys_max) }) }
    }

    fn push(&self, py: Python<'_>, data: &[u8]) -> PyResult<Batches> {
        let batches = py.detach(|| {
            let mut inner = self.lock();
            inner.capture.push(data).map_err(|error| error.to_string())?;
            inner.take().map_err(|error| error.to_string())
        });
        batches.map_err(PyValueError::new_err)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<(PyArrowType<RecordBatch>, PyArrowType<RecordBatch>, bool)> {
        let (batches, cut) = py.detach(|| {
            let mut inner = self.lock();
            let cut = inner.capture.finish();
            (inner.take(), cut)
        });
        let (transactions, connections) = batches.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((transactions, connections, cut))
    }

    fn red<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let batch = py.detach(|| red_batch(&self.lock().red));
        batch.map_err(|error| PyValueError::new_err(error.to_string()))?.to_pyarrow(py)
    }

    /// (packets, packets passed over, connections evicted, bytes missing)
    fn counts(&self) -> (u64, u64, u64, u64) {
        let counts = self.lock().capture.counts();
        (counts.packets, counts.packets_passed_over, counts.connections_evicted, counts.bytes_missing)
    }
}

impl Capture {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

type Arrow<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Inner {
    fn take(&mut self) -> Arrow<Batches> {
        let Found { transactions, connections } = self.capture.take();
        let batches = (PyArrowType(transaction_batch(&transactions)?), PyArrowType(connection_batch(&connections)?));
        transactions.into_iter().for_each(|seen| self.red.add(end_of(&seen), seen.transaction));
        Ok(batches)
    }
}

/// A capture knows no processes, and counts each transaction once: as the client has it.
fn end_of(seen: &Seen) -> End {
    let peer = Peer { process: 0, address: Some(seen.server.ip()), port: seen.server.port() };
    End { process: 0, is_client: true, tls: false, peer, own: None }
}

fn server_of(key: &Key) -> Option<String> {
    key.end.peer.address.map(|address| SocketAddr::new(address, key.end.peer.port).to_string())
}

fn texts<'a, T: 'a, S: AsRef<str>>(rows: &'a [T], text: impl Fn(&'a T) -> S) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
}

fn optional<'a, T: 'a, S: AsRef<str>>(rows: &'a [T], text: impl Fn(&'a T) -> Option<S>) -> ArrayRef {
    Arc::new(StringArray::from_iter(rows.iter().map(text)))
}

fn numbers<'a, T: 'a>(rows: &'a [T], number: impl Fn(&'a T) -> u64) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(rows.iter().map(number)))
}

fn seconds<'a, T: 'a>(rows: &'a [T], number: impl Fn(&'a T) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(rows.iter().map(number)))
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn transaction_batch(rows: &[Seen]) -> Arrow<RecordBatch> {
    let start = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.transaction.start_ns)).with_timezone("UTC");
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("timestamp", Arc::new(start) as ArrayRef, false),
        ("connection", numbers(rows, |row| row.connection), false),
        ("protocol", texts(rows, |row| row.transaction.protocol), false),
        ("client", texts(rows, |row| row.client.to_string()), false),
        ("server", texts(rows, |row| row.server.to_string()), false),
        ("initiator", texts(rows, |row| initiator(row.transaction.initiator)), false),
        ("operation", texts(rows, |row| &row.transaction.operation), false),
        ("target", optional(rows, |row| non_empty(&row.transaction.target)), true),
        ("status", optional(rows, |row| non_empty(&row.transaction.status)), true),
        ("error", optional(rows, |row| row.transaction.error.as_deref()), true),
        ("duration_s", seconds(rows, |row| (!row.transaction.is_one_way()).then(|| row.transaction.duration_ns() as f64 / 1e9)), true),
        ("first_byte_s", seconds(rows, |row| row.transaction.first_byte_ns.map(|first_ns| (first_ns - row.transaction.start_ns) as f64 / 1e9)), true),
        ("request_bytes", numbers(rows, |row| row.transaction.request_bytes), false),
        ("response_bytes", numbers(rows, |row| row.transaction.response_bytes), false),
        ("attributes", attributes(rows)?, false),
    ])?)
}

fn initiator(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Client => "client",
        Initiator::Server => "server",
        Initiator::ClientOneWay => "client one-way",
        Initiator::ServerOneWay => "server one-way",
    }
}

fn attributes(rows: &[Seen]) -> Arrow<ArrayRef> {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (name, value) in &row.transaction.attributes {
            builder.keys().append_value(name);
            builder.values().append_value(value);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

fn connection_batch(rows: &[Closed]) -> Arrow<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("connection", numbers(rows, |row| row.connection), false),
        ("transport", texts(rows, |row| if row.transport == Transport::Datagram { "udp" } else { "tcp" }), false),
        ("client", texts(rows, |row| row.client.to_string()), false),
        ("server", texts(rows, |row| row.server.to_string()), false),
        ("protocol", optional(rows, |row| row.protocol), true),
        ("opaque", optional(rows, |row| row.opaque), true),
        ("transactions", numbers(rows, |row| row.transactions), false),
        ("bytes", numbers(rows, |row| row.bytes), false),
    ])?)
}

fn red_batch(red: &Red) -> Arrow<RecordBatch> {
    let mut rows: Vec<(&Key, &Series)> = red.series().collect();
    rows.sort_unstable_by_key(|(key, _)| (key.protocol, key.end.peer.address, key.end.peer.port, &key.operation, &key.target, &key.status, &key.error));
    let timed = |of: fn(&Series) -> f64| seconds(&rows, move |(_, series)| (series.durations.count > 0).then(|| of(series)));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("protocol", texts(&rows, |(key, _)| key.protocol), false),
        ("server", optional(&rows, |(key, _)| server_of(key)), true),
        ("operation", texts(&rows, |(key, _)| &key.operation), false),
        ("target", optional(&rows, |(key, _)| non_empty(&key.target)), true),
        ("status", optional(&rows, |(key, _)| non_empty(&key.status)), true),
        ("error", optional(&rows, |(key, _)| key.error.as_deref()), true),
        ("count", numbers(&rows, |(_, series)| series.durations.count + series.one_way), false),
        ("p50_s", timed(|series| series.durations.quantile(0.5)), true),
        ("p95_s", timed(|series| series.durations.quantile(0.95)), true),
        ("p99_s", timed(|series| series.durations.quantile(0.99)), true),
        ("max_s", timed(|series| series.durations.max), true),
        ("request_bytes", numbers(&rows, |(_, series)| series.request_bytes), false),
        ("response_bytes", numbers(&rows, |(_, series)| series.response_bytes), false),
    ])?)
}
