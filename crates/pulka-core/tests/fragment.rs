//! Fragments are what was written: every row kept, in order, truly described, and broken bytes found.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
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
use pulka_core::fragment::{Description, FragmentOptions, MergeOptions, SortColumn, inspect_fragment, merge_fragments, write_fragment};
use tempfile::TempDir;

/// A row as sorted `path type value` texts: what must survive whatever happens to the columns.
type Row = Vec<String>;

fn options(sort: &[&str]) -> FragmentOptions {
    FragmentOptions {
        sort: sort.iter().map(|text| SortColumn::parse(text)).collect(),
        bloom: vec!["id".into()],
        metadata: BTreeMap::from([("owner".to_string(), "test".to_string())]),
        declared: HashMap::from([("service".to_string(), FieldType::Str)]),
        dense_share: 0.2,
        ..FragmentOptions::default()
    }
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
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

fn text(array: &ArrayRef, row: usize) -> String {
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

fn residual_texts(array: &ArrayRef, row: usize) -> Vec<String> {
    let one: StringArray = array.as_string::<i32>().slice(row, 1);
    let fields = residual::fields(&one);
    let values = fields.iter().flat_map(|(path, kinds)| kinds.iter().map(|kind| (path, *kind)).collect::<Vec<_>>());
    values.map(|(path, kind)| format!("{path} {} {}", kind.name(), text(&residual::get(&one, path, kind), 0))).collect()
}

fn multiset(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    rows.sort();
    rows
}

fn is_sorted(batch: &RecordBatch, sort: &[SortColumn]) -> bool {
    let keys = Keys::of(batch, sort);
    (1..batch.num_rows()).all(|row| keys.compare(row - 1, &keys, row).is_le())
}

/// A batch of some columns of the given types with random values and nulls.
fn batch(columns: Vec<(Column, ArrayRef)>) -> RecordBatch {
    let name = |column: &Column| match column.kind {
        FieldType::Str | FieldType::Timestamp => column.path.clone(),
        kind => format!("{}#{}", column.path, kind.name()),
    };
    let fields: Vec<_> = columns.iter().map(|(column, _)| column.to_arrow(&name(column), column.kind != FieldType::Timestamp)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn timestamps(values: Vec<i64>) -> (Column, ArrayRef) {
    let array = arrow_array::TimestampNanosecondArray::from(values).with_timezone("UTC");
    (Column { path: "timestamp".into(), kind: FieldType::Timestamp }, Arc::new(array))
}

fn strings(path: &str, values: Vec<Option<String>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::Str }, Arc::new(StringArray::from(values)))
}

fn floats(path: &str, values: Vec<Option<f64>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::F64 }, Arc::new(arrow_array::Float64Array::from(values)))
}

fn ints(path: &str, values: Vec<Option<i64>>) -> (Column, ArrayRef) {
    (Column { path: path.into(), kind: FieldType::I64 }, Arc::new(arrow_array::Int64Array::from(values)))
}

fn any_int() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -3..3i64, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(1.5)]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]{0,2}", 1 => "\\PC{0,90}", 1 => Just("\u{10FFFF}".repeat(30))]
}

