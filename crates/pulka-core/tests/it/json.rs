//! The JSON decoder against a slow reading of the same bytes by serde_json, and against broken input.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, RecordBatch};
use proptest::prelude::*;
use pulka_core::batch::{Column, FieldType, RESIDUAL};
use pulka_core::decode::json::decode_json;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::report::Decoded;
use serde_json::{Value, json};

const ARRIVAL_NS: i64 = 1_800_000_000_000_000_000;
type Row = BTreeMap<String, Value>;

fn decode(body: impl AsRef<[u8]>) -> Decoded {
    decode_json(body.as_ref(), ARRIVAL_NS, 1, &DecodeOptions::default())
}

/// The rows of a batch by path, without the timestamp. JSON text is wrapped so that it differs from a string.
fn rows(decoded: &Decoded) -> Vec<Row> {
    let Some(batch) = &decoded.batch else { return Vec::new() };
    assert_eq!(batch.num_rows(), decoded.rows);
    (0..batch.num_rows()).map(|row| row_of(batch, row)).collect()
}

fn row_of(batch: &RecordBatch, row: usize) -> Row {
    let mut values = Row::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if array.is_null(row) {
            continue;
        }
        if field.name() == RESIDUAL {
            values.append(&mut residual_of(array.as_string::<i32>().value(row)));
            continue;
        }
        let Column { path, kind } = Column::of(field).unwrap();
        let value = match kind {
            FieldType::Timestamp => continue,
            FieldType::Bool => json!(array.as_boolean().value(row)),
            FieldType::I64 => json!(array.as_primitive::<Int64Type>().value(row)),
            FieldType::F64 => json!(array.as_primitive::<Float64Type>().value(row)),
            FieldType::Str => json!(array.as_string::<i32>().value(row)),
            FieldType::Json => json!({ "json": serde_json::from_str::<Value>(array.as_string::<i32>().value(row)).unwrap() }),
        };
        assert!(values.insert(path, value).is_none(), "at most one column of a field has a value");
    }
    values
}

fn residual_of(text: &str) -> Row {
    let residual: Row = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&residual).unwrap(), text, "the residual is canonical");
    let wrap = |value: Value| if value.is_array() || value.is_object() { json!({ "json": value }) } else { value };
    residual.into_iter().map(|(path, value)| (path, wrap(value))).collect()
}

/// The slow reference: flatten a parsed value.
fn flatten(path: String, value: &Value, row: &mut Row) {
    match value {
        Value::Null => {}
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                flatten(format!("{path}.{key}"), member, row);
            }
        }
        Value::Object(_) | Value::Array(_) => drop(row.insert(path, json!({ "json": value }))),
        Value::Number(number) if number.is_u64() && !number.is_i64() => drop(row.insert(path, json!(number.to_string()))),
        _ => drop(row.insert(path, value.clone())),
    }
}

fn reference(event: &Value) -> Row {
    let mut row = Row::new();
    for (key, value) in event.as_object().unwrap() {
        flatten(key.clone(), value, &mut row);
    }
    row
}

fn times(decoded: &Decoded) -> Vec<i64> {
    let batch = decoded.batch.as_ref().unwrap();
    batch.column(0).as_primitive::<TimestampNanosecondType>().values().to_vec()
}

fn names(decoded: &Decoded) -> Vec<String> {
    decoded.batch.as_ref().unwrap().schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-f]", 1 => "[a-z\"\\\\\n\u{1}é]{0,3}", 1 => "rare[0-9]{1,3}"]
}

fn event() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Few enough digits that serde_json reads them back exactly.
        (any::<i32>(), 0..8).prop_map(|(whole, power)| Value::from(f64::from(whole) / f64::from(1 << power))),
        "(?s).{0,20}".prop_map(Value::from),
        Just(json!("C:\\Windows\\System32\r\n\t\u{8}\u{c}\"")),
    ];
    let value = scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::hash_map(key(), value, 0..8).prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn equals_the_reference_in_every_shape(mut events in prop::collection::vec(event(), 1..160)) {
        // Pretty objects are told from lines by the first one, so it must span lines.
        events[0]["first"] = json!(true);
        let expected: Vec<Row> = events.iter().map(reference).collect();
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let pretty: Vec<String> = events.iter().map(|event| serde_json::to_string_pretty(event).unwrap()).collect();
        let array = serde_json::to_string_pretty(&events).unwrap();
        for body in [lines.join("\n"), lines.join("\r\n\n"), lines.concat(), pretty.join("\n"), array] {
            let decoded = decode(&body);
            prop_assert_eq!(decoded.report.rejected, 0);
            prop_assert_eq!(&rows(&decoded), &expected);
        }
    }

    #[test]
    fn floats_keep_every_bit(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        let decoded = decode(format!("{{\"a\":{value:e}}}"));
        let column = decoded.batch.as_ref().unwrap().column(1).as_primitive::<Float64Type>();
        prop_assert_eq!(column.value(0).to_bits(), value.to_bits());
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        decode(body);
    }

    #[test]
    fn near_json_never_panics(body in "([\\[\\]{}:,\"\\\\ \n0-9eE.+-]|\"a\"|true|\\\\u[dD][89c-f]00){0,80}") {
        rows(&decode(&body));
    }

    #[test]
    fn a_broken_line_leaves_the_others(
        events in prop::collection::vec(event(), 2..8), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let broken = at.index(lines.len() - 1) + 1;
        let ends: Vec<usize> = lines[broken].char_indices().map(|(end, _)| end).skip(1).collect();
        lines[broken].truncate(ends[cut.index(ends.len())]);
        let decoded = decode(lines.join("\n"));
        prop_assert_eq!(decoded.report.rejected, 1);
        prop_assert_eq!(decoded.report.samples[0].item, broken + 1);
        prop_assert_eq!(decoded.rows, events.len() - 1);
    }
}

