//! JSON: NDJSON, an array of objects, or objects end to end.
//!
//! Values go from the text into the batch builder without a tree between. Every item is a row or is rejected:
//! lines one by one, whatever stands in their neighbours.

mod keys;
mod scan;

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use crate::batch::{BatchBuilder, FieldId, Value};

use self::keys::{EVENT, KeyId, Keys, NodeId};
use self::scan::{Fault, NESTING_MAX, Number, Scanner, tidy};
use super::options::DecodeOptions;
use super::report::{Decoded, Report};
use super::rules::Rules;

/// Text columns hold 2 GiB at most; a batch this large takes no more rows.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Decode one body; `first_line` numbers its first line (or the first item of an array).
pub fn decode_json(body: &[u8], arrival_ns: i64, first_line: usize, options: &DecodeOptions) -> Decoded {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let (text, is_lossy) = match simdutf8::basic::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(String::from_utf8_lossy(body).into_owned()), true),
    };
    let mut reader = Reader::new(options, arrival_ns, is_lossy);
    reader.read_body(&text, first_line);
    reader.finish(first_line)
}

/// Why an item is not a row, and where in it.
struct Refusal {
    reason: &'static str,
    detail: String,
}

struct Reader<'o> {
    options: &'o DecodeOptions,
    builder: BatchBuilder,
    keys: Keys,
    rules: Rules,
    json_fields: Vec<FieldId>,
    scratch: String,
    report: Report,
    is_lossy: bool,
}

impl<'o> Reader<'o> {
    fn new(options: &'o DecodeOptions, arrival_ns: i64, is_lossy: bool) -> Self {
        let mut builder = BatchBuilder::new(&options.batch);
        Reader {
            rules: Rules::new(&mut builder, options, arrival_ns),
            json_fields: options.json_fields.iter().map(|path| builder.field(path)).collect(),
            keys: Keys::new(&options.rename),
            scratch: String::new(),
            report: Report::default(),
            builder,
            options,
            is_lossy,
        }
    }

    fn read_body(&mut self, text: &str, first: usize) {
        let mut scan = Scanner::new(text, 0);
        scan.blank();
        if scan.peek() == Some(b'[') {
            self.read_array(scan, first);
        } else if spans_lines(text, scan.at) {
            self.read_objects(scan, first);
        } else {
            self.read_lines(text, first);
        }
    }

