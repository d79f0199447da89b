//! What pruning may know of a fragment: its description, gathered while the rows pass by.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::row_group_words::STRETCH_ROWS;
use super::sketch::{AutomatonDescription, TextSketch, base64, fitted, unrepeated};
use super::{FragmentOptions, Result, invalid};
use crate::batch::{Column, FieldType, RESIDUAL, TIMESTAMP, residual};

/// Word filters of a fragment while it is written.
const WORDS_BYTES_MAX: usize = 16 << 20;
/// Columns whose words are wanted most come first when there is no room for all.
const MESSAGE: &str = "message";
/// Longest text kept as a minimum or maximum, bytes.
pub const TEXT_BYTES_MAX: usize = 64;

/// One fragment, as the catalog keeps it and the footer repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Bytes of the values: 8 per number and time, 1 per boolean, the length of every text, nothing for nulls.
    pub raw_bytes: u64,
    pub min_ns: i64,
    pub max_ns: i64,
    pub columns: Vec<ColumnDescription>,
    pub residual: BTreeMap<String, Vec<FieldTypeName>>,
}

pub type FieldTypeName = String;

/// One physical column; `min` and `max` are null when unknown (no values, a NaN among them, an infinite bound).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDescription {
    pub name: String,
    pub path: String,
    #[serde(rename = "type")]
    pub kind: FieldTypeName,
    pub nulls: u64,
    pub min: Value,
    pub max: Value,
    /// All values of a text column that has few, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// What texts a sort column may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automaton: Option<AutomatonDescription>,
    /// A word filter in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl ColumnDescription {
    /// None when the type is not one of ours.
    pub fn column(&self) -> Option<Column> {
        Some(Column { path: self.path.clone(), kind: FieldType::parse(&self.kind)? })
    }

    /// Without what prunes text: a later release may gather that in another way.
    pub fn numbers(&self) -> ColumnDescription {
        ColumnDescription { values: None, automaton: None, words: None, ..self.clone() }
    }
}

/// Gathers a [`Description`] from arrays of one schema, whole batches or column by column.
pub struct Stats {
    rows: u64,
    raw_bytes: u64,
    /// None is the residual.
    columns: Vec<Option<ColumnStats>>,
    residual: BTreeMap<String, BTreeSet<FieldType>>,
}

impl Stats {
    /// With what prunes text columns too; `inspect` needs only the numbers and says so by no options.
    pub fn new(schema: &Schema, options: Option<&FragmentOptions>) -> Result<Stats> {
        let columns = schema.fields().iter().map(|field| match Column::of(field) {
            _ if field.name() == RESIDUAL => Ok(None),
            Some(column) => Ok(Some(ColumnStats::new(field.name(), column, options))),
            None => invalid(format!("column {} has a type that no event batch has; cast it first", field.name())),
        });
        Ok(Stats { rows: 0, raw_bytes: 0, columns: columns.collect::<Result<_>>()?, residual: BTreeMap::new() })
    }

    pub fn add(&mut self, batch: &RecordBatch) {
        self.add_rows(batch.num_rows());
        batch.columns().iter().enumerate().for_each(|(index, array)| self.add_values(index, array));
    }

