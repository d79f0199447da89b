//! Exponential histograms as OpenTelemetry defines them (metrics data model, "ExponentialHistogram"): bucket i at scale s holds
//! values in (base^i, base^(i+1)] with base = 2^(2^-s). The scale shrinks as the range grows, so size is bounded and error is relative.

/// Most buckets, as the SDKs have by default: durations over four decades stay within 5 %.
pub const BUCKETS_MAX: usize = 160;
const SCALE_MAX: i32 = 20;
/// Durations beyond are not told apart.
const LEAST_S: f64 = 1e-9;

#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub scale: i32,
    pub offset: i32,
    pub counts: Vec<u64>,
    pub zeros: u64,
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { scale: SCALE_MAX, offset: 0, counts: Vec::new(), zeros: 0, count: 0, sum: 0.0, min: f64::INFINITY, max: 0.0 }
    }
}

impl Histogram {
    pub fn record(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value < LEAST_S {
            self.zeros += 1;
        } else {
            self.add(index(value, self.scale), 1);
        }
    }

    pub fn merge(&mut self, other: &Histogram) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.zeros += other.zeros;
        self.shrink(self.scale - other.scale);
        for (at, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shift = (other.scale - self.scale).max(0);
            self.add((other.offset + at as i32) >> shift, *count);
        }
    }

    /// The value below which `share` of the values are, within the error of a bucket.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = self.zeros;
        if seen >= wanted {
            return 0.0;
        }
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(self.offset + at as i32, self.scale).min(self.max);
            }
        }
        self.max
    }

    /// Adds to a bucket that is numbered at the scale of now.
    fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.offset = index;
            self.counts.push(count);
            return;
        }
        let low = self.offset.min(index);
        let high = (self.offset + self.counts.len() as i32 - 1).max(index);
        let mut shift = 0;
        while (high >> shift) - (low >> shift) >= BUCKETS_MAX as i32 {
            shift += 1;
        }
        self.shrink(shift);
        let index = index >> shift;
        if index < self.offset {
            let missing = (self.offset - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let at = (index - self.offset) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }

    /// Halve the resolution `shift` times.
    fn shrink(&mut self, shift: i32) {
        if shift <= 0 {
            return;
        }
        self.scale -= shift;
        let offset = self.offset >> shift;
        let mut counts = Vec::new();
        for (at, count) in self.counts.iter().enumerate() {
            let to = (((self.offset + at as i32) >> shift) - offset) as usize;
            counts.resize(counts.len().max(to + 1), 0);
            counts[to] += count;
        }
        (self.offset, self.counts) = (offset, counts);
    }
}

fn index(value: f64, scale: i32) -> i32 {
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

fn upper(index: i32, scale: i32) -> f64 {
    (f64::from(index + 1) * f64::from(-scale).exp2()).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    fn check(histogram: &Histogram, values: &[f64]) -> Result<(), TestCaseError> {
        prop_assert_eq!(histogram.count, values.len() as u64);
        prop_assert!(histogram.counts.len() <= BUCKETS_MAX);
        prop_assert_eq!(histogram.zeros + histogram.counts.iter().sum::<u64>(), histogram.count);
        for (at, count) in histogram.counts.iter().enumerate() {
            let edges = (upper(histogram.offset + at as i32 - 1, histogram.scale), upper(histogram.offset + at as i32, histogram.scale));
            let inside = values.iter().filter(|v| **v >= LEAST_S && **v > edges.0 * (1.0 + 1e-9) && **v <= edges.1 * (1.0 - 1e-9)).count();
            let near = values.iter().filter(|v| **v >= edges.0 * (1.0 - 1e-9) && **v <= edges.1 * (1.0 + 1e-9)).count();
            prop_assert!((inside as u64..=near as u64).contains(count));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_value_is_in_its_bucket(values in prop::collection::vec(1e-7f64..1e3, 1..200)) {
            check(&of(&values), &values)?;
        }

        #[test]
        fn merged_is_as_if_recorded_by_one(one in prop::collection::vec(1e-7f64..1e3, 0..80), two in prop::collection::vec(1e-5f64..1.0, 0..80)) {
            let mut merged = of(&one);
            merged.merge(&of(&two));
            let both = [one, two].concat();
            check(&merged, &both)?;
            prop_assert_eq!(merged.scale, of(&both).scale);
        }

        #[test]
        fn quantiles_are_within_a_bucket(mut values in prop::collection::vec(1e-4f64..10.0, 1..200), share in 0.01f64..1.0) {
            let histogram = of(&values);
            values.sort_by(f64::total_cmp);
            let exact = values[((share * values.len() as f64).ceil() as usize).max(1) - 1];
            let width = f64::from(-histogram.scale).exp2().exp2();
            prop_assert!(histogram.quantile(share) >= exact * 0.999_999 && histogram.quantile(share) <= exact * width * 1.000_001);
        }
    }
}
