//! Bindings of `pulka_core::decode::otlp`.

use pulka_core::decode::otlp::{self, Encoding, Signal};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::options::{DecodeOptions, Decoded};

/// An OTLP `Export*ServiceRequest`; signal `logs`, `traces` or `metrics`, encoding `protobuf` or `json`.
#[pyfunction]
fn decode_otlp(
    py: Python<'_>, body: &[u8], signal: &str, encoding: &str, arrival_ns: i64, options: &DecodeOptions,
) -> PyResult<Decoded> {
    let signal = Signal::parse(signal).ok_or_else(|| PyValueError::new_err("the signal is logs, traces or metrics"))?;
    let encoding = Encoding::parse(encoding).ok_or_else(|| PyValueError::new_err("the encoding is protobuf or json"))?;
    Ok(py.detach(|| otlp::decode_otlp(body, signal, encoding, arrival_ns, &options.inner)).into())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_otlp, module)?)
}
