//! Bindings of `pulka_core::search`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_pyarrow::ToPyArrow;
use pulka_core::search::counts::exact::{Compare, Exact, TextTest};
use pulka_core::search::counts::{Alike, Counts as CoreCounts, Request as CountRequest};
use pulka_core::search::condition::{Condition, Match, Pattern, Test};
use pulka_core::search::{Answer, Request, Search as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::fragment::to_python;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Search>()?;
    module.add_class::<Counts>()?;
    module.add_class::<Found>()
}

#[pyclass(frozen, module = "pulka._native")]
pub struct Search {
    inner: Core,
}

type Asked<'py> = (PathBuf, Vec<String>, Vec<Said<'py>>);

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

#[pyclass(frozen, module = "pulka._native")]
pub struct Counts {
    inner: CoreCounts,
}

type Said<'py> = (String, String, Bound<'py, PyAny>);
type AskedToCount<'py> = (PathBuf, Vec<Said<'py>>, Vec<String>, Vec<Said<'py>>, Vec<Said<'py>>);

#[pymethods]
impl Counts {
    #[new]
    #[pyo3(signature = (requests, *, bytes_max, threads))]
    fn new(requests: Vec<AskedToCount<'_>>, bytes_max: usize, threads: usize) -> PyResult<Self> {
        let requests = requests.into_iter().map(count_request).collect::<PyResult<_>>()?;
        Ok(Counts { inner: CoreCounts::new(requests, bytes_max, threads) })
    }

    fn run(&self, py: Python<'_>) -> PyResult<Found> {
        py.detach(|| self.inner.run()).map(Found::of).map_err(to_python)
    }

    fn cancel(&self) {
        self.inner.cancel();
    }
}

fn count_request((path, keys, witnesses, tests, conditions): AskedToCount<'_>) -> PyResult<CountRequest> {
    Ok(CountRequest {
        path,
        keys: keys.into_iter().map(|(column, kind, operand)| Ok((column, alike(&kind, &operand)?))).collect::<PyResult<_>>()?,
        witnesses,
        tests: tests.into_iter().map(|(column, kind, operand)| Ok((column, exact(&kind, &operand)?))).collect::<PyResult<_>>()?,
        conditions: conditions.into_iter().map(condition).collect::<PyResult<_>>()?,
    })
}

fn alike(kind: &str, operand: &Bound<'_, PyAny>) -> PyResult<Alike> {
    Ok(match kind {
        "equal" => Alike::Equal,
        "every" => Alike::Every(operand.extract()?),
        "about" => Alike::About,
        _ => return Err(PyValueError::new_err(format!("`{kind}` makes nothing alike; use equal, every or about"))),
    })
}

fn exact(kind: &str, operand: &Bound<'_, PyAny>) -> PyResult<Exact> {
    let texts = || operand.extract::<Vec<String>>();
    let expression = || operand.extract::<String>();
    let float = |compare| Ok::<Exact, PyErr>(Exact::float(compare, operand.extract()?));
    let regex = |ignore_case| {
        let test = TextTest::regex(&expression()?, ignore_case).ok_or_else(|| PyValueError::new_err("this is no regular expression"));
        test.map(Exact::Text)
    };
    Ok(match kind {
        "equals" => Exact::Text(TextTest::equals(texts()?)),
        "starts_with" => Exact::Text(TextTest::starts_with(texts()?)),
        "ends_with" => Exact::Text(TextTest::ends_with(texts()?)),
        "contains" => Exact::Text(TextTest::contains(texts()?)),
        "regex" => regex(false)?,
        "regex_ignore_case" => regex(true)?,
        "integers" => Exact::Integers(operand.extract()?),
        "<" => float(Compare::Less)?,
        "<=" => float(Compare::LessOrEqual)?,
        "=" => float(Compare::Equal)?,
        ">=" => float(Compare::GreaterOrEqual)?,
        ">" => float(Compare::Greater)?,
        "null" => Exact::Null(operand.extract()?),
        _ => return Err(PyValueError::new_err(format!("`{kind}` is no exact test"))),
    })
}

fn request((path, columns, conditions): Asked<'_>) -> PyResult<Request> {
    Ok(Request { path, columns, conditions: conditions.into_iter().map(condition).collect::<PyResult<_>>()? })
}

fn condition((column, kind, operand): Said<'_>) -> PyResult<Condition> {
    Ok(Condition { column, test: test(&kind, &operand)? })
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
