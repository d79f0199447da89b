//! Bindings of `pulka_core::patterns` and of the shapes of messages.

use std::sync::{Arc, Mutex};

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, make_array};
use arrow_pyarrow::{FromPyArrow, ToPyArrow};
use pulka_core::patterns::Patterns as Core;
use pulka_core::text::{json_path, mask};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batch::utf8;
use crate::locked;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Patterns>()?;
    module.add_function(wrap_pyfunction!(json_get, module)?)?;
    module.add_function(wrap_pyfunction!(mask_texts, module)?)
}

#[pyclass(frozen, module = "pulka._native")]
pub struct Patterns {
    inner: Mutex<Core>,
}

#[pymethods]
impl Patterns {
    #[new]
    fn new(templates_max: usize) -> Self {
        Patterns { inner: Mutex::new(Core::new(templates_max)) }
    }

    /// Count messages; null is none.
    fn add(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> PyResult<()> {
        let messages = utf8(&make_array(FromPyArrow::from_pyarrow_bound(messages)?))?;
        py.detach(|| {
            let mut patterns = locked(&self.inner);
            messages.iter().flatten().for_each(|message| {
                patterns.add(message);
            });
        });
        Ok(())
    }

    fn merge(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        py.detach(|| locked(&self.inner).merge_bytes(state)).ok_or_else(|| PyValueError::new_err("this is no set of patterns"))
    }

    fn state<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &locked(&self.inner).to_bytes())
    }

    /// Template, count and sample, the most frequent first.
    fn templates(&self) -> Vec<(String, u64, String)> {
        let patterns = locked(&self.inner);
        let mut found: Vec<_> = patterns.templates().iter().map(|one| (one.text(), one.count, one.sample.clone())).collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found
    }
}

#[pyfunction]
fn json_get<'py>(texts: &Bound<'py, PyAny>, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = texts.py();
    let steps = json_path::parse(path).ok_or_else(|| PyValueError::new_err("this is no path into JSON"))?;
    let texts = utf8(&make_array(FromPyArrow::from_pyarrow_bound(texts)?))?;
    py.detach(|| json_path::get(&texts, &steps)).to_data().to_pyarrow(py)
}

#[pyfunction]
fn mask_texts<'py>(texts: &Bound<'py, PyAny>, bytes_max: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = texts.py();
    let texts = utf8(&make_array(FromPyArrow::from_pyarrow_bound(texts)?))?;
    let masked: ArrayRef = py.detach(|| {
        let mut out = StringBuilder::with_capacity(texts.len(), 0);
        let mut shape = String::new();
        for text in &texts {
            shape.clear();
            if let Some(text) = text {
                mask::mask(text, bytes_max, &mut shape);
            }
            out.append_option(text.map(|_| shape.as_str()));
        }
        Arc::new(out.finish())
    });
    masked.to_data().to_pyarrow(py)
}
