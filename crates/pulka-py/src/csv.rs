//! Bindings of `pulka_core::decode::csv`.

use pulka_core::decode::csv;
use pyo3::prelude::*;

use crate::options::{DecodeOptions, Decoded};

/// RFC 4180 with a header line, unless `header` is given.
#[pyfunction]
#[pyo3(signature = (body, arrival_ns, options, header=None, first_line=1))]
fn decode_csv(
    py: Python<'_>, body: &[u8], arrival_ns: i64, options: &DecodeOptions, header: Option<Vec<String>>, first_line: usize,
) -> Decoded {
    py.detach(|| csv::decode_csv(body, arrival_ns, &options.inner, header.as_deref(), first_line)).into()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_csv, module)?)
}
