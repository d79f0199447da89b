//! Gives values their codes: the same to those that are alike.

use ahash::RandomState;
use hashbrown::HashTable;

use super::alike::{Alike, about, around, float_key, integer_key};
use super::codes::Known;
use super::pages::{Held, Page, Values, unknown};
use crate::fragment::Result;

/// Keys that are looked up without hashing.
const NEAR: usize = 1 << 16;

pub struct Coder {
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
    /// With the values of a dictionary, which are all different: their codes are their places in it.
    pub fn new(alike: Alike, dictionary: Option<&Values>) -> Coder {
        let mut known = Known::default();
        if let Some(values) = dictionary {
            (0..values.len()).for_each(|at| known.push(values, at));
        }
        Coder { alike, hasher: RandomState::with_seeds(1, 2, 3, 4), known, table: HashTable::new(), keys: Vec::new(), near: Vec::new(), base: 0, last: (1, 0, 0) }
    }

    /// How many values are told apart by looking at them.
    pub fn met(&self) -> usize {
        self.keys.len()
    }

    pub fn known(self) -> Known {
        self.known
    }

    pub fn page(&mut self, page: &Page, codes: &mut [u32]) {
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
    pub fn coarse(&mut self, page: &Page, dictionary: Option<&Values>, wanted: &[bool], codes: &mut [u32]) -> Result<()> {
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
