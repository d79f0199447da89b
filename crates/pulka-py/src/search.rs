//! Bindings of `pulka_core::search`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_pyarrow::ToPyArrow;
use pulka_core::search::condition::{Condition, Match, Pattern, Test};
use pulka_core::search::{Answer, Request, Search as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::fragment::to_python;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Search>()?;
    module.add_class::<Found>()
}

#[pyclass(frozen, module = "pulka._native")]
pub struct Search {
    inner: Core,
}

type Asked<'py> = (PathBuf, Vec<String>, Vec<(String, String, Bound<'py, PyAny>)>);

#[pymethods]
impl Search {
    #[new]
    #[pyo3(signature = (requests, *, bytes_max, threads))]
    fn new(requests: Vec<Asked<'_>>, bytes_max: usize, threads: usize) -> PyResult<Self> {
        let requests = requests.into_iter().map(request).collect::<PyResult<_>>()?;
        Ok(Search { inner: Core::new(requests, bytes_max, threads) })
    }

    fn run(&self, py: Python<'_>) -> PyResult<Found> {
        py.detach(|| self.inner.run()).map(Found::of).map_err(to_python)
    }

    fn cancel(&self) {
        self.inner.cancel();
    }
}

fn request((path, columns, conditions): Asked<'_>) -> PyResult<Request> {
    let conditions = conditions.into_iter().map(|(column, kind, operand)| Ok(Condition { column, test: test(&kind, &operand)? }));
    Ok(Request { path, columns, conditions: conditions.collect::<PyResult<_>>()? })
}

fn test(kind: &str, operand: &Bound<'_, PyAny>) -> PyResult<Test> {
    Ok(match kind {
        "text" => {
            let patterns: Vec<(String, String)> = operand.extract()?;
            Test::Text(patterns.iter().map(|(how, text)| Ok(Pattern::new(parse(how)?, text))).collect::<PyResult<_>>()?)
        }
        "integers" => {
            let (low, high) = operand.extract()?;
            Test::Integers(low, high)
        }
        "floats" => {
            let (low, high) = operand.extract()?;
            Test::Floats(low, high)
        }
        "null" => Test::Null(operand.extract()?),
        _ => return Err(PyValueError::new_err(format!("`{kind}` is no test; use text, integers, floats or null"))),
    })
}

fn parse(how: &str) -> PyResult<Match> {
    Ok(match how {
        "equals" => Match::Equals,
        "starts_with" => Match::StartsWith,
        "contains" => Match::Contains,
        "contains_ignore_case" => Match::ContainsIgnoreCase,
        _ => return Err(PyValueError::new_err(format!("`{how}` is no way to match a text"))),
    })
}

#[pyclass(frozen, get_all, module = "pulka._native")]
pub struct Found {
    batches: Option<Vec<Vec<Batch>>>,
    cancelled: bool,
    row_groups: usize,
    pruned: BTreeMap<&'static str, usize>,
    rows: usize,
    bytes_read: u64,
}

impl Found {
    fn of(answer: Answer) -> Found {
        let wrapped = |batches: Vec<RecordBatch>| batches.into_iter().map(Batch).collect();
        Found {
            batches: answer.batches.map(|all| all.into_iter().map(wrapped).collect()),
            cancelled: answer.cancelled,
            row_groups: answer.row_groups,
            pruned: answer.pruned,
            rows: answer.rows,
            bytes_read: answer.bytes_read,
        }
    }
}

/// A batch that becomes a pyarrow one when it is asked for.
#[derive(Clone)]
struct Batch(RecordBatch);

impl<'py> IntoPyObject<'py> for Batch {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.to_pyarrow(py)
    }
}
