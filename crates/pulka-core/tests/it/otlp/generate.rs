//! Random requests. `odd` also makes what JSON cannot say: numbers that are not finite.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub const ARRIVAL_NS: i64 = 1_700_000_000_000_000_000;

/// Never -0.0: the encoder takes it for 0.0, which a message leaves out.
fn double(odd: bool) -> BoxedStrategy<f64> {
    let value =
        if odd { prop_oneof![any::<f64>(), Just(1.0), Just(f64::INFINITY)].boxed() } else { (-1e300..1e300).boxed() };
    value.prop_map(|value| if value == 0.0 { 0.0 } else { value }).boxed()
}

fn key() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &["message", "service", "name", "a", "a.b", "resource.x", "scope.name", "timestamp", "body.k", "value", "count"];
    prop_oneof![3 => prop::sample::select(KNOWN).prop_map(String::from), 2 => "[a-zé\\.]{0,6}"]
}

fn resource_key() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &["service.name", "host.name", "deployment.environment", "deployment.environment.name", "service.version", "pod"];
    prop::sample::select(KNOWN).prop_map(String::from)
}

fn value(odd: bool) -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        "[ -~\\n\\té\u{8}\u{1}]{0,10}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        double(odd).prop_map(|value| Some(Value::DoubleValue(value))),
        vec(any::<u8>(), 0..7).prop_map(|value| Some(Value::BytesValue(value))),
    ];
    leaf.prop_map(|value| AnyValue { value }).prop_recursive(3, 12, 3, |inner| {
        let member = (key(), option::of(inner.clone())).prop_map(|(key, value)| KeyValue { key, value, ..Default::default() });
        prop_oneof![
            vec(inner, 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(member, 0..3).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn key_values(keys: impl Strategy<Value = String>, odd: bool) -> impl Strategy<Value = Vec<KeyValue>> {
    vec((keys, value(odd)).prop_map(|(key, value)| KeyValue { key, value: Some(value), ..Default::default() }), 0..5)
}

fn resource(odd: bool) -> impl Strategy<Value = Option<Resource>> {
    option::of(key_values(resource_key(), odd).prop_map(|attributes| Resource { attributes, ..Default::default() }))
}

fn scope(odd: bool) -> impl Strategy<Value = Option<InstrumentationScope>> {
    let fields = ("[a-z]{0,3}", "[0-9]{0,2}", key_values(key(), odd));
    option::of(fields.prop_map(|(name, version, attributes)| InstrumentationScope { name, version, attributes, ..Default::default() }))
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>(), (ARRIVAL_NS as u64 - 1000)..(ARRIVAL_NS as u64 + 1000)]
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(vec![]), Just(vec![0; bytes]), vec(any::<u8>(), bytes)]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), any::<u32>()]
}

fn record(odd: bool) -> impl Strategy<Value = LogRecord> {
    let scalars = (time(), time(), 0..26i32, "[A-Z]{0,4}", count(), count(), "[a-z]{0,3}");
    (scalars, option::of(value(odd)), key_values(key(), odd), id(16), id(8)).prop_map(
        |((time, observed, severity_number, severity_text, dropped, flags, event_name), body, attributes, trace_id, span_id)| LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number,
            severity_text,
            body,
            attributes,
            dropped_attributes_count: dropped,
            flags,
            trace_id,
            span_id,
            event_name,
        },
    )
}

pub fn logs(odd: bool) -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope_logs = (scope(odd), vec(record(odd), 0..4)).prop_map(|(scope, log_records)| ScopeLogs { scope, log_records, ..Default::default() });
    let group = (resource(odd), vec(scope_logs, 0..3)).prop_map(|(resource, scope_logs)| ResourceLogs { resource, scope_logs, ..Default::default() });
    vec(group, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn event(odd: bool) -> impl Strategy<Value = Event> {
    (time(), "[a-z\"]{0,3}", key_values(key(), odd), count()).prop_map(|(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count,
    })
}

fn link(odd: bool) -> impl Strategy<Value = Link> {
    (id(16), id(8), "[a-z]{0,3}", key_values(key(), odd), count(), count()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span(odd: bool) -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), "[a-z]{0,3}", "[a-z]{0,3}");
    let status = option::of(("[a-z]{0,3}", 0..4i32).prop_map(|(message, code)| Status { message, code }));
    let numbers = (time(), time(), 0..7i32, count(), count(), count(), count());
    (ids, numbers, status, key_values(key(), odd), vec(event(odd), 0..3), vec(link(odd), 0..3)).prop_map(
        |((trace_id, span_id, parent_span_id, name, trace_state), numbers, status, attributes, events, links)| {
            let (start_time_unix_nano, end_time_unix_nano, kind, flags, attributes_count, events_count, links_count) = numbers;
            Span {
                trace_id,
                span_id,
                trace_state,
                parent_span_id,
                flags,
                name,
                kind,
                start_time_unix_nano,
                end_time_unix_nano,
                attributes,
                dropped_attributes_count: attributes_count,
                events,
                dropped_events_count: events_count,
                links,
                dropped_links_count: links_count,
                status,
            }
        },
    )
}

