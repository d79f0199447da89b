//! Wire bytes to event batches, one file per format.

pub mod csv;
pub mod decompress;
pub mod json;
pub mod options;
pub mod otlp;
pub mod report;
pub mod rules;
pub mod time;
