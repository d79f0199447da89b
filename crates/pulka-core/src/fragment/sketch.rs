//! What a text column of a fragment holds, gathered while its values pass by: all values while they are few and short;
//! from then on an automaton (of sort columns) and word filters.

use std::ops::Range;

use arrow_array::{Array, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::automaton::{self, Automaton};
use super::word_filter::{Gatherer, WordFilter};
use crate::text::words;

/// Values listed one by one, and the bytes of each.
const VALUES_MAX: usize = 16;
const VALUE_BYTES_MAX: usize = 64;
/// Blocks of the filter of a whole fragment, which the catalog keeps: 16 KiB.
const FRAGMENT_BLOCKS_MAX: usize = 2048;
/// Least bits per word; the next power of two is taken. In a stretch up to 8 % of the words that are not there seem to be, at
/// twice the bits 1 %; in a fragment, where a wrong answer costs more, 4 %.
const STRETCH_WORD_BITS: f64 = 5.8;
const FRAGMENT_WORD_BITS: f64 = 8.0;
/// A filter with a larger share of false positives is left out.
const FALSE_POSITIVES_MAX: f64 = 0.3;
/// Values compared with to leave repetitions out.
const SLOTS: usize = 512;
/// Values after which this is given up when fewer than one in [`REPEATED_MIN`] comes again.
const TRIED: usize = 256;
const REPEATED_MIN: usize = 8;

/// An automaton as a footer has it: `regex` for any reader, `states` (packed, base64) for ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomatonDescription {
    pub regex: String,
    pub exact: bool,
    pub states: String,
}

impl AutomatonDescription {
    fn of(automaton: &Automaton) -> Self {
        AutomatonDescription { regex: automaton.regex(), exact: automaton.is_exact(), states: base64(&automaton.to_bytes()) }
    }
}

/// One text column.
pub struct TextSketch {
    /// None when there were too many, or one too long.
    values: Option<Vec<String>>,
    /// Stretches of rows that had none but `values`.
    plain_stretches: usize,
    automaton: Option<automaton::Builder>,
    words: Words,
}

impl TextSketch {
    pub fn new(with_automaton: bool) -> TextSketch {
        let automaton = with_automaton.then(|| automaton::Builder::new(automaton::TRANSITIONS_MAX));
        TextSketch { values: Some(Vec::new()), plain_stretches: 0, automaton, words: Words::new() }
    }

    pub fn add(&mut self, value: &str) {
        let Some(values) = &mut self.values else { return self.gather(value) };
        if values.iter().any(|known| known == value) {
            return;
        }
        if values.len() < VALUES_MAX && value.len() <= VALUE_BYTES_MAX {
            return values.push(value.to_string());
        }
        self.give_up_values();
        self.gather(value);
    }

    fn give_up_values(&mut self) {
        let values = self.values.take().unwrap_or_default();
        for _ in 0..self.plain_stretches {
            values.iter().for_each(|value| self.words.add(value));
            self.words.end_stretch();
        }
        values.iter().for_each(|value| self.gather(value));
    }

    fn gather(&mut self, value: &str) {
        if let Some(automaton) = &mut self.automaton {
            automaton.add(value);
        }
        self.words.add(value);
    }

    /// What comes next is in another stretch of rows.
    pub fn end_stretch(&mut self) {
        match self.values {
            Some(_) => self.plain_stretches += 1,
            None => self.words.end_stretch(),
        }
    }

    /// All values in order, if they are few.
    pub fn values(&self) -> Option<Vec<String>> {
        let mut values = self.values.clone()?;
        values.sort_unstable();
        Some(values)
    }

    pub fn automaton(&mut self) -> Option<AutomatonDescription> {
        let automaton = self.automaton.take().filter(|_| self.values.is_none())?.finish()?;
        Some(AutomatonDescription::of(&automaton))
    }

    /// The word filter of the fragment, if it is of use beside the other means.
    pub fn words(&self) -> Option<Vec<u8>> {
        self.values.is_none().then(|| self.words.fragment())?
    }

