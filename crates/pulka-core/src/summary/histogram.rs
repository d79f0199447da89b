//! Numbers of two sides in buckets that grow with their size: quantiles and distances within a relative error, mergeable.
//!
//! DDSketch (Masson et al. 2019) with the uniform collapse of UDDSketch (Epicoco et al. 2020): past `BUCKETS_MAX` neighbours
//! become one bucket, which doubles the width everywhere and keeps the error relative. Bounds do not depend on the data.

use std::collections::BTreeMap;

use super::Sides;

const BUCKETS_MAX: usize = 1024;
/// Ratio of a bucket's bounds before any collapse: an error of 0.5 %.
const GAMMA: f64 = 1.01;
const FORMAT: u8 = 1;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Sign and size to counts, ascending in value: negative keys are of negative numbers, 0 is zero.
    buckets: BTreeMap<i32, Sides<u64>>,
    collapses: u8,
    totals: Sides<u64>,
}

impl Histogram {
    /// Count a number; NaN is none.
    pub fn add(&mut self, side: usize, value: f64, times: u64) {
        if value.is_nan() || times == 0 {
            return;
        }
        let key = self.key(value);
        self.buckets.entry(key).or_default()[side] += times;
        self.totals[side] += times;
        self.fit();
    }

    pub fn merge(&mut self, other: &Histogram) {
        let mut other = other.clone();
        while other.collapses < self.collapses {
            other.collapse();
        }
        while self.collapses < other.collapses {
            self.collapse();
        }
        for (key, counts) in other.buckets {
            let own = self.buckets.entry(key).or_default();
            *own = [own[0] + counts[0], own[1] + counts[1]];
        }
        self.totals = [self.totals[0] + other.totals[0], self.totals[1] + other.totals[1]];
        self.fit();
    }

    pub fn totals(&self) -> Sides<u64> {
        self.totals
    }

    pub fn bytes(&self) -> usize {
        self.buckets.len() * 32
    }

    /// How far a quantile may be off, as a share of its value.
    pub fn relative_error(&self) -> f64 {
        let gamma = self.log_gamma().exp();
        (gamma - 1.0) / (gamma + 1.0)
    }

    /// The number that a share `q` of one side's numbers does not exceed; None without numbers. Rank `ceil(q * n)`, at least the first.
    pub fn quantile(&self, side: usize, q: f64) -> Option<f64> {
        let wanted = ((q.clamp(0.0, 1.0) * self.totals[side] as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (key, counts) in &self.buckets {
            seen += counts[side];
            if seen >= wanted {
                return Some(self.value(*key));
            }
        }
        None
    }

    /// The largest distance of the two sides' cumulative distributions (Kolmogorov and Smirnov's), 0 to 1.
    pub fn distance(&self) -> f64 {
        self.cuts().map(|[a, b]| (a - b).abs()).fold(0.0, f64::max)
    }

    /// The shares of either side's numbers up to each bucket, ascending.
    pub fn cuts(&self) -> impl Iterator<Item = Sides<f64>> {
        let totals = self.totals.map(|total| total.max(1) as f64);
        self.buckets.values().scan([0u64; 2], move |seen, counts| {
            *seen = [seen[0] + counts[0], seen[1] + counts[1]];
            Some([seen[0] as f64 / totals[0], seen[1] as f64 / totals[1]])
        })
    }

    fn key(&self, value: f64) -> i32 {
        if value == 0.0 {
            return 0;
        }
        let size = value.abs().clamp(f64::MIN_POSITIVE, f64::MAX);
        // Shifted, so that sizes below one have positive keys too and the sign of the key is the number's.
        let key = (size.ln() / self.log_gamma()).ceil() as i32 + self.shift();
        if value > 0.0 { key } else { -key }
    }

    fn value(&self, key: i32) -> f64 {
        if key == 0 {
            return 0.0;
        }
        let gamma = self.log_gamma().exp();
        let upper = (f64::from(key.abs() - self.shift()) * self.log_gamma()).exp();
        f64::from(key.signum()) * (upper * 2.0 / (1.0 + gamma)).clamp(f64::MIN_POSITIVE, f64::MAX)
    }

    fn log_gamma(&self) -> f64 {
        GAMMA.ln() * f64::from(1u32 << self.collapses)
    }

    /// More than the key of the smallest number, and a multiple of two for every collapse to come.
    fn shift(&self) -> i32 {
        (1 << 20) >> self.collapses
    }

    fn fit(&mut self) {
        while self.buckets.len() > BUCKETS_MAX {
            self.collapse();
        }
    }

    /// Two neighbours become one: `ceil(key / 2)` of the size's key.
    fn collapse(&mut self) {
        let mut narrower: BTreeMap<i32, Sides<u64>> = BTreeMap::new();
        for (key, counts) in std::mem::take(&mut self.buckets) {
            let size = (key.abs() + 1) / 2;
            let own = narrower.entry(key.signum() * size).or_default();
            *own = [own[0] + counts[0], own[1] + counts[1]];
        }
        self.buckets = narrower;
        self.collapses += 1;
    }

    /// One side as bytes, for SQL to carry around: the format, the collapses, then pairs of key and count.
    pub fn to_bytes(&self, side: usize) -> Vec<u8> {
        let mut bytes = vec![FORMAT, self.collapses];
        for (key, counts) in self.buckets.iter().filter(|(_, counts)| counts[side] > 0) {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&counts[side].to_le_bytes());
        }
        bytes
    }

    /// What `to_bytes` wrote, on the first side; None when it did not.
    pub fn from_bytes(bytes: &[u8]) -> Option<Histogram> {
        let [FORMAT, collapses @ 0..=16, pairs @ ..] = bytes else { return None };
        let mut found = Histogram { collapses: *collapses, ..Histogram::default() };
        if pairs.len() % 12 != 0 || pairs.len() / 12 > BUCKETS_MAX {
            return None;
        }
        for pair in pairs.chunks_exact(12) {
            let key = i32::from_le_bytes(pair[..4].try_into().ok()?);
            let count = u64::from_le_bytes(pair[4..].try_into().ok()?);
            let reach = 2 * found.shift();
            if !(-reach..=reach).contains(&key) || count > 1 << 48 {
                return None;
            }
            found.buckets.insert(key, [count, 0]);
            found.totals[0] += count;
        }
        Some(found)
    }
}