pub fn traces(odd: bool) -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (scope(odd), vec(span(odd), 0..3)).prop_map(|(scope, spans)| ScopeSpans { scope, spans, ..Default::default() });
    let group = (resource(odd), vec(scope_spans, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans { resource, scope_spans, ..Default::default() });
    vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn exemplar(odd: bool) -> impl Strategy<Value = Exemplar> {
    let value = prop_oneof![
        double(odd).prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt)
    ];
    (key_values(key(), odd), time(), id(8), id(16), option::of(value)).prop_map(|(filtered_attributes, time_unix_nano, span_id, trace_id, value)| {
        Exemplar { filtered_attributes, time_unix_nano, span_id, trace_id, value }
    })
}

/// Attributes, start, time, exemplars and flags: what every kind of point has.
type Point = (Vec<KeyValue>, u64, u64, Vec<Exemplar>, u32);

fn point(odd: bool) -> impl Strategy<Value = Point> {
    (key_values(key(), odd), time(), time(), vec(exemplar(odd), 0..3), count())
}

fn number_point(odd: bool) -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        double(odd).prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
        Just(number_data_point::Value::AsInt(i64::MAX)),
        (-9i64..9).prop_map(number_data_point::Value::AsInt),
    ];
    (point(odd), option::of(value)).prop_map(|((attributes, start, time, exemplars, flags), value)| NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        exemplars,
        flags,
        value,
    })
}

fn histogram_point(odd: bool) -> impl Strategy<Value = HistogramDataPoint> {
    let numbers = (any::<u64>(), option::of(double(odd)), option::of(double(odd)), option::of(double(odd)));
    (point(odd), numbers, vec(any::<u64>(), 0..4), vec(double(odd), 0..4)).prop_map(
        |((attributes, start, time, exemplars, flags), (count, sum, min, max), bucket_counts, explicit_bounds)| HistogramDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            count,
            sum,
            bucket_counts,
            explicit_bounds,
            exemplars,
            flags,
            min,
            max,
        },
    )
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    option::of((any::<i32>(), vec(any::<u64>(), 0..4)).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }))
}

fn exponential_point(odd: bool) -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let numbers = (any::<u64>(), option::of(double(odd)), any::<i32>(), any::<u64>(), option::of(double(odd)), option::of(double(odd)), double(odd));
    (point(odd), numbers, buckets(), buckets()).prop_map(
        |((attributes, start, time, exemplars, flags), (count, sum, scale, zero_count, min, max, zero_threshold), positive, negative)| {
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                scale,
                zero_count,
                positive,
                negative,
                flags,
                exemplars,
                min,
                max,
                zero_threshold,
            }
        },
    )
}

fn summary_point(odd: bool) -> impl Strategy<Value = SummaryDataPoint> {
    let quantile = (double(odd), double(odd)).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    (point(odd), any::<u64>(), double(odd), vec(quantile, 0..3)).prop_map(|((attributes, start, time, _, flags), count, sum, quantile_values)| {
        SummaryDataPoint { attributes, start_time_unix_nano: start, time_unix_nano: time, count, sum, quantile_values, flags }
    })
}

fn data(odd: bool) -> impl Strategy<Value = Data> {
    prop_oneof![
        vec(number_point(odd), 0..3).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(odd), 0..3), 0..3i32, any::<bool>()).prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
        }),
        (vec(histogram_point(odd), 0..3), 0..3i32)
            .prop_map(|(data_points, aggregation_temporality)| Data::Histogram(Histogram { data_points, aggregation_temporality })),
        (vec(exponential_point(odd), 0..3), 0..3i32).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        vec(summary_point(odd), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

fn metric(odd: bool) -> impl Strategy<Value = Metric> {
    ("[a-z]{0,3}", "[a-z]{0,3}", "[a-z]{0,2}", key_values(key(), odd), option::of(data(odd)))
        .prop_map(|(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data })
}

pub fn metrics(odd: bool) -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope_metrics = (scope(odd), vec(metric(odd), 0..3)).prop_map(|(scope, metrics)| ScopeMetrics { scope, metrics, ..Default::default() });
    let group = (resource(odd), vec(scope_metrics, 0..2))
        .prop_map(|(resource, scope_metrics)| ResourceMetrics { resource, scope_metrics, ..Default::default() });
    vec(group, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}