    /// Each line by itself; one may hold several objects.
    fn read_lines(&mut self, text: &str, first: usize) {
        let mut at = 0;
        for line in first.. {
            let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) else { break };
            let length = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
            self.read_line(&rest[..length], line);
            at += length + 1;
        }
    }

    fn read_line(&mut self, text: &str, line: usize) {
        let mut scan = Scanner::new(text, 0);
        scan.blank();
        while scan.peek().is_some() {
            let read = self.read_item(&mut scan).and_then(|()| {
                scan.blank();
                match scan.peek() {
                    None | Some(b'{') => Ok(()),
                    _ => Err(self.refuse(scan.fault("the end of the line"), 0)),
                }
            });
            let is_row = read.is_ok();
            self.settle(read, line);
            if !is_row {
                break;
            }
        }
    }

    /// Objects end to end that span lines. After a broken one, on to the next line that opens an object.
    fn read_objects(&mut self, mut scan: Scanner<'_>, first: usize) {
        let (mut line, mut counted) = (first, 0);
        while scan.peek().is_some() {
            let start = scan.at;
            line += memchr_iter(b'\n', scan.since(counted).as_bytes()).count();
            counted = start;
            let read = self.read_item(&mut scan);
            if read.as_ref().is_err_and(|refusal| refusal.reason != "not_an_object") {
                scan.skip_to_line_with(b'{');
            }
            self.settle(read, line);
            scan.blank();
        }
    }

    /// The elements of an array; what follows a broken one cannot be told apart.
    fn read_array(&mut self, mut scan: Scanner<'_>, first: usize) {
        scan.at += 1;
        scan.blank();
        if scan.peek() == Some(b']') {
            scan.at += 1;
            return self.read_after_array(scan, first);
        }
        for item in first.. {
            let start = scan.at;
            let read = self.read_item(&mut scan);
            let is_syntax = read.as_ref().is_err_and(|refusal| refusal.reason == "broken_json");
            let is_deep = read.as_ref().is_err_and(|refusal| refusal.reason == "too_deep");
            self.settle(read, item);
            if is_deep {
                scan.at = start;
            }
            if is_syntax || is_deep && !scan.skip_brackets() {
                return;
            }
            scan.blank();
            match scan.peek() {
                Some(b',') => scan.at += 1,
                Some(b']') => {
                    scan.at += 1;
                    return self.read_after_array(scan, item + 1);
                }
                _ => {
                    let refusal = self.refuse(scan.fault("`,` or `]`"), 0);
                    return self.settle(Err(refusal), item + 1);
                }
            }
            scan.blank();
        }
    }

    /// After an array: nothing, or a further one.
    fn read_after_array(&mut self, mut scan: Scanner<'_>, item: usize) {
        scan.blank();
        if scan.peek().is_some() {
            let refusal = self.refuse(scan.fault("the end after the array"), 0);
            self.settle(Err(refusal), item);
        }
    }

    /// Put one item into the builder's current row.
    fn read_item(&mut self, scan: &mut Scanner<'_>) -> Result<(), Refusal> {
        let start = scan.at;
        if self.is_full() {
            scan.skip_value(0).map_err(|fault| self.refuse(fault, start))?;
            return Err(Refusal { reason: "too_many_rows", detail: format!("the batch holds {} rows", self.builder.rows()) });
        }
        if scan.peek() != Some(b'{') {
            scan.skip_value(0).map_err(|fault| self.refuse(fault, start))?;
            return Err(Refusal { reason: "not_an_object", detail: "an event is a JSON object".to_string() });
        }
        self.keys.begin_event();
        scan.lossy = false;
        self.object(scan, EVENT, 1).map_err(|fault| self.refuse(fault, start))?;
        let length = scan.at - start;
        if length > self.options.event_bytes_max {
            let detail = format!("the event has {length} bytes, {} are allowed", self.options.event_bytes_max);
            return Err(Refusal { reason: "event_too_large", detail });
        }
        let is_touched = scan.lossy || self.is_lossy && scan.since(start).contains(char::REPLACEMENT_CHARACTER);
        self.report.warn("bad_utf8", usize::from(is_touched));
        self.open_json_fields();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.builder.rows() >= self.options.rows_max || self.builder.bytes() >= BATCH_BYTES_MAX
    }

    fn refuse(&self, fault: Fault, start: usize) -> Refusal {
        let (reason, detail) = match fault {
            Fault::End => ("broken_json", "the text ends inside the event".to_string()),
            Fault::Wanted { what, at } => ("broken_json", format!("{what} was expected at byte {}", at - start + 1)),
            Fault::TooDeep => ("too_deep", format!("more than {NESTING_MAX} levels of nesting")),
        };
        Refusal { reason, detail }
    }

    /// End the row of an item, or drop it and say why.
    fn settle(&mut self, read: Result<(), Refusal>, item: usize) {
        match read {
            Ok(()) => self.rules.end_row(&mut self.builder, &mut self.report),
            Err(refusal) => {
                self.builder.abort_row();
                self.report.reject(item, refusal.reason, refusal.detail);
            }
        }
    }

    /// The members of the object that begins here, `nesting` deep.
    fn object(&mut self, scan: &mut Scanner<'_>, node: NodeId, nesting: usize) -> Result<(), Fault> {
        scan.at += 1;
        scan.blank();
        if scan.peek() == Some(b'}') {
            scan.at += 1;
            return Ok(());
        }
        let mut last = None;
        loop {
            let key = self.keys.read(scan, node, last, &mut self.builder)?;
            scan.colon()?;
            self.keys.meet(key, &mut self.builder);
            self.value(scan, key, nesting)?;
            if !scan.next_member()? {
                return Ok(());
            }
            last = Some(key);
        }
    }

    #[inline]
    fn value(&mut self, scan: &mut Scanner<'_>, key: KeyId, nesting: usize) -> Result<(), Fault> {
        let field = self.keys.field(key);
        match scan.peek() {
            Some(b'"') => self.builder.push_str(field, scan.string(&mut self.scratch)?),
            Some(b'{') => self.inner_object(scan, key, nesting)?,
            Some(b'[') => self.json(scan, field, nesting)?,
            Some(b't') => {
                scan.literal("true")?;
                self.builder.push_bool(field, true);
            }
            Some(b'f') => {
                scan.literal("false")?;
                self.builder.push_bool(field, false);
            }
            Some(b'n') => scan.literal("null")?,
            _ => match scan.number()? {
                Number::I64(value) => self.builder.push_i64(field, value),
                Number::F64(value) => self.builder.push_f64(field, value),
                Number::Text(digits) => self.builder.push_str(field, digits),
            },
        }
        Ok(())
    }

    /// An object inside another: its members at longer paths, or JSON text when it is empty or too far down.
    fn inner_object(&mut self, scan: &mut Scanner<'_>, key: KeyId, nesting: usize) -> Result<(), Fault> {
        if nesting >= self.options.depth_max.min(NESTING_MAX) {
            return self.json(scan, self.keys.field(key), nesting);
        }
        let (mark, start) = (self.builder.mark(), scan.at);
        let node = self.keys.object(key, &self.builder);
        self.object(scan, node, nesting + 1)?;
        if self.builder.mark() == mark && is_empty_object(scan.since(start)) {
            self.builder.push_json(self.keys.field(key), "{}");
        }
        self.keys.note_members(key, mark, self.builder.mark());
        Ok(())
    }

    /// A value kept as JSON text.
    fn json(&mut self, scan: &mut Scanner<'_>, field: FieldId, nesting: usize) -> Result<(), Fault> {
        let (start, lossy) = (scan.at, scan.lossy);
        (scan.untidy, scan.lossy) = (false, false);
        scan.skip_value(nesting)?;
        let text = scan.since(start);
        if scan.untidy {
            self.builder.push_json(field, &tidy(text));
        } else {
            self.builder.push_json(field, text);
        }
        scan.lossy |= lossy;
        Ok(())
    }

    /// Where a field's text holds an object, put its members in the field's place.
    fn open_json_fields(&mut self) {
        for index in 0..self.json_fields.len() {
            let field = self.json_fields[index];
            let Some(Value::Str(text)) = self.builder.value(field) else { continue };
            if text.trim_ascii_start().starts_with('{') && is_sound(&text) {
                let text = text.into_owned();
                self.builder.forget(field);
                self.keys.begin_event();
                let mut scan = Scanner::new(&text, 0);
                scan.blank();
                // It was checked before, so nothing is left half done.
                let _ = self.object(&mut scan, EVENT, 1);
            }
        }
    }

    fn finish(mut self, first: usize) -> Decoded {
        for (warning, times) in self.builder.warnings() {
            self.report.warn(warning, *times);
        }
        let rows = self.builder.rows();
        match self.builder.finish() {
            Ok(batch) => Decoded { batch, rows, report: self.report },
            Err(_) => {
                self.report.reject(first, "batch_too_large", "a column of the batch would be larger than 2 GiB");
                self.report.rejected += rows - 1;
                Decoded { batch: None, rows: 0, report: self.report }
            }
        }
    }
}

/// Whether the first value is an object that begins on one line and ends well on another.
fn spans_lines(text: &str, at: usize) -> bool {
    let line = memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |length| at + length);
    let mut first = Scanner::new(&text[..line], at);
    first.peek() == Some(b'{')
        && first.skip_value(0) == Err(Fault::End)
        && Scanner::new(text, at).skip_value(0).is_ok()
}

fn is_empty_object(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|rest| rest.trim_ascii() == "}")
}

/// Whether a text is one JSON value and nothing else.
fn is_sound(text: &str) -> bool {
    let mut scan = Scanner::new(text, 0);
    scan.blank();
    scan.skip_value(0).is_ok() && {
        scan.blank();
        scan.peek().is_none()
    }
}
