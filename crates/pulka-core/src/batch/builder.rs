//! Builds an event batch row by row from typed values at dotted paths.

use std::collections::HashMap;


use super::field::FieldType;

/// What a batch builder must know; shared by all batches of a table.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Well-known paths and their declared types.
    pub declared: HashMap<String, FieldType>,
    /// Longer strings are cut at a character boundary, bytes.
    pub field_bytes_max: usize,
    /// Most physical columns; the least dense fields beyond it go to the residual.
    pub columns_max: usize,
    /// A field in a smaller share of the rows goes to the residual.
    pub dense_share: f64,
}

/// Handle of a path within one builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldId(pub u32);
