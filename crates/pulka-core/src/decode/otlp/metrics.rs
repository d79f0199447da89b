//! Data points of every kind of metric, each to a row of `metrics`.

use crate::batch::{FieldId, Value};

use super::rows::Rows;
use super::text::{write_f64, write_int, write_key};
use super::traces::{open, write_attributes, write_id};
use super::wire::{Broken, Wire, fields};
use super::{columns, each, each_record};

columns!(Columns {
    // These five every point of a metric shares.
    _name: "name",
    _type: "type",
    _unit: "unit",
    _description: "description",
    _temporality: "temporality",
    _monotonic: "monotonic",
    start: "start_timestamp",
    flags: "flags",
    exemplars: "exemplars",
    value: "value",
    value_int: "value_int",
    count: "count",
    sum: "sum",
    min: "min",
    max: "max",
    bucket_bounds: "bucket_bounds",
    bucket_counts: "bucket_counts",
    scale: "scale",
    zero_count: "zero_count",
    zero_threshold: "zero_threshold",
    positive_offset: "positive_offset",
    positive_counts: "positive_counts",
    negative_offset: "negative_offset",
    negative_counts: "negative_counts",
    quantiles: "quantiles",
});

/// Where each kind of metric stands in `Metric`, and where its points have what every point has.
struct Kind {
    number: u32,
    name: &'static str,
    attributes: u32,
    flags: u32,
    exemplars: u32,
    field: fn(&Columns, &mut Rows<'_>, &mut Texts, u32, Wire<'_>) -> Result<(), Broken>,
}

/// No field of a message has this number.
const NOWHERE: u32 = 0;

const KINDS: [Kind; 5] = [
    Kind { number: 5, name: "gauge", attributes: 7, flags: 8, exemplars: 5, field: Columns::number_field },
    Kind { number: 7, name: "sum", attributes: 7, flags: 8, exemplars: 5, field: Columns::number_field },
    Kind { number: 9, name: "histogram", attributes: 9, flags: 10, exemplars: 8, field: Columns::histogram_field },
    Kind {
        number: 10,
        name: "exponential_histogram",
        attributes: 1,
        flags: 10,
        exemplars: 11,
        field: Columns::exponential_field,
    },
    Kind { number: 11, name: "summary", attributes: 7, flags: 8, exemplars: NOWHERE, field: Columns::summary_field },
];

pub fn decode(rows: &mut Rows<'_>, request: &[u8]) {
    let columns = Columns::new(rows);
    each_record(rows, request, |rows, metric| {
        rows.scoped(|rows| match share_metric(rows, metric) {
            Ok(()) => KINDS.iter().for_each(|kind| each_point(rows, &columns, metric, kind)),
            Err(broken) => rows.reject(broken),
        });
    });
}

/// What all points of a metric share. A metric whose framing is broken is one rejected item: its points may be incomplete.
fn share_metric(rows: &mut Rows<'_>, metric: &[u8]) -> Result<(), Broken> {
    for field in fields(metric) {
        match field? {
            (1, wire) => rows.share_text("name", wire.bytes()?),
            (2, wire) => rows.share_text("description", wire.bytes()?),
            (3, wire) => rows.share_text("unit", wire.bytes()?),
            _ => {}
        }
    }
    rows.share_attributes(metric, 12, "metadata.")
}

fn each_point<'o>(rows: &mut Rows<'o>, columns: &Columns, metric: &[u8], kind: &Kind) {
    each(rows, metric, kind.number, |rows, data| {
        rows.scoped(|rows| match share_data(rows, data, kind) {
            Ok(()) => each(rows, data, 1, |rows, point| rows.row(point, |rows, point| columns.point(rows, point, kind))),
            Err(broken) => rows.reject(broken),
        });
    });
}

