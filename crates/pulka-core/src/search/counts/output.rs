//! Groups as Arrow: one row for each, in the types of the file.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, make_array};
use arrow_schema::{DataType, Field, Schema};

use super::codes::{Coded, Known, Value};
use super::groups::Groups;
use super::pages::{Chunk, Held, unknown};
use crate::fragment::{FragmentError, Result};
use crate::search::fragment::Fragment;

/// The name of the column of counts, which no field has.
pub const COUNTS: &str = "\u{1f}rows";

/// One row for each group: its keys, values that stand for all, and its count.
pub fn batch(fragment: &Fragment, columns: &[usize], keys: &[Coded], witnesses: &[(usize, Value)], groups: &Groups) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    let mut add = |column: usize, array: ArrayRef| {
        let field = fragment.schema().field(column);
        fields.push(field.clone().with_nullable(true));
        typed(&array, field.data_type()).map(|array| arrays.push(array))
    };
    for (column, key) in columns.iter().zip(keys) {
        add(*column, picked(key, &groups.rows)?)?;
    }
    for (column, value) in witnesses.iter().filter(|(column, _)| !columns.contains(column)) {
        add(*column, repeated(value, groups.rows.len())?)?;
    }
    fields.push(Field::new(COUNTS, DataType::Int64, false));
    arrays.push(Arc::new(Int64Array::from(groups.counts.clone())));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The value of one row.
pub fn value(fragment: &Fragment, group: usize, column: usize, row: usize) -> Result<Value> {
    let mut chunk = Chunk::open(fragment, group, column)?;
    let mut wanted = vec![false; fragment.group_rows(group)];
    wanted[row] = true;
    let page = chunk.next(&wanted)?.ok_or_else(unknown)?;
    let Some(at) = page.rows_with_values().position(|one| one == row) else { return Ok(Value::Null) };
    let dictionary = || chunk.dictionary.as_ref().ok_or_else(unknown);
    Ok(match &page.held {
        Held::Nothing => Value::Null,
        Held::Code(code) => Value::of(dictionary()?, *code as usize),
        Held::Codes(codes) => Value::of(dictionary()?, codes[at] as usize),
        Held::Values(values) => Value::of(values, at),
    })
}

fn picked(key: &Coded, rows: &[usize]) -> Result<ArrayRef> {
    let code = |row: &usize| key.codes.get(*row).copied().unwrap_or(key.only) as usize;
    let place = |row: &usize| code(row).checked_sub(1);
    let places = || rows.iter().map(place);
    let known: &Known = &key.values;
    if !known.integers.is_empty() {
        return Ok(Arc::new(places().map(|at| at.map(|at| known.integers[at])).collect::<Int64Array>()));
    }
    if !known.floats.is_empty() {
        return Ok(Arc::new(places().map(|at| at.map(|at| known.floats[at])).collect::<Float64Array>()));
    }
    let texts = places().map(|at| at.map(|at| text(known.text(at))).transpose());
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn repeated(value: &Value, rows: usize) -> Result<ArrayRef> {
    Ok(match value {
        Value::Null => Arc::new(StringArray::new_null(rows)),
        Value::Integer(value) => Arc::new(Int64Array::from_value(*value, rows)),
        Value::Float(value) => Arc::new(Float64Array::from_value(*value, rows)),
        Value::Text(bytes) => {
            let text = text(bytes)?;
            Arc::new((0..rows).map(|_| Some(text)).collect::<StringArray>())
        }
    })
}

fn text(bytes: &[u8]) -> Result<&str> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| FragmentError::Invalid("a text is no UTF-8".to_string()))
}

/// The array as one of the file's type, of which it has the layout.
fn typed(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if array.data_type() == kind {
        return Ok(Arc::clone(array));
    }
    if array.null_count() == array.len() {
        return Ok(arrow_array::new_null_array(kind, array.len()));
    }
    match (array.as_any().downcast_ref::<Int64Array>(), kind) {
        (Some(bits), DataType::Boolean) => Ok(Arc::new(bits.iter().map(|bit| bit.map(|bit| bit != 0)).collect::<BooleanArray>())),
        (Some(_), DataType::Timestamp(..)) => Ok(make_array(array.to_data().into_builder().data_type(kind.clone()).build()?)),
        _ => Err(unknown()),
    }
}
