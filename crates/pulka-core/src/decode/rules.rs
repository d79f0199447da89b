//! What happens to every event after its fields are read, whatever its format: constants, then its time.

use crate::batch::{BatchBuilder, FieldId, TIMESTAMP, Value};

use super::options::DecodeOptions;
use super::report::Report;
use super::time;

/// Keeps what `timestamp` said when it did not become the event's time.
const ORIGINAL: &str = "timestamp_original";

pub struct Rules {
    arrival_ns: i64,
    constants: Vec<(FieldId, String)>,
    times: Vec<FieldId>,
    timestamp: FieldId,
    original: FieldId,
}

/// The time an event carries, or why it has none.
enum Time {
    At(FieldId, i64),
    Without(&'static str),
}

impl Rules {
    pub fn new(builder: &mut BatchBuilder, options: &DecodeOptions, arrival_ns: i64) -> Self {
        Rules {
            arrival_ns,
            constants: options.constants.iter().map(|(path, text)| (builder.field(path), text.clone())).collect(),
            times: options.timestamp_fields.iter().map(|path| builder.field(path)).collect(),
            timestamp: builder.field(TIMESTAMP),
            original: builder.field(ORIGINAL),
        }
    }

    /// Complete the builder's current row and end it. The decoder has pushed every field, `timestamp` as well.
    pub fn end_row(&self, builder: &mut BatchBuilder, report: &mut Report) {
        for (field, text) in &self.constants {
            if !builder.has(*field) {
                builder.push_str(*field, text);
            }
        }
        let source = match self.time(builder) {
            Time::At(field, ns) => {
                builder.set_time(ns);
                Some(field)
            }
            Time::Without(warning) => {
                builder.set_time(self.arrival_ns);
                report.untimed += 1;
                report.warn(warning, 1);
                None
            }
        };
        if source == Some(self.timestamp) {
            builder.forget(self.timestamp);
        } else {
            builder.shift(self.timestamp, self.original);
        }
        builder.end_row();
    }

    /// The first valid time; without one, what is wrong with the best candidate.
    fn time(&self, builder: &BatchBuilder) -> Time {
        let mut warning = "timestamp_missing";
        for field in &self.times {
            let Some(value) = builder.value(*field) else { continue };
            match read_time(&value) {
                Some(ns) if time::accept(ns, self.arrival_ns) => return Time::At(*field, ns),
                Some(_) => warning = "timestamp_out_of_range",
                None if warning == "timestamp_missing" => warning = "timestamp_unreadable",
                None => {}
            }
        }
        Time::Without(warning)
    }
}

fn read_time(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::I64(epoch) => Some(time::parse_number(*epoch)),
        Value::F64(epoch) => time::parse_float(*epoch),
        Value::Str(text) => time::parse_text(text),
        Value::Bool(_) | Value::Json(_) => None,
    }
}