/// The type, and how points of sums and histograms add up. Broken framing is found again, after the points before it.
fn share_data(rows: &mut Rows<'_>, data: &[u8], kind: &Kind) -> Result<(), Broken> {
    rows.share("type", Value::Str(kind.name.into()));
    let (mut temporality, mut monotonic) = (0, false);
    for (number, wire) in fields(data).map_while(Result::ok) {
        match number {
            2 => temporality = wire.int32()?,
            3 => monotonic = wire.bool()?,
            _ => {}
        }
    }
    if kind.name == "sum" {
        rows.share("monotonic", Value::Bool(monotonic));
    }
    match temporality {
        1 => rows.share("temporality", Value::Str("delta".into())),
        2 => rows.share("temporality", Value::Str("cumulative".into())),
        _ => {}
    }
    Ok(())
}

/// JSON arrays that grow while a point is read, and numbers that are absent only when the point is of another kind.
#[derive(Default)]
struct Texts {
    exemplars: String,
    bounds: String,
    counts: String,
    quantiles: String,
    count: u64,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    summary_sum: f64,
}

impl Columns {
    fn point(&self, rows: &mut Rows<'_>, point: &[u8], kind: &Kind) -> Result<u64, Broken> {
        let mut texts = Texts::default();
        let mut time = 0;
        for field in fields(point) {
            let (number, wire) = field?;
            match number {
                2 => rows.nonzero(self.start, wire.fixed64()?),
                3 => time = wire.fixed64()?,
                _ if number == kind.attributes => rows.attribute(wire.bytes()?)?,
                _ if number == kind.flags => rows.nonzero(self.flags, wire.uint32()?.into()),
                _ if number == kind.exemplars => {
                    write_exemplar(open(&mut texts.exemplars), wire.bytes()?, rows.bad_utf8())?;
                }
                _ => (kind.field)(self, rows, &mut texts, number, wire)?,
            }
        }
        self.close(rows, texts, kind);
        Ok(time)
    }

    fn close(&self, rows: &mut Rows<'_>, mut texts: Texts, kind: &Kind) {
        if kind.number >= 9 {
            rows.builder.push_u64(self.count, texts.count);
        }
        if kind.number == 10 {
            rows.builder.push_i64(self.scale, texts.scale.into());
            rows.builder.push_u64(self.zero_count, texts.zero_count);
            if texts.zero_threshold != 0.0 {
                rows.builder.push_f64(self.zero_threshold, texts.zero_threshold);
            }
        }
        if kind.number == 11 {
            rows.builder.push_f64(self.sum, texts.summary_sum);
        }
        close_array(rows, self.exemplars, &mut texts.exemplars);
        close_array(rows, self.bucket_bounds, &mut texts.bounds);
        close_array(rows, self.bucket_counts, &mut texts.counts);
        close_array(rows, self.quantiles, &mut texts.quantiles);
    }

    fn number_field(&self, rows: &mut Rows<'_>, _: &mut Texts, number: u32, wire: Wire<'_>) -> Result<(), Broken> {
        match number {
            4 => rows.builder.push_f64(self.value, wire.double()?),
            6 => self.int(rows, wire.fixed64()? as i64),
            _ => {}
        }
        Ok(())
    }

    /// An integer is a float like all values, and stands beside it where the float is not exact.
    fn int(&self, rows: &mut Rows<'_>, value: i64) {
        rows.builder.push_f64(self.value, value as f64);
        if value as f64 as i128 != i128::from(value) {
            rows.builder.push_i64(self.value_int, value);
        }
    }

    fn histogram_field(
        &self, rows: &mut Rows<'_>, texts: &mut Texts, number: u32, wire: Wire<'_>,
    ) -> Result<(), Broken> {
        match number {
            4 => texts.count = wire.fixed64()?,
            5 => rows.builder.push_f64(self.sum, wire.double()?),
            6 => wire.each_fixed64(|count| write_int(open(&mut texts.counts), count))?,
            7 => wire.each_fixed64(|bound| write_f64(open(&mut texts.bounds), f64::from_bits(bound)))?,
            11 => rows.builder.push_f64(self.min, wire.double()?),
            12 => rows.builder.push_f64(self.max, wire.double()?),
            _ => {}
        }
        Ok(())
    }

