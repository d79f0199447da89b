//! `Span` to a row of `spans`.

use super::attributes::write_member;
use super::rows::Rows;
use super::text::{is_id, lossy, write_comma, write_hex, write_int, write_key, write_str};
use super::wire::{Broken, Wire, fields};
use super::{columns, each_record};

const KINDS: [&str; 6] = ["", "internal", "server", "client", "producer", "consumer"];
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

columns!(Columns {
    trace_id: "trace_id",
    span_id: "span_id",
    parent_span_id: "parent_span_id",
    trace_state: "trace_state",
    flags: "flags",
    name: "name",
    kind: "kind",
    status: "status",
    status_message: "status_message",
    duration: "duration_ns",
    events: "events",
    links: "links",
    dropped_attributes: "dropped_attributes_count",
    dropped_events: "dropped_events_count",
    dropped_links: "dropped_links_count",
});

pub fn decode(rows: &mut Rows<'_>, request: &[u8]) {
    let columns = Columns::new(rows);
    each_record(rows, request, |rows, message| rows.row(message, |rows, message| columns.span(rows, message)));
}

/// Fields that are read together, and the JSON texts that grow.
#[derive(Default)]
struct Span {
    start: u64,
    end: u64,
    status: i32,
    events: String,
    links: String,
}

impl Columns {
    fn span(&self, rows: &mut Rows<'_>, message: &[u8]) -> Result<u64, Broken> {
        let mut span = Span::default();
        for field in fields(message) {
            let (number, wire) = field?;
            match number {
                7 => span.start = wire.fixed64()?,
                8 => span.end = wire.fixed64()?,
                11 => write_event(open(&mut span.events), wire.bytes()?, rows.bad_utf8())?,
                13 => write_link(open(&mut span.links), wire.bytes()?, rows.bad_utf8())?,
                15 => span.status = self.status(rows, wire.bytes()?)?.unwrap_or(span.status),
                _ => self.field(rows, number, wire)?,
            }
        }
        self.close(rows, span)
    }

    fn field(&self, rows: &mut Rows<'_>, number: u32, wire: Wire<'_>) -> Result<(), Broken> {
        match number {
            1 => rows.id(self.trace_id, wire.bytes()?),
            2 => rows.id(self.span_id, wire.bytes()?),
            3 => rows.text(self.trace_state, wire.bytes()?),
            4 => rows.id(self.parent_span_id, wire.bytes()?),
            5 => rows.text(self.name, wire.bytes()?),
            6 => self.kind(rows, wire.int32()?),
            9 => rows.attribute(wire.bytes()?)?,
            10 => rows.nonzero(self.dropped_attributes, wire.uint32()?.into()),
            12 => rows.nonzero(self.dropped_events, wire.uint32()?.into()),
            14 => rows.nonzero(self.dropped_links, wire.uint32()?.into()),
            16 => rows.nonzero(self.flags, wire.fixed32()?.into()),
            _ => {}
        }
        Ok(())
    }

    /// The values that several fields make, once all are read.
    fn close(&self, rows: &mut Rows<'_>, mut span: Span) -> Result<u64, Broken> {
        rows.text(self.status, name_of(&STATUSES, span.status).as_bytes());
        let duration = i64::try_from(i128::from(span.end) - i128::from(span.start));
        if let (Ok(duration), true) = (duration, span.start != 0 && span.end != 0) {
            rows.builder.push_i64(self.duration, duration);
        }
        for (field, text) in [(self.events, &mut span.events), (self.links, &mut span.links)] {
            if !text.is_empty() {
                text.push(']');
                rows.builder.push_json(field, text);
            }
        }
        Ok(span.start)
    }

    fn kind(&self, rows: &mut Rows<'_>, kind: i32) {
        rows.text(self.kind, name_of(&KINDS, kind).as_bytes());
    }

    /// Push the status's message, return its code.
    fn status(&self, rows: &mut Rows<'_>, message: &[u8]) -> Result<Option<i32>, Broken> {
        let mut code = None;
        for field in fields(message) {
            match field? {
                (2, wire) => rows.text(self.status_message, wire.bytes()?),
                (3, wire) => code = Some(wire.int32()?),
                _ => {}
            }
        }
        Ok(code)
    }
}

/// The name of an enumeration's value; a value from the future is its number.
fn name_of(names: &[&'static str], value: i32) -> std::borrow::Cow<'static, str> {
    match usize::try_from(value).ok().and_then(|value| names.get(value)) {
        Some(name) => (*name).into(),
        None => value.to_string().into(),
    }
}

/// Begin a further element of the JSON array that `text` holds.
pub(super) fn open(text: &mut String) -> &mut String {
    if text.is_empty() {
        text.push('[');
    }
    write_comma(text);
    text
}

fn write_event(text: &mut String, message: &[u8], bad_utf8: &mut usize) -> Result<(), Broken> {
    let (mut time, mut name, mut dropped) = (0, &[][..], 0);
    for field in fields(message) {
        match field? {
            (1, wire) => time = wire.fixed64()?,
            (2, wire) => name = wire.bytes()?,
            (4, wire) => dropped = wire.uint32()?,
            _ => {}
        }
    }
    text.push('{');
    write_key(text, "time");
    write_int(text, time);
    write_key(text, "name");
    write_str(text, &lossy(name, bad_utf8));
    write_attributes(text, message, 3, bad_utf8)?;
    write_nonzero(text, "dropped_attributes_count", dropped);
    text.push('}');
    Ok(())
}

fn write_link(text: &mut String, message: &[u8], bad_utf8: &mut usize) -> Result<(), Broken> {
    let (mut trace_state, mut dropped, mut flags) = (&[][..], 0, 0);
    text.push('{');
    for field in fields(message) {
        match field? {
            (1, wire) => write_id(text, "trace_id", wire.bytes()?),
            (2, wire) => write_id(text, "span_id", wire.bytes()?),
            (3, wire) => trace_state = wire.bytes()?,
            (5, wire) => dropped = wire.uint32()?,
            (6, wire) => flags = wire.fixed32()?,
            _ => {}
        }
    }
    if !trace_state.is_empty() {
        write_key(text, "trace_state");
        write_str(text, &lossy(trace_state, bad_utf8));
    }
    write_attributes(text, message, 4, bad_utf8)?;
    write_nonzero(text, "dropped_attributes_count", dropped);
    write_nonzero(text, "flags", flags);
    text.push('}');
    Ok(())
}

/// `"name":"<hexadecimal>"`, unless the id is no id.
pub(super) fn write_id(text: &mut String, name: &str, bytes: &[u8]) {
    if is_id(bytes) {
        write_key(text, name);
        text.push('"');
        write_hex(text, bytes);
        text.push('"');
    }
}

/// `"attributes":{...}` from field `number` of a message; left out when there are none.
pub(super) fn write_attributes(text: &mut String, message: &[u8], number: u32, bad_utf8: &mut usize) -> Result<(), Broken> {
    let start = text.len();
    write_key(text, "attributes");
    text.push('{');
    let empty = text.len();
    for field in fields(message) {
        let (found, wire) = field?;
        if found == number {
            write_member(text, wire.bytes()?, 0, bad_utf8)?;
        }
    }
    if text.len() == empty {
        text.truncate(start);
    } else {
        text.push('}');
    }
    Ok(())
}

fn write_nonzero(text: &mut String, name: &str, value: u32) {
    if value != 0 {
        write_key(text, name);
        write_int(text, value);
    }
}
