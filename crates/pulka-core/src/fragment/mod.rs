//! Fragments: sorted Parquet files with statistics for pruning.
