//! The messages of OTLP as tables: field names, numbers and kinds.

use super::Signal;

pub struct Field {
    /// As in the .proto file; JSON writes it in camel case, and may write it so.
    pub name: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub is_repeated: bool,
}

pub type Message = [Field];

#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// Base 64 in JSON.
    Bytes,
    /// Hexadecimal in JSON.
    Id,
    Bool,
    /// int32, int64, uint32 and uint64.
    Int,
    Sint,
    Fixed32,
    /// fixed64 and sfixed64.
    Fixed64,
    Double,
    /// Names of the values 0, 1, ...
    Enum(&'static [&'static str]),
    Message(&'static Message),
}

use Kind::{Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int, Sint, Text};

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, is_repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, is_repeated: true }
}

/// The request of a signal.
pub fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &LOGS,
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
    }
}

impl Field {
    /// Whether JSON's `key` means this field.
    pub fn is_named(&self, key: &str) -> bool {
        key == self.name || is_camel(self.name, key)
    }
}

/// Whether `key` is `name` in camel case.
fn is_camel(name: &str, key: &str) -> bool {
    let mut key = key.bytes();
    let mut is_upper = false;
    for byte in name.bytes() {
        if byte == b'_' {
            is_upper = true;
            continue;
        }
        let expected = if is_upper { byte.to_ascii_uppercase() } else { byte };
        is_upper = false;
        if key.next() != Some(expected) {
            return false;
        }
    }
    key.next().is_none()
}

static LOGS: [Field; 1] = [many("resource_logs", 1, Kind::Message(&RESOURCE_LOGS))];
static RESOURCE_LOGS: [Field; 2] =
    [one("resource", 1, Kind::Message(&RESOURCE)), many("scope_logs", 2, Kind::Message(&SCOPE_LOGS))];
static SCOPE_LOGS: [Field; 2] =
    [one("scope", 1, Kind::Message(&SCOPE)), many("log_records", 2, Kind::Message(&LOG_RECORD))];

static TRACES: [Field; 1] = [many("resource_spans", 1, Kind::Message(&RESOURCE_SPANS))];
static RESOURCE_SPANS: [Field; 2] =
    [one("resource", 1, Kind::Message(&RESOURCE)), many("scope_spans", 2, Kind::Message(&SCOPE_SPANS))];
static SCOPE_SPANS: [Field; 2] = [one("scope", 1, Kind::Message(&SCOPE)), many("spans", 2, Kind::Message(&SPAN))];

static METRICS: [Field; 1] = [many("resource_metrics", 1, Kind::Message(&RESOURCE_METRICS))];
static RESOURCE_METRICS: [Field; 2] =
    [one("resource", 1, Kind::Message(&RESOURCE)), many("scope_metrics", 2, Kind::Message(&SCOPE_METRICS))];
static SCOPE_METRICS: [Field; 2] =
    [one("scope", 1, Kind::Message(&SCOPE)), many("metrics", 2, Kind::Message(&METRIC))];

static RESOURCE: [Field; 2] =
    [many("attributes", 1, Kind::Message(&KEY_VALUE)), one("dropped_attributes_count", 2, Int)];
static SCOPE: [Field; 4] = [
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, Kind::Message(&KEY_VALUE)),
    one("dropped_attributes_count", 4, Int),
];

static KEY_VALUE: [Field; 2] = [one("key", 1, Text), one("value", 2, Kind::Message(&ANY_VALUE))];
static ANY_VALUE: [Field; 7] = [
    one("string_value", 1, Text),
    one("bool_value", 2, Bool),
    one("int_value", 3, Int),
    one("double_value", 4, Double),
    one("array_value", 5, Kind::Message(&ARRAY_VALUE)),
    one("kvlist_value", 6, Kind::Message(&KEY_VALUE_LIST)),
    one("bytes_value", 7, Bytes),
];
static ARRAY_VALUE: [Field; 1] = [many("values", 1, Kind::Message(&ANY_VALUE))];
static KEY_VALUE_LIST: [Field; 1] = [many("values", 1, Kind::Message(&KEY_VALUE))];

static LOG_RECORD: [Field; 11] = [
    one("time_unix_nano", 1, Fixed64),
    one("observed_time_unix_nano", 11, Fixed64),
    one("severity_number", 2, Enum(&SEVERITY_NUMBER)),
    one("severity_text", 3, Text),
    one("body", 5, Kind::Message(&ANY_VALUE)),
    many("attributes", 6, Kind::Message(&KEY_VALUE)),
    one("dropped_attributes_count", 7, Int),
    one("flags", 8, Fixed32),
    one("trace_id", 9, Id),
    one("span_id", 10, Id),
    one("event_name", 12, Text),
];
static SEVERITY_NUMBER: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

