//! OpenTelemetry's base-2 exponential histogram, of at most 160 buckets: it halves its resolution when values spread wider.
//!
//! Mapping as in <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>: bucket `i` holds
//! values in `(2^(i/2^scale), 2^((i+1)/2^scale)]`.

use std::collections::VecDeque;

const BUCKETS: usize = 160;
const FINEST: i32 = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub scale: i32,
    /// Index of the first bucket.
    pub offset: i32,
    pub buckets: VecDeque<u64>,
    pub zeros: u64,
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { scale: FINEST, offset: 0, buckets: VecDeque::new(), zeros: 0, count: 0, sum: 0.0, min: f64::INFINITY, max: 0.0 }
    }
}

impl Histogram {
    /// Counts a value, 0 or more and finite; others are passed over.
    pub fn record(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        self.count += 1;
        self.sum += value;
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
        if value == 0.0 {
            self.zeros += 1;
            return;
        }
        while !self.fits(index(value, self.scale)) {
            self.coarsen();
        }
        self.increment(index(value, self.scale));
    }

    fn fits(&self, index: i32) -> bool {
        let last = self.offset + self.buckets.len() as i32 - 1;
        self.buckets.is_empty() || ((last.max(index) - self.offset.min(index)) as usize) < BUCKETS
    }

    fn increment(&mut self, index: i32) {
        if self.buckets.is_empty() {
            self.offset = index;
        }
        while index < self.offset {
            self.buckets.push_front(0);
            self.offset -= 1;
        }
        let place = (index - self.offset) as usize;
        if place >= self.buckets.len() {
            self.buckets.resize(place + 1, 0);
        }
        self.buckets[place] += 1;
    }

    /// Half the resolution: neighbours merge.
    fn coarsen(&mut self) {
        let (counts, offset) = (std::mem::take(&mut self.buckets), self.offset);
        self.scale -= 1;
        self.offset = offset >> 1;
        for (place, count) in counts.into_iter().enumerate() {
            let target = (((offset + place as i32) >> 1) - self.offset) as usize;
            if target == self.buckets.len() {
                self.buckets.push_back(0);
            }
            self.buckets[target] += count;
        }
    }

    /// The value below which a share of the values lies, within the width of a bucket; None when empty.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = self.zeros;
        if rank >= self.count {
            return (self.count > 0).then_some(self.max);
        }
        if seen >= rank {
            return Some(0.0);
        }
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let middle = (f64::from(self.offset + place as i32) + 0.5) / f64::from(self.scale).exp2();
                return Some(middle.exp2().clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }
}

fn index(value: f64, scale: i32) -> i32 {
    ((value.log2() * f64::from(scale).exp2()).ceil() as i32).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        for spread in [1.0, 10.0, 1e6, 1e12] {
            let mut histogram = Histogram::default();
            let values: Vec<f64> = (0..1000).map(|step| 1e-6 * f64::powf(spread, f64::from(step) / 999.0)).collect();
            values.iter().rev().for_each(|value| histogram.record(*value));
            assert!(histogram.buckets.len() <= BUCKETS);
            let width = (1.0 / f64::from(histogram.scale).exp2()).exp2();
            for (share, truth) in [(0.5, values[499]), (0.99, values[989]), (1.0, values[999])] {
                let found = histogram.quantile(share).expect("values");
                assert!(found / truth < width && truth / found < width, "{share} of {spread}: {found} for {truth}");
            }
        }
    }

    #[test]
    fn zeros_and_nonsense() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        [0.0, 0.0, f64::NAN, -1.0, f64::INFINITY, 4.0].into_iter().for_each(|value| histogram.record(value));
        assert_eq!((histogram.count, histogram.zeros, histogram.sum), (3, 2, 4.0));
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (Some(0.0), Some(4.0)));
    }
}
