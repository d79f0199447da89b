//! Bindings of `pulka_core::summary`.

use std::sync::Mutex;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, make_array};
use arrow_pyarrow::{FromPyArrow, PyArrowType};
use pulka_core::summary::exponential;
use pulka_core::summary::field::FieldSummary;
use pulka_core::summary::histogram::Histogram;
use pulka_core::summary::table::{self, Column, Options, Rows, Table};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batch::field_type;
use crate::locked;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Summary>()?;
    module.add_class::<Finding>()?;
    module.add_class::<ValueShare>()?;
    module.add_class::<Numbers>()?;
    module.add_class::<Quantiles>()
}

#[pyclass(frozen, module = "pulka._native")]
pub struct Summary {
    inner: Mutex<Table>,
}

#[pymethods]
impl Summary {
    #[new]
    #[pyo3(signature = (*, bytes_max, by = None, groups_max = 256, skip = Vec::new(), masked = Vec::new()))]
    fn new(bytes_max: usize, by: Option<String>, groups_max: usize, skip: Vec<String>, masked: Vec<String>) -> Self {
        Summary { inner: Mutex::new(Table::new(Options { bytes_max, by, groups_max, skip, masked })) }
    }

    fn add(
        &self,
        py: Python<'_>,
        batch: PyArrowType<RecordBatch>,
        columns: Vec<(String, String, String)>,
        residual: Option<&str>,
        sides: (String, String),
    ) -> PyResult<()> {
        let batch = batch.0;
        let columns = columns.into_iter().map(|(name, path, kind)| column(&batch, &name, path, &kind)).collect::<PyResult<Vec<_>>>()?;
        let residual = residual.map(|name| named(&batch, name).cloned()).transpose()?;
        let (first, second) = (flags(&batch, &sides.0)?, flags(&batch, &sides.1)?);
        py.detach(|| {
            let rows = Rows { columns: &columns, residual: residual.as_ref(), sides: [&first, &second] };
            locked(&self.inner).add(&rows);
        });
        Ok(())
    }

    #[getter]
    fn rows(&self) -> (u64, u64) {
        locked(&self.inner).rows().into()
    }

    #[getter]
    fn left_out(&self) -> u64 {
        locked(&self.inner).left_out()
    }

    #[getter]
    fn bytes(&self) -> usize {
        locked(&self.inner).bytes()
    }

    fn compare(&self, py: Python<'_>, limit: usize, values_max: usize) -> Vec<Finding> {
        py.detach(|| locked(&self.inner).compare().into_iter().take(limit).map(|one| Finding::of(one, values_max)).collect())
    }

    fn describe(&self, py: Python<'_>, values_max: usize) -> Vec<Finding> {
        py.detach(|| locked(&self.inner).describe().into_iter().map(|one| Finding::of(one, values_max)).collect())
    }
}

fn named<'a>(batch: &'a RecordBatch, name: &str) -> PyResult<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| PyValueError::new_err(format!("the batch has no column {name:?}")))
}

fn column(batch: &RecordBatch, name: &str, path: String, kind: &str) -> PyResult<Column> {
    let kind = field_type(kind)?;
    let values = named(batch, name)?.clone();
    let found = values.data_type();
    let is_text = kind.arrow().is_string() && found.is_string();
    if is_text || *found == kind.arrow() {
        return Ok(Column { path, kind, values });
    }
    Err(PyValueError::new_err(format!("column {name:?} is {found}, not {}", kind.arrow())))
}