#[test]
fn says_why_an_item_is_no_row() {
    let deep = format!("{{\"a\":{}}}", "[".repeat(10_000));
    let deep_objects = "{\"a\":".repeat(10_000);
    let table = [
        ("{\"a\":1", "broken_json"),
        ("{\"a\" 1}", "broken_json"),
        ("{\"a\":1,}", "broken_json"),
        ("{a:1}", "broken_json"),
        ("{\"a\":01}", "broken_json"),
        ("{\"a\":1.}", "broken_json"),
        ("{\"a\":.5}", "broken_json"),
        ("{\"a\":-}", "broken_json"),
        ("{\"a\":NaN}", "broken_json"),
        ("{\"a\":tru}", "broken_json"),
        ("{\"a\":\"\u{1}\"}", "broken_json"),
        ("{\"a\":\"\\x\"}", "broken_json"),
        ("{\"a\":\"\\u12g4\"}", "broken_json"),
        ("{\"a\":[1,]}", "broken_json"),
        ("{\"a\":[1}}", "broken_json"),
        ("{\"a\":1}}", "broken_json"),
        ("{\"a\":1} x", "broken_json"),
        ("hello", "broken_json"),
        ("7", "not_an_object"),
        ("\"text\"", "not_an_object"),
        ("null", "not_an_object"),
        (&deep, "too_deep"),
        (&deep_objects, "too_deep"),
    ];
    for (line, reason) in table {
        let decoded = decode(format!("{{\"n\":1}}\n{line}\n{{\"n\":2}}"));
        assert_eq!(decoded.rows, 2, "{line:.40}");
        assert_eq!(decoded.report.reasons, BTreeMap::from([(reason, 1)]), "{line:.40}");
        assert_eq!(decoded.report.samples[0].item, 2);
    }
}

#[test]
fn an_array_goes_on_after_what_is_no_event() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let decoded = decode(format!("[{{\"n\":1}}, 5, {deep}, {{\"n\":2}}, [], {{\"n\":3}}]"));
    assert_eq!(decoded.rows, 3);
    assert_eq!(decoded.report.reasons, BTreeMap::from([("not_an_object", 2), ("too_deep", 1)]));
    let items: Vec<usize> = decoded.report.samples.iter().map(|sample| sample.item).collect();
    assert_eq!(items, [2, 3, 5]);
}

#[test]
fn broken_utf8_and_half_pairs_are_replaced_and_counted() {
    let body = b"\xEF\xBB\xBF{\"a\":\"x\xFFy\"}\n{\"a\":\"\\ud800!\"}\n{\"a\":[\"\\udc00\", 1]}\n{\"a\":\"\\ud83d\\ude00\"}";
    let decoded = decode(body);
    assert_eq!(decoded.report.warnings["bad_utf8"], 3);
    let values: Vec<Value> = rows(&decoded).into_iter().map(|mut row| row.remove("a").unwrap()).collect();
    assert_eq!(values, [json!("x\u{FFFD}y"), json!("\u{FFFD}!"), json!({"json": ["\u{FFFD}", 1]}), json!("😀")]);
}

#[test]
fn the_last_of_equal_keys_wins_whatever_its_type() {
    let decoded = decode(
        r#"{"a":1,"a":"x"}{"a":{"b":1,"c":2},"a":{"c":3}}{"a":{"b":1},"a":2}{"a":1,"a":null}{"b.c":1,"b":{"c":2}}"#,
    );
    let expected = [json!({"a": "x"}), json!({"a.c": 3}), json!({"a": 2}), json!({}), json!({"b.c": 2})];
    assert_eq!(rows(&decoded).into_iter().map(|row| json!(row)).collect::<Vec<_>>(), expected);
    assert_eq!(decoded.report.warnings["duplicate_key"], 6);
}

