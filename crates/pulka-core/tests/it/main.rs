//! One program for all integration tests: Arrow and Parquet are compiled into it once.

mod common;
mod csv;
mod decompress;
mod fragment;
mod fragments;
mod journal;
mod json;
mod merge;
mod normalize;
mod otlp;
mod pruning;
mod residual;
mod search;
mod summary;
mod time;
