//! Bindings of `pulka_core::text`.

use pulka_core::text::{needles, words};
use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(regex_literals, module)?)?;
    module.add_function(wrap_pyfunction!(text_words, module)?)?;
    module.add_function(wrap_pyfunction!(whole_words, module)?)
}

#[pyfunction]
fn regex_literals(expression: &str, ignore_case: bool) -> Vec<Vec<(String, bool)>> {
    let clause = |clause: Vec<needles::Needle>| clause.into_iter().map(|needle| (needle.text, needle.ignore_case)).collect();
    needles::needles(expression, ignore_case).into_iter().map(clause).collect()
}

#[pyfunction]
fn text_words(text: &str) -> Vec<String> {
    words::words(text)
}

#[pyfunction]
fn whole_words(pieces: Vec<String>) -> Vec<String> {
    words::whole_words(&pieces)
}