fn flags(batch: &RecordBatch, name: &str) -> PyResult<BooleanArray> {
    let found = named(batch, name)?.as_boolean_opt().cloned();
    found.ok_or_else(|| PyValueError::new_err(format!("column {name:?} is not boolean")))
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct Finding {
    field: String,
    group: Option<String>,
    types: Vec<&'static str>,
    effect: f64,
    by_numbers: bool,
    rows: (u64, u64),
    present: (u64, u64),
    values: Vec<ValueShare>,
    exact: bool,
    distinct: Option<u64>,
    numbers: Option<Numbers>,
}

#[pyclass(frozen, get_all, skip_from_py_object, module = "pulka._native")]
#[derive(Clone)]
pub struct ValueShare {
    value: Option<String>,
    counts: (u64, u64),
    difference: f64,
}

#[pyclass(frozen, get_all, skip_from_py_object, module = "pulka._native")]
#[derive(Clone)]
pub struct Numbers {
    min: f64,
    max: f64,
    counts: (u64, u64),
    means: (Option<f64>, Option<f64>),
    quantiles: (Option<Vec<f64>>, Option<Vec<f64>>),
    distance: f64,
    relative_error: f64,
    follows_time: bool,
}

/// The quantiles that are told of numbers.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

impl Finding {
    fn of(one: table::Finding<'_>, values_max: usize) -> Finding {
        let values = one.effect.values.into_iter().take(values_max).map(|share| ValueShare {
            value: share.value,
            counts: share.counts.into(),
            difference: share.difference,
        });
        Finding {
            field: one.path.to_owned(),
            group: one.group.map(str::to_owned),
            types: one.types.iter().map(|kind| kind.name()).collect(),
            effect: one.effect.effect,
            by_numbers: one.effect.by_numbers,
            rows: one.rows.into(),
            present: one.field.present.into(),
            values: values.collect(),
            exact: one.field.texts.iter().all(|texts| texts.is_exact()),
            distinct: distinct(one.field),
            numbers: numbers(one.field),
        }
    }
}

/// Distinct values; None when there are more numbers than are counted one by one.
fn distinct(field: &FieldSummary) -> Option<u64> {
    Some(field.distinct_texts() + field.numbers.as_ref()?.len() as u64)
}

fn numbers(field: &FieldSummary) -> Option<Numbers> {
    let counts = field.histogram.totals();
    if counts == [0, 0] {
        return None;
    }
    let mean = |side: usize| (counts[side] > 0).then(|| field.sum[side] / counts[side] as f64);
    let quantiles = |side: usize| QUANTILES.iter().map(|q| field.quantile(side, *q)).collect();
    Some(Numbers {
        min: field.min,
        max: field.max,
        counts: counts.into(),
        means: (mean(0), mean(1)),
        quantiles: (quantiles(0), quantiles(1)),
        distance: field.histogram.distance(),
        relative_error: field.histogram.relative_error(),
        follows_time: field.drift.follows_time(),
    })
}

/// A mergeable sketch of numbers.
#[pyclass(frozen, module = "pulka._native")]
pub struct Quantiles {
    inner: Mutex<Histogram>,
}

#[pymethods]
impl Quantiles {
    #[new]
    fn new() -> Self {
        Quantiles { inner: Mutex::new(Histogram::default()) }
    }

    /// Count the numbers of an array of int64 or double.
    fn add(&self, py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = make_array(FromPyArrow::from_pyarrow_bound(values)?);
        py.detach(|| add_numbers(&mut locked(&self.inner), &array))
    }

    /// Count exponential histograms: arrays of int64 and one of text, JSON arrays of counts.
    fn add_exponential(&self, py: Python<'_>, scales: &Bound<'_, PyAny>, zeros: &Bound<'_, PyAny>, offsets: &Bound<'_, PyAny>, counts: &Bound<'_, PyAny>) -> PyResult<()> {
        let [scales, zeros, offsets, counts] = [scales, zeros, offsets, counts].map(|array| FromPyArrow::from_pyarrow_bound(array).map(make_array));
        let (scales, zeros, offsets, counts) = (scales?, zeros?, offsets?, counts?);
        py.detach(|| add_histograms(&mut locked(&self.inner), [&scales, &zeros, &offsets], &counts))
    }

    fn merge(&self, state: &[u8]) -> PyResult<()> {
        let other = Histogram::from_bytes(state).ok_or_else(|| PyValueError::new_err("this is no sketch of quantiles"))?;
        locked(&self.inner).merge(&other);
        Ok(())
    }

    fn state<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &locked(&self.inner).to_bytes(0))
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        locked(&self.inner).quantile(0, q)
    }

    #[getter]
    fn count(&self) -> u64 {
        locked(&self.inner).totals()[0]
    }

    #[getter]
    fn relative_error(&self) -> f64 {
        locked(&self.inner).relative_error()
    }
}

/// Rows without a scale are no histograms.
fn add_histograms(histogram: &mut Histogram, numbers: [&ArrayRef; 3], counts: &ArrayRef) -> PyResult<()> {
    let whole = |array: &ArrayRef| array.as_primitive_opt::<Int64Type>().cloned().ok_or_else(|| PyValueError::new_err("scale, zeros and offset are int64"));
    let (scales, zeros, offsets) = (whole(numbers[0])?, whole(numbers[1])?, whole(numbers[2])?);
    let counts = counts.as_string_opt::<i32>().ok_or_else(|| PyValueError::new_err("counts are text"))?;
    let zero = |array: &Int64Array, row: usize| if array.is_valid(row) { array.value(row) } else { 0 };
    for row in (0..scales.len()).filter(|row| scales.is_valid(*row)) {
        let text = if counts.is_valid(row) { counts.value(row) } else { "" };
        exponential::add(histogram, scales.value(row), zero(&zeros, row), zero(&offsets, row), text);
    }
    Ok(())
}

fn add_numbers(histogram: &mut Histogram, array: &ArrayRef) -> PyResult<()> {
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        values.iter().flatten().for_each(|value| histogram.add(0, value, 1));
    } else if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        values.iter().flatten().for_each(|value| histogram.add(0, value as f64, 1));
    } else {
        return Err(PyValueError::new_err(format!("numbers are int64 or double, not {}", array.data_type())));
    }
    Ok(())
}
