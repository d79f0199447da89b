//! The outcome of decoding one body: a batch, what was rejected and why, what was kept but touched.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

/// Rejected items kept by name; the rest is only counted.
pub const SAMPLES_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Decoded {
    pub batch: Option<RecordBatch>,
    pub rows: usize,
    pub report: Report,
}

#[derive(Debug, Default)]
pub struct Report {
    pub rejected: usize,
    pub reasons: BTreeMap<&'static str, usize>,
    pub samples: Vec<Sample>,
    pub warnings: BTreeMap<&'static str, usize>,
    /// Rows that did not carry a time of their own.
    pub untimed: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Line or item number, from 1.
    pub item: usize,
    pub reason: &'static str,
    /// One sentence that never repeats the payload.
    pub detail: String,
}

impl Report {
    pub fn reject(&mut self, item: usize, reason: &'static str, detail: impl Into<String>) {
        self.rejected += 1;
        *self.reasons.entry(reason).or_default() += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(Sample { item, reason, detail: detail.into() });
        }
    }

    pub fn warn(&mut self, warning: &'static str, times: usize) {
        if times > 0 {
            *self.warnings.entry(warning).or_default() += times;
        }
    }
}
