//! The mapping once more, over whole trees and without a thought for speed.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, exemplar, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::common::{Cell, Row};
use super::generate::ARRIVAL_NS;

const COMMON: &[&str] = &["timestamp", "timestamp_original", "event_id", "service", "host", "env", "version"];
const LOGS: &[&str] = &[
    "severity", "severity_number", "message", "trace_id", "span_id", "flags", "event_name", "dropped_attributes_count",
    "observed_timestamp", "body",
];
const SPANS: &[&str] = &[
    "trace_id", "span_id", "parent_span_id", "trace_state", "flags", "name", "kind", "status", "status_message", "duration_ns",
    "events", "links", "dropped_attributes_count", "dropped_events_count", "dropped_links_count",
];
const METRICS: &[&str] = &[
    "name", "type", "unit", "description", "temporality", "monotonic", "start_timestamp", "flags", "exemplars", "value",
    "value_int", "count", "sum", "min", "max", "bucket_bounds", "bucket_counts", "scale", "zero_count", "zero_threshold",
    "positive_offset", "positive_counts", "negative_offset", "negative_counts", "quantiles",
];

pub fn logs(request: &ExportLogsServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_logs {
        for scope in &group.scope_logs {
            let shared = shared(group.resource.as_ref(), scope.scope.as_ref());
            rows.extend(scope.log_records.iter().map(|record| log(record, shared.clone())));
        }
    }
    rows
}

fn log(record: &LogRecord, mut row: Row) -> Row {
    if let Some(value) = record.body.as_ref().and_then(|body| body.value.as_ref()) {
        match value {
            Value::StringValue(text) => put_text(&mut row, "message", text),
            Value::ArrayValue(_) => put_text(&mut row, "message", &json(record.body.as_ref())),
            Value::KvlistValue(_) => {
                put_text(&mut row, "message", &json(record.body.as_ref()));
                flatten(&mut row, "body".to_string(), record.body.as_ref());
            }
            _ => flatten(&mut row, "message".to_string(), record.body.as_ref()),
        }
    }
    attributes(&mut row, &record.attributes, LOGS);
    put_id(&mut row, "trace_id", &record.trace_id);
    put_id(&mut row, "span_id", &record.span_id);
    put_text(&mut row, "event_name", &record.event_name);
    put_count(&mut row, "flags", record.flags.into());
    put_count(&mut row, "dropped_attributes_count", record.dropped_attributes_count.into());
    put_count(&mut row, "severity_number", record.severity_number as u64);
    let derived = match record.severity_number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    };
    put_text(&mut row, "severity", if record.severity_text.is_empty() { derived } else { &record.severity_text });
    let (time, observed) = (record.time_unix_nano, record.observed_time_unix_nano);
    if time != 0 && observed != time {
        put_count(&mut row, "observed_timestamp", observed);
    }
    stamp(row, if time == 0 { observed } else { time })
}

pub fn traces(request: &ExportTraceServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_spans {
        for scope in &group.scope_spans {
            let shared = shared(group.resource.as_ref(), scope.scope.as_ref());
            rows.extend(scope.spans.iter().map(|record| span(record, shared.clone())));
        }
    }
    rows
}

fn span(span: &Span, mut row: Row) -> Row {
    attributes(&mut row, &span.attributes, SPANS);
    put_id(&mut row, "trace_id", &span.trace_id);
    put_id(&mut row, "span_id", &span.span_id);
    put_id(&mut row, "parent_span_id", &span.parent_span_id);
    put_text(&mut row, "trace_state", &span.trace_state);
    put_text(&mut row, "name", &span.name);
    let kind = match span.kind {
        0 => "",
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        other => &other.to_string(),
    };
    put_text(&mut row, "kind", kind);
    let status = span.status.clone().unwrap_or_default();
    let code = match status.code {
        0 => "unset",
        1 => "ok",
        2 => "error",
        other => &other.to_string(),
    };
    put_text(&mut row, "status", code);
    put_text(&mut row, "status_message", &status.message);
    put_count(&mut row, "flags", span.flags.into());
    put_count(&mut row, "dropped_attributes_count", span.dropped_attributes_count.into());
    put_count(&mut row, "dropped_events_count", span.dropped_events_count.into());
    put_count(&mut row, "dropped_links_count", span.dropped_links_count.into());
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    if let (true, true, Ok(duration)) = (start != 0, end != 0, i64::try_from(i128::from(end) - i128::from(start))) {
        row.insert("duration_ns".to_string(), Cell::Int(duration));
    }
    let events = span.events.iter().map(|event| {
        let members = [
            Some(format!("\"time\":{}", event.time_unix_nano)),
            Some(format!("\"name\":{}", quoted(&event.name))),
            attributes_member(&event.attributes),
            count_member("dropped_attributes_count", event.dropped_attributes_count),
        ];
        object(members)
    });
    put_array(&mut row, "events", events.collect());
    let links = span.links.iter().map(|link| {
        let members = [
            id_member("trace_id", &link.trace_id),
            id_member("span_id", &link.span_id),
            (!link.trace_state.is_empty()).then(|| format!("\"trace_state\":{}", quoted(&link.trace_state))),
            attributes_member(&link.attributes),
            count_member("dropped_attributes_count", link.dropped_attributes_count),
            count_member("flags", link.flags),
        ];
        object(members)
    });
    put_array(&mut row, "links", links.collect());
    stamp(row, start)
}

