//! OTLP logs, traces and metrics, protobuf and JSON.
//!
//! Records go from the wire's bytes straight into the batch builder. What a resource or a scope says is read once and
//! pushed with each of its records. JSON is first transcoded to the wire format, so there is one mapping.

mod attributes;
mod base64;
mod json;
mod logs;
mod metrics;
mod rows;
mod schema;
mod text;
mod traces;
mod wire;

use self::rows::Rows;
use self::wire::{Broken, fields};
use super::options::DecodeOptions;
use super::report::{Decoded, Report};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Logs,
    Traces,
    Metrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

impl Signal {
    pub fn parse(name: &str) -> Option<Signal> {
        Some(match name {
            "logs" => Signal::Logs,
            "traces" => Signal::Traces,
            "metrics" => Signal::Metrics,
            _ => return None,
        })
    }
}

impl Encoding {
    pub fn parse(name: &str) -> Option<Encoding> {
        Some(match name {
            "protobuf" => Encoding::Protobuf,
            "json" => Encoding::Json,
            _ => return None,
        })
    }
}

/// Decode one `Export*ServiceRequest`.
pub fn decode_otlp(body: &[u8], signal: Signal, encoding: Encoding, arrival_ns: i64, options: &DecodeOptions) -> Decoded {
    match encoding {
        Encoding::Protobuf => decode_protobuf(body, signal, arrival_ns, options),
        Encoding::Json => decode_json(body, signal, arrival_ns, options),
    }
}

fn decode_protobuf(body: &[u8], signal: Signal, arrival_ns: i64, options: &DecodeOptions) -> Decoded {
    let mut rows = Rows::new(arrival_ns, options);
    match signal {
        Signal::Logs => logs::decode(&mut rows, body),
        Signal::Traces => traces::decode(&mut rows, body),
        Signal::Metrics => metrics::decode(&mut rows, body),
    }
    rows.finish()
}

fn decode_json(body: &[u8], signal: Signal, arrival_ns: i64, options: &DecodeOptions) -> Decoded {
    match json::transcode(body, signal) {
        Ok((wire, is_lossy)) => {
            let mut decoded = decode_protobuf(&wire, signal, arrival_ns, options);
            decoded.report.warn("bad_utf8", usize::from(is_lossy));
            decoded
        }
        Err(detail) => {
            let mut report = Report::default();
            report.reject(1, "broken_json", detail);
            Decoded { report, ..Decoded::default() }
        }
    }
}

/// Walk a request: resources (field 1) with scopes (field 2) with records (field 2), all three signals alike.
fn each_record<'o>(rows: &mut Rows<'o>, request: &[u8], mut record: impl FnMut(&mut Rows<'o>, &[u8])) {
    each(rows, request, 1, |rows, resource_group| {
        group(rows, resource_group, Rows::share_resource, |rows, scope_group| {
            group(rows, scope_group, Rows::share_scope, &mut record);
        });
    });
}

/// A message with what its parts share in field 1 and the parts in field 2, in whatever order they stand.
fn group<'o>(
    rows: &mut Rows<'o>,
    message: &[u8],
    share: fn(&mut Rows<'o>, &[u8]) -> Result<(), Broken>,
    part: impl FnMut(&mut Rows<'o>, &[u8]),
) {
    rows.scoped(|rows| match share_first(rows, message, share) {
        Ok(()) => each(rows, message, 2, part),
        Err(broken) => rows.reject(broken),
    });
}

/// Where the framing ends early, `each` says so after the parts before.
fn share_first<'o>(
    rows: &mut Rows<'o>, message: &[u8], share: fn(&mut Rows<'o>, &[u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    for (number, wire) in fields(message).map_while(Result::ok) {
        if number == 1 {
            share(rows, wire.bytes()?)?;
        }
    }
    Ok(())
}

/// Every part in field `number` of a message. Where the message itself is broken, the rest of it is one rejected item.
fn each<'o>(rows: &mut Rows<'o>, message: &[u8], number: u32, mut part: impl FnMut(&mut Rows<'o>, &[u8])) {
    for field in fields(message) {
        match field.and_then(|(found, wire)| if found == number { wire.bytes().map(Some) } else { Ok(None) }) {
            Ok(Some(bytes)) => part(rows, bytes),
            Ok(None) => {}
            Err(broken) => return rows.reject(broken),
        }
    }
}

/// A struct of the columns a signal fills, each with its path.
macro_rules! columns {
    ($name:ident { $($column:ident: $path:literal),+ $(,)? }) => {
        struct $name { $($column: $crate::batch::FieldId),+ }

        impl $name {
            fn new(rows: &mut $crate::decode::otlp::rows::Rows<'_>) -> Self {
                $name { $($column: rows.column($path)),+ }
            }
        }
    };
}
use columns;
