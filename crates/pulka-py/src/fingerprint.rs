//! Binding of `pulka_core::fingerprint`.

use pyo3::prelude::*;

/// 128 bits over the names and the body, as hexadecimal digits.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // PyO3 makes the list for us
fn fingerprint(py: Python<'_>, names: Vec<String>, body: &[u8]) -> String {
    py.detach(|| pulka_core::fingerprint::fingerprint(names.iter().map(String::as_str), body))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fingerprint, module)?)
}
