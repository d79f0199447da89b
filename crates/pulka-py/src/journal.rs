//! Bindings of `pulka_core::journal`.

use arrow_array::RecordBatch;
use arrow_pyarrow::PyArrowType;
use pulka_core::journal::{self, FrameError, Header};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

fn broken(error: FrameError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn journal_encode<'py>(
    py: Python<'py>,
    sequence: u64,
    tenant: String,
    table: String,
    arrival_ns: i64,
    batch: PyArrowType<RecordBatch>,
    dedup_key: Option<String>,
    ack: Vec<u8>,
) -> PyResult<Bound<'py, PyBytes>> {
    let header = Header { sequence, arrival_ns, tenant, table, dedup_key, ack };
    let frame = py.detach(|| journal::encode(&header, &batch.0)).map_err(broken)?;
    Ok(PyBytes::new(py, &frame))
}

type Frames = Vec<(u64, usize, usize)>;
type Ranges = Vec<(usize, usize)>;

#[pyfunction]
fn journal_scan(py: Python<'_>, data: &[u8]) -> (Frames, Ranges, usize) {
    let walk = py.detach(|| journal::scan(data));
    let frames = walk.frames.iter().map(|place| (place.sequence, place.offset, place.length)).collect();
    (frames, walk.corrupt, walk.good_end)
}

type Decoded<'py> = (u64, String, String, i64, PyArrowType<RecordBatch>, Option<String>, Bound<'py, PyBytes>);

#[pyfunction]
fn journal_decode<'py>(py: Python<'py>, frame: &[u8]) -> PyResult<Decoded<'py>> {
    let (header, batch) = py.detach(|| journal::decode(frame)).map_err(broken)?;
    let ack = PyBytes::new(py, &header.ack);
    Ok((header.sequence, header.tenant, header.table, header.arrival_ns, PyArrowType(batch), header.dedup_key, ack))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(journal_encode, module)?)?;
    module.add_function(wrap_pyfunction!(journal_scan, module)?)?;
    module.add_function(wrap_pyfunction!(journal_decode, module)?)
}
