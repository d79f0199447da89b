//! When a search ends before its work is done: cancelled, or it finds more than it may hold.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Rows of a row group that tell what is to come.
const SAMPLE_ROWS: usize = 1 << 15;

pub struct Watch {
    bytes_max: usize,
    bytes: AtomicUsize,
    too_many: AtomicBool,
    cancelled: AtomicBool,
}

impl Watch {
    pub fn new(bytes_max: usize) -> Watch {
        Watch { bytes_max, bytes: AtomicUsize::new(0), too_many: AtomicBool::new(false), cancelled: AtomicBool::new(false) }
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the work is to be left where it is.
    pub fn stopped(&self) -> bool {
        self.cancelled() || self.too_many.load(Ordering::Relaxed)
    }

    /// As `stopped`, when of the first `rows` rows of a row group more than half count: then the ordinary scan, which has
    /// nothing to keep, makes less work.
    pub fn stop(&self, counted: usize, rows: usize) -> bool {
        if rows >= SAMPLE_ROWS && counted > rows / 2 {
            self.too_many.store(true, Ordering::Relaxed);
        }
        self.stopped()
    }

    /// Count `bytes` more to be held; false when they are too many.
    pub fn hold(&self, bytes: usize) -> bool {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            self.too_many.store(true, Ordering::Relaxed);
        }
        !self.stopped()
    }
}
