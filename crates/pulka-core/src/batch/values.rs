//! The values of one type of one field: sparse while a batch is built, Arrow or residual JSON at the end.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::field::FieldType;

/// One typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'v> {
    Bool(bool),
    I64(i64),
    F64(f64),
    Str(Cow<'v, str>),
    Json(Cow<'v, str>),
}

impl Value<'_> {
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Bool(value) => Value::Bool(value),
            Value::I64(value) => Value::I64(value),
            Value::F64(value) => Value::F64(value),
            Value::Str(value) => Value::Str(Cow::Owned(value.into_owned())),
            Value::Json(value) => Value::Json(Cow::Owned(value.into_owned())),
        }
    }
}

/// Values with their row numbers, which grow. One `push_row` goes before each value.
pub(super) struct Sparse {
    rows: Vec<u32>,
    data: Data,
}

enum Data {
    Bool(Vec<bool>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Str(Texts),
    Json(Texts),
}

/// Texts end to end. Ends are unsigned here; Arrow's limit is checked when the array is made.
#[derive(Default)]
struct Texts {
    ends: Vec<u64>,
    text: String,
}

impl Sparse {
    pub(super) fn new(kind: FieldType) -> Self {
        let data = match kind {
            FieldType::Bool => Data::Bool(Vec::new()),
            FieldType::I64 | FieldType::Timestamp => Data::I64(Vec::new()),
            FieldType::F64 => Data::F64(Vec::new()),
            FieldType::Str => Data::Str(Texts::default()),
            FieldType::Json => Data::Json(Texts::default()),
        };
        Sparse { rows: Vec::new(), data }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    pub(super) fn push_row(&mut self, row: u32) {
        self.rows.push(row);
    }

    #[inline]
    pub(super) fn push_bool(&mut self, value: bool) {
        if let Data::Bool(values) = &mut self.data {
            values.push(value);
        }
    }

    #[inline]
    pub(super) fn push_i64(&mut self, value: i64) {
        if let Data::I64(values) = &mut self.data {
            values.push(value);
        }
    }

    #[inline]
    pub(super) fn push_f64(&mut self, value: f64) {
        if let Data::F64(values) = &mut self.data {
            values.push(value);
        }
    }

    #[inline]
    pub(super) fn push_text(&mut self, value: &str) {
        if let Data::Str(texts) | Data::Json(texts) = &mut self.data {
            texts.text.push_str(value);
            texts.ends.push(texts.text.len() as u64);
        }
    }

    pub(super) fn last(&self) -> Option<Value<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(super) fn pop(&mut self) {
        self.rows.pop();
        match &mut self.data {
            Data::Bool(values) => drop(values.pop()),
            Data::I64(values) => drop(values.pop()),
            Data::F64(values) => drop(values.pop()),
            Data::Str(texts) | Data::Json(texts) => texts.pop(),
        }
    }

    fn get(&self, index: usize) -> Option<Value<'_>> {
        Some(match &self.data {
            Data::Bool(values) => Value::Bool(*values.get(index)?),
            Data::I64(values) => Value::I64(*values.get(index)?),
            Data::F64(values) => Value::F64(*values.get(index)?),
            Data::Str(texts) => Value::Str(Cow::Borrowed(texts.get(index)?)),
            Data::Json(texts) => Value::Json(Cow::Borrowed(texts.get(index)?)),
        })
    }

    /// The values in their rows, null in the others.
    pub(super) fn into_array(self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let at = &self.rows;
        let nulls = self.nulls(rows);
        Ok(match self.data {
            Data::Bool(values) => Arc::new(BooleanArray::new(scatter(at, values, rows).into(), nulls)),
            Data::I64(values) => Arc::new(Int64Array::try_new(scatter(at, values, rows).into(), nulls)?),
            Data::F64(values) => Arc::new(Float64Array::try_new(scatter(at, values, rows).into(), nulls)?),
            Data::Str(texts) | Data::Json(texts) => {
                let offsets = texts.offsets(at, rows)?;
                Arc::new(StringArray::try_new(offsets, Buffer::from_vec(texts.text.into_bytes()), nulls)?)
            }
        })
    }

    fn nulls(&self, rows: usize) -> Option<NullBuffer> {
        if self.rows.len() == rows {
            return None;
        }
        let mut bits = vec![0u8; rows.div_ceil(8)];
        for row in &self.rows {
            bits[*row as usize / 8] |= 1 << (row % 8);
        }
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)))
    }
}

