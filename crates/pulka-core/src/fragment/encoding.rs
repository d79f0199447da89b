//! How the columns of a fragment are encoded, decided by a sample of the rows.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::{FragmentOptions, ROW_GROUP_ROWS_MAX, Result};

/// Rows looked at to tell whether a dictionary pays.
const SAMPLE_ROWS: usize = 8192;
/// Uncompressed bytes of a data page: small enough that compressing it stays within the cache.
const PAGE_BYTES: usize = 64 << 10;
const PAGE_ROWS: usize = 20_000;
const BLOOM_FPP: f64 = 0.01;

/// Writer properties for `rows` rows that look like `sample`, batches of one schema.
pub fn properties(sample: &[&RecordBatch], schema: &Schema, rows: usize, options: &FragmentOptions) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(options.zstd_level)?;
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("pulka version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(sorting_columns(schema, options)));
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::new(vec![field.name().clone()]);
        let arrays: Vec<&ArrayRef> = sample.iter().map(|batch| batch.column(index)).collect();
        builder = builder
            .set_column_dictionary_enabled(path.clone(), repeats(&arrays))
            .set_column_encoding(path.clone(), plain_encoding(field.data_type()));
        if options.bloom.contains(field.name()) {
            builder = with_bloom(builder, path, rows);
        }
    }
    Ok(builder.build())
}

/// The encoding of values that no dictionary holds.
fn plain_encoding(data_type: &DataType) -> Encoding {
    match data_type {
        DataType::Int64 | DataType::Timestamp(_, _) => Encoding::DELTA_BINARY_PACKED,
        DataType::Utf8 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        _ => Encoding::PLAIN,
    }
}

fn with_bloom(builder: WriterPropertiesBuilder, path: ColumnPath, rows: usize) -> WriterPropertiesBuilder {
    builder
        .set_column_bloom_filter_enabled(path.clone(), true)
        .set_column_bloom_filter_fpp(path.clone(), BLOOM_FPP)
        .set_column_bloom_filter_max_ndv(path, rows.clamp(1, ROW_GROUP_ROWS_MAX) as u64)
}

fn sorting_columns(schema: &Schema, options: &FragmentOptions) -> Vec<SortingColumn> {
    let present = options.sort.iter().filter_map(|by| Some((schema.index_of(&by.name).ok()?, by.descending)));
    present.map(|(index, descending)| SortingColumn { column_idx: index as i32, descending, nulls_first: false }).collect()
}

/// Whether values come at least twice on average, so that a dictionary pays.
fn repeats(arrays: &[&ArrayRef]) -> bool {
    let rows: usize = arrays.iter().map(|array| array.len()).sum();
    let stride = rows.div_ceil(SAMPLE_ROWS).max(1);
    let hashes: Vec<u64> = arrays.iter().flat_map(|array| hashes(array, stride)).collect();
    let distinct: HashSet<&u64, ahash::RandomState> = hashes.iter().collect();
    2 * distinct.len() <= hashes.len()
}

/// Hashes of every `stride`-th value.
fn hashes(array: &ArrayRef, stride: usize) -> Vec<u64> {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let rows = (0..array.len()).step_by(stride).filter(|row| array.is_valid(*row));
    if let Some(array) = array.as_string_opt::<i32>() {
        rows.map(|row| hasher.hash_one(array.value(row))).collect()
    } else if let Some(array) = array.as_primitive_opt::<Float64Type>() {
        rows.map(|row| array.value(row).to_bits()).collect()
    } else if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        rows.map(|row| array.value(row) as u64).collect()
    } else if let Some(array) = array.as_primitive_opt::<TimestampNanosecondType>() {
        rows.map(|row| array.value(row) as u64).collect()
    } else {
        Vec::new() // booleans have no dictionary
    }
}
