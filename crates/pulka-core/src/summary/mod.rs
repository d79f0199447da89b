//! What the values of every field look like, on two sides of a comparison at once: one pass over Arrow batches, bounded memory.
//!
//! `table` takes batches and keeps a `field::FieldSummary` per field (and per value of a field to group by); a summary holds
//! `heavy` hitters, a `histogram` and an estimate of `distinct` values; `effect` says how far the two sides are apart.

pub mod distinct;
pub mod effect;
pub mod exponential;
pub mod field;
pub mod heavy;
pub mod histogram;
pub mod table;

/// One number per side: the selection first, then the baseline.
pub type Sides<T> = [T; 2];