/// Columns differ from batch to batch; a field `x` exists as text, number and float, dense or sparse.
fn any_batch(rows_max: usize) -> impl Strategy<Value = RecordBatch> {
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

fn any_sort() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        Just(vec!["service", "-timestamp"]),
        Just(vec!["-key", "service", "-y", "timestamp"]),
        Just(vec!["x", "-x#i64", "y"]),
        Just(vec!["-service", "key", "x", "missing"]),
        Just(vec![]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_rows_come_back_sorted(batches in prop::collection::vec(any_batch(150), 1..4), sort in any_sort()) {
        let (directory, options) = (TempDir::new().unwrap(), options(&sort));
        let path = directory.path().join("f");
        let description: Description = serde_json::from_str(&write_fragment(&batches, &path, &options).unwrap()).unwrap();
        let stored = read(&path);
        prop_assert_eq!(multiset(&batches), multiset(std::slice::from_ref(&stored)));
        prop_assert!(is_sorted(&stored, &options.sort));
        prop_assert_eq!(description.bytes, std::fs::metadata(&path).unwrap().len());
        inspect_fragment(&path, true).unwrap();
    }

    #[test]
    fn merge_is_the_union(fragments in prop::collection::vec(prop::collection::vec(any_batch(150), 1..3), 1..5), sort in any_sort()) {
        let (directory, options) = (TempDir::new().unwrap(), options(&sort));
        let paths: Vec<PathBuf> = (0..fragments.len()).map(|index| directory.path().join(format!("{index}"))).collect();
        for (batches, path) in fragments.iter().zip(&paths) {
            write_fragment(batches, path, &options).unwrap();
        }
        let merged = directory.path().join("merged");
        merge_fragments(&paths, std::slice::from_ref(&merged), &options, &MergeOptions::default()).unwrap();
        let stored = read(&merged);
        prop_assert_eq!(multiset(&fragments.concat()), multiset(std::slice::from_ref(&stored)));
        prop_assert!(is_sorted(&stored, &options.sort));
        inspect_fragment(&merged, true).unwrap();
        check_paths(&stored)?;
    }
}

/// A field is in columns or in the residual, never in both.
fn check_paths(batch: &RecordBatch) -> Result<(), TestCaseError> {
    let Some(array) = batch.column_by_name(RESIDUAL) else { return Ok(()) };
    let sparse = residual::fields(array.as_string::<i32>());
    let schema = batch.schema();
    for column in schema.fields().iter().filter_map(|field| Column::of(field)) {
        prop_assert!(!sparse.contains_key(&column.path), "{} is in both", column.path);
    }
    Ok(())
}

fn logs(rows: usize, message: impl Fn(usize) -> String) -> RecordBatch {
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

#[test]
fn a_row_group_is_bounded_by_its_heaviest_column() {
    let directory = TempDir::new().unwrap();
    let options = FragmentOptions { row_group_bytes: 3 << 20, ..options(&["service"]) };
    let (path, merged) = (directory.path().join("f"), directory.path().join("m"));
    write_fragment(&[logs(20, |row| "x".repeat((1 << 20) - row))], &path, &options).unwrap();
    merge_fragments(std::slice::from_ref(&path), std::slice::from_ref(&merged), &options, &MergeOptions::default()).unwrap();
    for path in [path, merged] {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let groups = builder.metadata().row_groups();
        let sizes = groups.iter().flat_map(|group| group.columns()).map(|column| column.uncompressed_size());
        assert!(sizes.max().unwrap() <= (3 << 20) + 4096);
        assert!((7..=10).contains(&groups.len()), "{} groups", groups.len());
    }
}

#[test]
fn ids_have_filters_and_columns_have_page_indexes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    write_fragment(&[logs(50_000, |row| format!("message {row}"))], &path, &options(&["service", "-timestamp"])).unwrap();
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
        .parse_and_finish(&File::open(&path).unwrap())
        .unwrap();
    let group = metadata.row_group(0);
    let id = group.columns().iter().position(|column| column.column_path().string() == "id").unwrap();
    let with_filter: Vec<bool> = group.columns().iter().map(|column| column.bloom_filter_offset().is_some()).collect();
    assert_eq!(with_filter.iter().filter(|has| **has).count(), 1);
    assert!(with_filter[id]);
    let filter_bytes = group.column(id).bloom_filter_length().unwrap();
    assert!((50_000..=200_000).contains(&filter_bytes), "{filter_bytes} bytes for 50,000 ids");
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    assert!(metadata.page_index().is_some());
}

#[test]
fn a_nan_leaves_the_range_out() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, value: f64| -> Description {
        let columns = vec![timestamps(vec![1, 2]), floats("v", vec![Some(value), Some(2.0)])];
        let text = write_fragment(&[batch(columns)], &directory.path().join(name), &options(&[])).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let range = |description: &Description| {
        let column = description.columns.iter().find(|column| column.path == "v").unwrap();
        (column.min.as_f64(), column.max.as_f64())
    };
    assert_eq!(range(&write("finite", 1.0)), (Some(1.0), Some(2.0)));
    assert_eq!(range(&write("nan", f64::NAN)), (None, None));
    assert_eq!(range(&write("infinite", f64::INFINITY)), (Some(2.0), None));
}

#[test]
fn every_changed_byte_is_found() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    write_fragment(&[logs(300, |row| format!("message {row}"))], &path, &options(&["service"])).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let broken = directory.path().join("broken");
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        std::fs::write(&broken, &changed).unwrap();
        assert!(inspect_fragment(&broken, true).is_err(), "byte {at} of {}", bytes.len());
    }
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    assert!(inspect_fragment(&broken, true).is_err());
}

#[test]
fn a_failed_write_leaves_no_file_and_none_is_overwritten() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    let reserved = FragmentOptions { metadata: BTreeMap::from([("pulka.sort".into(), "x".into())]), ..options(&[]) };
    assert!(write_fragment(&[logs(3, |_| String::new())], &path, &reserved).is_err());
    assert!(!path.exists());
    std::fs::write(&path, b"mine").unwrap();
    assert!(write_fragment(&[logs(3, |_| String::new())], &path, &options(&[])).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn equal_rows_keep_their_order_of_arrival() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    let batch = logs(100, |row| format!("{row:03}"));
    write_fragment(&[batch], &path, &options(&["service"])).unwrap();
    let stored = read(&path);
    let column = |name: &str| stored.column_by_name(name).unwrap().as_string::<i32>().clone();
    let pairs: Vec<(String, String)> =
        column("service").iter().zip(column("message").iter()).map(|(a, b)| (a.unwrap().into(), b.unwrap().into())).collect();
    assert!(pairs.is_sorted());
}
