//! A column of a row group as codes: rows of one code count as one. What makes rows count alike is the value, or a coarser thing.

use ahash::RandomState;
use hashbrown::HashTable;

use super::exact::Exact;
use super::pages::{Chunk, Held, Page, Values, unknown};
use crate::fragment::Result;
use crate::search::fragment::Fragment;
use crate::search::watch::Watch;

/// What makes two values of a column count as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alike {
    Equal,
    /// Integers: the same whole number of these since 0.
    Every(i64),
    /// Floats: they differ by less than a part in a thousand.
    About,
}

/// Bits of a float that tell sign, power of two and its 1024th part.
const ABOUT_BITS: u32 = 52 - 10;

/// Keys that are looked up without hashing.
const NEAR: usize = 1 << 16;

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
    let mut coder = Coder { alike, hasher: RandomState::with_seeds(1, 2, 3, 4), known: Known::default(), table: HashTable::new(), keys: Vec::new(), near: Vec::new(), base: 0, last: (1, 0, 0) };
    if let (Alike::Equal, Some(values)) = (alike, &chunk.dictionary) {
        (0..values.len()).for_each(|at| coder.known.push(values, at)); // all different
    }
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
        if watch.stop(coder.keys.len(), page.rows.end) {
            return Ok(None);
        }
    }
    Ok(Some(Coded { codes, only: only.unwrap_or(0), values: coder.known }))
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

struct Coder {
    alike: Alike,
    hasher: RandomState,
    known: Known,
    table: HashTable<u32>,
    /// Of each of `known` that is in the table, which are all that came first, what makes it alike to others; of texts 0.
    keys: Vec<u64>,
    /// Codes by the key less `base`, 0 where there is none yet: a short way for keys that lie together.
    near: Vec<u32>,
    base: u64,
    /// The last integers that had one code, both bounds included, and that code.
    last: (i64, i64, u32),
}

impl Coder {
    fn page(&mut self, page: &Page, codes: &mut [u32]) {
        if let Some(present) = &page.present {
            codes[page.rows.clone()].iter_mut().zip(present).filter(|(_, present)| !**present).for_each(|(code, _)| *code = 0);
        }
        match &page.held {
            Held::Nothing => {}
            Held::Code(code) => page.rows_with_values().for_each(|row| codes[row] = code + 1),
            Held::Codes(held) if page.present.is_none() => codes[page.rows.clone()].iter_mut().zip(held).for_each(|(code, at)| *code = at.wrapping_add(1)),
            Held::Codes(held) => page.rows_with_values().zip(held).for_each(|(row, at)| codes[row] = at + 1),
            Held::Values(values) => page.rows_with_values().enumerate().for_each(|(at, row)| codes[row] = self.code(values, at)),
        }
    }

    /// As `page`, of the wanted rows only: of values that are alike the first one met stands for all, and it must be one that passed.
    fn coarse(&mut self, page: &Page, dictionary: Option<&Values>, wanted: &[bool], codes: &mut [u32]) -> Result<()> {
        if let (Held::Values(held @ Values::Integers(values)), None) = (&page.held, &page.present) {
            self.times(held, values, &wanted[page.rows.clone()], &mut codes[page.rows.clone()]);
            return Ok(());
        }
        for (at, row) in page.rows_with_values().enumerate().filter(|(_, row)| wanted[*row]) {
            let dictionary = || dictionary.ok_or_else(unknown);
            codes[row] = match &page.held {
                Held::Nothing => 0,
                Held::Code(code) => self.code(dictionary()?, *code as usize),
                Held::Codes(held) => self.code(dictionary()?, held[at] as usize),
                Held::Values(values) => self.code(values, at),
            };
        }
        Ok(())
    }

    /// Times come in order: the next is mostly alike to the last.
    fn times(&mut self, held: &Values, values: &[i64], wanted: &[bool], codes: &mut [u32]) {
        for (at, ((value, wanted), code)) in values.iter().zip(wanted).zip(codes).enumerate() {
            if !*wanted {
                continue;
            }
            if *value < self.last.0 || self.last.1 < *value {
                let (low, high) = around(*value, self.alike);
                self.last = (low, high, self.code(held, at));
            }
            *code = self.last.2;
        }
    }

