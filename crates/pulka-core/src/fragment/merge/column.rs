//! Writes planned row groups column by column: one column of every part is read along the runs.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::DataType;
use parquet::arrow::arrow_writer::ArrowColumnChunk;

use super::gather::{Piece, gather};
use super::order::Run;
use super::plan::RowGroup;
use super::{MergeOptions, Part, naming};
use crate::fragment::output::{ColumnChunk, Output};
use crate::fragment::pages::Batches;
use crate::fragment::write::{CHUNK_BYTES, CHUNK_ROWS};
use crate::fragment::{Result, invalid};

/// The first row group's chunks go to the file at once, those of the others are held until it is whole.
pub fn write(groups: &[RowGroup], parts: &[Part], output: &mut Output, merge: &MergeOptions) -> Result<()> {
    let rows = rows_of_parts(groups, parts.len());
    let mut held: Vec<Vec<ArrowColumnChunk>> = groups[1..].iter().map(|_| Vec::new()).collect();
    let schema = output.schema().clone();
    let (mut first, columns) = output.next_row_group(groups[0].rows)?;
    for (index, field) in schema.fields().iter().enumerate() {
        let mut reader = ColumnReader::open(parts, index, field.data_type(), &rows, merge);
        let mut encode = |group: &RowGroup| {
            let mut chunk = ColumnChunk::new(index, group.rows);
            reader.copy(&group.runs, |array| columns.write(&mut chunk, array))?;
            columns.close(chunk)
        };
        encode(&groups[0])?.append_to_row_group(&mut first)?;
        for (group, chunks) in groups[1..].iter().zip(&mut held) {
            chunks.push(encode(group)?);
        }
    }
    first.close()?;
    for (group, chunks) in groups[1..].iter().zip(held) {
        let (mut next, _) = output.next_row_group(group.rows)?;
        chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut next))?;
        next.close()?;
    }
    Ok(())
}

/// Which rows of each part are in some row groups: a part's rows come in order.
fn rows_of_parts(groups: &[RowGroup], parts: usize) -> Vec<Range<u64>> {
    let mut rows: Vec<Option<Range<u64>>> = vec![None; parts];
    for run in groups.iter().flat_map(|group| &group.runs) {
        let (start, end) = (u64::from(run.start), u64::from(run.start + run.rows));
        rows[run.part as usize].get_or_insert(start..end).end = end;
    }
    rows.into_iter().map(Option::unwrap_or_default).collect()
}

/// One column of all parts.
struct ColumnReader<'a> {
    sources: Vec<Source<'a>>,
    pending: Pending,
    merge: &'a MergeOptions,
}

impl<'a> ColumnReader<'a> {
    fn open(parts: &'a [Part], column: usize, kind: &DataType, rows: &[Range<u64>], merge: &'a MergeOptions) -> ColumnReader<'a> {
        let (batch_bytes, nulls) = (merge.batch_bytes(parts.len()), new_null_array(kind, CHUNK_ROWS));
        let open = |(part, rows)| Source::open(part, column, rows, batch_bytes, &nulls);
        let sources = parts.iter().zip(rows).map(open).collect();
        ColumnReader { sources, pending: Pending::default(), merge }
    }

    /// Give the values of `runs`, in order, to `write`.
    fn copy(&mut self, runs: &[Run], mut write: impl FnMut(&ArrayRef) -> Result<()>) -> Result<()> {
        for run in runs {
            let (mut row, end) = (u64::from(run.start), u64::from(run.start + run.rows));
            while row < end {
                let source = &mut self.sources[run.part as usize];
                let rows = source.advance_to(row)?.min((end - row) as usize).min(CHUNK_ROWS - self.pending.rows);
                self.pending.push(source, row, rows);
                row += rows as u64;
                if self.pending.is_full() {
                    self.flush(&mut write)?;
                }
            }
        }
        self.flush(&mut write)
    }

    fn flush(&mut self, write: &mut impl FnMut(&ArrayRef) -> Result<()>) -> Result<()> {
        self.merge.cancel.check()?;
        let pending = std::mem::take(&mut self.pending);
        self.sources.iter_mut().for_each(|source| source.slot = None);
        if pending.pieces.is_empty() {
            return Ok(());
        }
        write(&gather(&pending.arrays, &pending.pieces, pending.rows)?)
    }
}

/// One column of one part, a batch at a time.
struct Source<'a> {
    path: &'a Path,
    /// None: all values are null.
    batches: Option<Batches<'a>>,
    array: ArrayRef,
    /// Rows of the part that `array` has.
    rows: Range<u64>,
    /// Where `array` is among the pending ones, if it is.
    slot: Option<usize>,
}

impl<'a> Source<'a> {
    fn open(part: &'a Part, column: usize, rows: &Range<u64>, batch_bytes: usize, nulls: &ArrayRef) -> Source<'a> {
        let batches = part.columns[column].as_ref().map(|source| source.pages.read(&[source.column], rows.clone(), batch_bytes));
        let array = if batches.is_some() { nulls.slice(0, 0) } else { nulls.clone() };
        Source { path: part.path, batches, array, rows: rows.start..rows.start, slot: None }
    }

    /// Go to the batch that has `row`; how many of its rows are left.
    fn advance_to(&mut self, row: u64) -> Result<usize> {
        while self.rows.end <= row {
            let Some(batches) = &mut self.batches else {
                self.rows = row..row + self.array.len() as u64; // one null is as good as another
                break;
            };
            let Some(batch) = batches.next() else {
                return invalid(format!("{}: a column has fewer rows than the others", self.path.display()));
            };
            self.array = Arc::clone(batch.map_err(|error| naming(self.path, error))?.column(0));
            self.rows = self.rows.end..self.rows.end + self.array.len() as u64;
            self.slot = None;
        }
        Ok((self.rows.end - row) as usize)
    }
}

/// The next values of a column, as references into batches.
#[derive(Default)]
struct Pending {
    arrays: Vec<ArrayRef>,
    row_bytes: Vec<usize>,
    pieces: Vec<Piece>,
    rows: usize,
    bytes: usize,
}

impl Pending {
    fn push(&mut self, source: &mut Source, row: u64, rows: usize) {
        let array = *source.slot.get_or_insert_with(|| {
            self.arrays.push(Arc::clone(&source.array));
            self.row_bytes.push(source.array.get_buffer_memory_size() / source.array.len().max(1));
            self.arrays.len() - 1
        });
        self.pieces.push(Piece { array, start: (row - source.rows.start) as usize, rows });
        self.rows += rows;
        self.bytes += rows * self.row_bytes[array];
    }

    fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }
}
