//! The columns of a Parquet file, read in small batches whatever the width of their values.
//!
//! The offset index tells the size of every page before it is read, so that a batch has many narrow rows or few wide
//! ones, and rows in the middle of a file are reached without reading those before them.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};

use super::Result;
use super::write::CHUNK_ROWS;

/// Rows of which a batch has fewer than this are wide: they are read apart from the narrow ones.
const NARROW_BATCH_ROWS: u64 = 256;

pub struct Pages {
    file: File,
    metadata: ArrowReaderMetadata,
}

/// Rows with about as many bytes each: from `row` up to the next width's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Width {
    pub row: u64,
    pub row_bytes: u64,
}

impl Pages {
    pub fn open(file: File) -> Result<Pages> {
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        Ok(Pages { file, metadata })
    }

    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn rows(&self) -> u64 {
        self.parquet().file_metadata().num_rows().max(0) as u64
    }

    /// Compressed bytes of all columns.
    pub fn bytes(&self) -> u64 {
        self.parquet().row_groups().iter().map(|group| group.compressed_size().max(0) as u64).sum()
    }

    /// All footer key-values but the Arrow schema, which is binary.
    pub fn key_values(&self) -> BTreeMap<String, String> {
        let pairs = self.parquet().file_metadata().key_value_metadata().into_iter().flatten();
        let pairs = pairs.filter(|pair| pair.key != parquet::arrow::ARROW_SCHEMA_META_KEY);
        pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
    }

    /// Rows `rows` of some columns, in the order of the schema, in batches of about `batch_bytes`, one row at least.
    pub fn read(&self, columns: &[usize], rows: Range<u64>, batch_bytes: usize) -> Batches<'_> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let segments = segments(&self.widths(columns), rows, batch_bytes.max(1) as u64);
        Batches { pages: self, mask, segments: segments.into_iter(), reader: None }
    }

    /// How wide the rows of some columns are together, ascending by row; the first begins at row 0.
    pub fn widths(&self, columns: &[usize]) -> Vec<Width> {
        let mut changes: Vec<(u64, i64)> = vec![(0, 0)];
        columns.iter().for_each(|column| self.add_changes(*column, &mut changes));
        changes.sort_unstable_by_key(|(row, _)| *row);
        let mut widths: Vec<Width> = Vec::with_capacity(changes.len());
        let mut row_bytes = 0;
        for (row, change) in changes {
            row_bytes += change;
            let width = Width { row, row_bytes: row_bytes.max(0) as u64 };
            match widths.last_mut().filter(|last| last.row == row) {
                Some(last) => *last = width,
                None => widths.push(width),
            }
        }
        widths
    }

    /// By how much the width of one column grows, page by page.
    fn add_changes(&self, column: usize, changes: &mut Vec<(u64, i64)>) {
        if *self.schema().field(column).data_type() != DataType::Utf8 {
            return changes.push((0, 8));
        }
        let (mut first, mut last) = (0, 0);
        for (group, metadata) in self.parquet().row_groups().iter().enumerate() {
            for (row, rows, bytes) in text_pages(self.parquet(), group, metadata, column) {
                let row_bytes = (bytes.div_ceil(rows.max(1)) + 4) as i64;
                changes.push((first + row, row_bytes - last));
                last = row_bytes;
            }
            first += metadata.num_rows().max(0) as u64;
        }
    }

    pub fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    fn reader(&self, mask: ProjectionMask, segment: &Segment) -> Result<ParquetRecordBatchReader> {
        let (mut first, mut groups, mut skipped) = (0, Vec::new(), 0);
        for (group, metadata) in self.parquet().row_groups().iter().enumerate() {
            let end = first + metadata.num_rows().max(0) as u64;
            if end > segment.rows.start && first < segment.rows.end {
                skipped = if groups.is_empty() { segment.rows.start - first } else { skipped };
                groups.push(group);
            }
            first = end;
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        let builder = builder.with_projection(mask).with_row_groups(groups).with_batch_size(segment.batch_rows);
        let rows = (segment.rows.end - segment.rows.start) as usize;
        let whole = segment.rows == (0..self.rows());
        Ok(if whole { builder } else { builder.with_offset(skipped as usize).with_limit(rows) }.build()?)
    }
}

/// First row, rows and bytes of the pages of a text column's chunk; the whole chunk where the file has no index.
fn text_pages(parquet: &ParquetMetaData, group: usize, metadata: &RowGroupMetaData, column: usize) -> Vec<(u64, u64, u64)> {
    let (rows, chunk) = (metadata.num_rows().max(0) as u64, metadata.column(column));
    let index = parquet.page_index().and_then(|index| index.offset_index(group, column));
    if let Some((index, bytes)) = index.and_then(|index| Some((index, index.unencoded_byte_array_data_bytes()?))) {
        let starts: Vec<u64> = index.page_locations().iter().map(|page| page.first_row_index.max(0) as u64).collect();
        let ends = starts.iter().skip(1).copied().chain([rows]);
        return starts.iter().zip(ends).zip(bytes).map(|((start, end), bytes)| (*start, end - start, (*bytes).max(0) as u64)).collect();
    }
    let bytes = chunk.unencoded_byte_array_data_bytes().unwrap_or(chunk.uncompressed_size());
    vec![(0, rows, bytes.max(0) as u64)]
}

/// Rows that are read in batches of one size.
#[derive(Debug, PartialEq)]
struct Segment {
    rows: Range<u64>,
    batch_rows: usize,
}

/// Narrow rows and wide ones apart: where a column has few values of a megabyte, the many others are not read one by one.
fn segments(widths: &[Width], rows: Range<u64>, batch_bytes: u64) -> Vec<Segment> {
    let is_narrow = |width: &Width| width.row_bytes * NARROW_BATCH_ROWS <= batch_bytes;
    let mut segments = Vec::new();
    for alike in widths.chunk_by(|left, right| is_narrow(left) == is_narrow(right)) {
        let widest = alike.iter().map(|width| width.row_bytes).max().unwrap_or(0).max(1);
        segments.push((alike[0].row, (batch_bytes / widest).clamp(1, CHUNK_ROWS as u64) as usize));
    }
    let ends: Vec<u64> = segments.iter().skip(1).map(|(row, _)| *row).chain([u64::MAX]).collect();
    let within = segments.into_iter().zip(ends).map(|((start, batch_rows), end)| {
        Segment { rows: start.max(rows.start)..end.min(rows.end), batch_rows }
    });
    within.filter(|segment| !segment.rows.is_empty()).collect()
}

/// Batches of some rows and columns, in order.
pub struct Batches<'a> {
    pages: &'a Pages,
    mask: ProjectionMask,
    segments: std::vec::IntoIter<Segment>,
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(|reader| reader.next()) {
                return Some(batch.map_err(Into::into));
            }
            self.reader = None; // its page goes before the next one's comes
            match self.pages.reader(self.mask.clone(), &self.segments.next()?) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
