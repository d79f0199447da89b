//! OTLP logs, traces and metrics, protobuf and JSON.