    fn code(&mut self, values: &Values, at: usize) -> u32 {
        match values {
            Values::Texts(texts) => self.of_text(texts.get(at)),
            Values::Integers(integers) => self.of_key(integer_key(integers[at], self.alike), values, at),
            Values::Floats(floats) => self.of_key(float_key(floats[at], self.alike), values, at),
        }
    }

    fn of_key(&mut self, key: u64, values: &Values, at: usize) -> u32 {
        let place = key.wrapping_sub(self.base) as usize;
        if let Some(code) = self.near.get(place).filter(|code| **code != 0) {
            return *code;
        }
        self.enter_dictionary();
        let hash = self.hasher.hash_one(key);
        let code = match self.table.find(hash, |place| self.keys[*place as usize] == key) {
            Some(place) => place + 1,
            None => {
                self.known.push(values, at);
                if let (Alike::About, Some(value)) = (self.alike, self.known.floats.last_mut()) {
                    *value = about(*value);
                }
                self.keys.push(key);
                let (hasher, keys) = (&self.hasher, &self.keys);
                self.table.insert_unique(hash, keys.len() as u32 - 1, |place| hasher.hash_one(keys[*place as usize]));
                keys.len() as u32
            }
        };
        self.note_near(key, code);
        code
    }

    fn note_near(&mut self, key: u64, code: u32) {
        if self.near.is_empty() && self.alike != Alike::Equal {
            (self.near, self.base) = (vec![0; NEAR], key.wrapping_sub(NEAR as u64 / 2));
        }
        if let Some(near) = self.near.get_mut(key.wrapping_sub(self.base) as usize) {
            *near = code;
        }
    }

    fn of_text(&mut self, text: &[u8]) -> u32 {
        self.enter_dictionary();
        let hash = self.hasher.hash_one(text);
        if let Some(place) = self.table.find(hash, |place| self.known.text(*place as usize) == text) {
            return place + 1;
        }
        self.known.texts.extend_from_slice(text);
        self.known.ends.push(self.known.texts.len());
        self.keys.push(0);
        let (hasher, known) = (&self.hasher, &self.known);
        self.table.insert_unique(hash, known.len() as u32 - 1, |place| hasher.hash_one(known.text(*place as usize)));
        known.len() as u32
    }

    /// Values of the dictionary come into the table when one that is in none is met.
    fn enter_dictionary(&mut self) {
        for place in self.keys.len()..self.known.len() {
            let key = match (self.known.integers.get(place), self.known.floats.get(place)) {
                (Some(value), _) => integer_key(*value, self.alike),
                (_, Some(value)) => float_key(*value, self.alike),
                _ => 0,
            };
            self.keys.push(key);
            let hash = hash_of(&self.hasher, &self.known, &self.keys, place);
            let (hasher, known, keys) = (&self.hasher, &self.known, &self.keys);
            self.table.insert_unique(hash, place as u32, |place| hash_of(hasher, known, keys, *place as usize));
        }
    }
}

fn hash_of(hasher: &RandomState, known: &Known, keys: &[u64], place: usize) -> u64 {
    if known.ends.is_empty() { hasher.hash_one(keys[place]) } else { hasher.hash_one(known.text(place)) }
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

fn integer_key(value: i64, alike: Alike) -> u64 {
    match alike {
        Alike::Every(width) if width > 0 => value.div_euclid(width) as u64,
        _ => value as u64,
    }
}

fn float_key(value: f64, alike: Alike) -> u64 {
    match alike {
        Alike::About if value.is_finite() => value.to_bits() >> ABOUT_BITS,
        _ => value.to_bits(),
    }
}

/// The one float that stands for all that are about the same.
fn about(value: f64) -> f64 {
    match value.is_finite() {
        true => f64::from_bits((value.to_bits() >> ABOUT_BITS << 1 | 1) << (ABOUT_BITS - 1)),
        false => value,
    }
}
