//! Normalizing batches changes where values lie, never what a row reads as.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use pulka_core::batch::field::name_columns;
use pulka_core::batch::normalize::{DENSITY_ROWS_MIN, columns_with_rows, normalize};
use pulka_core::batch::residual::{self, Value, members, unquote, write_object};
use pulka_core::batch::{Column, FieldType, RESIDUAL, TIMESTAMP};

const PATHS: [&str; 10] = ["a", "a.b", "a#i64", "b", "\"\\\n", "é", "", "timestamp", "_residual", "z"];

type Cell = (FieldType, String);
type Row = BTreeMap<String, Cell>;

fn float_text(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn cell() -> impl Strategy<Value = Cell> {
    let floats = select(vec![1.0, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1]);
    prop_oneof![
        any::<bool>().prop_map(|value| (FieldType::Bool, value.to_string())),
        any::<i64>().prop_map(|value| (FieldType::I64, value.to_string())),
        floats.prop_map(|value| (FieldType::F64, float_text(value))),
        select(vec!["", "NaN", "\"a\":1", "\\", "text", "\u{2}é"]).prop_map(|value| (FieldType::Str, value.into())),
        select(vec!["{}", "[1,{\"a\":2}]", "{\"f64\": \"NaN\"}"]).prop_map(|value| (FieldType::Json, value.into())),
    ]
}

fn value(cell: &Cell) -> Value<'_> {
    match cell.0 {
        FieldType::Bool => Value::Bool(cell.1 == "true"),
        FieldType::I64 => Value::I64(cell.1.parse().unwrap()),
        FieldType::F64 => Value::F64(f64::from_bits(u64::from_str_radix(&cell.1, 16).unwrap())),
        FieldType::Str => Value::Str(&cell.1),
        _ => Value::Json(&cell.1),
    }
}

fn array(cells: &[Option<&Cell>], kind: FieldType) -> ArrayRef {
    let values = cells.iter().map(|cell| cell.filter(|cell| cell.0 == kind).map(value));
    match kind {
        FieldType::Bool => Arc::new(values.map(|value| Some(matches!(value?, Value::Bool(true)))).collect::<BooleanArray>()),
        FieldType::I64 => Arc::new(values.map(|value| if let Value::I64(value) = value? { Some(value) } else { None }).collect::<Int64Array>()),
        FieldType::F64 => Arc::new(values.map(|value| if let Value::F64(value) = value? { Some(value) } else { None }).collect::<Float64Array>()),
        _ => Arc::new(
            values.map(|value| if let Value::Str(text) | Value::Json(text) = value? { Some(text) } else { None }).collect::<StringArray>(),
        ),
    }
}

/// A batch of `rows` with the fields of `sparse` in the residual; timestamps count from `start`.
fn batch(rows: &[Row], sparse: &BTreeSet<String>, start: usize) -> RecordBatch {
    let columns: BTreeSet<Column> = rows
        .iter()
        .flatten()
        .filter(|(path, _)| !sparse.contains(*path))
        .map(|(path, (kind, _))| Column { path: path.clone(), kind: *kind })
        .collect();
    let timestamp = Column { path: TIMESTAMP.into(), kind: FieldType::Timestamp };
    let times = (start..start + rows.len()).map(|row| row as i64);
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))];
    let mut naming = vec![(timestamp, rows.len(), true)];
    for column in columns {
        let cells: Vec<_> = rows.iter().map(|row| row.get(&column.path)).collect();
        let values = array(&cells, column.kind);
        naming.push((column, values.len() - values.null_count(), false));
        arrays.push(values);
    }
    let mut fields: Vec<Field> =
        naming.iter().zip(name_columns(&naming)).map(|((column, _, pinned), name)| column.to_arrow(&name, !pinned)).collect();
    let objects: StringArray = rows.iter().map(|row| object(row, sparse)).collect();
    if objects.null_count() < objects.len() {
        fields.push(Field::new(RESIDUAL, DataType::Utf8, true));
        arrays.push(Arc::new(objects));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn object(row: &Row, sparse: &BTreeSet<String>) -> Option<String> {
    let mut entries = row.iter().filter(|(path, _)| sparse.contains(*path)).peekable();
    entries.peek()?;
    let mut out = Vec::new();
    write_object(&mut out, entries.map(|(path, cell)| (path.as_str(), value(cell))));
    Some(String::from_utf8(out).unwrap())
}

/// The slow reader: every row with its timestamp.
fn read(batch: &RecordBatch) -> Vec<(i64, Row)> {
    let times = batch.column_by_name(TIMESTAMP).unwrap().as_primitive::<TimestampNanosecondType>();
    (0..batch.num_rows()).map(|row| (times.value(row), read_row(batch, row))).collect()
}

fn read_row(batch: &RecordBatch, row: usize) -> Row {
    let mut cells = Row::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if array.is_null(row) {
            continue;
        }
        if field.name() == RESIDUAL {
            for member in members(array.as_string::<i32>().value(row)) {
                let (kind, raw) = (residual::type_of(member.raw_value()).unwrap(), member.raw_value());
                let one = residual::scatter(kind, 1, [(0, raw)].into_iter());
                let path = unquote(member.raw_key()).unwrap().into_owned();
                assert!(cells.insert(path, (kind, read_cell(&one, kind, 0))).is_none());
            }
            continue;
        }
        let column = Column::of(field).unwrap();
        if column.kind != FieldType::Timestamp {
            let text = read_cell(array, column.kind, row);
            assert!(cells.insert(column.path, (column.kind, text)).is_none(), "two columns of a field in one row");
        }
    }
    cells
}

