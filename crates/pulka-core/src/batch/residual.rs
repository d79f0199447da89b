//! The residual: sparse fields of a row as one canonical JSON object, and how single fields are read back from it.
//!
//! Readers trust the canonical form (one spelling per key, no white space between members); text that is not canonical
//! ends a row early and never panics.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray, new_null_array, types};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use memchr::memmem::Finder;

use super::field::FieldType;

/// Non-finite floats, which JSON numbers cannot say: strings with an escape that the canonical form never uses, so that
/// no `str` value looks the same while any JSON reader sees `NaN`, `Infinity` or `-Infinity`.
const NAN: &str = r#""\u004eaN""#;
const INFINITY: &str = r#""\u0049nfinity""#;
const NEGATIVE_INFINITY: &str = r#""-\u0049nfinity""#;

/// A value to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    I64(i64),
    F64(f64),
    Str(&'a str),
    /// JSON text (an array or an object), written as it is.
    Json(&'a str),
}

/// Append the canonical object of `entries`, which must be sorted by key (bytes) and have no duplicates.
pub fn write_object<'a>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'a str, Value<'a>)>) {
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_key(out, key);
        write_value(out, value);
    }
    out.push(b'}');
}

/// Append `"key":`.
pub fn write_key(out: &mut Vec<u8>, key: &str) {
    write_string(out, key);
    out.push(b':');
}

/// Append one value in canonical form.
pub fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::I64(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Value::F64(value) => write_float(out, value),
        Value::Str(value) => write_string(out, value),
        Value::Json(value) => out.extend_from_slice(value.as_bytes()),
    }
}

fn write_float(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = match value {
        _ if value.is_finite() => buffer.format_finite(value),
        _ if value.is_nan() => NAN,
        _ if value > 0.0 => INFINITY,
        _ => NEGATIVE_INFINITY,
    };
    out.extend_from_slice(text.as_bytes());
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    out.push(b'"');
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        write_escape(out, byte);
        done = at + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// One member of a residual object, as the bytes stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    text: &'a str,
    value_start: usize,
}

impl<'a> Member<'a> {
    /// The whole member, `"key":value`.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// The quoted, escaped key.
    pub fn raw_key(self) -> &'a str {
        &self.text[..self.value_start - 1]
    }

    /// The JSON text of the value.
    pub fn raw_value(self) -> &'a str {
        &self.text[self.value_start..]
    }
}

/// Walks the members of one residual object without building a tree.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

/// The members of one residual object, in order.
pub fn members(object: &str) -> Members<'_> {
    Members { text: object, at: 0 }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        let bytes = self.text.as_bytes();
        // `at` is on the opening brace or on the comma before the next member; the closing brace ends the walk.
        if !matches!(bytes.get(self.at), Some(b'{' | b',')) {
            return None;
        }
        let start = self.at + 1;
        let colon = string_end(bytes, start)?;
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        self.at = value_end(bytes, colon + 1)?;
        Some(Member { text: self.text.get(start..self.at)?, value_start: colon + 1 - start })
    }
}

/// Offset after the string that begins at `start`.
#[inline]
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[inline]
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' | b'[' => nested_end(bytes, start),
        b',' | b'}' => None,
        _ => Some(start + bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}'))?),
    }
}

fn nested_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The type of a value by its JSON text; None for null and for what is no JSON.
#[inline]
pub fn type_of(raw_value: &str) -> Option<FieldType> {
    let bytes = raw_value.as_bytes();
    match bytes.first()? {
        b'"' if non_finite(raw_value).is_some() => Some(FieldType::F64),
        b'"' => Some(FieldType::Str),
        b't' | b'f' => Some(FieldType::Bool),
        b'{' | b'[' => Some(FieldType::Json),
        b'-' | b'0'..=b'9' if bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => Some(FieldType::F64),
        b'-' | b'0'..=b'9' => Some(FieldType::I64),
        _ => None,
    }
}

fn non_finite(raw_value: &str) -> Option<f64> {
    match raw_value {
        NAN => Some(f64::NAN),
        INFINITY => Some(f64::INFINITY),
        NEGATIVE_INFINITY => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The text of a quoted, escaped string; None when it is broken.
pub fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(inner.into());
    }
    serde_json::from_str::<String>(raw).ok().map(Into::into)
}

/// The values of the field `path` with exactly the type `kind`; null where it is absent or of another type.
pub fn get(residual: &StringArray, path: &str, kind: FieldType) -> ArrayRef {
    let values = Hits::of(residual, path).filter(|(_, raw)| type_of(raw) == Some(kind));
    scatter(kind, residual.len(), values)
}

/// The values of the field `path` whatever their types, as SQL text: strings unquoted, all else as its JSON text.
pub fn get_text(residual: &StringArray, path: &str) -> StringArray {
    texts(residual.len(), Hits::of(residual, path).filter_map(|(row, raw)| Some((row, as_text(raw)?))))
}

fn as_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => unquote(raw),
        b'n' => None,
        _ => Some(raw.into()),
    }
}

