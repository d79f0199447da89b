//! The residual against serde_json as the reference.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, StringArray};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use pulka_core::batch::FieldType;
use pulka_core::batch::residual::{Value, fields, get, get_text, write_object};

#[derive(Clone, Debug)]
enum Owned {
    Bool(bool),
    I64(i64),
    F64(f64),
    Str(String),
    Json(String),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Owned::Bool(value) => Value::Bool(*value),
            Owned::I64(value) => Value::I64(*value),
            Owned::F64(value) => Value::F64(*value),
            Owned::Str(value) => Value::Str(value),
            Owned::Json(value) => Value::Json(value),
        }
    }

    fn kind(&self) -> FieldType {
        match self {
            Owned::Bool(_) => FieldType::Bool,
            Owned::I64(_) => FieldType::I64,
            Owned::F64(_) => FieldType::F64,
            Owned::Str(_) => FieldType::Str,
            Owned::Json(_) => FieldType::Json,
        }
    }
}

type Row = Option<BTreeMap<String, Owned>>;

/// Few keys, so that rows share them: prefixes of each other, JSON syntax, escapes, controls, nothing at all.
const KEYS: [&str; 16] =
    ["a", "ab", "a.b", "", ":", "\"", "\\", "a\\", "\"a\":", "k#i64", "é", "\u{1}", "a\nb", "{", "NaN", "\u{1f600}"];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![proptest::sample::select(KEYS.as_slice()).prop_map(str::to_string), any::<String>()]
}

fn text() -> impl Strategy<Value = String> {
    let parts = vec(proptest::sample::select([KEYS.as_slice(), &["\"a\":1", ",\"a\":", "{\"a\":1}", "}", "\\\""]].concat()), 0..5);
    prop_oneof![any::<String>(), parts.prop_map(|parts| parts.concat())]
}

fn value() -> impl Strategy<Value = Owned> {
    let json = (key(), text()).prop_flat_map(|(key, text)| {
        let (key, text) = (serde_json::json!(key).to_string(), serde_json::json!(text).to_string());
        let object = format!("{{{key}:{text},\"z\": [1, {{}}]}}");
        proptest::sample::select(vec![format!("[{text},{object}]"), object, "{}".into(), "[]".into(), "{\"f64\":\"NaN\"}".into()])
    });
    prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        any::<i64>().prop_map(Owned::I64),
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(1e16)]
            .prop_map(Owned::F64),
        prop_oneof![text(), Just("NaN".to_string()), Just("-Infinity".to_string())].prop_map(Owned::Str),
        json.prop_map(Owned::Json),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    vec(proptest::option::weighted(0.8, btree_map(key(), value(), 0..6)), 0..20)
}

fn object(row: &BTreeMap<String, Owned>) -> String {
    let mut out = Vec::new();
    write_object(&mut out, row.iter().map(|(key, value)| (key.as_str(), value.value())));
    String::from_utf8(out).unwrap()
}

fn residual(rows: &[Row]) -> StringArray {
    rows.iter().map(|row| row.as_ref().map(object)).collect()
}

fn check_value(array: &dyn Array, row: usize, expected: Option<&Owned>) {
    let Some(expected) = expected else { return assert!(array.is_null(row)) };
    assert!(array.is_valid(row));
    match expected {
        Owned::Bool(value) => assert_eq!(array.as_boolean().value(row), *value),
        Owned::I64(value) => assert_eq!(array.as_primitive::<Int64Type>().value(row), *value),
        Owned::F64(value) if value.is_nan() => assert!(array.as_primitive::<Float64Type>().value(row).is_nan()),
        Owned::F64(value) => assert_eq!(array.as_primitive::<Float64Type>().value(row).to_bits(), value.to_bits()),
        Owned::Str(value) | Owned::Json(value) => assert_eq!(array.as_string::<i32>().value(row), value),
    }
}

