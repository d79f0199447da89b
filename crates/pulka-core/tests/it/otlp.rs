//! OTLP against a slow and plain reading of the same requests.

mod generate;
mod reference;

use crate::common::{Cell, Row, rows_of, str};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use proptest::prelude::*;
use prost::Message;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::otlp::{Encoding, Signal, decode_otlp};
use pulka_core::decode::report::Decoded;

use generate::ARRIVAL_NS;

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

fn decode(body: &[u8], signal: Signal, encoding: Encoding) -> Decoded {
    let mut options = DecodeOptions::default();
    options.batch.columns_max = usize::MAX;
    options.batch.dense_share = 0.0;
    decode_otlp(body, signal, encoding, ARRIVAL_NS, &options)
}

fn rows(body: &[u8], signal: Signal, encoding: Encoding) -> Vec<Row> {
    let decoded = decode(body, signal, encoding);
    assert_eq!(decoded.report.rejected, 0, "{:?}", decoded.report.samples);
    rows_of(decoded.batch.as_ref())
}

proptest! {
    #[test]
    fn logs_match_the_reference(request in generate::logs(true)) {
        prop_assert_eq!(rows(&request.encode_to_vec(), Signal::Logs, Encoding::Protobuf), reference::logs(&request));
    }

    #[test]
    fn spans_match_the_reference(request in generate::traces(true)) {
        prop_assert_eq!(rows(&request.encode_to_vec(), Signal::Traces, Encoding::Protobuf), reference::traces(&request));
    }

    #[test]
    fn metrics_match_the_reference(request in generate::metrics(true)) {
        prop_assert_eq!(rows(&request.encode_to_vec(), Signal::Metrics, Encoding::Protobuf), reference::metrics(&request));
    }

    #[test]
    fn json_says_the_same_as_protobuf(
        logs in generate::logs(false), traces in generate::traces(false), metrics in generate::metrics(false)
    ) {
        let bodies = [
            (Signal::Logs, logs.encode_to_vec(), serde_json::to_vec(&logs).unwrap()),
            (Signal::Traces, traces.encode_to_vec(), serde_json::to_vec(&traces).unwrap()),
            (Signal::Metrics, metrics.encode_to_vec(), serde_json::to_vec(&metrics).unwrap()),
        ];
        for (signal, wire, json) in bodies {
            prop_assert_eq!(rows(&json, signal, Encoding::Json), rows(&wire, signal, Encoding::Protobuf));
        }
    }

    #[test]
    fn cut_anywhere_it_is_rejected_or_shorter(request in generate::logs(true)) {
        let body = request.encode_to_vec();
        let whole = reference::logs(&request);
        for end in 0..body.len() {
            let decoded = decode(&body[..end], Signal::Logs, Encoding::Protobuf);
            let kept = rows_of(decoded.batch.as_ref());
            prop_assert_eq!(&kept[..], &whole[..kept.len()]);
        }
    }

    #[test]
    fn cut_traces_and_metrics_never_panic(traces in generate::traces(true), metrics in generate::metrics(true)) {
        for (signal, body) in [(Signal::Traces, traces.encode_to_vec()), (Signal::Metrics, metrics.encode_to_vec())] {
            for end in 0..body.len() {
                decode(&body[..end], signal, Encoding::Protobuf);
            }
        }
    }

    #[test]
    fn a_changed_byte_never_panics(metrics in generate::metrics(true), at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = metrics.encode_to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for signal in SIGNALS {
            decode(&body, signal, Encoding::Protobuf);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for signal in SIGNALS {
            decode(&body, signal, Encoding::Protobuf);
            decode(&body, signal, Encoding::Json);
        }
    }
}

fn request_of(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records: records, ..Default::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }
}

fn named(name: &str) -> LogRecord {
    LogRecord { event_name: name.to_string(), time_unix_nano: ARRIVAL_NS as u64, ..Default::default() }
}

#[test]
fn a_broken_record_leaves_its_neighbours() {
    let request = request_of(vec![named("first"), named("second"), named("third")]);
    let mut body = request.encode_to_vec();
    let at = body.windows(6).position(|bytes| bytes == b"second").unwrap();
    // The length before the name: longer than the record.
    body[at - 1] = 100;
    let decoded = decode(&body, Signal::Logs, Encoding::Protobuf);
    let names: Vec<_> = rows_of(decoded.batch.as_ref()).iter().map(|row| row["event_name"].clone()).collect();
    assert_eq!(names, [str("first"), str("third")]);
    assert_eq!(decoded.report.reasons["broken_protobuf"], 1);
    assert_eq!(decoded.report.samples[0].item, 2);
}

