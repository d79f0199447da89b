//! `LogRecord` to a row of `logs`.

use super::attributes::{Any, any, write_any};
use super::rows::Rows;
use super::wire::{Broken, Wire, fields};
use super::{columns, each_record};

/// One name for four severity numbers each.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

columns!(Columns {
    severity: "severity",
    severity_number: "severity_number",
    message: "message",
    trace_id: "trace_id",
    span_id: "span_id",
    flags: "flags",
    event_name: "event_name",
    dropped: "dropped_attributes_count",
    observed: "observed_timestamp",
    // Where the members of a structured body go; an attribute of this name would stand in their way.
    _body: "body",
});

pub fn decode(rows: &mut Rows<'_>, request: &[u8]) {
    let columns = Columns::new(rows);
    each_record(rows, request, |rows, message| rows.row(message, |rows, message| columns.record(rows, message)));
}

/// Fields that are read together.
#[derive(Default)]
struct Record<'b> {
    time: u64,
    observed: u64,
    severity_number: i32,
    severity: &'b [u8],
}

impl Columns {
    fn record(&self, rows: &mut Rows<'_>, message: &[u8]) -> Result<u64, Broken> {
        let mut record = Record::default();
        for field in fields(message) {
            let (number, wire) = field?;
            match number {
                1 => record.time = wire.fixed64()?,
                2 => record.severity_number = wire.int32()?,
                3 => record.severity = wire.bytes()?,
                11 => record.observed = wire.fixed64()?,
                _ => self.field(rows, number, wire)?,
            }
        }
        self.severity(rows, &record);
        let time = if record.time == 0 { record.observed } else { record.time };
        if record.observed != time {
            rows.nonzero(self.observed, record.observed);
        }
        Ok(time)
    }

    #[inline]
    fn field(&self, rows: &mut Rows<'_>, number: u32, wire: Wire<'_>) -> Result<(), Broken> {
        match number {
            5 => self.body(rows, wire.bytes()?)?,
            6 => rows.attribute(wire.bytes()?)?,
            7 => rows.nonzero(self.dropped, wire.uint32()?.into()),
            8 => rows.nonzero(self.flags, wire.fixed32()?.into()),
            9 => rows.id(self.trace_id, wire.bytes()?),
            10 => rows.id(self.span_id, wire.bytes()?),
            12 => rows.text(self.event_name, wire.bytes()?),
            _ => {}
        }
        Ok(())
    }

    fn severity(&self, rows: &mut Rows<'_>, record: &Record<'_>) {
        if record.severity_number != 0 {
            rows.builder.push_i64(self.severity_number, record.severity_number.into());
        }
        let name = usize::try_from(record.severity_number - 1).ok().and_then(|number| SEVERITIES.get(number / 4));
        match name {
            Some(name) if record.severity.is_empty() => rows.builder.push_str(self.severity, name),
            _ => rows.text(self.severity, record.severity),
        }
    }

    /// A simple body is the message. Of a structured one the message is the JSON text, and its members are fields.
    fn body(&self, rows: &mut Rows<'_>, message: &[u8]) -> Result<(), Broken> {
        match any(message)? {
            None => {}
            Some(Any::Str(text)) => rows.text(self.message, text),
            Some(Any::Bool(value)) => rows.builder.push_bool(self.message, value),
            Some(Any::Int(value)) => rows.builder.push_i64(self.message, value),
            Some(Any::Double(value)) => rows.builder.push_f64(self.message, value),
            Some(body @ Any::Bytes(_)) => rows.value("message", body)?,
            Some(body @ Any::Array(_)) => self.json(rows, body)?,
            Some(body @ Any::Kvlist(_)) => {
                self.json(rows, body)?;
                rows.value("body", body)?;
            }
        }
        Ok(())
    }

    fn json(&self, rows: &mut Rows<'_>, body: Any<'_>) -> Result<(), Broken> {
        let mut text = String::new();
        write_any(&mut text, Some(body), 1, rows.bad_utf8())?;
        rows.builder.push_str(self.message, &text);
        Ok(())
    }
}
