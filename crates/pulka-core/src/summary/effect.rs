//! How far apart two sides of a field are, from 0 (no difference that could not be chance) to 1 (nothing in common).
//!
//! Values: the Euclidean distance of the shares, over the root of two. A few values that differ much weigh more than many that differ a
//! little, so ids, of which each value is rare, score near nothing. Each difference of shares counts only as far as it exceeds
//! its error: the interval of Agresti and Caffo (2000) for two proportions, and what the counters may be off.
//! Numbers: the distance of Kolmogorov and Smirnov, less what chance gives at 1 %.

use std::collections::BTreeSet;

use super::Sides;
use super::field::FieldSummary;

const STANDARD_ERRORS: f64 = 3.0;
const KOLMOGOROV_AT_1_PERCENT: f64 = 1.63;

/// One value and how often each side has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueShare {
    /// None: rows that lack the field.
    pub value: Option<String>,
    pub counts: Sides<u64>,
    /// By how much the shares differ beyond error: above 0 when the first side has more of it.
    pub difference: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub effect: f64,
    /// Numbers decided rather than single values.
    pub by_numbers: bool,
    /// The largest differences first, then the most frequent.
    pub values: Vec<ValueShare>,
}

/// The effect of a field in `rows` rows per side.
pub fn effect(field: &FieldSummary, rows: Sides<u64>) -> Effect {
    let mut values = shares(field, rows);
    let by_value = (values.iter().map(|one| one.difference * one.difference).sum::<f64>() / 2.0).sqrt();
    let by_number = if field.drift.follows_time() { 0.0 } else { number_effect(field) };
    values.sort_by(|a, b| {
        let size = |one: &ValueShare| (one.difference.abs(), one.counts[0] + one.counts[1]);
        size(b).partial_cmp(&size(a)).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.value.cmp(&b.value))
    });
    Effect { effect: by_value.max(by_number).min(1.0), by_numbers: by_number >= by_value && by_number > 0.0, values }
}

fn number_effect(field: &FieldSummary) -> f64 {
    let [a, b] = field.histogram.totals().map(|total| total as f64);
    if a == 0.0 || b == 0.0 {
        return 0.0;
    }
    (field.histogram.distance() - KOLMOGOROV_AT_1_PERCENT * ((a + b) / (a * b)).sqrt()).max(0.0)
}

/// Every value that is known by itself, and the rows without the field.
fn shares(field: &FieldSummary, rows: Sides<u64>) -> Vec<ValueShare> {
    let [first, second] = &field.texts;
    let texts: BTreeSet<&str> = first.iter().chain(second.iter()).map(|(text, _)| text).collect();
    let slack = [first.slack(), second.slack()];
    let mut found: Vec<ValueShare> = texts
        .into_iter()
        .map(|text| share(Some(text.to_owned()), [first.count(text), second.count(text)], slack, rows))
        .collect();
    if !field.drift.follows_time() {
        let numbers = field.numbers.iter().flatten();
        found.extend(numbers.map(|(number, counts)| share(Some(number.0.to_string()), *counts, [0; 2], rows)));
    }
    let absent = [rows[0].saturating_sub(field.present[0]), rows[1].saturating_sub(field.present[1])];
    if absent != [0, 0] {
        found.push(share(None, absent, [0; 2], rows));
    }
    found
}

fn share(value: Option<String>, counts: Sides<u64>, slack: Sides<u64>, rows: Sides<u64>) -> ValueShare {
    ValueShare { value, counts, difference: difference(counts, slack, rows) }
}

/// The difference of two shares beyond its error; counts may be too low by `slack`.
pub fn difference(counts: Sides<u64>, slack: Sides<u64>, rows: Sides<u64>) -> f64 {
    let more = beyond([counts[0], counts[1] + slack[1]], rows);
    let less = beyond([counts[0] + slack[0], counts[1]], rows);
    if more > 0.0 { more } else { less.min(0.0) }
}

fn beyond(counts: Sides<u64>, rows: Sides<u64>) -> f64 {
    let n = rows.map(|rows| rows as f64 + 2.0);
    let p = [(counts[0] as f64 + 1.0) / n[0], (counts[1] as f64 + 1.0) / n[1]].map(|share| share.min(1.0));
    let error = STANDARD_ERRORS * (p[0] * (1.0 - p[0]) / n[0] + p[1] * (1.0 - p[1]) / n[1]).sqrt();
    let apart = p[0] - p[1];
    (apart.abs() - error).max(0.0).copysign(apart)
}