static SPAN: [Field; 16] = [
    one("trace_id", 1, Id),
    one("span_id", 2, Id),
    one("trace_state", 3, Text),
    one("parent_span_id", 4, Id),
    one("flags", 16, Fixed32),
    one("name", 5, Text),
    one("kind", 6, Enum(&SPAN_KIND)),
    one("start_time_unix_nano", 7, Fixed64),
    one("end_time_unix_nano", 8, Fixed64),
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one("dropped_attributes_count", 10, Int),
    many("events", 11, Kind::Message(&EVENT)),
    one("dropped_events_count", 12, Int),
    many("links", 13, Kind::Message(&LINK)),
    one("dropped_links_count", 14, Int),
    one("status", 15, Kind::Message(&STATUS)),
];
static SPAN_KIND: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
static EVENT: [Field; 4] = [
    one("time_unix_nano", 1, Fixed64),
    one("name", 2, Text),
    many("attributes", 3, Kind::Message(&KEY_VALUE)),
    one("dropped_attributes_count", 4, Int),
];
static LINK: [Field; 6] = [
    one("trace_id", 1, Id),
    one("span_id", 2, Id),
    one("trace_state", 3, Text),
    many("attributes", 4, Kind::Message(&KEY_VALUE)),
    one("dropped_attributes_count", 5, Int),
    one("flags", 6, Fixed32),
];
static STATUS: [Field; 2] = [one("message", 2, Text), one("code", 3, Enum(&STATUS_CODE))];
static STATUS_CODE: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

static METRIC: [Field; 9] = [
    one("name", 1, Text),
    one("description", 2, Text),
    one("unit", 3, Text),
    one("gauge", 5, Kind::Message(&GAUGE)),
    one("sum", 7, Kind::Message(&SUM)),
    one("histogram", 9, Kind::Message(&HISTOGRAM)),
    one("exponential_histogram", 10, Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    one("summary", 11, Kind::Message(&SUMMARY)),
    many("metadata", 12, Kind::Message(&KEY_VALUE)),
];
static TEMPORALITY: [&str; 3] =
    ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"];
static GAUGE: [Field; 1] = [many("data_points", 1, Kind::Message(&NUMBER_POINT))];
static SUM: [Field; 3] = [
    many("data_points", 1, Kind::Message(&NUMBER_POINT)),
    one("aggregation_temporality", 2, Enum(&TEMPORALITY)),
    one("is_monotonic", 3, Bool),
];
static HISTOGRAM: [Field; 2] = [
    many("data_points", 1, Kind::Message(&HISTOGRAM_POINT)),
    one("aggregation_temporality", 2, Enum(&TEMPORALITY)),
];
static EXPONENTIAL_HISTOGRAM: [Field; 2] = [
    many("data_points", 1, Kind::Message(&EXPONENTIAL_POINT)),
    one("aggregation_temporality", 2, Enum(&TEMPORALITY)),
];
static SUMMARY: [Field; 1] = [many("data_points", 1, Kind::Message(&SUMMARY_POINT))];
static NUMBER_POINT: [Field; 7] = [
    many("attributes", 7, Kind::Message(&KEY_VALUE)),
    one("start_time_unix_nano", 2, Fixed64),
    one("time_unix_nano", 3, Fixed64),
    one("as_double", 4, Double),
    one("as_int", 6, Fixed64),
    many("exemplars", 5, Kind::Message(&EXEMPLAR)),
    one("flags", 8, Int),
];
static HISTOGRAM_POINT: [Field; 11] = [
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one("start_time_unix_nano", 2, Fixed64),
    one("time_unix_nano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("bucket_counts", 6, Fixed64),
    many("explicit_bounds", 7, Double),
    many("exemplars", 8, Kind::Message(&EXEMPLAR)),
    one("flags", 10, Int),
    one("min", 11, Double),
    one("max", 12, Double),
];
static EXPONENTIAL_POINT: [Field; 14] = [
    many("attributes", 1, Kind::Message(&KEY_VALUE)),
    one("start_time_unix_nano", 2, Fixed64),
    one("time_unix_nano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    one("scale", 6, Sint),
    one("zero_count", 7, Fixed64),
    one("positive", 8, Kind::Message(&BUCKETS)),
    one("negative", 9, Kind::Message(&BUCKETS)),
    one("flags", 10, Int),
    many("exemplars", 11, Kind::Message(&EXEMPLAR)),
    one("min", 12, Double),
    one("max", 13, Double),
    one("zero_threshold", 14, Double),
];
static BUCKETS: [Field; 2] = [one("offset", 1, Sint), many("bucket_counts", 2, Int)];
static SUMMARY_POINT: [Field; 7] = [
    many("attributes", 7, Kind::Message(&KEY_VALUE)),
    one("start_time_unix_nano", 2, Fixed64),
    one("time_unix_nano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("quantile_values", 6, Kind::Message(&QUANTILE)),
    one("flags", 8, Int),
];
static QUANTILE: [Field; 2] = [one("quantile", 1, Double), one("value", 2, Double)];
static EXEMPLAR: [Field; 6] = [
    many("filtered_attributes", 7, Kind::Message(&KEY_VALUE)),
    one("time_unix_nano", 2, Fixed64),
    one("as_double", 3, Double),
    one("as_int", 6, Fixed64),
    one("span_id", 4, Id),
    one("trace_id", 5, Id),
];