    fn exponential_field(
        &self, rows: &mut Rows<'_>, texts: &mut Texts, number: u32, wire: Wire<'_>,
    ) -> Result<(), Broken> {
        match number {
            4 => texts.count = wire.fixed64()?,
            5 => rows.builder.push_f64(self.sum, wire.double()?),
            6 => texts.scale = wire.sint32()?,
            7 => texts.zero_count = wire.fixed64()?,
            8 => buckets(rows, wire.bytes()?, self.positive_offset, self.positive_counts)?,
            9 => buckets(rows, wire.bytes()?, self.negative_offset, self.negative_counts)?,
            12 => rows.builder.push_f64(self.min, wire.double()?),
            13 => rows.builder.push_f64(self.max, wire.double()?),
            14 => texts.zero_threshold = wire.double()?,
            _ => {}
        }
        Ok(())
    }

    fn summary_field(&self, _: &mut Rows<'_>, texts: &mut Texts, number: u32, wire: Wire<'_>) -> Result<(), Broken> {
        match number {
            4 => texts.count = wire.fixed64()?,
            5 => texts.summary_sum = wire.double()?,
            6 => write_quantile(open(&mut texts.quantiles), wire.bytes()?)?,
            _ => {}
        }
        Ok(())
    }
}

fn close_array(rows: &mut Rows<'_>, field: FieldId, text: &mut String) {
    if !text.is_empty() {
        text.push(']');
        rows.builder.push_json(field, text);
    }
}

/// One side of an exponential histogram.
fn buckets(rows: &mut Rows<'_>, message: &[u8], offset: FieldId, counts: FieldId) -> Result<(), Broken> {
    let mut text = String::new();
    let mut first = 0;
    for field in fields(message) {
        match field? {
            (1, wire) => first = wire.sint32()?,
            (2, wire) => wire.each_varint(|count| write_int(open(&mut text), count))?,
            _ => {}
        }
    }
    rows.builder.push_i64(offset, first.into());
    close_array(rows, counts, &mut text);
    Ok(())
}

fn write_quantile(text: &mut String, message: &[u8]) -> Result<(), Broken> {
    let (mut quantile, mut value) = (0.0, 0.0);
    for field in fields(message) {
        match field? {
            (1, wire) => quantile = wire.double()?,
            (2, wire) => value = wire.double()?,
            _ => {}
        }
    }
    text.push('{');
    write_key(text, "quantile");
    write_f64(text, quantile);
    write_key(text, "value");
    write_f64(text, value);
    text.push('}');
    Ok(())
}

fn write_exemplar(text: &mut String, message: &[u8], bad_utf8: &mut usize) -> Result<(), Broken> {
    let (mut time, mut value) = (0, String::new());
    let (mut trace_id, mut span_id) = (&[][..], &[][..]);
    for field in fields(message) {
        match field? {
            (2, wire) => time = wire.fixed64()?,
            (3, wire) => {
                value.clear();
                write_f64(&mut value, wire.double()?);
            }
            (4, wire) => span_id = wire.bytes()?,
            (5, wire) => trace_id = wire.bytes()?,
            (6, wire) => {
                value.clear();
                write_int(&mut value, wire.fixed64()? as i64);
            }
            _ => {}
        }
    }
    text.push('{');
    write_key(text, "time");
    write_int(text, time);
    if !value.is_empty() {
        write_key(text, "value");
        text.push_str(&value);
    }
    write_id(text, "trace_id", trace_id);
    write_id(text, "span_id", span_id);
    write_attributes(text, message, 7, bad_utf8)?;
    text.push('}');
    Ok(())
}