fn read_cell(array: &ArrayRef, kind: FieldType, row: usize) -> String {
    match kind {
        FieldType::Bool => array.as_boolean().value(row).to_string(),
        FieldType::I64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        FieldType::F64 => float_text(array.as_primitive::<Float64Type>().value(row)),
        _ => array.as_string::<i32>().value(row).into(),
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = btree_map(select(PATHS.as_slice()).prop_map(String::from), cell(), 0..5);
    // Few rows with values among many without, so that densities differ widely.
    (vec(row, 0..30), select(vec![0, 0, 40, 120])).prop_map(|(mut rows, blank)| {
        rows.extend(std::iter::repeat_n(Row::new(), blank));
        rows
    })
}

fn paths() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::sample::subsequence(PATHS.as_slice(), 0..=PATHS.len()).prop_map(|paths| paths.into_iter().map(String::from).collect())
}

fn batches() -> impl Strategy<Value = Vec<RecordBatch>> {
    vec((rows(), paths()), 0..5).prop_map(|parts| {
        let mut start = 0;
        let batch = |(rows, sparse): (Vec<Row>, BTreeSet<String>)| {
            start += rows.len();
            batch(&rows, &sparse, start - rows.len())
        };
        parts.into_iter().map(batch).collect()
    })
}

#[derive(Clone, Debug)]
struct Rules {
    declared: HashMap<String, FieldType>,
    columns_max: usize,
    dense_share: f64,
}

