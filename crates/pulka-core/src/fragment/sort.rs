//! Row order: a sort schema as integers to sort many rows at once, and as keys to compare two rows of different batches.
//!
//! Both give the same order: columns in turn, nulls last whatever the direction, floats in their total order, text by
//! bytes; a column that is missing counts as all null.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use hashbrown::HashTable;

use crate::batch::TIMESTAMP;

/// One column of a sort schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortColumn {
    pub name: String,
    pub descending: bool,
}

impl SortColumn {
    /// `name`, or `-name` for descending.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('-') {
            Some(name) => SortColumn { name: name.to_string(), descending: true },
            None => SortColumn { name: text.to_string(), descending: false },
        }
    }

    pub fn text(&self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.name)
    }
}

/// The columns whose values make a series: all but a last timestamp.
pub fn leading(sort: &[SortColumn]) -> &[SortColumn] {
    match sort {
        [leading @ .., last] if last.name == TIMESTAMP => leading,
        all => all,
    }
}

/// The rows of `batch` in order, equal ones as they arrived; None when they are in order already.
pub fn order(batch: &RecordBatch, sort: &[SortColumn]) -> Option<UInt32Array> {
    let columns = sort.iter().filter_map(|by| Codes::of(batch.column_by_name(&by.name)?, by.descending));
    let codes = columns.reduce(Codes::then)?;
    if codes.values.is_sorted() {
        return None;
    }
    Some(codes.order().into())
}

/// A column as integers of `bits` bits that sort as its rows do.
struct Codes {
    values: Vec<u64>,
    bits: u32,
}

impl Codes {
    fn of(array: &ArrayRef, descending: bool) -> Option<Codes> {
        let rows = Rows { count: array.len(), nulls: array.nulls(), descending };
        if let Some(array) = array.as_string_opt::<i32>() {
            return Some(rows.text(array));
        }
        if let Some(array) = array.as_boolean_opt() {
            return Some(rows.integers(|row| u64::from(array.value(row))));
        }
        match Key::of(Some(array)) {
            Key::Int(values, _) => Some(rows.integers(|row| ordered_int(values[row]))),
            Key::Float(values, _) => Some(rows.integers(|row| ordered_float(values[row]))),
            _ => None,
        }
    }

    /// Sort by `self`, then by `next`.
    fn then(self, next: Codes) -> Codes {
        let (mut first, mut next) = (self, next);
        if first.bits + next.bits > 64 {
            first = first.dense();
        }
        if first.bits + next.bits > 64 {
            next = next.dense(); // below 2^32 rows, two dense ranks fit
        }
        let bits = next.bits;
        if first.bits == 0 {
            return next;
        }
        first.values.iter_mut().zip(next.values).for_each(|(value, next)| *value = *value << bits | next);
        Codes { values: first.values, bits: first.bits + bits }
    }

    /// The same order in the fewest bits.
    fn dense(self) -> Codes {
        let mut distinct = self.values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let values = self.values.iter().map(|value| distinct.partition_point(|other| other < value) as u64).collect();
        Codes { values, bits: bits_of(distinct.len() as u64) }
    }

    fn order(self) -> Vec<u32> {
        let row_bits = bits_of(self.values.len() as u64);
        if self.bits + row_bits > 64 {
            let mut keys: Vec<(u64, u32)> = self.values.into_iter().zip(0..).collect();
            keys.sort_unstable();
            return keys.into_iter().map(|(_, row)| row).collect();
        }
        let mut keys: Vec<u64> = self.values.iter().zip(0u64..).map(|(value, row)| value << row_bits | row).collect();
        keys.sort_unstable();
        let mask = (1 << row_bits) - 1;
        keys.into_iter().map(|key| (key & mask) as u32).collect()
    }
}

/// Bits that hold 0 to `largest`.
fn bits_of(largest: u64) -> u32 {
    u64::BITS - largest.leading_zeros()
}

