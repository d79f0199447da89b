//! How far apart two sides of a field are, from 0 (no difference that could not be chance) to 1 (nothing in common).
//!
//! The measure is Cohen's h (1988), the difference of two shares on the arcsine scale, as a part of its largest value: there an error
//! is the same for rare and frequent values, and a value that is new counts for more than one that has become a little more frequent.
//! A field's effect is that of the value which differs most, less `VALUE_ERRORS` standard errors. So ids, of which every value is
//! rare, have none; nor do many small differences add up to a large one.
//! Numbers are cut in two at each place, and the place where h is largest decides: Kolmogorov and Smirnov's distance on the same
//! scale, which makes fields of both kinds comparable.

use std::collections::BTreeSet;

use super::Sides;
use super::field::FieldSummary;

const VALUE_ERRORS: f64 = 3.0;
/// More than for values: any place may be the largest by chance.
const CUT_ERRORS: f64 = 4.0;

/// One value and how often each side has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueShare {
    /// None: rows that lack the field.
    pub value: Option<String>,
    pub counts: Sides<u64>,
    /// How far the shares are apart beyond error: above 0 when the first side has more of it.
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
    let by_value = values.iter().map(|one| one.difference.abs()).fold(0.0, f64::max);
    let by_number = if field.drift.follows_time() { 0.0 } else { number_effect(field) };
    values.sort_by(|a, b| {
        let size = |one: &ValueShare| (one.difference.abs(), one.counts[0] + one.counts[1]);
        size(b).partial_cmp(&size(a)).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.value.cmp(&b.value))
    });
    Effect { effect: by_value.max(by_number).min(1.0), by_numbers: by_number >= by_value && by_number > 0.0, values }
}

fn number_effect(field: &FieldSummary) -> f64 {
    let totals = field.histogram.totals();
    if totals.contains(&0) {
        return 0.0;
    }
    let most = field.histogram.cuts().map(|[a, b]| arc(a) - arc(b)).fold(0.0, |most: f64, apart| most.max(apart.abs()));
    beyond(most, CUT_ERRORS, totals)
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

/// How far two shares are apart beyond error, -1 to 1; counts may be too low by `slack`.
pub fn difference(counts: Sides<u64>, slack: Sides<u64>, rows: Sides<u64>) -> f64 {
    if rows.contains(&0) {
        return 0.0;
    }
    let share = |side: usize, more: u64| arc((counts[side] + more) as f64 / rows[side] as f64);
    let more = beyond(share(0, 0) - share(1, slack[1]), VALUE_ERRORS, rows);
    let less = beyond(share(1, 0) - share(0, slack[0]), VALUE_ERRORS, rows);
    more - less
}

/// A share on the scale where its error does not depend on it, 0 to pi.
fn arc(share: f64) -> f64 {
    2.0 * share.clamp(0.0, 1.0).sqrt().asin()
}

/// What is left of a distance after so many standard errors, as a part of the largest.
fn beyond(apart: f64, errors: f64, rows: Sides<u64>) -> f64 {
    let [a, b] = rows.map(|rows| rows as f64);
    ((apart - errors * (1.0 / a + 1.0 / b).sqrt()) / std::f64::consts::PI).max(0.0)
}
