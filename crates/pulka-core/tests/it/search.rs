//! A search finds exactly the rows that a slow reader finds, whatever the row groups and pages are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use pulka_core::fragment::{FragmentOptions, SortColumn, write_fragment};
use pulka_core::search::condition::{Condition, Match, Pattern, Test};
use pulka_core::search::{Answer, Request, Search};
use tempfile::TempDir;

#[derive(Clone, Debug)]
struct Event {
    time: i64,
    service: Option<String>,
    message: Option<String>,
    id: Option<String>,
    size: Option<i64>,
    ratio: Option<f64>,
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = || prop_oneof![4 => "[abK ]{0,6}", 2 => "(error|Warn|größe|\n|%|_){0,4}", 1 => "\\PC{0,20}", 1 => Just("\u{212a}\u{17f}".to_string())];
    let fields = (
        0..200_i64,
        prop::option::weighted(0.9, "[xy]{1,2}"),
        prop::option::weighted(0.8, text()),
        prop::option::weighted(0.8, "[0-9a-f]{3}"),
        prop::option::weighted(0.8, prop_oneof![-5..5_i64, any::<i64>()]),
        prop::option::weighted(0.8, prop_oneof![Just(f64::NAN), Just(-0.0), -5.0..5.0, Just(f64::INFINITY)]),
    );
    fields.prop_map(|(time, service, message, id, size, ratio)| Event { time, service, message, id, size, ratio })
}

fn any_pattern() -> impl Strategy<Value = (Match, String)> {
    let how = prop_oneof![Just(Match::Equals), Just(Match::StartsWith), Just(Match::Contains), Just(Match::ContainsIgnoreCase)];
    (how, prop_oneof!["[abkK ]{0,3}", Just("error".to_string()), Just("WARN".to_string()), Just("öß".to_string()), "\\PC{0,2}"])
}

fn any_condition() -> impl Strategy<Value = (&'static str, Test)> {
    let text = |column, patterns: Vec<(Match, String)>| {
        (column, Test::Text(patterns.iter().map(|(how, text)| Pattern::new(*how, text)).collect()))
    };
    prop_oneof![
        4 => prop::collection::vec(any_pattern(), 1..3).prop_map(move |patterns| text("message", patterns)),
        1 => "[0-9a-f]{3}".prop_map(move |id| text("id", vec![(Match::Equals, id)])),
        1 => "[xy]{1,2}".prop_map(move |name| text("service", vec![(Match::Equals, name)])),
        1 => (0..200_i64, 0..200_i64).prop_map(|(low, high)| ("timestamp", Test::Integers(low.min(high), high))),
        1 => (-5..5_i64, any::<i64>()).prop_map(|(low, high)| ("size", Test::Integers(low, high))),
        1 => (-5.0..5.0, -5.0..5.0).prop_map(|(low, high)| ("ratio", Test::Floats(low, high))),
        1 => (any::<bool>(), prop_oneof![Just("message"), Just("size")]).prop_map(|(null, column)| (column, Test::Null(null))),
        1 => Just(("missing", Test::Integers(0, 0))),
    ]
}

fn batch(events: &[Event]) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let texts = |of: fn(&Event) -> &Option<String>| -> ArrayRef { Arc::new(events.iter().map(|event| of(event).as_deref()).collect::<StringArray>()) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("timestamp", Arc::new(TimestampNanosecondArray::from_iter_values(events.iter().map(|event| event.time)).with_timezone("UTC"))),
        ("service", texts(|event| &event.service)),
        ("message", texts(|event| &event.message)),
        ("id", texts(|event| &event.id)),
        ("size", Arc::new(events.iter().map(|event| event.size).collect::<Int64Array>())),
        ("ratio", Arc::new(events.iter().map(|event| event.ratio).collect::<Float64Array>())),
        ("row", Arc::new((0..events.len() as i64).collect::<Int64Array>())),
    ];
    let kind = |name: &str, array: &ArrayRef| if name == "timestamp" { time.clone() } else { array.data_type().clone() };
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, kind(name, array), *name != "timestamp")).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn write(directory: &TempDir, name: &str, events: &[Event], row_group_bytes: usize) -> PathBuf {
    let sort = ["service", "-timestamp"].map(SortColumn::parse).to_vec();
    let options = FragmentOptions { sort, bloom: vec!["id".into()], row_group_bytes, dense_share: 0.0, ..FragmentOptions::default() };
    let path = directory.path().join(name);
    write_fragment(&[batch(events)], &path, &options).unwrap();
    path
}

