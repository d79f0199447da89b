//! Writes a fragment: batches are normalized, sorted, cut into row groups and described.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::file::{BYTES_PLACEHOLDER, CRC_PLACEHOLDER, Checksummed, NewFile, bytes_text};
use super::stats::Stats;
use super::{
    FORMAT, FragmentOptions, KEY_CRC32C, KEY_FORMAT, KEY_FRAGMENT, KEY_SORT, ROW_GROUP_ROWS_MAX, Result, SortColumn,
    encoding, invalid, sort,
};
use crate::batch::normalize::normalize;

/// Rows and bytes handled at a time: a few columns of it fit the processor's cache.
pub const CHUNK_ROWS: usize = 8192;
pub const CHUNK_BYTES: usize = 4 << 20;

/// Sort `batches` and write them as one new file, durable on return. Returns the fragment's description as JSON.
pub fn write_fragment(batches: &[RecordBatch], path: &Path, options: &FragmentOptions) -> Result<String> {
    let batch = normalize(batches, &options.declared, options.columns_max, options.dense_share)?;
    let order = sort::order(&batch, &options.sort);
    let properties = encoding::properties(&[&batch], batch.schema_ref(), batch.num_rows(), options)?;
    let mut writer = FragmentWriter::create(path, batch.schema(), properties, options)?;
    let chunk_rows = chunk_rows(CHUNK_BYTES, batch.get_array_memory_size(), batch.num_rows());
    for start in (0..batch.num_rows()).step_by(chunk_rows) {
        let rows = chunk_rows.min(batch.num_rows() - start);
        writer.write(&chunk(&batch, order.as_ref(), start, rows)?)?;
    }
    let (description, file) = writer.finish(batch.num_rows(), options, &BTreeMap::new())?;
    file.keep();
    Ok(description)
}

fn chunk(batch: &RecordBatch, order: Option<&UInt32Array>, start: usize, rows: usize) -> Result<RecordBatch> {
    Ok(match order {
        Some(order) => take_record_batch(batch, &order.slice(start, rows))?,
        None => batch.slice(start, rows),
    })
}

/// Rows of a chunk of `chunk_bytes` when `rows` rows have `bytes`.
pub fn chunk_rows(chunk_bytes: usize, bytes: usize, rows: usize) -> usize {
    chunk_bytes.saturating_mul(rows.max(1)).checked_div(bytes).unwrap_or(CHUNK_ROWS).clamp(1, CHUNK_ROWS)
}

/// Takes chunks of sorted rows and makes row groups of them.
pub struct FragmentWriter {
    new_file: NewFile,
    parquet: ArrowWriter<Checksummed>,
    stats: Stats,
    group_rows: usize,
    /// Uncompressed bytes of each column in the row group.
    group_bytes: Vec<usize>,
    group_bytes_max: usize,
}

impl FragmentWriter {
    pub fn create(
        path: &Path,
        schema: SchemaRef,
        properties: WriterProperties,
        options: &FragmentOptions,
    ) -> Result<FragmentWriter> {
        let stats = Stats::new(&schema)?;
        let group_bytes = vec![0; schema.fields().len()];
        let (new_file, file) = NewFile::create(path)?;
        let parquet = ArrowWriter::try_new(file, schema, Some(properties))?;
        Ok(FragmentWriter { new_file, parquet, stats, group_rows: 0, group_bytes, group_bytes_max: options.row_group_bytes })
    }

    /// Append rows, which must follow the earlier ones in the sort order.
    pub fn write(&mut self, chunk: &RecordBatch) -> Result<()> {
        self.stats.add(chunk);
        let mut start = 0;
        while start < chunk.num_rows() {
            let mut rows = self.rows_that_fit(chunk, start);
            if rows == 0 && self.group_rows > 0 {
                self.end_group()?;
                continue;
            }
            rows = rows.max(1); // a row larger than the limit has a group of its own
            self.append(&chunk.slice(start, rows))?;
            start += rows;
        }
        Ok(())
    }

    fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        self.parquet.write(rows)?;
        self.group_rows += rows.num_rows();
        for (bytes, array) in self.group_bytes.iter_mut().zip(rows.columns()) {
            *bytes += plain_bytes(array, 0, array.len());
        }
        Ok(())
    }

    fn rows_that_fit(&self, chunk: &RecordBatch, start: usize) -> usize {
        let columns = chunk.columns().iter().zip(&self.group_bytes);
        let fit = columns.map(|(array, used)| rows_within(array, start, self.group_bytes_max.saturating_sub(*used)));
        let room = ROW_GROUP_ROWS_MAX - self.group_rows;
        fit.fold(room.min(chunk.num_rows() - start), usize::min)
    }

    fn end_group(&mut self) -> Result<()> {
        self.parquet.flush()?;
        self.group_rows = 0;
        self.group_bytes.fill(0);
        Ok(())
    }

    /// Write the footer, with the items of `more` too, and make the file durable; `rows` is how many must have been written.
    /// Returns the description as JSON, and the file, which the caller must keep.
    pub fn finish(mut self, rows: usize, options: &FragmentOptions, more: &BTreeMap<String, String>) -> Result<(String, NewFile)> {
        if self.stats.rows() != rows as u64 {
            return invalid(format!("{} rows were written of {rows}; this is a bug", self.stats.rows()));
        }
        if rows == 0 {
            return invalid("a fragment needs at least one row");
        }
        self.end_group()?;
        self.parquet.sync()?;
        let mark = self.parquet.inner().mark();
        let description = serde_json::to_string(&self.stats.describe(BYTES_PLACEHOLDER)).map_err(std::io::Error::from)?;
        for (key, value) in footer(&description, options, more)? {
            self.parquet.append_key_value_metadata(KeyValue::new(key, value));
        }
        let bytes = self.parquet.into_inner()?.seal(mark)?;
        Ok((description.replacen(&bytes_text(BYTES_PLACEHOLDER), &bytes_text(bytes), 1), self.new_file))
    }
}

/// Footer key-values; the sealed ones come last, where they are looked for.
fn footer(description: &str, options: &FragmentOptions, more: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let own = [
        (KEY_FORMAT, FORMAT.to_string()),
        (KEY_SORT, sort_text(&options.sort)),
        (KEY_FRAGMENT, description.to_string()),
        (KEY_CRC32C, CRC_PLACEHOLDER.to_string()),
    ];
    let metadata: &BTreeMap<String, String> = &options.metadata;
    if let Some((key, _)) = own.iter().find(|(key, _)| metadata.contains_key(*key)) {
        return invalid(format!("the metadata key {key} is taken; name it otherwise"));
    }
    let replaced = |key: &String| more.contains_key(key);
    let given = metadata.iter().filter(|(key, _)| !replaced(key)).chain(more).map(|(key, value)| (key.clone(), value.clone()));
    Ok(given.chain(own.into_iter().map(|(key, value)| (key.to_string(), value))).collect())
}

/// The sort schema as it stands in the footer: a JSON array.
pub fn sort_text(sort: &[SortColumn]) -> String {
    serde_json::Value::from(sort.iter().map(SortColumn::text).collect::<Vec<_>>()).to_string()
}

/// Size of rows `start..end` in Parquet's plain encoding (a text has a length of 4 bytes).
fn plain_bytes(array: &ArrayRef, start: usize, end: usize) -> usize {
    match array.as_string_opt::<i32>() {
        Some(texts) => text_bytes(texts, start, end),
        None => 8 * (end - start),
    }
}

fn text_bytes(texts: &StringArray, start: usize, end: usize) -> usize {
    let offsets = texts.value_offsets();
    (offsets[end] - offsets[start]) as usize + 4 * (end - start)
}

/// How many rows from `start` have at most `room` bytes.
fn rows_within(array: &ArrayRef, start: usize, room: usize) -> usize {
    let (mut low, mut high) = (0, array.len() - start);
    if plain_bytes(array, start, array.len()) <= room {
        return high;
    }
    while low + 1 < high {
        let middle = (low + high) / 2;
        if plain_bytes(array, start, start + middle) <= room { low = middle } else { high = middle }
    }
    low
}