#[test]
fn what_was_read_before_a_broken_frame_is_kept() {
    let mut body = request_of(vec![named("first")]).encode_to_vec();
    body.extend(request_of(vec![named("second")]).encode_to_vec());
    body.pop();
    let decoded = decode(&body, Signal::Logs, Encoding::Protobuf);
    assert_eq!((decoded.rows, decoded.report.rejected), (1, 1));
}

#[test]
fn malformed_wire_bytes_are_rejected() {
    let endless = [0xff; 11];
    let cases: [&[u8]; 7] =
        [&[0x0b], &[0x0c], &[0x0f], &[0x02, 0x00], &endless, &[0x0a, 0x05, 0x00], &[0x09, 0, 0, 0, 0, 0, 0, 0, 0]];
    for body in cases {
        let decoded = decode(body, Signal::Logs, Encoding::Protobuf);
        assert_eq!((decoded.rows, decoded.report.rejected), (0, 1), "{body:x?}");
    }
}

#[test]
fn times_that_cannot_be_are_kept_beside() {
    let far = ARRIVAL_NS as u64 + 2 * 86_400_000_000_000;
    let mut records = vec![named("far"), named("never"), named("huge"), named("observed")];
    records[0].time_unix_nano = far;
    records[1].time_unix_nano = 0;
    records[2].time_unix_nano = u64::MAX;
    (records[3].time_unix_nano, records[3].observed_time_unix_nano) = (0, ARRIVAL_NS as u64 - 5);
    let decoded = decode(&request_of(records).encode_to_vec(), Signal::Logs, Encoding::Protobuf);
    let rows = rows_of(decoded.batch.as_ref());
    assert!(rows[..3].iter().all(|row| row["timestamp"] == Cell::Time(ARRIVAL_NS)));
    assert_eq!(rows[0]["timestamp_original"], Cell::Int(far as i64));
    assert!(!rows[1].contains_key("timestamp_original"));
    assert_eq!(rows[2]["timestamp_original"], str("18446744073709551615"));
    assert_eq!(rows[3]["timestamp"], Cell::Time(ARRIVAL_NS - 5));
    assert!(!rows[3].contains_key("observed_timestamp"));
    assert_eq!(decoded.report.untimed, 3);
    assert_eq!(decoded.report.warnings["timestamp_out_of_range"], 2);
    assert_eq!(decoded.report.warnings["timestamp_missing"], 1);
}

#[test]
fn json_takes_every_spelling() {
    let body = br#"{"resource_logs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},
        "scopeLogs":[{"logRecords":[
            {"timeUnixNano":1699999999000000000,"severity_number":"SEVERITY_NUMBER_WARN","traceId":"0AF7","unknown":[{"x":[1]}],
             "body":{"intValue":"-5"},"flags":null,"attributes":[{"key":"d","value":{"doubleValue":"NaN"}},
             {"key":"b","value":{"bytesValue":"AQI="}},{"key":"n","value":null},{"key":"i","value":{"int_value":7}}]}]}]}]}"#;
    let row = &rows(body, Signal::Logs, Encoding::Json)[0];
    assert_eq!(row["service"], str("s"));
    assert_eq!(row["severity"], str("WARN"));
    assert_eq!(row["trace_id"], str("0af7"));
    assert_eq!(row["message"], Cell::Int(-5));
    assert_eq!(row["d"], Cell::Float(f64::NAN.to_bits()));
    assert_eq!(row["b"], str("AQI="));
    assert_eq!(row["i"], Cell::Int(7));
    assert!(!row.contains_key("n"));
}

#[test]
fn broken_json_is_rejected_as_a_whole() {
    let deep = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#.to_string() + &r#"{"arrayValue":{"values":["#.repeat(100);
    for body in ["", "[]", "{", "{} x", r#"{"resourceLogs":5}"#, r#"{"resourceLogs":[{"resource":[]}]}"#, &deep] {
        let decoded = decode(body.as_bytes(), Signal::Logs, Encoding::Json);
        assert_eq!((decoded.rows, decoded.report.reasons.get("broken_json")), (0, Some(&1)), "{body}");
    }
}

#[test]
fn an_empty_request_is_nothing() {
    assert!(decode(&ExportTraceServiceRequest::default().encode_to_vec(), Signal::Traces, Encoding::Protobuf).batch.is_none());
    assert!(decode(&ExportMetricsServiceRequest::default().encode_to_vec(), Signal::Metrics, Encoding::Protobuf).batch.is_none());
}
