//! What a merge must know besides how fragments are laid out, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::BooleanArray;

use super::{FragmentError, Result};

#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// Memory the merge may take for rows and pages, about; see [`super::merge_fragments`] for the floor.
    pub memory_bytes: usize,
    /// Rows after which the next output begins where the leading sort key changes; 0: never.
    pub output_rows: u64,
    /// Per input the rows to leave out; inputs beyond the end keep all.
    pub drop: Vec<Option<BooleanArray>>,
    pub cancel: Cancel,
}

impl Default for MergeOptions {
    fn default() -> Self {
        MergeOptions { memory_bytes: 128 << 20, output_rows: 0, drop: Vec::new(), cancel: Cancel::default() }
    }
}

/// Stops the merges that were given a clone of it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(FragmentError::Cancelled) } else { Ok(()) }
    }
}
