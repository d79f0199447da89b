//! How the columns of a fragment are encoded, decided by a sample of each.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, FieldRef, Schema};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowWriterOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::{FragmentOptions, Result};

/// Rows looked at to tell whether a dictionary pays.
const SAMPLE_ROWS: usize = 8192;
/// Uncompressed bytes of a data page: small enough that compressing it stays within the cache.
const PAGE_BYTES: usize = 64 << 10;
const PAGE_ROWS: usize = 20_000;
const BLOOM_FPP: f64 = 0.01;

/// A writer for one column chunk of `rows` rows.
pub fn column_writer(field: &FieldRef, dictionary: bool, rows: usize, options: &FragmentOptions) -> Result<ArrowColumnWriter> {
    let path = ColumnPath::new(vec![field.name().clone()]);
    let mut builder = base(options)?
        .set_column_dictionary_enabled(path.clone(), dictionary)
        .set_column_encoding(path.clone(), plain_encoding(field.data_type()));
    if options.bloom.contains(field.name()) {
        builder = with_bloom(builder, path, rows);
    }
    // The columns of a file may differ in what is known when they begin: each gets its writer from a schema of its own.
    let writer_options = ArrowWriterOptions::new().with_properties(builder.build()).with_skip_arrow_metadata(true);
    let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
    let (_, factory) = ArrowWriter::try_new_with_options(std::io::sink(), schema, writer_options)?.into_serialized_writer()?;
    Ok(factory.create_column_writers(0)?.swap_remove(0))
}

/// Properties of a whole file.
pub fn file_properties(schema: &Schema, options: &FragmentOptions) -> Result<WriterProperties> {
    Ok(base(options)?.set_sorting_columns(Some(sorting_columns(schema, options))).build())
}

fn base(options: &FragmentOptions) -> Result<WriterPropertiesBuilder> {
    let level = ZstdLevel::try_new(options.zstd_level)?;
    Ok(WriterProperties::builder()
        .set_created_by(concat!("pulka version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS))
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
        .set_column_bloom_filter_max_ndv(path, rows.max(1) as u64)
}

fn sorting_columns(schema: &Schema, options: &FragmentOptions) -> Vec<SortingColumn> {
    let present = options.sort.iter().filter_map(|by| Some((schema.index_of(&by.name).ok()?, by.descending)));
    present.map(|(index, descending)| SortingColumn { column_idx: index as i32, descending, nulls_first: false }).collect()
}

/// Whether the values of a sample come at least twice on average, so that a dictionary pays.
pub fn repeats(sample: &ArrayRef) -> bool {
    let hashes = hashes(sample, sample.len().div_ceil(SAMPLE_ROWS).max(1));
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