    /// Bytes of the filters that are held.
    pub fn words_bytes(&self) -> usize {
        self.words.bytes
    }

    /// Hold at most half of that.
    pub fn halve_words(&mut self) {
        self.words.halve();
    }

    /// The word filters of the stretches of rows; an empty one has all words.
    pub fn stretch_words(&self) -> &[Vec<u8>] {
        if self.values.is_none() { &self.words.stretches } else { &[] }
    }
}

struct Words {
    gatherer: Gatherer,
    fragment: WordFilter,
    stretches: Vec<Vec<u8>>,
    /// Of `stretches`.
    bytes: usize,
}

impl Words {
    fn new() -> Words {
        Words { gatherer: Gatherer::default(), fragment: WordFilter::new(1), stretches: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, value: &str) {
        words::hashes(value, |hash| self.gatherer.add(hash));
    }

    fn end_stretch(&mut self) {
        if self.stretches.is_empty() {
            self.fragment = WordFilter::new(FRAGMENT_BLOCKS_MAX);
        }
        let filter = self.gatherer.take(&mut self.fragment);
        let stored = stored(&filter, STRETCH_WORD_BITS).unwrap_or_default();
        self.bytes += stored.len();
        self.stretches.push(stored);
    }

    fn halve(&mut self) {
        self.stretches.iter_mut().for_each(|filter| *filter = halved(filter).unwrap_or_default());
        self.bytes = self.stretches.iter().map(Vec::len).sum();
    }

    fn fragment(&self) -> Option<Vec<u8>> {
        stored(&self.fragment, FRAGMENT_WORD_BITS)
    }
}

/// As a file has it, if it is of use.
fn stored(filter: &WordFilter, word_bits: f64) -> Option<Vec<u8>> {
    let filter = filter.folded(word_bits);
    (filter.false_positives() <= FALSE_POSITIVES_MAX).then(|| filter.to_bytes())
}

/// Stored filters made to fit into `bytes_max` together, by halving them; None when they are of no use then.
pub fn fitted(mut filters: Vec<Vec<u8>>, bytes_max: usize) -> Option<Vec<Vec<u8>>> {
    while filters.iter().map(Vec::len).sum::<usize>() > bytes_max {
        filters.iter_mut().for_each(|filter| *filter = halved(filter).unwrap_or_default());
    }
    filters.iter().any(|filter| !filter.is_empty()).then_some(filters)
}

fn halved(stored: &[u8]) -> Option<Vec<u8>> {
    let filter = WordFilter::from_bytes(stored).filter(|_| stored.len() > 8)?;
    let mut half = WordFilter::new(stored.len() / 16);
    half.add_all(&filter);
    (half.false_positives() <= FALSE_POSITIVES_MAX).then(|| half.to_bytes())
}

/// The values of some rows, most repetitions left out: what is equal to the last value in its slot comes again.
pub fn unrepeated(texts: &StringArray, rows: Range<usize>) -> impl Iterator<Item = &str> {
    let mut slots = [None; SLOTS];
    let (mut tried, mut repeated) = (0, 0);
    let values = rows.filter(|row| texts.is_valid(*row)).map(|row| texts.value(row));
    values.filter(move |text| {
        if tried >= TRIED && repeated * REPEATED_MIN < tried {
            return true;
        }
        let is_new = slots[slot(text.as_bytes())].replace(*text) != Some(*text);
        (tried, repeated) = (tried + 1, repeated + usize::from(!is_new));
        is_new
    })
}

/// By the length and by eight bytes of both ends.
fn slot(text: &[u8]) -> usize {
    let eight = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let ends = match text.len() {
        0..8 => text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        _ => eight(text.first_chunk()) ^ eight(text.last_chunk()).rotate_left(29),
    };
    ((ends ^ text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % SLOTS
}

/// Bytes as they stand in JSON.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Inverse of [`base64`]; broken text gives no bytes, which deny nothing.
pub fn from_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}
