//! Writes a fragment: batches are normalized, sorted, cut into row groups and encoded column by column.

use std::ops::Range;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_select::take::take;

use super::output::{ColumnChunk, Output};
use super::{FragmentOptions, ROW_GROUP_ROWS_MAX, Result, sort};
use crate::batch::normalize::normalize;

/// Rows and bytes handled at a time: a few columns of it fit the processor's cache.
pub const CHUNK_ROWS: usize = 8192;
pub const CHUNK_BYTES: usize = 4 << 20;

/// Sort `batches` and write them as one new file, durable on return. Returns the fragment's description as JSON.
pub fn write_fragment(batches: &[RecordBatch], path: &Path, options: &FragmentOptions) -> Result<String> {
    let batch = normalize(batches, &options.declared, options.columns_max, options.dense_share)?;
    let order = sort::order(&batch, &options.sort);
    let mut output = Output::create(path, batch.schema(), options)?;
    for rows in row_groups(&batch, order.as_ref(), options) {
        write_row_group(&mut output, &batch, order.as_ref(), rows)?;
    }
    let (description, file) = output.finish(batch.num_rows() as u64, &[])?;
    file.keep();
    Ok(description)
}

fn write_row_group(output: &mut Output, batch: &RecordBatch, order: Option<&UInt32Array>, rows: Range<usize>) -> Result<()> {
    let (mut group, columns) = output.next_row_group(rows.len())?;
    for (index, array) in batch.columns().iter().enumerate() {
        let mut chunk = ColumnChunk::new(index, rows.len());
        columns.sample(index, array);
        let step = chunk_rows(CHUNK_BYTES, array.get_array_memory_size(), array.len());
        for start in rows.clone().step_by(step) {
            columns.write(&mut chunk, &sorted(array, order, start..rows.end.min(start + step))?)?;
        }
        columns.close(chunk)?.append_to_row_group(&mut group)?;
    }
    group.close()?;
    Ok(())
}

fn sorted(array: &ArrayRef, order: Option<&UInt32Array>, rows: Range<usize>) -> Result<ArrayRef> {
    Ok(match order {
        Some(order) => take(array, &order.slice(rows.start, rows.len()), None)?,
        None => array.slice(rows.start, rows.len()),
    })
}

/// Rows of a chunk of `chunk_bytes` when `rows` rows have `bytes`.
pub fn chunk_rows(chunk_bytes: usize, bytes: usize, rows: usize) -> usize {
    chunk_bytes.saturating_mul(rows.max(1)).checked_div(bytes).unwrap_or(CHUNK_ROWS).clamp(1, CHUNK_ROWS)
}

/// The sorted rows, cut so that no column has more than `row_group_bytes` in a row group; a row larger than that has one of its own.
fn row_groups(batch: &RecordBatch, order: Option<&UInt32Array>, options: &FragmentOptions) -> Vec<Range<usize>> {
    let rows_max = ROW_GROUP_ROWS_MAX.min(options.row_group_bytes / 8).max(1);
    let texts = batch.columns().iter().filter_map(|array| array.as_string_opt::<i32>());
    let heavy: Vec<&StringArray> = texts.filter(|texts| plain_bytes(texts, 0..texts.len()) > options.row_group_bytes).collect();
    let mut bytes = vec![0; heavy.len()];
    let (mut groups, mut start) = (Vec::new(), 0);
    for row in 0..batch.num_rows() {
        let from = order.map_or(row, |order| order.value(row) as usize);
        let fits = heavy.iter().zip(&bytes).all(|(texts, used)| used + plain_bytes(texts, from..from + 1) <= options.row_group_bytes);
        if row > start && (!fits || row - start >= rows_max) {
            groups.push(start..row);
            start = row;
            bytes.fill(0);
        }
        bytes.iter_mut().zip(&heavy).for_each(|(used, texts)| *used += plain_bytes(texts, from..from + 1));
    }
    groups.push(start..batch.num_rows());
    groups
}

/// Size of rows in Parquet's plain encoding: a text has a length of 4 bytes.
fn plain_bytes(texts: &StringArray, rows: Range<usize>) -> usize {
    let offsets = texts.value_offsets();
    (offsets[rows.end] - offsets[rows.start]) as usize + 4 * rows.len()
}
