//! The classes every decoder shares: what goes in besides the bytes, and what comes out.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_pyarrow::ToPyArrow;
use pulka_core::batch::{BatchOptions, FieldType};
use pulka_core::decode::options as core;
use pulka_core::decode::report;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

#[pyclass(frozen, module = "pulka._native")]
pub struct DecodeOptions {
    pub inner: core::DecodeOptions,
}

#[pymethods]
impl DecodeOptions {
    #[new]
    #[pyo3(signature = (
        *, timestamp_fields=None, rename=None, constants=None, declared=None, json_fields=None,
        event_bytes_max=16 << 20, field_bytes_max=1 << 20, depth_max=32, columns_max=1000, rows_max=1 << 20, dense_share=0.01,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        timestamp_fields: Option<Vec<String>>,
        rename: Option<&Bound<'_, PyMapping>>,
        constants: Option<&Bound<'_, PyMapping>>,
        declared: Option<&Bound<'_, PyMapping>>,
        json_fields: Option<Vec<String>>,
        event_bytes_max: usize,
        field_bytes_max: usize,
        depth_max: usize,
        columns_max: usize,
        rows_max: usize,
        dense_share: f64,
    ) -> PyResult<Self> {
        let default = core::DecodeOptions::default();
        let declared = pairs(declared)?.into_iter().map(|(path, kind)| Ok((path, field_type(&kind)?)));
        let batch = BatchOptions {
            declared: declared.collect::<PyResult<_>>()?,
            field_bytes_max,
            columns_max,
            dense_share,
        };
        let inner = core::DecodeOptions {
            batch,
            timestamp_fields: timestamp_fields.unwrap_or(default.timestamp_fields),
            rename: pairs(rename)?.into_iter().collect(),
            constants: pairs(constants)?,
            json_fields: json_fields.unwrap_or_default(),
            event_bytes_max,
            depth_max,
            rows_max,
        };
        Ok(DecodeOptions { inner })
    }
}

/// The items of any mapping of text to text.
pub fn pairs(mapping: Option<&Bound<'_, PyMapping>>) -> PyResult<Vec<(String, String)>> {
    mapping.map_or(Ok(Vec::new()), |mapping| mapping.items()?.extract())
}

/// A field type by its name in `pulka.model.fields`.
pub fn field_type(name: &str) -> PyResult<FieldType> {
    FieldType::parse(name).ok_or_else(|| PyValueError::new_err(format!("`{name}` is not a field type")))
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct Decoded {
    batch: Batch,
    rows: usize,
    rejected: usize,
    reasons: BTreeMap<&'static str, usize>,
    samples: Vec<(usize, &'static str, String)>,
    warnings: BTreeMap<&'static str, usize>,
    all_timestamped: bool,
}

/// A batch that becomes a pyarrow one when it is asked for.
#[derive(Clone)]
struct Batch(Option<RecordBatch>);

impl<'py> IntoPyObject<'py> for Batch {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0 {
            Some(batch) => batch.to_pyarrow(py),
            None => Ok(py.None().into_bound(py)),
        }
    }
}

impl From<report::Decoded> for Decoded {
    fn from(decoded: report::Decoded) -> Self {
        let report = decoded.report;
        Decoded {
            batch: Batch(decoded.batch),
            rows: decoded.rows,
            rejected: report.rejected,
            reasons: report.reasons,
            samples: report.samples.into_iter().map(|sample| (sample.item, sample.reason, sample.detail)).collect(),
            warnings: report.warnings,
            all_timestamped: report.untimed == 0,
        }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<DecodeOptions>()?;
    module.add_class::<Decoded>()
}