/// Which fields occur, and with which types (sorted).
pub fn fields(residual: &StringArray) -> BTreeMap<String, Vec<FieldType>> {
    let mut seen: HashSet<(&str, FieldType), ahash::RandomState> = HashSet::default();
    for (_, member) in all_members(residual) {
        if let Some(kind) = type_of(member.raw_value()) {
            seen.insert((member.raw_key(), kind));
        }
    }
    let mut fields: BTreeMap<String, Vec<FieldType>> = BTreeMap::new();
    for (path, kind) in seen.into_iter().filter_map(|(key, kind)| Some((unquote(key)?, kind))) {
        fields.entry(path.into_owned()).or_default().push(kind);
    }
    fields.values_mut().for_each(|types| types.sort());
    fields
}

/// Every member of every row, with its row.
pub fn all_members(residual: &StringArray) -> impl Iterator<Item = (usize, Member<'_>)> {
    let rows = (0..residual.len()).filter(|row| residual.is_valid(*row));
    rows.flat_map(|row| members(residual.value(row)).map(move |member| (row, member)))
}

/// An array of `rows` values of one type out of JSON texts of that type at ascending rows; null at all other rows.
/// A text that does not fit the type is null too.
pub fn scatter<'a>(kind: FieldType, rows: usize, raw_values: impl Iterator<Item = (usize, &'a str)>) -> ArrayRef {
    match kind {
        FieldType::Timestamp => new_null_array(&kind.arrow(), rows),
        FieldType::Bool => Arc::new(booleans(rows, raw_values)),
        FieldType::I64 => Arc::new(numbers::<types::Int64Type>(rows, raw_values, |raw| raw.parse().ok())),
        FieldType::F64 => {
            Arc::new(numbers::<types::Float64Type>(rows, raw_values, |raw| non_finite(raw).or_else(|| raw.parse().ok())))
        }
        FieldType::Str => Arc::new(texts(rows, raw_values.filter_map(|(row, raw)| Some((row, unquote(raw)?))))),
        FieldType::Json => Arc::new(texts(rows, raw_values)),
    }
}

fn booleans<'a>(rows: usize, raw_values: impl Iterator<Item = (usize, &'a str)>) -> BooleanArray {
    let (mut values, mut valid) = (unset(rows), unset(rows));
    for (row, raw) in raw_values {
        values.set_bit(row, raw == "true");
        valid.set_bit(row, true);
    }
    BooleanArray::new(values.finish(), Some(NullBuffer::new(valid.finish())))
}

fn numbers<'a, T: types::ArrowPrimitiveType>(
    rows: usize,
    raw_values: impl Iterator<Item = (usize, &'a str)>,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    let (mut values, mut valid) = (vec![T::Native::default(); rows], unset(rows));
    for (row, raw) in raw_values {
        if let Some(value) = parse(raw) {
            values[row] = value;
            valid.set_bit(row, true);
        }
    }
    PrimitiveArray::new(values.into(), Some(NullBuffer::new(valid.finish())))
}

fn texts<T: AsRef<str>>(rows: usize, values: impl Iterator<Item = (usize, T)>) -> StringArray {
    let mut builder = StringBuilder::with_capacity(rows, 0);
    for (row, text) in values {
        if row < builder.len() {
            continue; // a second value for a row, which canonical text does not have
        }
        builder.append_nulls(row - builder.len());
        builder.append_value(text);
    }
    builder.append_nulls(rows - builder.len());
    builder.finish()
}

fn unset(rows: usize) -> BooleanBufferBuilder {
    let mut bits = BooleanBufferBuilder::new(rows);
    bits.append_n(rows, false);
    bits
}

/// The rows that have one key, with the JSON text of its value.
///
/// The bytes of all rows are searched at once for `"key":`, so rows without it cost next to nothing. What is found may
/// still stand inside a nested value or a string; the walk over that row's members decides.
struct Hits<'a> {
    residual: &'a StringArray,
    finder: Finder<'static>,
    row: usize,
}

impl<'a> Hits<'a> {
    fn of(residual: &'a StringArray, path: &str) -> Self {
        let mut needle = Vec::with_capacity(path.len() + 3);
        write_key(&mut needle, path);
        Hits { residual, finder: Finder::new(&needle).into_owned(), row: 0 }
    }

    /// The next row, from `self.row`, whose bytes contain the needle.
    fn next_row(&self) -> Option<usize> {
        let offsets = &self.residual.value_offsets()[self.row..];
        let (first, last) = (*offsets.first()? as usize, *offsets.last()? as usize);
        let at = first + self.finder.find(&self.residual.values()[first..last])?;
        // The row is often near: gallop, then search within the last stride.
        let mut stride = 1;
        while stride < offsets.len() && offsets[stride] as usize <= at {
            stride *= 2;
        }
        let (low, high) = (stride / 2, stride.min(offsets.len()));
        let after = low + offsets[low..high].partition_point(|offset| *offset as usize <= at);
        Some(self.row + after - 1)
    }

    fn value(&self, row: usize) -> Option<&'a str> {
        if self.residual.is_null(row) {
            return None;
        }
        let needle = self.finder.needle();
        let mut members = members(self.residual.value(row));
        members.find(|member| member.text.as_bytes().starts_with(needle)).map(Member::raw_value)
    }
}

impl<'a> Iterator for Hits<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = self.next_row()?;
            self.row = row + 1;
            if let Some(raw) = self.value(row) {
                return Some((row, raw));
            }
        }
    }
}
