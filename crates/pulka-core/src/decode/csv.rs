//! CSV as RFC 4180 has it, with a header line: one event per record, cells typed by what they look like.

mod cell;
mod members;
mod records;

use std::borrow::Cow;
use std::collections::HashSet;

use crate::batch::{BatchBuilder, FieldId, FieldType};

use self::records::{Record, Records};
use super::options::DecodeOptions;
use super::report::{Decoded, Report};
use super::rules::Rules;

/// Text columns hold 2 GiB at most; a batch this large takes no more rows.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Decode one body, whose first line is `first_line`; it is the header unless `header` is given.
pub fn decode_csv(
    body: &[u8], arrival_ns: i64, options: &DecodeOptions, header: Option<&[String]>, first_line: usize,
) -> Decoded {
    let mut records = Records::new(body, first_line);
    let mut builder = BatchBuilder::new(&options.batch);
    let mut report = Report::default();
    let names = match header {
        Some(names) => Some(names.to_vec()),
        None => read_header(&mut records, &mut report),
    };
    if let Some(names) = names {
        let columns = columns(&names, options, &mut builder);
        let rules = Rules::new(&mut builder, options, arrival_ns);
        let mut rows = Rows { options, columns, rules, builder: &mut builder, report: &mut report };
        while let Some(record) = records.next() {
            rows.take(&record);
        }
    }
    finish(builder, report, first_line)
}

fn read_header(records: &mut Records<'_>, report: &mut Report) -> Option<Vec<String>> {
    let record = records.next()?;
    if !record.is_whole {
        report.reject(record.line, "broken_csv", NOT_CLOSED);
        return None;
    }
    Some(record.cells().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect())
}

const NOT_CLOSED: &str = "a quote is not closed before the body ends";

struct Column {
    field: FieldId,
    declared: Option<FieldType>,
    /// Text that is an object gives its members to the event.
    is_json: bool,
}

fn columns(names: &[String], options: &DecodeOptions, builder: &mut BatchBuilder) -> Vec<Column> {
    let column = |name: String| {
        let path = options.rename.get(&name).unwrap_or(&name);
        Column {
            field: builder.field(path),
            declared: options.batch.declared.get(path).copied(),
            is_json: options.json_fields.contains(path),
        }
    };
    distinct(names).into_iter().map(column).collect()
}

/// Header cells as names: an empty one is `column_<n>`, a repeated one gets `_2`, `_3` and so on.
fn distinct(names: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = names.iter().map(|name| name.trim().to_string()).collect();
    let mut seen = HashSet::new();
    let mut free = |stem: &str, first: usize| {
        let mut number = first;
        loop {
            let name = format!("{stem}_{number}");
            if taken.insert(name.clone()) {
                return name;
            }
            number += 1;
        }
    };
    let named = names.iter().enumerate().map(|(index, name)| match name.trim() {
        "" => free("column", index + 1),
        name if seen.insert(name) => name.to_string(),
        name => free(name, 2),
    });
    named.collect()
}

struct Rows<'r> {
    options: &'r DecodeOptions,
    columns: Vec<Column>,
    rules: Rules,
    builder: &'r mut BatchBuilder,
    report: &'r mut Report,
}

impl Rows<'_> {
    /// One record: a row, or a rejected item.
    fn take(&mut self, record: &Record<'_>) {
        if let Err((reason, detail)) = self.check(record) {
            return self.report.reject(record.line, reason, detail);
        }
        let is_lossy = self.push_cells(record);
        self.report.warn("bad_utf8", usize::from(is_lossy));
        self.rules.end_row(self.builder, self.report);
    }

    fn check(&self, record: &Record<'_>) -> Result<(), (&'static str, String)> {
        let (cells, columns) = (record.cells().count(), self.columns.len());
        if !record.is_whole {
            return Err(("broken_csv", NOT_CLOSED.to_string()));
        }
        if cells != columns {
            return Err(("broken_csv", format!("{cells} cells instead of {columns}")));
        }
        if record.bytes > self.options.event_bytes_max {
            let (bytes, most) = (record.bytes, self.options.event_bytes_max);
            return Err(("event_too_large", format!("the event has {bytes} bytes, {most} are allowed")));
        }
        if self.builder.rows() >= self.options.rows_max || self.builder.bytes() >= BATCH_BYTES_MAX {
            return Err(("too_many_rows", format!("the batch holds {} rows", self.builder.rows())));
        }
        Ok(())
    }

    /// Plain cells first, for members of JSON cells win over them. True when broken UTF-8 was replaced.
    fn push_cells(&mut self, record: &Record<'_>) -> bool {
        let mut is_lossy = false;
        for is_json in [false, true] {
            for (column, cell) in self.columns.iter().zip(record.cells()).filter(|(column, _)| column.is_json == is_json) {
                let text = String::from_utf8_lossy(cell);
                is_lossy |= matches!(text, Cow::Owned(_));
                if !column.is_json || !members::push_members(self.builder, &text, self.options) {
                    cell::push_cell(self.builder, column.field, column.declared, &text);
                }
            }
        }
        is_lossy
    }
}

fn finish(builder: BatchBuilder, mut report: Report, first_line: usize) -> Decoded {
    for (warning, times) in builder.warnings() {
        report.warn(warning, *times);
    }
    let rows = builder.rows();
    match builder.finish() {
        Ok(batch) => Decoded { batch, rows, report },
        Err(_) => {
            report.reject(first_line, "batch_too_large", "a column of the batch would be larger than 2 GiB");
            report.rejected += rows.saturating_sub(1);
            Decoded { batch: None, rows: 0, report }
        }
    }
}