    pub fn add_rows(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Values of the column `index`; the rows are counted by [`Stats::add_rows`].
    pub fn add_values(&mut self, index: usize, array: &ArrayRef) {
        self.raw_bytes += value_bytes(array);
        match (&mut self.columns[index], array.as_string_opt::<i32>()) {
            (Some(column), _) => column.add(array),
            (None, Some(objects)) => self.add_residual(objects),
            (None, None) => {}
        }
    }

    fn add_residual(&mut self, objects: &StringArray) {
        for (path, kinds) in residual::fields(objects) {
            self.residual.entry(path).or_default().extend(kinds);
        }
    }

    /// The next values of the column `index` are in another row group.
    pub fn end_group(&mut self, index: usize) {
        self.columns[index].iter_mut().for_each(ColumnStats::end_group);
        self.bound_words();
    }

    /// Word filters are held until the pages are written; those that take most give way.
    fn bound_words(&mut self) {
        let mut texts: Vec<&mut TextSketch> = self.columns.iter_mut().flatten().filter_map(|column| column.text.as_mut()).collect();
        let mut bytes: usize = texts.iter().map(|text| text.words_bytes()).sum();
        while bytes > WORDS_BYTES_MAX
            && let Some(largest) = texts.iter_mut().max_by_key(|text| text.words_bytes())
        {
            bytes -= largest.words_bytes();
            largest.halve_words();
            bytes += largest.words_bytes();
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// By column, the word filters of the stretches of rows, in at most `bytes_max`; an empty one knows nothing.
    pub fn stretch_words(&self, bytes_max: usize) -> BTreeMap<&str, Vec<Vec<u8>>> {
        let filters = self.columns.iter().flatten().map(|column| (column, column.stretch_words().to_vec()));
        fitting(filters.collect(), bytes_max)
    }

    /// The description of a file of `bytes`, with word filters of at most `words_bytes_max`.
    pub fn describe(&mut self, bytes: u64, words_bytes_max: usize) -> Description {
        let (min_ns, max_ns) = self.columns.iter().flatten().find_map(ColumnStats::times).unwrap_or_default();
        let names = |kinds: &BTreeSet<FieldType>| kinds.iter().map(|kind| kind.name().to_string()).collect();
        let texts = self.words(words_bytes_max).into_iter().map(|(name, words)| (name.to_string(), base64(&words.concat())));
        let mut words: BTreeMap<String, String> = texts.collect();
        let mut columns: Vec<ColumnDescription> = self.columns.iter_mut().flatten().map(ColumnStats::describe).collect();
        columns.iter_mut().for_each(|column| column.words = words.remove(&column.name));
        Description {
            rows: self.rows,
            bytes,
            raw_bytes: self.raw_bytes,
            min_ns,
            max_ns,
            columns,
            residual: self.residual.iter().map(|(path, kinds)| (path.clone(), names(kinds))).collect(),
        }
    }

    fn words(&self, bytes_max: usize) -> BTreeMap<&str, Vec<Vec<u8>>> {
        let filters = self.columns.iter().flatten().filter_map(|column| Some((column, vec![column.text.as_ref()?.words()?])));
        fitting(filters.collect(), bytes_max)
    }
}

/// What fits into `bytes_max` together: the message first, then the smallest.
fn fitting(mut filters: Vec<(&ColumnStats, Vec<Vec<u8>>)>, bytes_max: usize) -> BTreeMap<&str, Vec<Vec<u8>>> {
    let size = |filters: &[Vec<u8>]| filters.iter().map(Vec::len).sum::<usize>();
    filters.sort_by_key(|(column, filters)| (column.column.path != MESSAGE, size(filters)));
    let (mut room, mut found) = (bytes_max, BTreeMap::new());
    for (column, filters) in filters {
        if let Some(filters) = fitted(filters, room) {
            room -= size(&filters);
            found.insert(column.name.as_str(), filters);
        }
    }
    found
}

/// Bytes of the values, as [`Description::raw_bytes`] counts them.
fn value_bytes(array: &ArrayRef) -> u64 {
    let valid = (array.len() - array.null_count()) as u64;
    match array.as_string_opt::<i32>() {
        Some(texts) if texts.null_count() == 0 => text_span(texts),
        Some(texts) => texts.iter().flatten().map(|text| text.len() as u64).sum(),
        None if array.as_boolean_opt().is_some() => valid,
        None => 8 * valid,
    }
}

fn text_span(texts: &StringArray) -> u64 {
    let offsets = texts.value_offsets();
    (offsets[texts.len()] - offsets[0]) as u64
}

/// What is known of one column; takes its arrays in the order of the rows.
struct ColumnStats {
    name: String,
    column: Column,
    nulls: u64,
    range: Range,
    text: Option<TextSketch>,
    /// Rows since the last stretch ended.
    stretch_rows: usize,
    /// Whether Parquet's own Bloom filters tell its row groups apart.
    has_bloom: bool,
}

/// Least and greatest value so far.
#[derive(Clone, Debug, PartialEq)]
enum Range {
    Empty,
    /// A NaN was seen: no range holds it.
    Unknown,
    Int(i64, i64),
    Float(f64, f64),
    Bool(bool, bool),
    Text(String, String),
}

impl ColumnStats {
    fn new(name: &str, column: Column, options: Option<&FragmentOptions>) -> ColumnStats {
        let is_sorted_by = |options: &FragmentOptions| options.sort.iter().any(|by| by.name == name);
        let text = options.filter(|_| column.kind == FieldType::Str).map(|options| TextSketch::new(is_sorted_by(options)));
        let has_bloom = options.is_some_and(|options| options.bloom.iter().any(|other| other == name));
        ColumnStats { name: name.to_string(), column, nulls: 0, range: Range::Empty, text, stretch_rows: 0, has_bloom }
    }

    fn add(&mut self, array: &ArrayRef) {
        self.nulls += array.null_count() as u64;
        let range = match array.as_string_opt() {
            Some(texts) => self.add_texts(texts),
            None => Range::of(array),
        };
        self.range = std::mem::replace(&mut self.range, Range::Empty).union(range);
    }

    fn add_texts(&mut self, texts: &StringArray) -> Range {
        let (mut span, mut row) = (None, 0);
        while row < texts.len() {
            let end = texts.len().min(row + STRETCH_ROWS - self.stretch_rows);
            for value in unrepeated(texts, row..end) {
                let (min, max) = span.get_or_insert((value, value));
                (*min, *max) = (value.min(min), value.max(max));
                self.text.iter_mut().for_each(|text| text.add(value));
            }
            self.pass_rows(end - row);
            row = end;
        }
        span.map_or(Range::Empty, |(min, max)| Range::Text(min.into(), max.into()))
    }

    fn pass_rows(&mut self, rows: usize) {
        self.stretch_rows += rows;
        if self.stretch_rows == STRETCH_ROWS {
            self.end_group();
        }
    }

    /// Stretches begin anew in each row group.
    fn end_group(&mut self) {
        if std::mem::take(&mut self.stretch_rows) > 0 {
            self.text.iter_mut().for_each(TextSketch::end_stretch);
        }
    }

    fn stretch_words(&self) -> &[Vec<u8>] {
        self.text.as_ref().filter(|_| !self.has_bloom).map_or(&[], TextSketch::stretch_words)
    }

    fn times(&self) -> Option<(i64, i64)> {
        match self.range {
            Range::Int(min, max) if self.column.path == TIMESTAMP && self.column.kind == FieldType::Timestamp => {
                Some((min, max))
            }
            _ => None,
        }
    }

    /// Without its words.
    fn describe(&mut self) -> ColumnDescription {
        let (min, max) = self.range.bounds();
        ColumnDescription {
            name: self.name.clone(),
            path: self.column.path.clone(),
            kind: self.column.kind.name().to_string(),
            nulls: self.nulls,
            min,
            max,
            values: self.text.as_ref().and_then(TextSketch::values),
            automaton: self.text.as_mut().and_then(TextSketch::automaton),
            words: None,
        }
    }
}

impl Range {
    /// Of a column of numbers, times or booleans.
    fn of(array: &ArrayRef) -> Range {
        if let Some(array) = array.as_boolean_opt() {
            return span(array.iter().flatten(), bool::cmp).map_or(Range::Empty, |(min, max)| Range::Bool(min, max));
        }
        if let Some(array) = array.as_primitive_opt::<Float64Type>() {
            return float_range(array);
        }
        let ints = int_span::<Int64Type>(array).or_else(|| int_span::<TimestampNanosecondType>(array));
        ints.map_or(Range::Empty, |(min, max)| Range::Int(min, max))
    }

    fn union(self, other: Range) -> Range {
        match (self, other) {
            (Range::Empty, range) | (range, Range::Empty) => range,
            (Range::Int(a, b), Range::Int(c, d)) => Range::Int(a.min(c), b.max(d)),
            (Range::Float(a, b), Range::Float(c, d)) => Range::Float(a.min(c), b.max(d)),
            (Range::Bool(a, b), Range::Bool(c, d)) => Range::Bool(a & c, b | d),
            (Range::Text(a, b), Range::Text(c, d)) => Range::Text(a.min(c), b.max(d)),
            _ => Range::Unknown,
        }
    }

    fn bounds(&self) -> (Value, Value) {
        match self {
            Range::Empty | Range::Unknown => (Value::Null, Value::Null),
            Range::Int(min, max) => ((*min).into(), (*max).into()),
            Range::Float(min, max) => ((*min).into(), (*max).into()),
            Range::Bool(min, max) => ((*min).into(), (*max).into()),
            Range::Text(min, max) => (truncated(min).into(), rounded_up(max).map_or(Value::Null, Value::from)),
        }
    }
}

fn span<T: Copy>(values: impl Iterator<Item = T>, compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Option<(T, T)> {
    values.fold(None, |span, value| match span {
        None => Some((value, value)),
        Some((min, max)) => Some((
            if compare(&value, &min).is_lt() { value } else { min },
            if compare(&value, &max).is_gt() { value } else { max },
        )),
    })
}

fn int_span<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Option<(i64, i64)> {
    let array: &PrimitiveArray<T> = array.as_primitive_opt()?;
    if array.null_count() > 0 {
        return span(array.iter().flatten(), i64::cmp);
    }
    let first = *array.values().first()?; // dense: two plain loops that the compiler turns into SIMD
    let fold = |pick: fn(i64, i64) -> i64| array.values().iter().fold(first, |best, value| pick(best, *value));
    Some((fold(i64::min), fold(i64::max)))
}

fn float_range(array: &PrimitiveArray<Float64Type>) -> Range {
    if array.iter().flatten().any(f64::is_nan) {
        return Range::Unknown;
    }
    span(array.iter().flatten(), f64::total_cmp).map_or(Range::Empty, |(min, max)| Range::Float(min, max))
}

/// The longest prefix, whole characters, of at most [`TEXT_BYTES_MAX`].
fn truncated(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The text itself if short, else the least short text above all that begin like it; None when there is none.
fn rounded_up(text: &str) -> Option<String> {
    if text.len() <= TEXT_BYTES_MAX {
        return Some(text.to_string());
    }
    let mut prefix = truncated(text).to_string();
    while let Some(last) = prefix.pop() {
        if let Some(next) = successor(last)
            && prefix.len() + next.len_utf8() <= TEXT_BYTES_MAX
        {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}

fn successor(character: char) -> Option<char> {
    match character {
        '\u{D7FF}' => Some('\u{E000}'),
        other => char::from_u32(other as u32 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_maximum_is_rounded_up_within_the_limit() {
        let text = "a".repeat(100);
        let max = rounded_up(&text).unwrap();
        assert!(max.len() <= TEXT_BYTES_MAX && max.as_str() > text.as_str());
        assert!(truncated(&text) <= text.as_str());
    }

    #[test]
    fn the_greatest_characters_carry_over() {
        let text = format!("b{}", "\u{10FFFF}".repeat(40));
        assert_eq!(rounded_up(&text).as_deref(), Some("c"));
        assert_eq!(rounded_up(&"\u{10FFFF}".repeat(40)), None);
    }
}
