//! The rows of one request: values every record shares, the record's own, its time.

use std::borrow::Cow;

use ahash::{HashMap, HashSet};

use crate::batch::{BatchBuilder, FieldId, TIMESTAMP, Value};
use crate::decode::options::DecodeOptions;
use crate::decode::report::{Decoded, Report};
use crate::decode::time::accept;

use super::attributes::{Any, Flattener, key_value, plain};
use super::text::{is_id, lossy, write_hex};
use super::wire::{Broken, fields};

/// What a record's shared values may add up to: a small body can ask for much more.
const BATCH_BYTES_MAX: usize = 512 << 20;
const ORIGINAL: &str = "timestamp_original";

/// Columns of every table that are not the record's to name.
const COMMON: [&str; 9] =
    [TIMESTAMP, ORIGINAL, "event_id", "service", "host", "env", "version", "scope.name", "scope.version"];
/// Resource attributes with a column of their own.
const RESOURCE: [(&str, &str); 4] = [
    ("resource.service.name", "service"),
    ("resource.host.name", "host"),
    ("resource.deployment.environment.name", "env"),
    ("resource.service.version", "version"),
];
/// What `deployment.environment.name` was called before; it counts where the new one is absent.
const ENVIRONMENT_BEFORE: &str = "resource.deployment.environment";

/// Which field a record's attribute goes to.
struct Paths<'o> {
    options: &'o DecodeOptions,
    reserved: HashSet<String>,
    known: HashMap<String, FieldId>,
    /// Keys of the last record's plain attributes in their order; the next record most likely has the same.
    order: Vec<(Box<[u8]>, FieldId)>,
    next: usize,
}

impl Paths<'_> {
    /// The field of a plain attribute, by its key; comparing costs less than checking, copying and hashing it.
    #[inline]
    fn foreseen(&mut self, key: &[u8]) -> Option<FieldId> {
        let (foreseen, field) = self.order.get(self.next)?;
        if **foreseen != *key {
            return None;
        }
        self.next += 1;
        Some(*field)
    }

    /// The field of any other plain attribute, which is expected here from now on.
    fn unforeseen(&mut self, builder: &mut BatchBuilder, key: &[u8], bad_utf8: &mut usize) -> FieldId {
        let path = lossy(key, bad_utf8);
        let field = self.attribute(builder, &path);
        if let Cow::Borrowed(_) = path {
            self.order.truncate(self.next);
            self.order.push((key.into(), field));
            self.next += 1;
        }
        field
    }

    /// The field of an attribute; a well-known column is not its to fill.
    #[inline]
    fn attribute(&mut self, builder: &mut BatchBuilder, path: &str) -> FieldId {
        match self.known.get(path) {
            Some(field) => *field,
            None => self.new_attribute(builder, path),
        }
    }

    fn new_attribute(&mut self, builder: &mut BatchBuilder, path: &str) -> FieldId {
        let field = match self.options.rename.get(path) {
            Some(renamed) => builder.field(renamed),
            None if self.is_reserved(path) => builder.field(&format!("attributes.{path}")),
            None => builder.field(path),
        };
        self.known.insert(path.to_string(), field);
        field
    }

    fn is_reserved(&self, path: &str) -> bool {
        let is_shared = ["resource.", "scope.", "body."].iter().any(|prefix| path.starts_with(prefix));
        is_shared || self.reserved.contains(path) || self.options.batch.declared.contains_key(path)
    }

    /// The field of a value that has its path from us.
    fn own(&self, builder: &mut BatchBuilder, path: &str) -> FieldId {
        builder.field(self.options.rename.get(path).map_or(path, String::as_str))
    }
}