fn scatter<T: Copy + Default>(at: &[u32], values: Vec<T>, rows: usize) -> Vec<T> {
    if values.len() == rows {
        return values;
    }
    let mut all = vec![T::default(); rows];
    for (row, value) in at.iter().zip(values) {
        all[*row as usize] = value;
    }
    all
}

impl Texts {
    fn get(&self, index: usize) -> Option<&str> {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(start as usize..*self.ends.get(index)? as usize)
    }

    fn pop(&mut self) {
        self.ends.pop();
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Arrow's offsets: each text in its row, an empty one in the rows between.
    fn offsets(&self, at: &[u32], rows: usize) -> Result<OffsetBuffer<i32>, ArrowError> {
        i32::try_from(self.text.len()).map_err(|_| ArrowError::OffsetOverflowError(self.text.len()))?;
        let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
        let mut end = 0;
        for (row, next) in at.iter().zip(&self.ends) {
            offsets.resize(*row as usize + 1, end);
            end = *next as i32;
        }
        offsets.resize(rows + 1, end);
        Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
    }
}

/// The residual column of `rows` rows: per row a canonical JSON object of the values there, null when there are none.
/// `columns` are sorted by path.
pub(super) fn residual_array(columns: &[(Cow<'_, str>, &Sparse)], rows: usize) -> Result<ArrayRef, ArrowError> {
    let (starts, members) = members_by_row(columns, rows);
    let keys: Vec<String> = columns.iter().map(|(path, _)| key_text(path)).collect();
    let mut text = String::new();
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        for (index, (column, value)) in members[starts[row]..starts[row + 1]].iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(&keys[*column as usize]);
            if let Some(value) = columns[*column as usize].1.get(*value as usize) {
                write_value(&mut text, &value);
            }
        }
        if starts[row] < starts[row + 1] {
            text.push('}');
        }
        offsets.push(i32::try_from(text.len()).map_err(|_| ArrowError::OffsetOverflowError(text.len()))?);
    }
    let nulls = NullBuffer::from_iter(starts.windows(2).map(|pair| pair[0] < pair[1]));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text.into_bytes()), Some(nulls))?))
}

/// A counting sort: (column, index of the value) of all values by row, and where each row's run begins.
fn members_by_row(columns: &[(Cow<'_, str>, &Sparse)], rows: usize) -> (Vec<usize>, Vec<(u32, u32)>) {
    let mut starts = vec![0usize; rows + 1];
    for row in columns.iter().flat_map(|(_, values)| &values.rows) {
        starts[*row as usize + 1] += 1;
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut members = vec![(0, 0); starts[rows]];
    for (column, (_, values)) in columns.iter().enumerate() {
        for (index, row) in values.rows.iter().enumerate() {
            members[next[*row as usize]] = (column as u32, index as u32);
            next[*row as usize] += 1;
        }
    }
    (starts, members)
}

fn key_text(path: &str) -> String {
    let mut text = String::new();
    write_str(&mut text, path);
    text.push(':');
    text
}

fn write_value(text: &mut String, value: &Value<'_>) {
    match value {
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::I64(value) => text.push_str(itoa::Buffer::new().format(*value)),
        Value::F64(value) => write_f64(text, *value),
        Value::Str(value) => write_str(text, value),
        Value::Json(value) => text.push_str(value),
    }
}

/// Shortest text that reads back the same, always with a point or an exponent; JSON has no others than finite ones.
fn write_f64(text: &mut String, value: f64) {
    if value.is_finite() {
        text.push_str(zmij::Buffer::new().format_finite(value));
    } else if value.is_nan() {
        text.push_str("\"NaN\"");
    } else {
        text.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

/// Append `value` as a JSON string.
pub(crate) fn write_str(text: &mut String, value: &str) {
    text.push('"');
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate() {
        let Some(escape) = escape_of(byte) else { continue };
        text.push_str(&value[from..at]);
        text.push_str(escape);
        if escape == "\\u00" {
            text.push(char::from(b'0' + (byte >> 4)));
            text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        from = at + 1;
    }
    text.push_str(&value[from..]);
    text.push('"');
}

/// What JSON writes for a byte that cannot stand in a string; `\u00` wants its two digits.
#[inline]
fn escape_of(byte: u8) -> Option<&'static str> {
    if byte >= 0x20 && byte != b'"' && byte != b'\\' {
        return None;
    }
    Some(match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0x08 => "\\b",
        0x0c => "\\f",
        _ => "\\u00",
    })
}