/// Unsigned, in the order of the signed.
pub fn ordered_int(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

/// In the order of `f64::total_cmp`.
fn ordered_float(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

struct Rows<'a> {
    count: usize,
    nulls: Option<&'a NullBuffer>,
    descending: bool,
}

impl Rows<'_> {
    fn is_valid(&self, row: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(row))
    }

    fn integers(&self, value: impl Fn(usize) -> u64) -> Codes {
        let valid = || (0..self.count).filter(|row| self.is_valid(*row)).map(&value);
        let (low, high) = valid().fold((u64::MAX, 0), |(low, high), value| (low.min(value), high.max(value)));
        let span = high.saturating_sub(low);
        if span > u64::MAX >> 1 {
            return self.ranked(valid().collect(), value);
        }
        self.codes(span + 1, |row| value(row) - low)
    }

    /// Values too far apart to leave room for the null: their ranks.
    fn ranked(&self, mut distinct: Vec<u64>, value: impl Fn(usize) -> u64) -> Codes {
        distinct.sort_unstable();
        distinct.dedup();
        self.codes(distinct.len() as u64, |row| distinct.partition_point(|other| *other < value(row)) as u64)
    }

    fn text(&self, array: &StringArray) -> Codes {
        let (ids, distinct) = self.distinct(array);
        let mut sorted: Vec<usize> = (0..distinct.len()).collect();
        sorted.sort_unstable_by_key(|id| distinct[*id]);
        let mut ranks = vec![0; distinct.len()];
        sorted.iter().zip(0..).for_each(|(id, rank)| ranks[*id] = rank);
        self.codes(distinct.len() as u64, |row| ranks[ids[row] as usize])
    }

    /// The distinct values, and per row which one it has (anything for nulls).
    fn distinct<'a>(&self, array: &'a StringArray) -> (Vec<u32>, Vec<&'a str>) {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let (mut ids, mut distinct): (Vec<u32>, Vec<&str>) = (Vec::with_capacity(self.count), Vec::new());
        let mut table: HashTable<u32> = HashTable::new();
        let mut last = (None, 0);
        for value in array {
            if let Some(text) = value
                && last.0 != Some(text)
            {
                let same = |id: &u32| distinct[*id as usize] == text;
                let hash = hasher.hash_one(text);
                let id = match table.find(hash, same) {
                    Some(id) => *id,
                    None => {
                        distinct.push(text);
                        let id = (distinct.len() - 1) as u32;
                        table.insert_unique(hash, id, |id| hasher.hash_one(distinct[*id as usize]));
                        id
                    }
                };
                last = (Some(text), id);
            }
            ids.push(last.1);
        }
        (ids, distinct)
    }

    /// Codes of the valid rows below `limit`, turned around when descending; `limit` itself is null.
    fn codes(&self, limit: u64, code: impl Fn(usize) -> u64) -> Codes {
        let of_row = |row| match (self.is_valid(row), self.descending) {
            (false, _) => limit,
            (true, false) => code(row),
            (true, true) => limit - 1 - code(row),
        };
        Codes { values: (0..self.count).map(of_row).collect(), bits: bits_of(limit) }
    }
}

/// The sort columns of one batch, to compare its rows with those of another batch of the same schema.
#[derive(Default)]
pub struct Keys {
    columns: Vec<(Key, bool)>,
}

enum Key {
    Int(ScalarBuffer<i64>, Option<NullBuffer>),
    Float(ScalarBuffer<f64>, Option<NullBuffer>),
    Bool(BooleanArray),
    Text(StringArray),
    Missing,
}

impl Key {
    fn of(array: Option<&ArrayRef>) -> Key {
        let Some(array) = array else { return Key::Missing };
        let nulls = array.nulls().cloned();
        if let Some(array) = array.as_primitive_opt::<Int64Type>() {
            Key::Int(array.values().clone(), nulls)
        } else if let Some(array) = array.as_primitive_opt::<TimestampNanosecondType>() {
            Key::Int(array.values().clone(), nulls)
        } else if let Some(array) = array.as_primitive_opt::<Float64Type>() {
            Key::Float(array.values().clone(), nulls)
        } else if let Some(array) = array.as_boolean_opt() {
            Key::Bool(array.clone())
        } else if let Some(array) = array.as_string_opt::<i32>() {
            Key::Text(array.clone())
        } else {
            Key::Missing
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Key::Int(_, nulls) | Key::Float(_, nulls) => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
            Key::Bool(array) => array.is_null(row),
            Key::Text(array) => array.is_null(row),
            Key::Missing => true,
        }
    }

    fn compare(&self, row: usize, other: &Key, other_row: usize, descending: bool) -> Ordering {
        match (self.is_null(row), other.is_null(other_row)) {
            (false, false) => {}
            (null, other_null) => return null.cmp(&other_null),
        }
        let ordering = match (self, other) {
            (Key::Int(values, _), Key::Int(others, _)) => values[row].cmp(&others[other_row]),
            (Key::Float(values, _), Key::Float(others, _)) => values[row].total_cmp(&others[other_row]),
            (Key::Bool(array), Key::Bool(others)) => array.value(row).cmp(&others.value(other_row)),
            (Key::Text(array), Key::Text(others)) => array.value(row).cmp(others.value(other_row)),
            _ => Ordering::Equal,
        };
        if descending { ordering.reverse() } else { ordering }
    }
}

impl Keys {
    pub fn of(batch: &RecordBatch, sort: &[SortColumn]) -> Keys {
        let columns = sort.iter().map(|by| (Key::of(batch.column_by_name(&by.name)), by.descending));
        Keys { columns: columns.collect() }
    }

    pub fn compare(&self, row: usize, other: &Keys, other_row: usize) -> Ordering {
        let pairs = self.columns.iter().zip(&other.columns);
        let mut orderings = pairs.map(|((key, descending), (other, _))| key.compare(row, other, other_row, *descending));
        orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}
