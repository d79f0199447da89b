//! Decoding speed of OTLP logs with ten attributes each: `cargo run --release -p pulka-core --example otlp_speed`.

use std::time::Instant;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::otlp::{Encoding, Signal, decode_otlp};

const RECORDS: u64 = 10_000;
const ROUNDS: u64 = 50;
const START_NS: u64 = 1_700_000_000_000_000_000;

fn text(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_string(), value, ..Default::default() }
}

fn int(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value)) });
    KeyValue { key: key.to_string(), value, ..Default::default() }
}

fn record(number: u64) -> LogRecord {
    let body = Some(AnyValue { value: Some(Value::StringValue(format!("GET /api/products/{number} took {} ms", number % 97))) });
    LogRecord {
        time_unix_nano: START_NS + number * 1_000_000,
        observed_time_unix_nano: START_NS + number * 1_000_000 + 7,
        severity_number: 9,
        severity_text: "INFO".to_string(),
        body,
        trace_id: u128::from(number + 1).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        attributes: vec![
            text("http.method", "GET".to_string()),
            text("http.route", "/api/products/{id}".to_string()),
            text("url.path", format!("/api/products/{number}")),
            int("http.status_code", 200),
            int("http.response.body.size", number as i64 * 3),
            text("client.address", format!("10.0.{}.{}", number % 256, number % 199)),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)".to_string()),
            text("user.id", format!("user-{}", number % 5000)),
            int("thread.id", number as i64 % 64),
            text("code.function", "ProductController.get".to_string()),
        ],
        ..Default::default()
    }
}

fn request() -> ExportLogsServiceRequest {
    let resource = vec![text("service.name", "shop".to_string()), text("host.name", "node-1".to_string()), text("k8s.pod.name", "shop-1".to_string())];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource { attributes: resource, ..Default::default() }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope { name: "shop.http".to_string(), ..Default::default() }),
                log_records: (0..RECORDS).map(record).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn main() -> Result<(), serde_json::Error> {
    let request = request();
    let bodies = [(Encoding::Protobuf, request.encode_to_vec()), (Encoding::Json, serde_json::to_vec(&request)?)];
    for (encoding, body) in bodies {
        let options = DecodeOptions::default();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let decoded = decode_otlp(&body, Signal::Logs, encoding, START_NS as i64, &options);
            assert_eq!(decoded.rows as u64, RECORDS);
        }
        let seconds = start.elapsed().as_secs_f64();
        let events = (RECORDS * ROUNDS) as f64 / seconds;
        let megabytes = body.len() as f64 * ROUNDS as f64 / seconds / 1e6;
        println!("{encoding:?}: {events:.0} events/s, {megabytes:.0} MB/s");
    }
    Ok(())
}
