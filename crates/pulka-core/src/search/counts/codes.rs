//! A column of a row group as codes: rows of one code count as one. What makes rows count alike is the value, or a coarser thing.

use ahash::RandomState;
use hashbrown::HashTable;

use super::pages::{Chunk, Held, Page, Values};
use crate::fragment::Result;
use crate::search::fragment::Fragment;
use crate::search::watch::Watch;

/// What makes two values of a column count as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alike {
    Equal,
    /// Integers: the same whole number of these since 0.
    Every(i64),
    /// Floats: the same whole number of these.
    Floor(f64),
    /// Floats: they differ by less than a part in a thousand.
    About,
}

/// Bits of a float that tell sign, power of two and its 1024th part.
const ABOUT_BITS: u32 = 52 - 10;

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

    fn push(&mut self, values: &Values, at: usize) {
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
    let mut coder = Coder { alike, hasher: RandomState::with_seeds(1, 2, 3, 4), known: Known::default(), table: HashTable::new(), tabled: 0, last: (1, 0, 0) };
    let in_dictionary = chunk.dictionary.as_ref().map(|values| coder.dictionary(values)).unwrap_or_default();
    let (mut codes, mut only) = (Vec::new(), None);
    while let Some(page) = chunk.next(wanted)? {
        if watch.stopped() {
            return Ok(None);
        }
        if let (Held::Code(code), None) = (&page.held, &page.present) {
            let code = in_dictionary[*code as usize];
            if codes.is_empty() && only.is_none_or(|only| only == code) {
                only = Some(code);
                continue;
            }
        }
        if codes.is_empty() {
            codes = vec![only.unwrap_or(0); wanted.len()];
        }
        coder.page(&page, &in_dictionary, &mut codes);
        if watch.stop(coder.tabled, page.rows.end) {
            return Ok(None);
        }
    }
    Ok(Some(Coded { codes, only: only.unwrap_or(0), values: coder.known }))
}

struct Coder {
    alike: Alike,
    hasher: RandomState,
    known: Known,
    table: HashTable<u32>,
    /// So many of `known` are in the table.
    tabled: usize,
    /// The last integers that had one code, both bounds included, and that code.
    last: (i64, i64, u32),
}

impl Coder {
    /// The codes of a dictionary's values, which are all different.
    fn dictionary(&mut self, values: &Values) -> Vec<u32> {
        if self.alike == Alike::Equal {
            (0..values.len()).for_each(|at| self.known.push(values, at));
            return (1..=values.len() as u32).collect();
        }
        (0..values.len()).map(|at| self.code(values, at)).collect()
    }

    fn page(&mut self, page: &Page, in_dictionary: &[u32], codes: &mut [u32]) {
        match &page.held {
            Held::Code(code) => page.rows_with_values().for_each(|row| codes[row] = in_dictionary[*code as usize]),
            Held::Codes(held) if page.present.is_none() && self.alike == Alike::Equal => {
                codes[page.rows.clone()].iter_mut().zip(held).for_each(|(code, at)| *code = at.wrapping_add(1));
            }
            Held::Codes(held) if page.present.is_none() => {
                codes[page.rows.clone()].iter_mut().zip(held).for_each(|(code, at)| *code = in_dictionary[*at as usize]);
            }
            Held::Codes(held) => page.rows_with_values().zip(held).for_each(|(row, at)| codes[row] = in_dictionary[*at as usize]),
            Held::Values(held @ Values::Integers(values)) if page.present.is_none() => {
                codes[page.rows.clone()].iter_mut().zip(values).enumerate().for_each(|(at, (code, value))| {
                    if *value < self.last.0 || self.last.1 < *value {
                        let found = self.code(held, at);
                        let (low, high) = around(*value, self.alike);
                        self.last = (low, high, found);
                    }
                    *code = self.last.2;
                });
            }
            Held::Values(values) => page.rows_with_values().enumerate().for_each(|(at, row)| codes[row] = self.code(values, at)),
        }
        if let Some(present) = &page.present {
            page.rows.clone().zip(present).filter(|(_, present)| !**present).for_each(|(row, _)| codes[row] = 0);
        }
    }

    fn code(&mut self, values: &Values, at: usize) -> u32 {
        for place in self.tabled..self.known.len() {
            let hash = self.hash(place);
            let (hasher, known, alike) = (&self.hasher, &self.known, self.alike);
            self.table.insert_unique(hash, place as u32, |place| hash_of(hasher, known, alike, *place as usize));
        }
        let key = key(values, at, self.alike);
        let hash = match values {
            Values::Texts(texts) => self.hasher.hash_one(texts.get(at)),
            _ => self.hasher.hash_one(key),
        };
        let known = &self.known;
        let same = |place: &u32| match values {
            Values::Texts(texts) => known.text(*place as usize) == texts.get(at),
            _ => known_key(known, *place as usize, self.alike) == key,
        };
        if let Some(place) = self.table.find(hash, same) {
            return place + 1;
        }
        self.known.push(values, at);
        let (hasher, known, alike) = (&self.hasher, &self.known, self.alike);
        self.table.insert_unique(hash, known.len() as u32 - 1, |place| hash_of(hasher, known, alike, *place as usize));
        self.tabled = known.len();
        self.tabled as u32
    }

    fn hash(&self, place: usize) -> u64 {
        hash_of(&self.hasher, &self.known, self.alike, place)
    }
}

fn hash_of(hasher: &RandomState, known: &Known, alike: Alike, place: usize) -> u64 {
    if known.ends.is_empty() { hasher.hash_one(known_key(known, place, alike)) } else { hasher.hash_one(known.text(place)) }
}

fn known_key(known: &Known, place: usize, alike: Alike) -> u64 {
    match known.integers.get(place) {
        Some(value) => of_integer(*value, alike),
        None => of_float(known.floats[place], alike),
    }
}

fn key(values: &Values, at: usize, alike: Alike) -> u64 {
    match values {
        Values::Integers(values) => of_integer(values[at], alike),
        Values::Floats(values) => of_float(values[at], alike),
        Values::Texts(_) => 0,
    }
}

fn of_integer(value: i64, alike: Alike) -> u64 {
    match alike {
        Alike::Every(width) if width > 0 => value.div_euclid(width) as u64,
        _ => value as u64,
    }
}

/// The integers that are alike to one.
fn around(value: i64, alike: Alike) -> (i64, i64) {
    match alike {
        Alike::Every(width) if width > 0 => {
            let low = value.saturating_sub(value.rem_euclid(width));
            (low, low.saturating_add(width - 1))
        }
        _ => (value, value),
    }
}

fn of_float(value: f64, alike: Alike) -> u64 {
    match alike {
        Alike::Floor(width) => (value / width).floor().to_bits(),
        Alike::About if value.is_finite() => value.to_bits() >> ABOUT_BITS,
        _ => value.to_bits(),
    }
}
