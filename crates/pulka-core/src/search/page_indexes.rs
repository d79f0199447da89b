//! Page indexes of single columns of single row groups, read when they are asked for: a fragment has thousands of pages, a
//! search needs few.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::index_reader::{decode_column_index, decode_offset_index};
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use parquet::file::reader::ChunkReader;

use super::source::Source;

pub struct PageIndexes {
    source: Source,
    columns: usize,
    chunks: Vec<Chunk>,
}

struct Chunk {
    kind: parquet::basic::Type,
    rows: i64,
    bytes: Range<u64>,
    column_range: Option<Range<u64>>,
    offset_range: Option<Range<u64>>,
    column: OnceLock<Option<ColumnIndexMetaData>>,
    offset: OnceLock<Option<OffsetIndexMetaData>>,
}

impl PageIndexes {
    pub fn new(source: Source, metadata: &ParquetMetaData) -> PageIndexes {
        let columns = metadata.file_metadata().schema_descr().num_columns();
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns().iter().map(|chunk| Chunk::of(chunk, group.num_rows())));
        PageIndexes { source, columns, chunks: chunks.collect() }
    }

    fn chunk(&self, group: usize, column: usize) -> Option<&Chunk> {
        self.chunks.get(group * self.columns + column)
    }

    fn bytes(&self, range: &Option<Range<u64>>) -> Option<bytes::Bytes> {
        let range = range.as_ref()?;
        self.source.get_bytes(range.start, range.end.checked_sub(range.start)? as usize).ok()
    }
}

impl Chunk {
    fn of(chunk: &ColumnChunkMetaData, rows: i64) -> Chunk {
        let (start, length) = chunk.byte_range();
        Chunk {
            kind: chunk.column_type(),
            rows,
            bytes: start..start.saturating_add(length),
            column_range: chunk.column_index_range(),
            offset_range: chunk.offset_index_range(),
            column: OnceLock::new(),
            offset: OnceLock::new(),
        }
    }

    /// Whether pages follow each other within the chunk; readers trust an offset index blindly.
    fn holds(&self, index: &OffsetIndexMetaData) -> bool {
        let pages = index.page_locations();
        let within = |page: &PageLocation| {
            let end = page.offset.checked_add(i64::from(page.compressed_page_size));
            page.compressed_page_size > 0 && page.first_row_index < self.rows
                && u64::try_from(page.offset).is_ok_and(|start| self.bytes.start <= start)
                && end.is_some_and(|end| end as u64 <= self.bytes.end)
        };
        pages.first().is_some_and(|page| page.first_row_index == 0)
            && pages.iter().all(within)
            && pages.is_sorted_by(|one, next| one.first_row_index < next.first_row_index && one.offset < next.offset)
    }
}

impl fmt::Debug for PageIndexes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PageIndexes of {} chunks", self.chunks.len())
    }
}

impl PageIndexProvider for PageIndexes {
    fn has_offset_indexes(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.offset_range.is_some())
    }

    fn has_column_indexes(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.column_range.is_some())
    }

    fn column_index(&self, group: usize, column: usize) -> Option<&ColumnIndexMetaData> {
        let chunk = self.chunk(group, column)?;
        chunk.column.get_or_init(|| decode_column_index(&self.bytes(&chunk.column_range)?, chunk.kind).ok()).as_ref()
    }

    fn offset_index(&self, group: usize, column: usize) -> Option<&OffsetIndexMetaData> {
        let chunk = self.chunk(group, column)?;
        let read = || decode_offset_index(&self.bytes(&chunk.offset_range)?).ok().filter(|index| chunk.holds(index));
        chunk.offset.get_or_init(read).as_ref()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
