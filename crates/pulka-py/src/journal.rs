//! Bindings of `pulka_core::journal`.

use arrow_array::RecordBatch;
use arrow_pyarrow::PyArrowType;
use pulka_core::journal::{self, End, FrameError, FrameRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(journal_encode, module)?)?;
    module.add_function(wrap_pyfunction!(journal_decode, module)?)?;
    module.add_function(wrap_pyfunction!(journal_scan, module)?)?;
    module.add_function(wrap_pyfunction!(journal_resync, module)?)
}

type Decoded<'py> = (u64, String, String, i64, PyArrowType<RecordBatch>, Option<String>, Bound<'py, PyBytes>);
type Scanned = (Vec<(u64, usize, usize)>, usize, &'static str);

#[pyfunction]
#[allow(clippy::too_many_arguments)] // the record's fields, one to one
fn journal_encode<'py>(
    py: Python<'py>,
    sequence: u64,
    tenant: &str,
    table: &str,
    arrival_ns: i64,
    batch: PyArrowType<RecordBatch>,
    dedup_key: Option<&str>,
    ack: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let frame = FrameRef { sequence, arrival_ns, tenant, table, dedup_key, ack, batch: &batch.0 };
    let encoded = py.detach(|| journal::encode(&frame)).map_err(value_error)?;
    Ok(PyBytes::new(py, &encoded))
}

#[pyfunction]
fn journal_decode<'py>(py: Python<'py>, frame: &[u8]) -> PyResult<Decoded<'py>> {
    let record = py.detach(|| journal::decode(frame)).map_err(value_error)?;
    let ack = PyBytes::new(py, &record.ack);
    let batch = PyArrowType(record.batch);
    Ok((record.sequence, record.tenant, record.table, record.arrival_ns, batch, record.dedup_key, ack))
}

#[pyfunction]
#[pyo3(signature = (data, offset=0))]
fn journal_scan(py: Python<'_>, data: &[u8], offset: usize) -> Scanned {
    let found = py.detach(|| journal::scan(data, offset));
    let reason = match found.reason {
        End::Complete => "",
        End::Torn => "torn",
        End::Corrupt => "corrupt",
    };
    (found.entries.iter().map(|entry| (entry.sequence, entry.offset, entry.length)).collect(), found.end, reason)
}

#[pyfunction]
fn journal_resync(py: Python<'_>, data: &[u8], offset: usize) -> usize {
    py.detach(|| journal::resync(data, offset))
}

fn value_error(error: FrameError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