fn reference_text(value: &Owned) -> String {
    match value {
        Owned::F64(value) if value.is_nan() => "NaN".into(),
        Owned::F64(value) if value.is_infinite() => if *value > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        Owned::F64(value) => serde_json::to_string(value).unwrap(),
        Owned::Bool(value) => value.to_string(),
        Owned::I64(value) => value.to_string(),
        Owned::Str(value) | Owned::Json(value) => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_reader_reads_what_is_written(rows in rows()) {
        for row in rows.iter().flatten() {
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&object(row)).unwrap();
            prop_assert_eq!(read.len(), row.len());
            for (key, value) in row {
                match value {
                    Owned::Json(text) => prop_assert_eq!(&read[key], &serde_json::from_str::<serde_json::Value>(text).unwrap()),
                    Owned::Str(text) => prop_assert_eq!(read[key].as_str(), Some(text.as_str())),
                    Owned::I64(number) => prop_assert_eq!(read[key].as_i64(), Some(*number)),
                    Owned::F64(number) if number.is_finite() => prop_assert!(read[key].is_f64()),
                    Owned::F64(_) => prop_assert!(read[key].is_string()),
                    Owned::Bool(truth) => prop_assert_eq!(read[key].as_bool(), Some(*truth)),
                }
            }
        }
    }

    #[test]
    fn get_finds_every_value_with_its_type(rows in rows(), skip in 0usize..3) {
        let skip = skip.min(rows.len());
        let array = residual(&rows).slice(skip, rows.len() - skip);
        let rows = &rows[skip..];
        let keys = rows.iter().flatten().flat_map(|row| row.keys().cloned()).chain(KEYS.map(String::from));
        for key in keys.collect::<std::collections::BTreeSet<_>>() {
            for kind in FieldType::ALL {
                let found = get(&array, &key, kind);
                prop_assert_eq!(found.data_type(), &kind.arrow());
                prop_assert_eq!(found.len(), rows.len());
                for (index, row) in rows.iter().enumerate() {
                    let expected = row.as_ref().and_then(|row| row.get(&key)).filter(|value| value.kind() == kind);
                    check_value(&found, index, expected);
                }
            }
            let texts = get_text(&array, &key);
            let expected: Vec<_> = rows.iter().map(|row| Some(reference_text(row.as_ref()?.get(&key)?))).collect();
            prop_assert_eq!(texts, StringArray::from(expected));
        }
    }

    #[test]
    fn fields_lists_paths_and_types(rows in rows()) {
        let mut expected: BTreeMap<String, std::collections::BTreeSet<FieldType>> = BTreeMap::new();
        for (key, value) in rows.iter().flatten().flatten() {
            expected.entry(key.clone()).or_default().insert(value.kind());
        }
        let expected: BTreeMap<_, Vec<_>> = expected.into_iter().map(|(key, kinds)| (key, kinds.into_iter().collect())).collect();
        prop_assert_eq!(fields(&residual(&rows)), expected);
    }

    #[test]
    fn broken_text_never_panics(texts in vec("[{}\\[\\]\":,\\\\aé1e.-]{0,30}", 0..10)) {
        let array = StringArray::from(texts);
        fields(&array);
        for kind in FieldType::ALL {
            get(&array, "a", kind);
        }
        get_text(&array, "a");
    }
}

#[test]
fn the_canonical_form() {
    let mut out = Vec::new();
    let entries = [
        ("a", Value::F64(1.0)),
        ("b", Value::F64(1e300)),
        ("c", Value::I64(-7)),
        ("d", Value::Str("\u{8}\u{c}\n\r\t\u{1f}\u{7f}\"\\/é")),
        ("e", Value::F64(f64::NEG_INFINITY)),
        ("f", Value::Json("[1, 2]")),
    ];
    write_object(&mut out, entries);
    let expected = r#"{"a":1.0,"b":1e+300,"c":-7,"d":"\b\f\n\r\t\u001f\"\\/é","e":"-\u0049nfinity","f":[1, 2]}"#;
    assert_eq!(String::from_utf8(out).unwrap().replace('\u{7f}', ""), expected);
}

#[test]
fn a_null_row_with_bytes_below_it_stays_null() {
    let array = StringArray::from(vec![r#"{"a":1}"#, r#"{"a":2}"#]);
    let (offsets, values, _) = array.into_parts();
    let masked = StringArray::new(offsets, values, Some(vec![false, true].into()));
    let found = get(&masked, "a", FieldType::I64);
    assert!(found.is_null(0));
    assert_eq!(found.as_primitive::<Int64Type>().value(1), 2);
}

/// `cargo test --release -p pulka-core --test residual -- --ignored --nocapture` prints the time of lookups in a million rows.
#[test]
#[ignore = "prints timings"]
fn lookup_speed() {
    let filler = "x".repeat(30);
    let row = |index: usize| {
        let rare = if index.is_multiple_of(100) { ",\"needle.rare\":12345" } else { "" };
        format!(r#"{{"a.first":"{filler}","b.second":{index},"c.third":"{filler}","d.fourth":1.5,"e.fifth":"{filler}","needle.common":"{filler}"{rare}}}"#)
    };
    let array: StringArray = (0..1_000_000).map(|index| Some(row(index))).collect();
    for (path, kind) in [("needle.rare", FieldType::I64), ("needle.common", FieldType::Str), ("b.second", FieldType::I64)] {
        let start = std::time::Instant::now();
        let found = get(&array, path, kind);
        println!("{path}: {} of {} in {:?}", found.len() - found.null_count(), found.len(), start.elapsed());
    }
    let start = std::time::Instant::now();
    println!("fields: {} in {:?} over {} MB", fields(&array).len(), start.elapsed(), array.values().len() >> 20);
}
