//! The cost of each feature, by the kernel's own run-time statistics, and when it is too much.
//!
//! The statistics cost two clock readings per run of any program on the machine, so they are on for a sample only.

use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::sys::{Stats, enable_stats};

/// Run time of a feature's programs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub run_time: Duration,
    pub runs: u64,
}

impl Cost {
    pub fn since(self, earlier: Cost) -> Cost {
        Cost { run_time: self.run_time.saturating_sub(earlier.run_time), runs: self.runs.saturating_sub(earlier.runs) }
    }

    /// Share of one core during `elapsed`.
    pub fn share(self, elapsed: Duration) -> f64 {
        self.run_time.as_secs_f64() / elapsed.as_secs_f64().max(1e-9)
    }
}

pub fn sum(one: Cost, other: Cost) -> Cost {
    Cost { run_time: one.run_time + other.run_time, runs: one.runs + other.runs }
}

/// Holds the statistics on while it lives. None where the kernel does not allow it.
pub struct Sample {
    _on: OwnedFd,
}

impl Sample {
    pub fn begin() -> Option<Sample> {
        enable_stats(Stats::RunTime).ok().map(|on| Sample { _on: on })
    }
}

/// Strikes of a feature over its budget: one busy second is no reason, three samples in a row are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strikes(u32);

impl Strikes {
    pub const MOST: u32 = 3;

    /// Whether the feature is to be detached.
    pub fn over(&mut self, share: f64, budget: f64) -> bool {
        self.0 = if share > budget { self.0 + 1 } else { 0 };
        self.0 >= Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_one_core() {
        let before = Cost { run_time: Duration::from_millis(10), runs: 5 };
        let after = Cost { run_time: Duration::from_millis(60), runs: 25 };
        assert_eq!(after.since(before), Cost { run_time: Duration::from_millis(50), runs: 20 });
        assert!((after.since(before).share(Duration::from_secs(1)) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn only_three_in_a_row_count() {
        let mut strikes = Strikes::default();
        let shares = [0.5, 0.5, 0.1, 0.5, 0.5, 0.5];
        assert_eq!(shares.map(|share| strikes.over(share, 0.2)), [false, false, false, false, false, true]);
    }
}
