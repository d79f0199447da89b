//! What a merge must know besides how fragments are laid out, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Array, BooleanArray};
use arrow_buffer::BooleanBuffer;

use crate::fragment::input::Input;
use crate::fragment::{FragmentError, Result, invalid};

#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// Memory the merge may take, about; [`super::merge_fragments`] tells the floor.
    pub memory_bytes: usize,
    /// Rows after which the next output begins where the leading sort key changes; 0: never.
    pub output_rows: u64,
    /// Per input the rows to leave out (true); inputs beyond the end keep all.
    pub drop: Vec<Option<BooleanArray>>,
    pub cancel: Cancel,
}

impl Default for MergeOptions {
    fn default() -> Self {
        MergeOptions { memory_bytes: 128 << 20, output_rows: 0, drop: Vec::new(), cancel: Cancel::default() }
    }
}

impl MergeOptions {
    /// Bytes of a batch, when one of each of `parts` is in memory.
    pub fn batch_bytes(&self, parts: usize) -> usize {
        (self.memory_bytes / 8 / parts.max(1)).clamp(16 << 10, 256 << 10)
    }

    /// Encoded bytes held while the columns of row groups are written in turn.
    pub fn held_bytes(&self) -> usize {
        self.memory_bytes / 4
    }

    /// Rows to keep of each input; None is all.
    pub fn keep(&self, inputs: &[Input]) -> Result<Vec<Option<BooleanBuffer>>> {
        if self.drop.len() > inputs.len() {
            return invalid(format!("{} arrays of rows to drop for {} inputs", self.drop.len(), inputs.len()));
        }
        let drops = self.drop.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        inputs.iter().zip(drops).map(|(input, drop)| drop.map(|drop| kept(input, drop)).transpose()).collect()
    }
}

fn kept(input: &Input, drop: &BooleanArray) -> Result<BooleanBuffer> {
    if drop.len() as u64 != input.description.rows {
        let (name, rows) = (input.path.display(), input.description.rows);
        return invalid(format!("{name} has {rows} rows, but the rows to drop are told of {}", drop.len()));
    }
    Ok(match drop.nulls() {
        Some(valid) => !&(drop.values() & valid.inner()),
        None => !drop.values(),
    })
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

    pub(in crate::fragment) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(FragmentError::Cancelled) } else { Ok(()) }
    }
}