impl Rules {
    fn apply(&self, batches: &[RecordBatch]) -> RecordBatch {
        normalize(batches, &self.declared, self.columns_max, self.dense_share).unwrap()
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let declared = select(vec![vec![], vec![("b", FieldType::Str)], vec![("a", FieldType::I64), ("z", FieldType::F64)]]);
    let columns_max = prop_oneof![0usize..12, Just(1000)];
    (declared, columns_max, select(vec![0.0, 0.01, 0.05, 0.2, 1.1])).prop_map(|(declared, columns_max, dense_share)| {
        let declared = declared.into_iter().map(|(path, kind)| (path.to_string(), kind)).collect();
        Rules { declared, columns_max, dense_share }
    })
}

fn residual_rows(batch: &RecordBatch) -> HashMap<String, usize> {
    let mut rows = HashMap::new();
    if let Some(column) = batch.column_by_name(RESIDUAL) {
        for (_, member) in residual::all_members(column.as_string()) {
            *rows.entry(unquote(member.raw_key()).unwrap().into_owned()).or_default() += 1;
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_read_the_same_in_the_same_order(batches in batches(), rules in rules()) {
        let whole = rules.apply(&batches);
        prop_assert_eq!(read(&whole), batches.iter().flat_map(read).collect::<Vec<_>>());
    }

    #[test]
    fn slices_read_the_same(batches in batches(), rules in rules(), at in 0.0..1.0f64) {
        let cut = |batch: &RecordBatch| (batch.num_rows() as f64 * at) as usize;
        let halves: Vec<_> = batches.iter().map(|batch| batch.slice(cut(batch), batch.num_rows() - cut(batch))).collect();
        prop_assert_eq!(read(&rules.apply(&halves)), halves.iter().flat_map(read).collect::<Vec<_>>());
    }

    #[test]
    fn normalize_is_idempotent(batches in batches(), rules in rules()) {
        let once = rules.apply(&batches);
        prop_assert_eq!(rules.apply(std::slice::from_ref(&once)), once);
    }

    #[test]
    fn in_steps_or_at_once_is_the_same(batches in batches(), rules in rules(), at in 0usize..5) {
        let at = at.min(batches.len());
        let mut steps = vec![rules.apply(&batches[..at])];
        steps.extend_from_slice(&batches[at..]);
        prop_assert_eq!(rules.apply(&steps), rules.apply(&batches));
    }

    #[test]
    fn the_rules_hold(batches in batches(), rules in rules()) {
        let whole = rules.apply(&batches);
        let (rows, columns, sparse) = (whole.num_rows(), columns_with_rows(&whole).unwrap(), residual_rows(&whole));
        let declared = |column: &Column| rules.declared.get(&column.path) == Some(&column.kind);
        let pinned = |path: &str| path == TIMESTAMP || rules.declared.contains_key(path);
        let rank = |column: &Column| (column.kind != FieldType::Timestamp, !declared(column), column.clone());

        prop_assert!(columns.is_sorted_by_key(|(column, _)| rank(column)));
        prop_assert!(columns.iter().all(|(column, count)| *count > 0 || declared(column) || column.path == TIMESTAMP));
        prop_assert!(columns.iter().all(|(column, _)| !sparse.contains_key(&column.path)), "a field in both places");
        prop_assert!(sparse.keys().all(|path| !pinned(path)));

        let used = columns.iter().filter(|(_, count)| *count > 0).count();
        let free = columns.iter().filter(|(column, count)| *count > 0 && !pinned(&column.path)).count();
        prop_assert!(used <= rules.columns_max || free == 0);
        let mut dense: BTreeMap<&str, usize> = BTreeMap::new();
        for (column, count) in columns.iter().filter(|(column, _)| !pinned(&column.path)) {
            *dense.entry(&column.path).or_default() += count;
        }
        let reaches = |count: usize| rows < DENSITY_ROWS_MIN || count as f64 >= rules.dense_share * rows as f64;
        prop_assert!(dense.values().all(|count| reaches(*count)));
        if rules.columns_max == 1000 {
            prop_assert!(sparse.values().all(|count| !reaches(*count)));
        }
        let emptiest = dense.values().min().copied().unwrap_or(usize::MAX);
        prop_assert!(sparse.values().all(|count| *count <= emptiest));
    }
}

fn one(path: &str, cells: &[Option<Cell>]) -> RecordBatch {
    let rows: Vec<Row> = cells.iter().map(|cell| cell.iter().map(|cell| (path.to_string(), cell.clone())).collect()).collect();
    batch(&rows, &BTreeSet::new(), 0)
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn nothing_is_an_empty_batch() {
    let whole = normalize(&[], &HashMap::new(), 1000, 0.01).unwrap();
    assert_eq!((whole.num_rows(), names(&whole)), (0, vec![TIMESTAMP.to_string()]));
}

#[test]
fn the_fullest_type_gets_the_bare_name_unless_one_is_declared() {
    let text = one("task", &[Some((FieldType::Str, "x".into()))]);
    let numbers = one("task", &vec![Some((FieldType::I64, "1".into())); 2]);
    let batches = [text, numbers];
    let free = normalize(&batches, &HashMap::new(), 1000, 0.01).unwrap();
    assert_eq!(names(&free), ["timestamp", "task", "task#str"]);
    let declared = HashMap::from([("task".to_string(), FieldType::Str)]);
    assert_eq!(names(&normalize(&batches, &declared, 1000, 0.01).unwrap()), ["timestamp", "task", "task#i64"]);
}

#[test]
fn one_row_of_a_hundred_is_dense_and_of_a_hundred_and_one_sparse() {
    let mut cells = vec![None; 100];
    cells[7] = Some((FieldType::Str, "x".into()));
    assert_eq!(names(&normalize(&[one("a", &cells)], &HashMap::new(), 1000, 0.01).unwrap()), ["timestamp", "a"]);
    cells.push(None);
    assert_eq!(names(&normalize(&[one("a", &cells)], &HashMap::new(), 1000, 0.01).unwrap()), ["timestamp", "_residual"]);
}

#[test]
fn foreign_columns_are_refused() {
    let plain = one("a", &[Some((FieldType::Str, "x".into()))]);
    let mut fields: Vec<Field> = plain.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[1] = Field::new("a", DataType::Int32, true);
    let arrays: Vec<ArrayRef> = vec![plain.column(0).clone(), Arc::new(arrow_array::Int32Array::from(vec![1]))];
    let foreign = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let error = normalize(&[foreign], &HashMap::new(), 1000, 0.01).unwrap_err().to_string();
    assert!(error.contains("Int32") && error.contains("cast"), "{error}");
}

/// `cargo test --release -p pulka-core --test normalize -- --ignored --nocapture` prints times on the shape of real logs.
#[test]
#[ignore = "prints timings"]
fn sparse_columns_speed() {
    let part = |number: usize| {
        let rows = (0..15_000).map(|row| {
            let fields = (0..4).map(|shift| (row * 7 + shift * 131 + number) % 577);
            fields.map(|field| (format!("field.{field}"), (FieldType::Str, format!("value {row}")))).collect::<Row>()
        });
        rows.collect::<Vec<_>>()
    };
    let dense: Vec<_> = (0..10).map(|number| batch(&part(number), &BTreeSet::new(), 0)).collect();
    for dense_share in [0.0, 0.01] {
        let start = std::time::Instant::now();
        let whole = normalize(&dense, &HashMap::new(), 1000, dense_share).unwrap();
        println!("{} columns, share {dense_share}: {:?}", whole.num_columns(), start.elapsed());
        for again in [0.01, 0.0] {
            let start = std::time::Instant::now();
            let next = normalize(&[whole.clone(), whole.clone()], &HashMap::new(), 1000, again).unwrap();
            println!("  twice, share {again}: {} columns {:?}", next.num_columns(), start.elapsed());
        }
    }
}
