//! Rows that pass the tests of one column.

use super::codes::Value;
use super::exact::Exact;
use super::pages::{Chunk, Held, Page, Texts, Values};
use crate::fragment::Result;
use crate::search::fragment::Fragment;
use crate::search::watch::Watch;

/// With fewer rows wanted of a page, texts are looked at one by one.
const WHOLE_PAGE_SHARE: usize = 16;

/// Leave of the `wanted` rows those that pass; the value of the first, if there is one.
pub fn filter(fragment: &Fragment, group: usize, column: usize, tests: &[&Exact], wanted: &mut [bool], watch: &Watch) -> Result<Option<Value>> {
    let mut chunk = Chunk::open(fragment, group, column)?;
    let in_dictionary: Vec<bool> = chunk.dictionary.as_ref().map(|values| passes(values, tests, |_| true)).unwrap_or_default();
    let mut first = None;
    while let Some(page) = chunk.next(wanted)? {
        if watch.stopped() {
            return Ok(None);
        }
        let passing = keep(&page, &in_dictionary, tests, wanted);
        if let (None, Some(at)) = (&first, passing) {
            first = Some(value(&page, chunk.dictionary.as_ref(), at));
        }
    }
    Ok(first)
}

/// Leave what passes of a page; of the first row that does, the place of its value, or none when it is null.
fn keep(page: &Page, in_dictionary: &[bool], tests: &[&Exact], wanted: &mut [bool]) -> Option<Option<usize>> {
    let places: Option<Vec<usize>> = page.present.as_ref().map(|_| page.rows_with_values().collect());
    let row = |at: usize| places.as_ref().map_or(page.rows.start + at, |places| places[at]);
    let passing = match &page.held {
        Held::Code(code) => vec![in_dictionary[*code as usize]; places.as_ref().map_or(page.rows.len(), Vec::len)],
        Held::Codes(codes) => codes.iter().map(|code| in_dictionary[*code as usize]).collect(),
        Held::Values(values) => passes(values, tests, |at| wanted[row(at)]),
    };
    if let (Some(present), false) = (&page.present, tests.iter().all(|test| test.null())) {
        page.rows.clone().zip(present).filter(|(_, present)| !**present).for_each(|(row, _)| wanted[row] = false);
    }
    for (at, passes) in passing.iter().enumerate() {
        wanted[row(at)] &= *passes;
    }
    let first = page.rows.clone().find(|row| wanted[*row])?;
    Some(match &places {
        Some(places) => places.binary_search(&first).ok(),
        None => Some(first - page.rows.start),
    })
}

fn value(page: &Page, dictionary: Option<&Values>, at: Option<usize>) -> Value {
    match (&page.held, at) {
        (_, None) => Value::Null,
        (Held::Code(code), _) => dictionary.map_or(Value::Null, |values| Value::of(values, *code as usize)),
        (Held::Codes(codes), Some(at)) => dictionary.map_or(Value::Null, |values| Value::of(values, codes[at] as usize)),
        (Held::Values(values), Some(at)) => Value::of(values, at),
    }
}

fn passes(values: &Values, tests: &[&Exact], wanted: impl Fn(usize) -> bool) -> Vec<bool> {
    match values {
        Values::Integers(values) => values.iter().map(|value| tests.iter().all(|test| test.integer(*value))).collect(),
        Values::Floats(values) => values.iter().map(|value| tests.iter().all(|test| test.float(*value))).collect(),
        Values::Texts(texts) => texts_pass(texts, tests, wanted),
    }
}

/// The test with the longest needle goes first, over the whole page.
fn texts_pass(texts: &Texts, tests: &[&Exact], wanted: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut found = vec![false; texts.places.len()];
    let leading = tests.iter().filter_map(|test| if let Exact::Text(test) = test { Some(test) } else { None }).max_by_key(|test| test.needle_bytes());
    let all = |at: usize| tests.iter().all(|test| test.text(texts.get(at)));
    let few = (0..found.len()).filter(|at| wanted(*at)).count() * WHOLE_PAGE_SHARE < found.len();
    match leading {
        Some(test) if !few && tests.len() == 1 => test.find(texts, wanted, &mut found),
        Some(test) if !few => {
            test.find(texts, wanted, &mut found);
            (0..found.len()).for_each(|at| found[at] = found[at] && all(at));
        }
        _ => (0..found.len()).for_each(|at| found[at] = wanted(at) && all(at)),
    }
    found
}