#[test]
fn numbers_keep_every_digit() {
    let decoded = decode(
        r#"{"a":123456789012345678901234567890,"b":-9223372036854775808,"c":9223372036854775808,"d":1e400,"e":1.0,"f":-0.5e-3}"#,
    );
    let expected = json!({
        "a": "123456789012345678901234567890", "b": i64::MIN, "c": "9223372036854775808", "d": "1e400", "e": 1.0, "f": -0.0005,
    });
    assert_eq!(json!(rows(&decoded)[0]), expected);
}

#[test]
fn the_time_is_the_first_valid_one() {
    let body = [
        r#"{"timestamp":"2026-01-01T00:00:00Z"}"#,
        r#"{"timestamp":1767225600123}"#,
        r#"{"timestamp":"yesterday","ts":"1767225600.5"}"#,
        r#"{"timestamp":5}"#,
        r#"{"message":"x"}"#,
        r#"{"timestamp":true}"#,
    ];
    let decoded = decode(body.join("\n"));
    let start = 1_767_225_600_000_000_000;
    assert_eq!(times(&decoded), [start, start + 123_000_000, start + 500_000_000, ARRIVAL_NS, ARRIVAL_NS, ARRIVAL_NS]);
    assert_eq!(decoded.report.untimed, 3);
    let rows = rows(&decoded);
    assert!(rows[0].is_empty() && rows[1].is_empty());
    assert_eq!(json!(rows[2]), json!({"timestamp_original": "yesterday", "ts": "1767225600.5"}));
    assert_eq!(json!(rows[3]), json!({"timestamp_original": 5}));
    for warning in ["timestamp_missing", "timestamp_out_of_range", "timestamp_unreadable"] {
        assert_eq!(decoded.report.warnings[warning], 1);
    }
}

#[test]
fn applies_the_options() {
    let mut options = DecodeOptions {
        rename: [("log.level", "severity"), ("k8s", "kube")].map(|(from, to)| (from.to_string(), to.to_string())).into(),
        constants: vec![("service".to_string(), "api".to_string())],
        json_fields: vec!["log.text".to_string()],
        depth_max: 2,
        rows_max: 3,
        event_bytes_max: 105,
        ..DecodeOptions::default()
    };
    options.batch.field_bytes_max = 12;
    let body = [
        r#"{"log":{"level":"info","text":"{\"x\":1}"},"k8s":{"pod":"p","labels":{"a":  1}},"service":"own"}"#.to_string(),
        r#"{"log":{"text":"{broken"},"long":"ααααααααα"}"#.to_string(),
        format!(r#"{{"long":"{}"}}"#, "x".repeat(100)),
        "{}".to_string(),
        "{}".to_string(),
    ];
    let decoded = decode_json(body.join("\n").as_bytes(), ARRIVAL_NS, 10, &options);
    let rows = rows(&decoded);
    let first = json!({"severity": "info", "x": 1, "kube.pod": "p", "kube.labels": {"json": {"a": 1}}, "service": "own"});
    assert_eq!(json!(rows[0]), first);
    assert_eq!(json!(rows[1]), json!({"log.text": "{broken", "long": "αααααα", "truncated": "long", "service": "api"}));
    assert_eq!(json!(rows[2]), json!({"service": "api"}));
    assert_eq!(decoded.report.reasons, BTreeMap::from([("event_too_large", 1), ("too_many_rows", 1)]));
    assert_eq!(decoded.report.samples.iter().map(|sample| sample.item).collect::<Vec<_>>(), [12, 14]);
}

#[test]
fn sparse_fields_go_to_the_residual() {
    let line = |n| format!(r#"{{"n":{n},"k{n}":"v\n{n}","z":{}}}"#, if n == 7 { "1.0" } else { "null" });
    let decoded = decode((0..200).map(line).collect::<Vec<_>>().join("\n"));
    assert_eq!(names(&decoded), ["timestamp", "n", RESIDUAL]);
    let batch = decoded.batch.unwrap();
    assert_eq!(batch.column(2).as_string::<i32>().value(7), r#"{"k7":"v\n7","z":1.0}"#);
}

#[test]
fn too_many_columns_move_the_least_dense_fields() {
    let mut options = DecodeOptions::default();
    options.batch.columns_max = 4;
    options.batch.declared.insert("host".to_string(), FieldType::Str);
    let body = r#"{"a":1,"b":1,"c":1,"d":1}{"a":1,"b":1,"d":"x"}{"a":1,"host":"h"}"#;
    let decoded = decode_json(body.as_bytes(), ARRIVAL_NS, 1, &options);
    assert_eq!(names(&decoded), ["timestamp", "host", "a", RESIDUAL]);
    assert_eq!(json!(rows(&decoded)[1]), json!({"a": 1, "b": 1, "d": "x"}));
}
