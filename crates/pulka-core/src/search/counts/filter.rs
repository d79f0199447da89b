//! Rows that pass the tests of one column.

use super::codes::Value;
use super::exact::{Exact, TextTest};
use super::pages::{Chunk, Held, Page, Texts, Values, count};
use crate::fragment::Result;
use crate::search::fragment::Fragment;
use crate::search::watch::Watch;

/// With fewer rows wanted of a page, texts are looked at one by one.
const WHOLE_PAGE_SHARE: usize = 16;

/// Leave of the `wanted` rows those that pass; the value of the first, if there is one.
pub fn filter(fragment: &Fragment, group: usize, column: usize, tests: &[&Exact], wanted: &mut [bool], watch: &Watch) -> Result<Option<Value>> {
    let mut chunk = Chunk::open(fragment, group, column)?;
    chunk.levels_only = tests.iter().all(|test| test.null());
    chunk.sought = leading(tests).map(|test| test.sought().to_vec()).unwrap_or_default();
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
    let nulls_pass = tests.iter().all(|test| test.null());
    let rows = &mut wanted[page.rows.clone()];
    match (&page.held, &page.present) {
        _ if nulls_pass => match &page.present {
            Some(present) => rows.iter_mut().zip(present).for_each(|(row, present)| *row &= !present),
            None => rows.fill(false),
        },
        (Held::Nothing, _) => rows.fill(false),
        (Held::Code(code), None) if in_dictionary[*code as usize] => {}
        (Held::Code(_), None) => rows.fill(false),
        (Held::Code(code), Some(present)) => {
            let passes = in_dictionary[*code as usize];
            rows.iter_mut().zip(present).for_each(|(row, present)| *row &= *present & passes);
        }
        (Held::Codes(codes), None) => rows.iter_mut().zip(codes).for_each(|(row, code)| *row &= in_dictionary[*code as usize]),
        (Held::Codes(codes), Some(present)) => spread(rows, present, codes.iter().map(|code| in_dictionary[*code as usize])),
        (Held::Values(values), None) => {
            let passing = passes(values, tests, |at| rows[at]);
            rows.iter_mut().zip(passing).for_each(|(row, passes)| *row &= passes);
        }
        (Held::Values(values), Some(present)) => {
            let places: Vec<usize> = (0..present.len()).filter(|row| present[*row]).collect();
            spread(rows, present, passes(values, tests, |at| rows[places[at]]).into_iter());
        }
    }
    let first = rows.iter().position(|row| *row)?;
    Some(match &page.present {
        Some(present) => present[first].then(|| count(&present[..first])),
        None => Some(first),
    })
}

/// Leave the rows whose value passes; null does not.
fn spread(rows: &mut [bool], present: &[bool], mut passing: impl Iterator<Item = bool>) {
    for (row, present) in rows.iter_mut().zip(present) {
        *row &= *present && passing.next().unwrap_or(false);
    }
}

fn value(page: &Page, dictionary: Option<&Values>, at: Option<usize>) -> Value {
    match (&page.held, at) {
        (_, None) | (Held::Nothing, _) => Value::Null,
        (Held::Code(code), _) => dictionary.map_or(Value::Null, |values| Value::of(values, *code as usize)),
        (Held::Codes(codes), Some(at)) => dictionary.map_or(Value::Null, |values| Value::of(values, codes[at] as usize)),
        (Held::Values(values), Some(at)) => Value::of(values, at),
    }
}

fn passes(values: &Values, tests: &[&Exact], wanted: impl Fn(usize) -> bool) -> Vec<bool> {
    match values {
        Values::Integers(values) => all(values.len(), tests, |test, passing| test.integers(values, passing)),
        Values::Floats(values) => all(values.len(), tests, |test, passing| test.floats(values, passing)),
        Values::Texts(texts) => texts_pass(texts, tests, wanted),
    }
}

fn all(values: usize, tests: &[&Exact], pass: impl Fn(&Exact, &mut [bool])) -> Vec<bool> {
    let mut passing = vec![true; values];
    tests.iter().for_each(|test| pass(test, &mut passing));
    passing
}

/// The test with the longest needle.
fn leading<'a>(tests: &[&'a Exact]) -> Option<&'a TextTest> {
    let texts = tests.iter().filter_map(|test| if let Exact::Text(test) = test { Some(test) } else { None });
    texts.max_by_key(|test| test.needle_bytes())
}

/// The leading test goes over the whole page.
fn texts_pass(texts: &Texts, tests: &[&Exact], wanted: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut found = vec![false; texts.places.len()];
    let pass = |at: usize| tests.iter().all(|test| test.text(texts.get(at)));
    let few = (0..found.len()).filter(|at| wanted(*at)).count() * WHOLE_PAGE_SHARE < found.len();
    match leading(tests) {
        Some(test) if !few && tests.len() == 1 => test.find(texts, wanted, &mut found),
        Some(test) if !few => {
            test.find(texts, wanted, &mut found);
            (0..found.len()).for_each(|at| found[at] = found[at] && pass(at));
        }
        _ => (0..found.len()).for_each(|at| found[at] = wanted(at) && pass(at)),
    }
    found
}
