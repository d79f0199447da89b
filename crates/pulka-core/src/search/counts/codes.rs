//! A column of a row group as codes: rows of one code count as one.

use super::alike::Alike;
use super::coder::Coder;
use super::exact::Exact;
use super::pages::{Chunk, Held, Values};
use crate::fragment::Result;
use crate::search::fragment::Fragment;
use crate::search::watch::Watch;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Text(Vec<u8>),
}

impl Value {
    pub fn of(values: &Values, at: usize) -> Value {
        match values {
            Values::Integers(values) => Value::Integer(values[at]),
            Values::Floats(values) => Value::Float(values[at]),
            Values::Texts(texts) => Value::Text(texts.get(at).to_vec()),
        }
    }
}

/// Codes of rows: 0 is null, the others are places in `values` from 1 on.
pub struct Coded {
    /// Empty when all rows have the code `only`.
    pub codes: Vec<u32>,
    pub only: u32,
    pub values: Known,
}

/// Values that were met, each once; or one of each that counts as one.
#[derive(Default)]
pub struct Known {
    pub integers: Vec<i64>,
    pub floats: Vec<f64>,
    pub texts: Vec<u8>,
    pub ends: Vec<usize>,
}

impl Known {
    pub fn len(&self) -> usize {
        self.integers.len().max(self.floats.len()).max(self.ends.len())
    }

    pub fn text(&self, at: usize) -> &[u8] {
        &self.texts[if at == 0 { 0 } else { self.ends[at - 1] }..self.ends[at]]
    }

    pub fn push(&mut self, values: &Values, at: usize) {
        match values {
            Values::Integers(values) => self.integers.push(values[at]),
            Values::Floats(values) => self.floats.push(values[at]),
            Values::Texts(texts) => {
                self.texts.extend_from_slice(texts.get(at));
                self.ends.push(self.texts.len());
            }
        }
    }
}

/// The codes of a column where `wanted` is true; None when the watch says stop.
pub fn coded(fragment: &Fragment, group: usize, column: usize, alike: Alike, wanted: &[bool], watch: &Watch) -> Result<Option<Coded>> {
    let mut chunk = Chunk::open(fragment, group, column)?;
    let mut coder = Coder::new(alike, chunk.dictionary.as_ref().filter(|_| alike == Alike::Equal));
    let (mut codes, mut only) = (Vec::new(), None);
    while let Some(page) = chunk.next(wanted)? {
        if watch.stopped() {
            return Ok(None);
        }
        if let (Alike::Equal, Held::Code(code), None) = (alike, &page.held, &page.present) {
            let code = code + 1;
            if codes.is_empty() && only.is_none_or(|only| only == code) {
                only = Some(code);
                continue;
            }
        }
        if codes.is_empty() {
            codes = vec![only.unwrap_or(0); wanted.len()];
        }
        match alike {
            Alike::Equal => coder.page(&page, &mut codes),
            _ => coder.coarse(&page, chunk.dictionary.as_ref(), wanted, &mut codes)?,
        }
        if watch.stop(coder.met(), page.rows.end) {
            return Ok(None);
        }
    }
    Ok(Some(Coded { codes, only: only.unwrap_or(0), values: coder.known() }))
}

impl Coded {
    /// Leave of the `wanted` rows those whose value passes.
    pub fn filter(&self, tests: &[&Exact], wanted: &mut [bool]) {
        let mut passing = vec![true; self.values.len()];
        for test in tests {
            match () {
                () if !self.values.integers.is_empty() => test.integers(&self.values.integers, &mut passing),
                () if !self.values.floats.is_empty() => test.floats(&self.values.floats, &mut passing),
                () => passing.iter_mut().enumerate().for_each(|(at, passes)| *passes &= test.text(self.values.text(at))),
            }
        }
        passing.insert(0, tests.iter().all(|test| test.null()));
        if self.codes.is_empty() && !passing[self.only as usize] {
            wanted.fill(false);
        }
        wanted.iter_mut().zip(&self.codes).for_each(|(wanted, code)| *wanted &= passing[*code as usize]);
    }
}
