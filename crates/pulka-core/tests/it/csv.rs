use crate::common::{Cell, rows_of, str};
use proptest::prelude::*;
use pulka_core::batch::FieldType;
use pulka_core::decode::csv::decode_csv;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::report::Decoded;

const ARRIVAL_NS: i64 = 1_700_000_000_000_000_000;

fn decode(body: &str) -> Decoded {
    decode_csv(body.as_bytes(), ARRIVAL_NS, &DecodeOptions::default(), None, 1)
}

#[test]
fn cells_get_the_type_they_look_like() {
    let decoded = decode("a,b,c,d,e,f,g\n1,1.5,true,007,,x,92233720368547758080\n");
    let row = &rows_of(decoded.batch.as_ref())[0];
    assert_eq!(row["a"], Cell::Int(1));
    assert_eq!(row["b"], Cell::Float(1.5f64.to_bits()));
    assert_eq!(row["c"], Cell::Bool(true));
    assert_eq!(row["d"], str("007"));
    assert!(!row.contains_key("e"));
    assert_eq!(row["f"], str("x"));
    assert_eq!(row["g"], str("92233720368547758080"));
    assert_eq!(row["timestamp"], Cell::Time(ARRIVAL_NS));
}

#[test]
fn a_text_column_keeps_ids_of_digits() {
    let mut options = DecodeOptions::default();
    options.batch.declared.insert("trace_id".to_string(), FieldType::Str);
    let decoded = decode_csv(b"trace_id\n12345\n", ARRIVAL_NS, &options, None, 1);
    assert_eq!(rows_of(decoded.batch.as_ref())[0]["trace_id"], str("12345"));
}

#[test]
fn broken_records_are_named_by_their_physical_line() {
    let decoded = decode("a,b\r\n\"1\r\n2\",x\r\n\r\n1,2,3\r\n4,5\r\n6\r\n7,\"8\r\n");
    assert_eq!(decoded.rows, 2);
    let samples: Vec<_> = decoded.report.samples.iter().map(|sample| (sample.item, sample.detail.as_str())).collect();
    let expected =
        [(5, "3 cells instead of 2"), (7, "1 cells instead of 2"), (8, "a quote is not closed before the body ends")];
    assert_eq!(samples, expected);
    assert_eq!(decoded.report.reasons["broken_csv"], 3);
    assert_eq!(rows_of(decoded.batch.as_ref())[0]["a"], str("1\r\n2"));
}

#[test]
fn headers_may_repeat_and_be_empty() {
    let decoded = decode("\u{feff}a,, a ,a_2,a\n1,2,3,4,5");
    let row = &rows_of(decoded.batch.as_ref())[0];
    for (path, value) in [("a", 1), ("column_2", 2), ("a_3", 3), ("a_2", 4), ("a_4", 5)] {
        assert_eq!(row[path], Cell::Int(value), "{path}");
    }
}

#[test]
fn a_given_header_continues_a_file() {
    let header = ["x".to_string()];
    let decoded = decode_csv(b"1\n2,3\n", ARRIVAL_NS, &DecodeOptions::default(), Some(&header), 100);
    assert_eq!(decoded.rows, 1);
    assert_eq!(decoded.report.samples[0].item, 101);
}

#[test]
fn names_constants_times_and_json_cells() {
    let mut options =
        DecodeOptions { timestamp_fields: vec!["TimeUnixNano".to_string()], ..DecodeOptions::default() };
    options.rename.insert("Pod".to_string(), "host".to_string());
    options.rename.insert("stream.name".to_string(), "stream".to_string());
    options.constants = vec![("service".to_string(), "shop".to_string())];
    options.json_fields = vec!["Log".to_string()];
    let body = concat!(
        "TimeUnixNano,Pod,Log\n",
        "1699999999000000001,p1,\"{\"\"log\"\":\"\"a\\n\"\",\"\"n\"\":{\"\"k\"\": 1.0},\"\"l\"\":[1, \"\" x\"\"],\"\"stream\"\":{\"\"name\"\":\"\"out\"\"}}\"\n",
        "1699999999000000002,p2,{broken\n",
    );
    let decoded = decode_csv(body.as_bytes(), ARRIVAL_NS, &options, None, 1);
    let rows = rows_of(decoded.batch.as_ref());
    assert_eq!(rows[0]["timestamp"], Cell::Time(1_699_999_999_000_000_001));
    assert_eq!(rows[0]["host"], str("p1"));
    assert_eq!(rows[0]["service"], str("shop"));
    assert_eq!(rows[0]["log"], str("a\n"));
    assert_eq!(rows[0]["n.k"], Cell::Float(1f64.to_bits()));
    assert_eq!(rows[0]["l"], Cell::Json("[1,\" x\"]".to_string()));
    assert_eq!(rows[0]["stream"], str("out"));
    assert!(!rows[0].contains_key("Log"));
    assert_eq!(rows[1]["Log"], str("{broken"));
    assert_eq!(decoded.report.untimed, 0);
}

fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn text_comes_back_as_it_was(cells in proptest::collection::vec(proptest::collection::vec("x[a\"\\n\\r, é]{0,12}", 3), 0..20)) {
        let lines = cells.iter().map(|row| row.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n");
        let body = String::from("a,b,c\r\n") + &lines.collect::<String>();
        let decoded = decode(&body);
        prop_assert_eq!(decoded.rows, cells.len());
        for (row, cells) in rows_of(decoded.batch.as_ref()).iter().zip(&cells) {
            for (path, cell) in ["a", "b", "c"].iter().zip(cells) {
                prop_assert_eq!(&row[*path], &str(cell));
            }
        }
    }

    #[test]
    fn every_record_is_a_row_or_rejected(body in "([a,\"\\n0-9{}]{0,6}\\n){0,10}") {
        let decoded = decode(&body);
        let rows = decoded.batch.as_ref().map_or(0, |batch| batch.num_rows());
        prop_assert_eq!(rows, decoded.rows);
        prop_assert_eq!(decoded.report.reasons.values().sum::<usize>(), decoded.report.rejected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let options = DecodeOptions { json_fields: vec!["column_1".to_string()], ..DecodeOptions::default() };
        decode_csv(&body, ARRIVAL_NS, &options, None, 1);
        decode_csv(&body, ARRIVAL_NS, &options, Some(&[String::new(), String::new()]), 1);
    }
}
