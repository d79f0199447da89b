//! Bindings of `pulka_core::decode`.

use pulka_core::decode::json;
use pyo3::prelude::*;

use crate::options::{DecodeOptions, Decoded};

/// NDJSON, a JSON array of objects, or concatenated objects.
#[pyfunction]
#[pyo3(signature = (body, arrival_ns, options, first_line=1))]
fn decode_json(py: Python<'_>, body: &[u8], arrival_ns: i64, options: &DecodeOptions, first_line: usize) -> Decoded {
    py.detach(|| json::decode_json(body, arrival_ns, first_line, &options.inner)).into()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_json, module)?)
}
