//! Bindings of `pulka_core::batch`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, make_array};
use arrow_pyarrow::{FromPyArrow, PyArrowType, ToPyArrow};
use pulka_core::batch::{FieldType, normalize as core, residual};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(residual_get, module)?)?;
    module.add_function(wrap_pyfunction!(normalize, module)?)
}

/// `declared` as Python gives it: path to the name of a type.
pub(crate) fn field_types(names: HashMap<String, String>) -> PyResult<HashMap<String, FieldType>> {
    names.into_iter().map(|(path, name)| Ok((path, field_type(&name)?))).collect()
}

pub(crate) fn field_type(name: &str) -> PyResult<FieldType> {
    let known = "timestamp, bool, i64, f64, str, json";
    FieldType::parse(name).ok_or_else(|| PyValueError::new_err(format!("unknown field type {name:?}; use one of {known}")))
}

#[pyfunction]
fn residual_get<'py>(residual: &Bound<'py, PyAny>, path: &str, kind: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = residual.py();
    let array = make_array(FromPyArrow::from_pyarrow_bound(residual)?);
    let kind = if kind == "text" { None } else { Some(field_type(kind)?) };
    let values = py.detach(|| values_of(&array, path, kind))?;
    values.to_data().to_pyarrow(py)
}

fn values_of(array: &ArrayRef, path: &str, kind: Option<FieldType>) -> PyResult<ArrayRef> {
    let array = utf8(array)?;
    Ok(match kind {
        Some(kind) => residual::get(&array, path, kind),
        None => Arc::new(residual::get_text(&array, path)),
    })
}

pub(crate) fn utf8(array: &ArrayRef) -> PyResult<StringArray> {
    if let Some(array) = array.as_string_opt::<i32>() {
        return Ok(array.clone());
    }
    if let Some(array) = array.as_string_opt::<i64>() {
        return copied(|| array.iter());
    }
    if let Some(array) = array.as_string_view_opt() {
        return copied(|| array.iter());
    }
    Err(PyValueError::new_err(format!("text must be string, large_string or string_view, not {}", array.data_type())))
}

fn copied<'a, T: Iterator<Item = Option<&'a str>>>(texts: impl Fn() -> T) -> PyResult<StringArray> {
    if texts().flatten().map(str::len).sum::<usize>() > i32::MAX as usize {
        return Err(PyValueError::new_err("text of more than 2 GiB; pass it in smaller pieces"));
    }
    Ok(texts().collect())
}

#[pyfunction]
#[pyo3(signature = (batches, declared, columns_max = 1000, dense_share = 0.01))]
fn normalize(
    py: Python<'_>,
    batches: Vec<PyArrowType<RecordBatch>>,
    declared: HashMap<String, String>,
    columns_max: usize,
    dense_share: f64,
) -> PyResult<PyArrowType<RecordBatch>> {
    let declared = field_types(declared)?;
    let batches: Vec<RecordBatch> = batches.into_iter().map(|batch| batch.0).collect();
    let whole = py.detach(|| core::normalize(&batches, &declared, columns_max, dense_share));
    whole.map(PyArrowType).map_err(|error| PyValueError::new_err(error.to_string()))
}