fn request(path: &Path, conditions: &[(&str, Test)]) -> Request {
    let conditions = conditions.iter().map(|(column, test)| Condition { column: column.to_string(), test: test.clone() });
    let columns = ["timestamp", "message", "row", "nowhere"].map(String::from).to_vec();
    Request { path: path.to_path_buf(), columns, conditions: conditions.collect() }
}

/// None: the test cannot tell from the value, so that either is right.
fn passes(event: &Event, column: &str, test: &Test) -> Option<bool> {
    let within = |value: Option<i64>, low: i64, high: i64| Some(value.is_some_and(|value| low <= value && value <= high));
    match (test, column) {
        (Test::Integers(low, high), "timestamp") => within(Some(event.time), *low, *high),
        (Test::Integers(low, high), "size") => within(event.size, *low, *high),
        (Test::Floats(low, high), _) => Some(event.ratio.is_some_and(|value| value.is_nan() || (*low <= value && value <= *high))),
        (Test::Text(patterns), _) => {
            let value = match column {
                "message" => &event.message,
                "id" => &event.id,
                _ => &event.service,
            };
            Some(value.as_ref().is_some_and(|value| patterns.iter().any(|pattern| slow(pattern, value))))
        }
        _ => None,
    }
}

fn slow(pattern: &Pattern, value: &str) -> bool {
    match pattern.how {
        Match::Equals => value == pattern.text,
        Match::StartsWith => value.starts_with(&pattern.text),
        Match::Contains => value.contains(&pattern.text),
        Match::ContainsIgnoreCase => pattern.matches(value.as_bytes()),
    }
}

/// The rows found, by their number and with their message.
fn found(batches: &[RecordBatch]) -> Vec<(i64, Option<String>)> {
    let mut rows: Vec<(i64, Option<String>)> = Vec::new();
    for batch in batches {
        let numbers = batch.column_by_name("row").unwrap().as_primitive::<Int64Type>();
        let messages = batch.column_by_name("message").map(|array| array.as_string::<i32>()); // none when all are null
        let message = |at: usize| messages.filter(|texts| texts.is_valid(at)).map(|texts| texts.value(at).to_string());
        rows.extend(numbers.values().iter().enumerate().map(|(at, row)| (*row, message(at))));
    }
    rows.sort();
    rows
}

fn run(requests: Vec<Request>) -> Answer {
    Search::new(requests, 1 << 30, 2).run().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_slow_reader_finds(
        events in prop::collection::vec(any_event(), 1..300),
        conditions in prop::collection::vec(any_condition(), 0..4),
        row_group_bytes in prop_oneof![Just(64_usize), Just(700), Just(1 << 20)],
    ) {
        let directory = TempDir::new().unwrap();
        let path = write(&directory, "f", &events, row_group_bytes);
        let answer = run(vec![request(&path, &conditions), request(&path, &[])]);
        let batches = answer.batches.unwrap();
        let kept = |event: &Event, doubt: bool| conditions.iter().all(|(column, test)| passes(event, column, test).unwrap_or(doubt));
        let numbered = || events.iter().enumerate().map(|(row, event)| (row as i64, event));
        let most: BTreeSet<i64> = numbered().filter(|(_, event)| kept(event, true)).map(|(row, _)| row).collect();
        let rows = found(&batches[0]);
        for (row, message) in &rows {
            prop_assert!(most.contains(row), "row {row} passes no test");
            prop_assert_eq!(message, &events[*row as usize].message);
        }
        if conditions.iter().all(|(_, test)| !matches!(test, Test::Null(_))) {
            prop_assert_eq!(rows.len(), most.len());
        }
        for (column, test) in &conditions {
            if let (Test::Null(null), [_]) = (test, conditions.as_slice()) {
                let wanted = events.iter().filter(|event| *null == if *column == "size" { event.size.is_none() } else { event.message.is_none() });
                prop_assert!(rows.len() >= wanted.count());
            }
        }
        prop_assert_eq!(found(&batches[1]).len(), events.len());
        prop_assert_eq!(answer.rows, rows.len() + events.len());
    }
}

fn numbered(count: usize, message: impl Fn(usize) -> String) -> Vec<Event> {
    let event = |row: usize| Event {
        time: row as i64,
        service: Some("x".into()),
        message: Some(message(row)),
        id: Some(format!("{row:08x}")),
        size: Some(row as i64),
        ratio: None,
    };
    (0..count).map(event).collect()
}

fn contains(text: &str) -> (&'static str, Test) {
    ("message", Test::Text(vec![Pattern::new(Match::Contains, text)]))
}

