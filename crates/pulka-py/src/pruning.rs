//! Bindings of what prunes fragments.

use std::path::PathBuf;

use pulka_core::fragment::automaton::Automaton;
use pulka_core::fragment::row_group_words::hashes;
use pulka_core::fragment::word_filter::has_all;
use pulka_core::fragment::{self, packed_automaton};
use pulka_core::text::pattern::Pattern;
use pulka_core::text::words::whole_words;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};

use crate::fragment::to_python;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(matching_row_groups, module)?)?;
    module.add_function(wrap_pyfunction!(values_match, module)?)?;
    module.add_function(wrap_pyfunction!(automata_match, module)?)?;
    module.add_function(wrap_pyfunction!(word_filters_match, module)?)?;
    module.add_function(wrap_pyfunction!(automaton, module)?)?;
    module.add_function(wrap_pyfunction!(automaton_regex, module)?)
}

#[pyfunction]
fn matching_row_groups(py: Python<'_>, path: PathBuf, column: &str, words: Vec<String>) -> PyResult<Vec<usize>> {
    py.detach(|| fragment::matching_row_groups(&path, column, &words)).map_err(to_python)
}

#[pyfunction]
fn values_match(py: Python<'_>, values: Vec<Vec<PyBackedStr>>, patterns: Vec<Vec<String>>, ignore_case: bool) -> Vec<bool> {
    py.detach(|| {
        let patterns = parsed(&patterns, ignore_case);
        values.iter().map(|values| values.iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value)))).collect()
    })
}

#[pyfunction]
fn automata_match(py: Python<'_>, automata: Vec<PyBackedBytes>, patterns: Vec<Vec<String>>, ignore_case: bool) -> Vec<bool> {
    py.detach(|| {
        let patterns = parsed(&patterns, ignore_case);
        let meets = |packed: &PyBackedBytes| patterns.iter().any(|pattern| packed_automaton::may_match(packed, pattern));
        automata.iter().map(meets).collect()
    })
}

#[pyfunction]
fn word_filters_match(py: Python<'_>, filters: Vec<PyBackedBytes>, patterns: Vec<Vec<String>>) -> Vec<bool> {
    py.detach(|| {
        let hashes: Vec<Vec<u64>> = patterns.iter().map(|pieces| hashes(&whole_words(pieces))).collect();
        filters.iter().map(|filter| hashes.iter().any(|hashes| has_all(filter, hashes))).collect()
    })
}

fn parsed(patterns: &[Vec<String>], ignore_case: bool) -> Vec<Pattern> {
    patterns.iter().map(|pieces| Pattern::new(pieces, ignore_case)).collect()
}

#[pyfunction]
#[pyo3(signature = (values, transitions_max = 256))]
fn automaton(py: Python<'_>, values: Vec<PyBackedStr>, transitions_max: usize) -> Vec<u8> {
    py.detach(|| Automaton::of(&values, transitions_max).map(|automaton| automaton.to_bytes()).unwrap_or_default())
}

#[pyfunction]
fn automaton_regex(automaton: &[u8]) -> PyResult<String> {
    let automaton = Automaton::from_bytes(automaton).ok_or_else(|| PyValueError::new_err("the bytes are no automaton"))?;
    Ok(automaton.regex())
}
