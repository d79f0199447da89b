//! Pulka's hot paths, in the order the data flows: `decode` turns wire bytes into event batches (`batch`),
//! `journal` frames them for the log, `fragment` sorts them into Parquet and merges fragments, `search` finds rows in them,
//! `summary` and `patterns` tell what is in them; `text` says what words and patterns are.
//!
//! No Python, no network, no clock: everything here is a pure function of its inputs.

pub mod batch;
pub mod decode;
pub mod fingerprint;
pub mod fragment;
pub mod journal;
pub mod patterns;
pub mod search;
pub mod summary;
pub mod text;
