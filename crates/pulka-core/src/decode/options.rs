//! What every decoder must know besides the bytes.

use std::collections::HashMap;

use crate::batch::BatchOptions;

#[derive(Clone, Debug)]
pub struct DecodeOptions {
    pub batch: BatchOptions,
    /// Field names that may hold the event's time, best first.
    pub timestamp_fields: Vec<String>,
    /// Source path -> path, applied before anything else.
    pub rename: HashMap<String, String>,
    /// Path -> text given to every event that lacks the path.
    pub constants: Vec<(String, String)>,
    /// Paths whose text holds a JSON object that is parsed into the event's top level.
    pub json_fields: Vec<String>,
    /// Larger items are rejected, bytes.
    pub event_bytes_max: usize,
    /// Objects nested deeper stay JSON text.
    pub depth_max: usize,
    /// Most rows of one batch.
    pub rows_max: usize,
}

/// Field names that usually hold an event's time.
pub const TIMESTAMP_FIELDS: [&str; 6] = ["timestamp", "@timestamp", "time", "ts", "datetime", "date"];

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            batch: BatchOptions::default(),
            timestamp_fields: TIMESTAMP_FIELDS.map(String::from).to_vec(),
            rename: HashMap::new(),
            constants: Vec::new(),
            json_fields: Vec::new(),
            event_bytes_max: 16 << 20,
            depth_max: 32,
            rows_max: 1 << 20,
        }
    }
}
