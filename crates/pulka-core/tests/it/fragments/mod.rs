//! Random fragments and what they hold, for the tests that write and merge them.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use pulka_core::batch::{Column, FieldType, RESIDUAL, residual};
use pulka_core::fragment::sort::Keys;
use pulka_core::fragment::{FragmentOptions, SortColumn};

/// A row as sorted `path type value` texts: what must survive whatever happens to the columns.
pub type Row = Vec<String>;

pub fn options(sort: &[&str]) -> FragmentOptions {
    FragmentOptions {
        sort: sort.iter().map(|text| SortColumn::parse(text)).collect(),
        bloom: vec!["id".into()],
        metadata: BTreeMap::from([("owner".to_string(), "test".to_string())]),
        declared: HashMap::from([("service".to_string(), FieldType::Str)]),
        dense_share: 0.2,
        ..FragmentOptions::default()
    }
}

pub fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let mut rows: Vec<Row> = vec![Row::new(); batch.num_rows()];
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| array.is_valid(*index)) {
            match Column::of(field) {
                Some(column) => row.push(format!("{} {} {}", column.path, column.kind.name(), text(array, index))),
                None => row.extend(residual_texts(array, index)),
            }
        }
    }
    rows.iter_mut().for_each(|row| row.sort());
    rows
}

pub fn text(array: &ArrayRef, row: usize) -> String {
    if let Some(array) = array.as_string_opt::<i32>() {
        return array.value(row).to_string();
    }
    if let Some(array) = array.as_primitive_opt::<Float64Type>() {
        return format!("{:?}", array.value(row));
    }
    if let Some(array) = array.as_boolean_opt() {
        return array.value(row).to_string();
    }
    match array.as_primitive_opt::<Int64Type>() {
        Some(array) => array.value(row).to_string(),
        None => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
    }
}

pub fn residual_texts(array: &ArrayRef, row: usize) -> Vec<String> {
    let one: StringArray = array.as_string::<i32>().slice(row, 1);
    let fields = residual::fields(&one);
    let values = fields.iter().flat_map(|(path, kinds)| kinds.iter().map(|kind| (path, *kind)).collect::<Vec<_>>());
    values.map(|(path, kind)| format!("{path} {} {}", kind.name(), text(&residual::get(&one, path, kind), 0))).collect()
}

pub fn multiset(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    rows.sort();
    rows
}

pub fn is_sorted(batch: &RecordBatch, sort: &[SortColumn]) -> bool {
    let keys = Keys::of(batch, sort);
    (1..batch.num_rows()).all(|row| keys.compare(row - 1, &keys, row).is_le())
}

/// A batch of some columns of the given types with random values and nulls.
pub fn batch(columns: Vec<(Column, ArrayRef)>) -> RecordBatch {
    let name = |column: &Column| match column.kind {
        FieldType::Str | FieldType::Timestamp => column.path.clone(),
        kind => format!("{}#{}", column.path, kind.name()),
    };
    let fields: Vec<_> = columns.iter().map(|(column, _)| column.to_arrow(&name(column), column.kind != FieldType::Timestamp)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

pub fn timestamps(values: Vec<i64>) -> (Column, ArrayRef) {
    let array = arrow_array::TimestampNanosecondArray::from(values).with_timezone("UTC");
    (Column { path: "timestamp".into(), kind: FieldType::Timestamp }, Arc::new(array))
}

pub fn strings(path: &str, values: Vec<Option<String>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::Str }, Arc::new(StringArray::from(values)))
}

pub fn floats(path: &str, values: Vec<Option<f64>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::F64 }, Arc::new(arrow_array::Float64Array::from(values)))
}

pub fn ints(path: &str, values: Vec<Option<i64>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::I64 }, Arc::new(arrow_array::Int64Array::from(values)))
}

pub fn any_int() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -3..3i64, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

pub fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(1.5)]
}

pub fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]{0,2}", 1 => "\\PC{0,90}", 1 => Just("\u{10FFFF}".repeat(30))]
}

/// Columns differ from batch to batch; a field `x` exists as text, number and float, dense or sparse.
pub fn any_batch(rows_max: usize) -> impl Strategy<Value = RecordBatch> {
    (1..rows_max, any::<[bool; 6]>(), prop_oneof![Just(0.05), Just(0.9)]).prop_flat_map(|(rows, has, share)| {
        let columns = (
            prop::collection::vec(0..50i64, rows),
            prop::collection::vec(prop::option::weighted(0.9, any_text()), rows),
            prop::collection::vec(prop::option::weighted(share, any_text()), rows),
            prop::collection::vec(prop::option::weighted(share, any_int()), rows),
            prop::collection::vec(prop::option::weighted(share, any_float()), rows),
            prop::collection::vec(prop::option::weighted(0.5, any_int()), rows),
        );
        columns.prop_map(move |(times, services, texts, numbers, reals, keys)| {
            // One type per row, as the batch contract wants.
            let numbers = numbers.into_iter().zip(&texts).map(|(number, text)| number.filter(|_| text.is_none() || !has[1])).collect::<Vec<_>>();
            let candidates = [
                (has[0], strings("service", services)),
                (has[1], strings("x", texts)),
                (has[2], ints("x", numbers)),
                (has[3], floats("y", reals)),
                (has[4], ints("key", keys)),
            ];
            let chosen = candidates.into_iter().filter(|(has, _)| *has).map(|(_, column)| column);
            batch(std::iter::once(timestamps(times)).chain(chosen).collect())
        })
    })
}

pub fn any_sort() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        Just(vec!["service", "-timestamp"]),
        Just(vec!["-key", "service", "-y", "timestamp"]),
        Just(vec!["x", "-x#i64", "y"]),
        Just(vec!["-service", "key", "x", "missing"]),
        Just(vec![]),
    ]
}

/// A field is in columns or in the residual, never in both.
pub fn check_paths(batch: &RecordBatch) -> Result<(), TestCaseError> {
    let Some(array) = batch.column_by_name(RESIDUAL) else { return Ok(()) };
    let sparse = residual::fields(array.as_string::<i32>());
    let schema = batch.schema();
    for column in schema.fields().iter().filter_map(|field| Column::of(field)) {
        prop_assert!(!sparse.contains_key(&column.path), "{} is in both", column.path);
    }
    Ok(())
}

pub fn logs(rows: usize, message: impl Fn(usize) -> String) -> RecordBatch {
    let services = (0..rows).map(|row| Some(format!("s{}", row % 7))).collect();
    let ids = (0..rows).map(|row| Some(format!("{row:032x}"))).collect();
    let messages = (0..rows).map(|row| Some(message(row))).collect();
    batch(vec![
        timestamps((0..rows as i64).collect()),
        strings("service", services),
        strings("id", ids),
        strings("message", messages),
    ])
}