pub fn metrics(request: &ExportMetricsServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_metrics {
        for scope in &group.scope_metrics {
            let shared = shared(group.resource.as_ref(), scope.scope.as_ref());
            rows.extend(scope.metrics.iter().flat_map(|one| metric(one, shared.clone())));
        }
    }
    rows
}

fn metric(metric: &Metric, mut shared: Row) -> Vec<Row> {
    put_text(&mut shared, "name", &metric.name);
    put_text(&mut shared, "description", &metric.description);
    put_text(&mut shared, "unit", &metric.unit);
    for attribute in &metric.metadata {
        flatten(&mut shared, format!("metadata.{}", attribute.key), attribute.value.as_ref());
    }
    let (kind, temporality) = match &metric.data {
        None => return Vec::new(),
        Some(Data::Gauge(_)) => ("gauge", 0),
        Some(Data::Sum(data)) => ("sum", data.aggregation_temporality),
        Some(Data::Histogram(data)) => ("histogram", data.aggregation_temporality),
        Some(Data::ExponentialHistogram(data)) => ("exponential_histogram", data.aggregation_temporality),
        Some(Data::Summary(_)) => ("summary", 0),
    };
    put_text(&mut shared, "type", kind);
    put_text(&mut shared, "temporality", ["", "delta", "cumulative"][temporality as usize]);
    if let Some(Data::Sum(data)) = &metric.data {
        shared.insert("monotonic".to_string(), Cell::Bool(data.is_monotonic));
    }
    points(metric.data.as_ref().unwrap(), &shared)
}

fn points(data: &Data, shared: &Row) -> Vec<Row> {
    let common = |kvs: &[KeyValue], start: u64, exemplars: &[Exemplar], flags: u32| {
        let mut row = shared.clone();
        attributes(&mut row, kvs, METRICS);
        put_count(&mut row, "start_timestamp", start);
        put_count(&mut row, "flags", flags.into());
        put_array(&mut row, "exemplars", exemplars.iter().map(exemplar_text).collect());
        row
    };
    match data {
        Data::Gauge(opentelemetry_proto::tonic::metrics::v1::Gauge { data_points })
        | Data::Sum(opentelemetry_proto::tonic::metrics::v1::Sum { data_points, .. }) => {
            let rows = data_points.iter().map(|point| {
                let mut row = common(&point.attributes, point.start_time_unix_nano, &point.exemplars, point.flags);
                match point.value {
                    None => {}
                    Some(number_data_point::Value::AsDouble(value)) => put_f64(&mut row, "value", value),
                    Some(number_data_point::Value::AsInt(value)) => {
                        put_f64(&mut row, "value", value as f64);
                        if value == i64::MAX || value as f64 as i64 != value {
                            row.insert("value_int".to_string(), Cell::Int(value));
                        }
                    }
                }
                stamp(row, point.time_unix_nano)
            });
            rows.collect()
        }
        Data::Histogram(data) => {
            let rows = data.data_points.iter().map(|point| {
                let mut row = common(&point.attributes, point.start_time_unix_nano, &point.exemplars, point.flags);
                put_u64(&mut row, "count", point.count);
                for (path, value) in [("sum", point.sum), ("min", point.min), ("max", point.max)] {
                    value.into_iter().for_each(|value| put_f64(&mut row, path, value));
                }
                put_array(&mut row, "bucket_counts", point.bucket_counts.iter().map(u64::to_string).collect());
                put_array(&mut row, "bucket_bounds", point.explicit_bounds.iter().copied().map(float).collect());
                stamp(row, point.time_unix_nano)
            });
            rows.collect()
        }
        Data::ExponentialHistogram(data) => {
            let rows = data.data_points.iter().map(|point| {
                let mut row = common(&point.attributes, point.start_time_unix_nano, &point.exemplars, point.flags);
                put_u64(&mut row, "count", point.count);
                put_u64(&mut row, "zero_count", point.zero_count);
                row.insert("scale".to_string(), Cell::Int(point.scale.into()));
                for (path, value) in [("sum", point.sum), ("min", point.min), ("max", point.max)] {
                    value.into_iter().for_each(|value| put_f64(&mut row, path, value));
                }
                if point.zero_threshold != 0.0 {
                    put_f64(&mut row, "zero_threshold", point.zero_threshold);
                }
                put_buckets(&mut row, "positive", point.positive.as_ref());
                put_buckets(&mut row, "negative", point.negative.as_ref());
                stamp(row, point.time_unix_nano)
            });
            rows.collect()
        }
        Data::Summary(data) => {
            let rows = data.data_points.iter().map(|point| {
                let mut row = common(&point.attributes, point.start_time_unix_nano, &[], point.flags);
                put_u64(&mut row, "count", point.count);
                put_f64(&mut row, "sum", point.sum);
                let quantiles = point.quantile_values.iter();
                let texts = quantiles.map(|at| format!("{{\"quantile\":{},\"value\":{}}}", float(at.quantile), float(at.value)));
                put_array(&mut row, "quantiles", texts.collect());
                stamp(row, point.time_unix_nano)
            });
            rows.collect()
        }
    }
}