#[test]
fn row_groups_are_left_out_by_what_knows_them() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "f", &numbered(20_000, |row| format!("message {row}")), 40_000);
    let id = |text: &str| ("id", Test::Text(vec![Pattern::new(Match::Equals, text)]));
    let answer = run(vec![request(&path, &[id("00000fa0x")])]);
    assert!(answer.row_groups >= 5 && answer.rows == 0, "{} groups", answer.row_groups);
    assert!(answer.pruned["min_max"] > 0 && answer.pruned["bloom"] > 0, "{:?}", answer.pruned);
    let whole = std::fs::metadata(&path).unwrap().len();
    assert!(answer.bytes_read < whole / 2, "{} of {whole} bytes", answer.bytes_read);
    let answer = run(vec![request(&path, &[id("00000fa0")])]);
    assert_eq!(answer.rows, 1);
    let answer = run(vec![request(&path, &[("timestamp", Test::Integers(-9, -1))])]);
    assert_eq!(answer.pruned["min_max"], answer.row_groups);
}

#[test]
fn more_than_the_bound_ends_the_search() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "f", &numbered(5_000, |row| format!("message {row}")), 20_000);
    for (bytes_max, ends) in [(1 << 20, false), (10_000, true), (0, true)] {
        let answer = Search::new(vec![request(&path, &[contains("message")])], bytes_max, 2).run().unwrap();
        assert_eq!(answer.batches.is_none(), ends, "{bytes_max} bytes");
        assert!(!answer.cancelled);
    }
}

#[test]
fn a_text_that_is_nearly_everywhere_ends_the_search_early() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "f", &numbered(200_000, |row| format!("message {} of many", row * 7919 % 200_000)), 32 << 20);
    let answer = Search::new(vec![request(&path, &[contains("many")])], 1 << 30, 1).run().unwrap();
    assert!(answer.batches.is_none() && !answer.cancelled);
    let whole = Search::new(vec![request(&path, &[contains("absent")])], 1 << 30, 1).run().unwrap();
    assert!(answer.bytes_read < whole.bytes_read / 2, "{} of {} bytes", answer.bytes_read, whole.bytes_read);
}

#[test]
fn a_search_can_be_cancelled() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "f", &numbered(1_000, |row| format!("message {row}")), 1 << 20);
    let search = Search::new(vec![request(&path, &[contains("7")])], 1 << 30, 2);
    search.cancel();
    let answer = search.run().unwrap();
    assert!(answer.cancelled && answer.batches.is_none());
}

#[test]
fn broken_bytes_are_an_error_or_an_answer() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "f", &numbered(300, |row| format!("message {row}")), 2_000);
    let bytes = std::fs::read(&path).unwrap();
    let broken = directory.path().join("broken");
    for at in (0..bytes.len()).step_by(11) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        std::fs::write(&broken, &changed).unwrap();
        let _ = Search::new(vec![request(&broken, &[contains("7")])], 1 << 30, 1).run();
    }
    assert!(Search::new(vec![request(&directory.path().join("nowhere"), &[])], 1 << 30, 1).run().is_err());
}

mod counts {
    use std::collections::BTreeMap;

    use pulka_core::search::counts::exact::{Compare, Exact, TextTest};
    use pulka_core::search::counts::{Alike, Counts, Request};

    use super::*;

