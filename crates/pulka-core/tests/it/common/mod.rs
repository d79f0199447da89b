//! Event batches as rows that tests can compare.
#![allow(dead_code)]

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, RecordBatch};
use pulka_core::batch::{Column, FieldType};

/// A value with its type, so that 1, 1.0, "1" and the JSON text 1 all differ.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Time(i64),
    Bool(bool),
    Int(i64),
    /// By bits: NaN equals itself.
    Float(u64),
    Str(String),
    Json(String),
}

pub type Row = BTreeMap<String, Cell>;

pub fn rows_of(batch: Option<&RecordBatch>) -> Vec<Row> {
    let Some(batch) = batch else { return Vec::new() };
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = Column::of(field).expect("a column of ours");
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| array.is_valid(*index)) {
            let cell = cell(array.as_ref(), column.kind, index);
            assert_eq!(row.insert(column.path.clone(), cell), None, "{} has two values in one row", column.path);
        }
    }
    rows
}

fn cell(array: &dyn Array, kind: FieldType, index: usize) -> Cell {
    match kind {
        FieldType::Timestamp => Cell::Time(array.as_primitive::<TimestampNanosecondType>().value(index)),
        FieldType::Bool => Cell::Bool(array.as_boolean().value(index)),
        FieldType::I64 => Cell::Int(array.as_primitive::<Int64Type>().value(index)),
        FieldType::F64 => Cell::Float(array.as_primitive::<Float64Type>().value(index).to_bits()),
        FieldType::Str => Cell::Str(array.as_string::<i32>().value(index).to_string()),
        FieldType::Json => Cell::Json(array.as_string::<i32>().value(index).to_string()),
    }
}

pub fn str(text: &str) -> Cell {
    Cell::Str(text.to_string())
}
