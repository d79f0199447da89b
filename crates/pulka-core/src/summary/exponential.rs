//! OTLP's exponential histograms as numbers of a sketch: every bucket counts at its middle.
//!
//! Bucket `i` at scale `s` holds numbers in (b^i, b^(i+1)] with b = 2^(2^-s) (OpenTelemetry's metrics data model, "ExponentialHistogram").

use super::histogram::Histogram;

/// What one bucket may count; more is nonsense, and would overflow sums.
const COUNT_MAX: u64 = 1 << 40;

/// Counts one histogram of numbers that are not negative; `counts` is a JSON array. What is no number in it counts nothing.
pub fn add(into: &mut Histogram, scale: i64, zeros: i64, offset: i64, counts: &str) {
    into.add(0, 0.0, u64::try_from(zeros).unwrap_or(0).min(COUNT_MAX));
    let width = (-(scale as f64)).exp2();
    let inner = counts.trim().trim_start_matches('[').trim_end_matches(']');
    for (at, count) in inner.split(',').enumerate() {
        match count.trim().parse::<u64>() {
            Ok(count) if count > 0 => into.add(0, ((offset as f64 + at as f64 + 0.5) * width).exp2(), count.min(COUNT_MAX)),
            _ => {}
        }
    }
}