    /// A test of one column, and what it says of an event.
    type Asked = (&'static str, Exact, Box<dyn Fn(&Event) -> bool>);

    fn any_test() -> impl Strategy<Value = usize> {
        0..10_usize
    }

    fn test(number: usize) -> Asked {
        let said = |event: &Event| event.message.clone();
        match number {
            0 => ("message", Exact::Text(TextTest::contains(vec!["a".into(), "error".into()])), Box::new(move |event| said(event).is_some_and(|text| text.contains('a') || text.contains("error")))),
            1 => ("message", Exact::Text(TextTest::regex("[bw]a?", true).unwrap()), Box::new(move |event| said(event).is_some_and(|text| text.chars().any(|one| "bBwW".contains(one))))),
            2 => ("message", Exact::Text(TextTest::regex("k", true).unwrap()), Box::new(move |event| said(event).is_some_and(|text| text.chars().any(|one| "kK\u{212a}".contains(one))))),
            3 => ("service", Exact::Text(TextTest::equals(vec!["x".into(), "yy".into()])), Box::new(|event| matches!(event.service.as_deref(), Some("x" | "yy")))),
            4 => ("timestamp", Exact::Integers(vec![(20, 150)]), Box::new(|event| (20..=150).contains(&event.time))),
            5 => ("size", Exact::Integers(vec![(-2, 0), (3, 3)]), Box::new(|event| matches!(event.size, Some(-2..=0 | 3)))),
            6 => ("ratio", Exact::float(Compare::Greater, 0.5), Box::new(|event| event.ratio.is_some_and(|ratio| ratio.total_cmp(&0.5).is_gt()))),
            7 => ("size", Exact::Null(true), Box::new(|event| event.size.is_none())),
            8 => ("message", Exact::Null(false), Box::new(|event| event.message.is_some())),
            _ => ("id", Exact::Text(TextTest::starts_with(vec!["a".into()])), Box::new(|event| event.id.as_ref().is_some_and(|id| id.starts_with('a')))),
        }
    }

    fn key(event: &Event, column: &str) -> String {
        match column {
            "service" => format!("{:?}", event.service),
            "message" => format!("{:?}", event.message),
            "id" => format!("{:?}", event.id),
            "size" => format!("{:?}", event.size),
            "timestamp" => format!("{}", event.time.div_euclid(16)),
            _ => format!("{:?}", event.ratio.map(f64::to_bits)),
        }
    }

    /// A column that is null everywhere is not in the file.
    fn found_key(batch: &RecordBatch, row: usize, column: &str) -> String {
        let Some(array) = batch.column_by_name(column) else { return format!("{:?}", None::<String>) };
        let valid = array.is_valid(row);
        match column {
            "timestamp" => format!("{}", array.as_primitive::<arrow_array::types::TimestampNanosecondType>().value(row).div_euclid(16)),
            "size" => format!("{:?}", valid.then(|| array.as_primitive::<Int64Type>().value(row))),
            "ratio" => format!("{:?}", valid.then(|| array.as_primitive::<arrow_array::types::Float64Type>().value(row).to_bits())),
            _ => format!("{:?}", valid.then(|| array.as_string::<i32>().value(row).to_string())),
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_slow_reader(
            events in prop::collection::vec(any_event(), 1..120),
            numbers in prop::collection::vec(any_test(), 0..3),
            keys in prop::sample::subsequence(vec!["service", "message", "id", "size", "timestamp", "ratio"], 0..4),
            row_group_bytes in prop_oneof![Just(1_usize), Just(3_000), Just(1 << 20)],
            threads in 1..3_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = write(&directory, "a.parquet", &events, row_group_bytes);
            let tests: Vec<Asked> = numbers.iter().map(|number| test(*number)).collect();
            let mut wanted = BTreeMap::<Vec<String>, i64>::new();
            for event in events.iter().filter(|event| tests.iter().all(|(_, _, says)| says(event))) {
                *wanted.entry(keys.iter().map(|column| key(event, column)).collect()).or_default() += 1;
            }
            let alike = |column: &str| match column {
                "timestamp" => Alike::Every(16),
                _ => Alike::Equal,
            };
            let witnesses = tests.iter().map(|(column, _, _)| column.to_string()).filter(|column| !keys.contains(&column.as_str())).collect();
            let request = Request {
                path, witnesses, conditions: Vec::new(),
                keys: keys.iter().map(|column| (column.to_string(), alike(column))).chain([("nowhere".to_string(), Alike::Equal)]).collect(),
                tests: tests.into_iter().map(|(column, test, _)| (column.to_string(), test)).collect(),
            };
            let answer = Counts::new(vec![request], 1 << 24, threads).run().unwrap();
            let mut found = BTreeMap::<Vec<String>, i64>::new();
            for batch in answer.batches.unwrap().iter().flatten() {
                let counts = batch.column_by_name("\u{1f}rows").unwrap().as_primitive::<Int64Type>().clone();
                for row in 0..batch.num_rows() {
                    let failed = numbers.iter().map(|number| test(*number)).find(|(column, _, says)| !says(&witness(batch, row, column)));
                    if let Some((column, ..)) = failed {
                        prop_assert!(batch.column_by_name(column).is_none(), "{column}");
                        continue; // that the file lacks it is for the engine's filter to see
                    }
                    *found.entry(keys.iter().map(|column| found_key(batch, row, column)).collect()).or_default() += counts.value(row);
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }

    /// An event with one field, that of a row found.
    fn witness(batch: &RecordBatch, row: usize, column: &str) -> Event {
        let mut event = Event { time: 0, service: None, message: None, id: None, size: None, ratio: None };
        let Some(array) = batch.column_by_name(column) else { return event };
        let text = || array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_string());
        match column {
            "timestamp" => event.time = array.as_primitive::<arrow_array::types::TimestampNanosecondType>().value(row),
            "size" => event.size = array.is_valid(row).then(|| array.as_primitive::<Int64Type>().value(row)),
            "ratio" => event.ratio = array.is_valid(row).then(|| array.as_primitive::<arrow_array::types::Float64Type>().value(row)),
            "service" => event.service = text(),
            "message" => event.message = text(),
            _ => event.id = text(),
        }
        event
    }
}