fn exemplar_text(exemplar: &Exemplar) -> String {
    let value = exemplar.value.map(|value| match value {
        exemplar::Value::AsDouble(value) => float(value),
        exemplar::Value::AsInt(value) => value.to_string(),
    });
    object([
        Some(format!("\"time\":{}", exemplar.time_unix_nano)),
        value.map(|value| format!("\"value\":{value}")),
        id_member("trace_id", &exemplar.trace_id),
        id_member("span_id", &exemplar.span_id),
        attributes_member(&exemplar.filtered_attributes),
    ])
}

fn put_buckets(row: &mut Row, side: &str, buckets: Option<&Buckets>) {
    if let Some(buckets) = buckets {
        row.insert(format!("{side}_offset"), Cell::Int(buckets.offset.into()));
        put_array(row, &format!("{side}_counts"), buckets.bucket_counts.iter().map(u64::to_string).collect());
    }
}

fn shared(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Row {
    let mut row = Row::new();
    for attribute in resource.iter().flat_map(|resource| &resource.attributes) {
        flatten(&mut row, format!("resource.{}", attribute.key), attribute.value.as_ref());
    }
    let mut promote = |from: &str, to: &str| {
        if !row.contains_key(to) && let Some(value) = row.remove(from) {
            row.insert(to.to_string(), value);
        }
    };
    promote("resource.service.name", "service");
    promote("resource.host.name", "host");
    promote("resource.service.version", "version");
    promote("resource.deployment.environment.name", "env");
    promote("resource.deployment.environment", "env");
    if let Some(scope) = scope {
        let mut values = Row::new();
        for attribute in &scope.attributes {
            flatten(&mut values, format!("scope.{}", attribute.key), attribute.value.as_ref());
        }
        for own in ["scope.name", "scope.version"] {
            if let Some(value) = values.remove(own) {
                values.insert(format!("attributes.{own}"), value);
            }
        }
        put_text(&mut values, "scope.name", &scope.name);
        put_text(&mut values, "scope.version", &scope.version);
        row.extend(values);
    }
    row
}

fn attributes(row: &mut Row, attributes: &[KeyValue], columns: &[&str]) {
    for attribute in attributes {
        let mut leaves = Vec::new();
        leaves_of(&mut leaves, attribute.key.clone(), attribute.value.as_ref());
        for (path, cell) in leaves {
            let is_taken = COMMON.contains(&path.as_str())
                || columns.contains(&path.as_str())
                || ["resource.", "scope.", "body."].iter().any(|prefix| path.starts_with(prefix));
            row.insert(if is_taken { format!("attributes.{path}") } else { path }, cell);
        }
    }
}

fn flatten(row: &mut Row, path: String, value: Option<&AnyValue>) {
    let mut leaves = Vec::new();
    leaves_of(&mut leaves, path, value);
    row.extend(leaves);
}

fn leaves_of(leaves: &mut Vec<(String, Cell)>, path: String, any: Option<&AnyValue>) {
    let Some(value) = any.and_then(|any| any.value.as_ref()) else { return };
    let cell = match value {
        Value::StringValue(text) => Cell::Str(text.clone()),
        Value::BoolValue(value) => Cell::Bool(*value),
        Value::IntValue(value) => Cell::Int(*value),
        Value::DoubleValue(value) => Cell::Float(value.to_bits()),
        Value::BytesValue(bytes) => Cell::Str(base64(bytes)),
        Value::ArrayValue(_) => Cell::Json(json(any)),
        Value::KvlistValue(list) if list.values.is_empty() => Cell::Json("{}".to_string()),
        Value::KvlistValue(list) => {
            for member in &list.values {
                leaves_of(leaves, format!("{path}.{}", member.key), member.value.as_ref());
            }
            return;
        }
        Value::StringValueStrindex(_) => return,
    };
    leaves.push((path, cell));
}

fn json(any: Option<&AnyValue>) -> String {
    match any.and_then(|any| any.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => "null".to_string(),
        Some(Value::StringValue(text)) => quoted(text),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => float(*value),
        Some(Value::BytesValue(bytes)) => quoted(&base64(bytes)),
        Some(Value::ArrayValue(list)) => {
            format!("[{}]", list.values.iter().map(|value| json(Some(value))).collect::<Vec<_>>().join(","))
        }
        Some(Value::KvlistValue(list)) => members(&list.values),
    }
}

fn members(list: &[KeyValue]) -> String {
    object(list.iter().map(|member| Some(format!("{}:{}", quoted(&member.key), json(member.value.as_ref())))))
}

fn object(members: impl IntoIterator<Item = Option<String>>) -> String {
    format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
}

fn attributes_member(list: &[KeyValue]) -> Option<String> {
    (!list.is_empty()).then(|| format!("\"attributes\":{}", members(list)))
}

fn count_member(name: &str, count: u32) -> Option<String> {
    (count != 0).then(|| format!("\"{name}\":{count}"))
}

fn id_member(name: &str, bytes: &[u8]) -> Option<String> {
    hex(bytes).map(|text| format!("\"{name}\":\"{text}\""))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn float(value: f64) -> String {
    if value.is_finite() { serde_json::to_string(&value).unwrap() } else { quoted(if value.is_nan() { "NaN" } else if value > 0.0 { "Infinity" } else { "-Infinity" }) }
}

/// Digit by digit over the bits, unlike the one under test.
fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let digits = bits.as_bytes().chunks(6).map(|chunk| {
        let bits = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
        alphabet[usize::from_str_radix(&bits, 2).unwrap()]
    });
    let text: String = digits.collect();
    let padding = (4 - text.len() % 4) % 4;
    text + &"=".repeat(padding)
}

fn hex(bytes: &[u8]) -> Option<String> {
    bytes.iter().any(|byte| *byte != 0).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn put_id(row: &mut Row, path: &str, bytes: &[u8]) {
    hex(bytes).into_iter().for_each(|text| put_text(row, path, &text));
}

fn put_text(row: &mut Row, path: &str, text: &str) {
    if !text.is_empty() {
        row.insert(path.to_string(), Cell::Str(text.to_string()));
    }
}

fn put_count(row: &mut Row, path: &str, count: u64) {
    if count != 0 {
        put_u64(row, path, count);
    }
}

fn put_u64(row: &mut Row, path: &str, value: u64) {
    let cell = i64::try_from(value).map_or_else(|_| Cell::Str(value.to_string()), Cell::Int);
    row.insert(path.to_string(), cell);
}

fn put_f64(row: &mut Row, path: &str, value: f64) {
    row.insert(path.to_string(), Cell::Float(value.to_bits()));
}

fn put_array(row: &mut Row, path: &str, elements: Vec<String>) {
    if !elements.is_empty() {
        row.insert(path.to_string(), Cell::Json(format!("[{}]", elements.join(","))));
    }
}

fn stamp(mut row: Row, time: u64) -> Row {
    let year_ns = 31_536_000_000_000_000u64;
    let is_own = (year_ns..=ARRIVAL_NS as u64 + 86_400_000_000_000).contains(&time);
    row.insert("timestamp".to_string(), Cell::Time(if is_own { time as i64 } else { ARRIVAL_NS }));
    if !is_own {
        put_count(&mut row, "timestamp_original", time);
    }
    row
}
