//! Tests of columns that are decoded to Arrow: numbers, times, and texts that a dictionary holds.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, StringArray};

use super::condition::{Pattern, Test};
use super::fragment::Fragment;
use super::rows::Rows;
use crate::fragment::Result;

const BATCH_ROWS: usize = 1 << 16;

/// Those of `rows` whose value passes the test.
pub fn filter(fragment: &Fragment, group: usize, column: usize, test: &Test, rows: &Rows) -> Result<Rows> {
    let reader = match test {
        Test::Text(_) => fragment.read_dictionaries(group, &[column], rows, BATCH_ROWS)?,
        _ => fragment.read(group, &[column], rows, BATCH_ROWS)?,
    };
    let (mut places, mut found) = (rows.iter(), Vec::new());
    for batch in reader {
        let passes = passes(batch?.column(0), test);
        found.extend(passes.into_iter().zip(places.by_ref()).filter(|(passes, _)| *passes).map(|(_, row)| row));
    }
    Ok(found.into_iter().collect())
}

fn passes(array: &ArrayRef, test: &Test) -> Vec<bool> {
    match test {
        Test::Text(patterns) => texts(array, patterns),
        Test::Integers(low, high) => integers(array, *low, *high),
        Test::Floats(low, high) => floats(array, *low, *high),
        Test::Null(wanted) => (0..array.len()).map(|row| array.is_null(row) == *wanted).collect(),
    }
}

/// Each value of the dictionary is looked at once.
fn texts(array: &ArrayRef, patterns: &[Pattern]) -> Vec<bool> {
    let matches = |text: &str| patterns.iter().any(|pattern| pattern.matches(text.as_bytes()));
    if let Some(texts) = array.as_string_opt::<i32>() {
        return texts.iter().map(|text| text.is_some_and(matches)).collect();
    }
    let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else { return vec![true; array.len()] };
    let values: &StringArray = dictionary.values().as_string();
    let found: Vec<bool> = values.iter().map(|text| text.is_some_and(matches)).collect();
    dictionary.keys().iter().map(|key| key.is_some_and(|key| found[key as usize])).collect()
}

fn integers(array: &ArrayRef, low: i64, high: i64) -> Vec<bool> {
    let within = |value: Option<i64>| value.is_some_and(|value| low <= value && value <= high);
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        return array.iter().map(within).collect();
    }
    match array.as_primitive_opt::<TimestampNanosecondType>() {
        Some(array) => array.iter().map(within).collect(),
        None => vec![true; array.len()],
    }
}

fn floats(array: &ArrayRef, low: f64, high: f64) -> Vec<bool> {
    match array.as_primitive_opt::<Float64Type>() {
        Some(array) => array.iter().map(|value| value.is_some_and(|value| (low <= value && value <= high) || value.is_nan())).collect(),
        None => vec![true; array.len()],
    }
}
