//! The values of one field on two sides.

use std::collections::BTreeMap;

use super::Sides;
use super::distinct::Distinct;
use super::heavy::Heavy;
use super::histogram::Histogram;

/// A field with more distinct numbers is told by its histogram, one with fewer by their counts.
pub const NUMBERS_MAX: usize = 64;

#[derive(Clone, Debug)]
pub struct FieldSummary {
    /// Rows that have the field.
    pub present: Sides<u64>,
    pub texts: Sides<Heavy>,
    /// Counts of single numbers as long as they are few.
    pub numbers: Option<BTreeMap<Number, Sides<u64>>>,
    pub histogram: Histogram,
    pub min: f64,
    pub max: f64,
    pub sum: Sides<f64>,
    pub drift: Drift,
    distinct: Option<Distinct>,
}

/// A number as a key: ordered as numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl FieldSummary {
    pub fn new(capacity: usize) -> FieldSummary {
        FieldSummary {
            present: [0; 2],
            texts: [Heavy::new(capacity), Heavy::new(capacity)],
            numbers: Some(BTreeMap::new()),
            histogram: Histogram::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: [0.0; 2],
            drift: Drift::default(),
            distinct: None,
        }
    }

    pub fn add_text(&mut self, side: usize, text: &str, times: u64) {
        self.present[side] += times;
        if self.distinct.is_none() && self.texts.iter().map(Heavy::len).sum::<usize>() >= NUMBERS_MAX {
            let mut distinct = Distinct::default();
            self.texts.iter().flat_map(Heavy::iter).for_each(|(known, _)| distinct.add(known.as_bytes()));
            self.distinct = Some(distinct);
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.add(text.as_bytes());
        }
        self.texts[side].add(text, times);
    }

    pub fn add_number(&mut self, side: usize, value: f64, at_ns: Option<i64>) {
        self.present[side] += 1;
        if value.is_nan() {
            return;
        }
        let value = value + 0.0; // one zero
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum[side] += value;
        self.histogram.add(side, value, 1);
        self.drift.add(side, value, at_ns);
        if let Some(numbers) = &mut self.numbers {
            numbers.entry(Number(value)).or_default()[side] += 1;
            if numbers.len() > NUMBERS_MAX {
                self.numbers = None;
            }
        }
    }

    /// The number that a share of one side's numbers does not exceed; exact while they are few.
    pub fn quantile(&self, side: usize, q: f64) -> Option<f64> {
        let Some(numbers) = &self.numbers else { return self.histogram.quantile(side, q) };
        let total: u64 = numbers.values().map(|counts| counts[side]).sum();
        let wanted = ((q * total as f64).ceil() as u64).max(1);
        let reached = numbers.iter().scan(0, |seen, (number, counts)| {
            *seen += counts[side];
            Some((number.0, *seen))
        });
        reached.filter(|(_, seen)| *seen >= wanted).map(|(number, _)| number).next()
    }

    /// Distinct texts on both sides; exact while they are few.
    pub fn distinct_texts(&self) -> u64 {
        match &self.distinct {
            Some(distinct) => distinct.estimate(),
            None => {
                let [a, b] = &self.texts;
                (a.len() + b.iter().filter(|(text, _)| a.count(text) == 0).count()) as u64
            }
        }
    }

    pub fn shrink(&mut self, capacity: usize) {
        self.texts.iter_mut().for_each(|texts| texts.shrink(capacity));
    }

    pub fn bytes(&self) -> usize {
        let numbers = self.numbers.as_ref().map_or(0, |numbers| numbers.len() * 32);
        let distinct = if self.distinct.is_some() { Distinct::BYTES } else { 0 };
        size_of::<Self>() + self.texts.iter().map(Heavy::bytes).sum::<usize>() + numbers + self.histogram.bytes() + distinct
    }
}

/// Whether the numbers are a clock or a counter, which differs between any two times without meaning anything: the
/// correlation of values with their timestamps on each side alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    sides: Sides<Moments>,
    first: Option<(f64, i64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Drift {
    const ROWS_MIN: f64 = 20.0;
    const CORRELATION_MIN: f64 = 0.98;

    fn add(&mut self, side: usize, value: f64, at_ns: Option<i64>) {
        let Some(at_ns) = at_ns else { return };
        // Differences with the first row keep the digits that matter.
        let (first, first_ns) = *self.first.get_or_insert((value, at_ns));
        let (x, y) = (at_ns.wrapping_sub(first_ns) as f64 / 1e9, value - first);
        let m = &mut self.sides[side];
        *m = Moments { n: m.n + 1.0, x: m.x + x, y: m.y + y, xx: m.xx + x * x, yy: m.yy + y * y, xy: m.xy + x * y };
    }

    /// On every side that has enough rows to tell, and on at least one.
    pub fn follows_time(&self) -> bool {
        let known: Vec<f64> = self.sides.iter().filter(|m| m.n >= Self::ROWS_MIN).map(Moments::correlation).collect();
        !known.is_empty() && known.iter().all(|correlation| correlation.abs() >= Self::CORRELATION_MIN)
    }
}

impl Moments {
    fn correlation(&self) -> f64 {
        let covariance = self.n * self.xy - self.x * self.y;
        let spread = (self.n * self.xx - self.x * self.x).max(0.0) * (self.n * self.yy - self.y * self.y).max(0.0);
        if spread > 0.0 { covariance / spread.sqrt() } else { 0.0 }
    }
}