pub struct Rows<'o> {
    pub builder: BatchBuilder,
    flattener: Flattener,
    paths: Paths<'o>,
    /// Values of the resource, the scope and (for metrics) the metric around the record.
    shared: Vec<(FieldId, Value<'static>)>,
    constants: Vec<(FieldId, &'o str)>,
    original: FieldId,
    report: Report,
    arrival_ns: i64,
    item: usize,
    scratch: String,
}

impl<'o> Rows<'o> {
    pub fn new(arrival_ns: i64, options: &'o DecodeOptions) -> Self {
        let mut builder = BatchBuilder::new(&options.batch);
        let reserved = COMMON.map(String::from).into_iter().collect();
        Rows {
            constants: options.constants.iter().map(|(path, text)| (builder.field(path), text.as_str())).collect(),
            original: builder.field(ORIGINAL),
            flattener: Flattener::new(options.depth_max),
            paths: Paths { options, reserved, known: HashMap::default(), order: Vec::new(), next: 0 },
            shared: Vec::new(),
            report: Report::default(),
            item: 0,
            scratch: String::new(),
            builder,
            arrival_ns,
        }
    }

    /// A column of the records' own; attributes keep clear of it.
    pub fn column(&mut self, path: &str) -> FieldId {
        self.paths.reserved.insert(path.to_string());
        self.paths.own(&mut self.builder, path)
    }

    // Values of the current row.

    /// Text, absent when empty.
    #[inline]
    pub fn text(&mut self, field: FieldId, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.builder.push_str(field, &lossy(bytes, &mut self.flattener.bad_utf8));
        }
    }

    /// An id in hexadecimal, absent when it is empty or all zero.
    pub fn id(&mut self, field: FieldId, bytes: &[u8]) {
        if is_id(bytes) {
            self.scratch.clear();
            write_hex(&mut self.scratch, bytes);
            self.builder.push_str(field, &self.scratch);
        }
    }

    /// A count, a bit set or a time, absent when zero.
    pub fn nonzero(&mut self, field: FieldId, value: u64) {
        if value != 0 {
            self.builder.push_u64(field, value);
        }
    }

    /// One `KeyValue` of the record.
    #[inline]
    pub fn attribute(&mut self, message: &[u8]) -> Result<(), Broken> {
        let (key, value) = key_value(message)?;
        let Some(value) = value else { return Ok(()) };
        let Some(leaf) = plain(value, &mut self.flattener.bad_utf8) else { return self.nested(key, value) };
        let field = match self.paths.foreseen(key) {
            Some(field) => field,
            None => self.paths.unforeseen(&mut self.builder, key, &mut self.flattener.bad_utf8),
        };
        self.builder.push(field, &leaf);
        Ok(())
    }

    fn nested(&mut self, key: &[u8], value: Any<'_>) -> Result<(), Broken> {
        let Rows { flattener, paths, builder, .. } = self;
        flattener.attribute(key, value, "", &mut |path, leaf| {
            let field = paths.attribute(builder, path);
            builder.push(field, &leaf);
        })
    }

    /// A value of the record at a path of ours.
    pub fn value(&mut self, path: &str, value: Any<'_>) -> Result<(), Broken> {
        let Rows { flattener, paths, builder, .. } = self;
        flattener.value(value, path, &mut |path, value| {
            let field = paths.own(builder, path);
            builder.push(field, &value);
        })
    }

    /// A counter of strings with broken UTF-8, for texts that are written elsewhere.
    pub fn bad_utf8(&mut self) -> &mut usize {
        &mut self.flattener.bad_utf8
    }

    // Values that the following rows share.

    /// Attributes of the resource: field 1 of its message.
    pub fn share_resource(&mut self, message: &[u8]) -> Result<(), Broken> {
        let start = self.shared.len();
        self.share_attributes(message, 1, "resource.")?;
        let field = |rows: &mut Self, path: &str| rows.paths.own(&mut rows.builder, path);
        for (from, to) in RESOURCE {
            let (from, to) = (field(self, from), field(self, to));
            self.rename_shared(start, from, to);
        }
        let (before, env) = (field(self, ENVIRONMENT_BEFORE), field(self, "env"));
        if self.shared[start..].iter().all(|(field, _)| *field != env) {
            self.rename_shared(start, before, env);
        }
        Ok(())
    }

    fn rename_shared(&mut self, start: usize, from: FieldId, to: FieldId) {
        for (field, _) in self.shared[start..].iter_mut().filter(|(field, _)| *field == from) {
            *field = to;
        }
    }

    /// Name, version and attributes of the instrumentation scope.
    pub fn share_scope(&mut self, message: &[u8]) -> Result<(), Broken> {
        for field in fields(message) {
            match field? {
                (1, wire) => self.share_text("scope.name", wire.bytes()?),
                (2, wire) => self.share_text("scope.version", wire.bytes()?),
                _ => {}
            }
        }
        self.share_attributes(message, 3, "scope.")
    }

    /// Every `KeyValue` in field `number` of a message, below `prefix`.
    pub fn share_attributes(&mut self, message: &[u8], number: u32, prefix: &str) -> Result<(), Broken> {
        let Rows { flattener, paths, builder, shared, .. } = self;
        for field in fields(message) {
            let (found, wire) = field?;
            if found != number {
                continue;
            }
            let (key, value) = key_value(wire.bytes()?)?;
            let Some(value) = value else { continue };
            flattener.attribute(key, value, prefix, &mut |path, value| {
                let field = match paths.reserved.contains(path) {
                    true => builder.field(&format!("attributes.{path}")),
                    false => paths.own(builder, path),
                };
                shared.push((field, value.into_owned()));
            })?;
        }
        Ok(())
    }

    /// Text that the following rows share, absent when empty.
    pub fn share_text(&mut self, path: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            let text = lossy(bytes, &mut self.flattener.bad_utf8).into_owned();
            self.share(path, Value::Str(text.into()));
        }
    }

    pub fn share(&mut self, path: &str, value: Value<'static>) {
        let field = self.paths.own(&mut self.builder, path);
        self.shared.push((field, value));
    }

    /// Run `inside`; what it shares is forgotten after it.
    pub fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        let end = self.shared.len();
        inside(self);
        self.shared.truncate(end);
    }

    // Rows.

    /// One record as one row. `record` pushes its values and returns its time, 0 when it has none.
    pub fn row(&mut self, message: &[u8], record: impl FnOnce(&mut Self, &[u8]) -> Result<u64, Broken>) {
        if let Err(broken) = self.check_room(message) {
            return self.reject(broken);
        }
        let bad_utf8 = self.flattener.bad_utf8;
        self.paths.next = 0;
        for (field, value) in &self.shared {
            self.builder.push(*field, value);
        }
        match record(self, message) {
            Ok(time) => {
                // Events are counted, not their strings.
                self.flattener.bad_utf8 = self.flattener.bad_utf8.min(bad_utf8 + 1);
                self.end_row(time);
            }
            Err(broken) => {
                self.builder.abort_row();
                self.flattener.bad_utf8 = bad_utf8;
                self.reject(broken);
            }
        }
    }

    fn check_room(&self, message: &[u8]) -> Result<(), Broken> {
        let options = self.paths.options;
        let refuse = |reason, detail| Err(Broken { reason, detail });
        if message.len() > options.event_bytes_max {
            return refuse("event_too_large", "the record is larger than one event may be");
        }
        if self.builder.rows() >= options.rows_max {
            return refuse("too_many_rows", "the request has more records than one batch may have rows");
        }
        if self.builder.bytes() >= BATCH_BYTES_MAX {
            return refuse("batch_too_large", "the records with their resource and scope exceed 512 MiB; send fewer at once");
        }
        Ok(())
    }

    fn end_row(&mut self, time: u64) {
        for (field, text) in &self.constants {
            if !self.builder.has(*field) {
                self.builder.push_str(*field, text);
            }
        }
        self.stamp(time);
        self.item += 1;
        self.builder.end_row();
    }

    fn stamp(&mut self, time: u64) {
        let own = i64::try_from(time).ok().filter(|ns| accept(*ns, self.arrival_ns));
        self.builder.set_time(own.unwrap_or(self.arrival_ns));
        if own.is_none() {
            self.report.untimed += 1;
            self.report.warn(if time == 0 { "timestamp_missing" } else { "timestamp_out_of_range" }, 1);
            self.nonzero(self.original, time);
        }
    }

    /// Count one item as rejected.
    pub fn reject(&mut self, broken: Broken) {
        self.item += 1;
        self.report.reject(self.item, broken.reason, broken.detail);
    }

    pub fn finish(mut self) -> Decoded {
        self.report.warn("bad_utf8", self.flattener.bad_utf8);
        for (warning, times) in self.builder.warnings() {
            self.report.warn(warning, *times);
        }
        let rows = self.builder.rows();
        match self.builder.finish() {
            Ok(batch) => Decoded { batch, rows, report: self.report },
            Err(_) => {
                self.report.reject(1, "batch_too_large", "a column of the batch would be larger than 2 GiB");
                self.report.rejected += rows.saturating_sub(1);
                Decoded { batch: None, rows: 0, report: self.report }
            }
        }
    }
}
