//! Event batches: the Arrow layout that every stage speaks (see `docs/design/event-batch.md`).

pub mod builder;
pub mod field;
pub mod normalize;
pub mod residual;
mod values;

pub use builder::{BatchBuilder, BatchOptions, FieldId};
pub use field::{Column, FieldType, RESIDUAL, TIMESTAMP};
pub use values::Value;
pub(crate) use values::write_str;
