//! Bindings of `pulka_core::fragment`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch, make_array};
use arrow_pyarrow::{FromPyArrow, PyArrowType};
use pulka_core::batch::FieldType;
use pulka_core::fragment::{self, FragmentError, FragmentOptions, MergeOptions, SortColumn};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::batch::field_types;

create_exception!(pulka._native, Cancelled, PyException, "The merge was stopped by its `Cancel`.");

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Cancel>()?;
    module.add("Cancelled", module.py().get_type::<Cancelled>())?;
    module.add_function(wrap_pyfunction!(write_fragment, module)?)?;
    module.add_function(wrap_pyfunction!(merge_fragments, module)?)?;
    module.add_function(wrap_pyfunction!(inspect_fragment, module)?)
}

#[pyfunction]
#[pyo3(signature = (batches, path, *, declared, sort, bloom, metadata, row_group_bytes = 32 << 20, zstd_level = 3, columns_max = 1000, dense_share = 0.01))]
#[allow(clippy::too_many_arguments)]
fn write_fragment(
    py: Python<'_>,
    batches: Vec<PyArrowType<RecordBatch>>,
    path: PathBuf,
    declared: &Bound<'_, PyMapping>,
    sort: Vec<String>,
    bloom: Vec<String>,
    metadata: &Bound<'_, PyMapping>,
    row_group_bytes: usize,
    zstd_level: i32,
    columns_max: usize,
    dense_share: f64,
) -> PyResult<String> {
    let batches: Vec<RecordBatch> = batches.into_iter().map(|batch| batch.0).collect();
    let (declared, metadata, sort) = (types(declared)?, texts(metadata)?.collect(), parse_sort(&sort));
    let options = FragmentOptions { declared, sort, bloom, metadata, row_group_bytes, zstd_level, columns_max, dense_share };
    py.detach(|| fragment::write_fragment(&batches, &path, &options)).map_err(to_python)
}

/// Stops the merges that were given it.
#[pyclass(frozen, module = "pulka._native")]
#[derive(Default)]
struct Cancel {
    inner: fragment::Cancel,
}

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Cancel::default()
    }

    fn cancel(&self) {
        self.inner.cancel();
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}

#[pyfunction]
#[pyo3(signature = (
    inputs, outputs, *, declared, sort, bloom, metadata, row_group_bytes = 32 << 20, zstd_level = 3, columns_max = 1000, dense_share = 0.01,
    memory_bytes = 128 << 20, output_rows = 0, drop = None, cancel = None,
))]
#[allow(clippy::too_many_arguments)]
fn merge_fragments(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
    declared: &Bound<'_, PyMapping>,
    sort: Vec<String>,
    bloom: Vec<String>,
    metadata: &Bound<'_, PyMapping>,
    row_group_bytes: usize,
    zstd_level: i32,
    columns_max: usize,
    dense_share: f64,
    memory_bytes: usize,
    output_rows: u64,
    drop: Option<Vec<Option<Bound<'_, PyAny>>>>,
    cancel: Option<&Cancel>,
) -> PyResult<Vec<String>> {
    let (declared, metadata, sort) = (types(declared)?, texts(metadata)?.collect(), parse_sort(&sort));
    let options = FragmentOptions { declared, sort, bloom, metadata, row_group_bytes, zstd_level, columns_max, dense_share };
    let drop = drop.unwrap_or_default().iter().map(|array| array.as_ref().map(booleans).transpose()).collect::<PyResult<_>>()?;
    let cancel = cancel.map(|cancel| cancel.inner.clone()).unwrap_or_default();
    let merge = MergeOptions { memory_bytes, output_rows, drop, cancel };
    py.detach(|| fragment::merge_fragments(&inputs, &outputs, &options, &merge)).map_err(to_python)
}

fn booleans(array: &Bound<'_, PyAny>) -> PyResult<BooleanArray> {
    let array = make_array(FromPyArrow::from_pyarrow_bound(array)?);
    let wrong = || PyValueError::new_err("the rows to drop must be a pyarrow.BooleanArray, one value per row of the input");
    array.as_boolean_opt().cloned().ok_or_else(wrong)
}

#[pyfunction]
#[pyo3(signature = (path, verify = false))]
fn inspect_fragment(py: Python<'_>, path: PathBuf, verify: bool) -> PyResult<BTreeMap<String, String>> {
    py.detach(|| fragment::inspect_fragment(&path, verify)).map_err(to_python)
}

fn parse_sort(sort: &[String]) -> Vec<SortColumn> {
    sort.iter().map(|text| SortColumn::parse(text)).collect()
}

fn texts(mapping: &Bound<'_, PyMapping>) -> PyResult<impl Iterator<Item = (String, String)>> {
    Ok(mapping.items()?.extract::<Vec<(String, String)>>()?.into_iter())
}

fn types(declared: &Bound<'_, PyMapping>) -> PyResult<HashMap<String, FieldType>> {
    field_types(texts(declared)?.collect())
}

pub(crate) fn to_python(error: FragmentError) -> PyErr {
    match error {
        FragmentError::Io(error) => error.into(),
        FragmentError::Invalid(sentence) => PyValueError::new_err(sentence),
        cancelled @ FragmentError::Cancelled => Cancelled::new_err(cancelled.to_string()),
    }
}
