//! Bindings of `pulka_core::decode::decompress`.

use pulka_core::decode::decompress::{self as core, DecompressError};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// gzip, zstd, deflate or identity, at most `limit_bytes` of plain bytes.
#[pyfunction]
fn decompress<'py>(py: Python<'py>, body: &[u8], encoding: &str, limit_bytes: usize) -> PyResult<Bound<'py, PyBytes>> {
    match py.detach(|| core::decompress(body, encoding, limit_bytes)) {
        Ok(plain) => Ok(PyBytes::new(py, &plain)),
        Err(error @ DecompressError::TooLarge { .. }) => Err(PyOverflowError::new_err(error.to_string())),
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decompress, module)?)
}
