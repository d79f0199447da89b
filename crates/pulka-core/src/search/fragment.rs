//! A fragment opened for a search: its footer, and page indexes that are read when they are asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::page_indexes::PageIndexes;
use super::rows::Rows;
use super::source::Source;
use crate::fragment::Result;
use crate::fragment::row_group_words::{Stretch, stretches};

pub struct Fragment {
    pub source: Source,
    pub metadata: Arc<ParquetMetaData>,
    plain: ArrowReaderMetadata,
    /// Reads all text as dictionaries.
    dictionaries: OnceLock<ArrowReaderMetadata>,
    /// Stretches of rows that have word filters, by column and row group.
    words: OnceLock<BTreeMap<String, Vec<Vec<Stretch>>>>,
}

impl Fragment {
    /// Open a file; what is read of it is added to `read`.
    pub fn open(path: &Path, read: Arc<AtomicU64>) -> Result<Fragment> {
        let source = Source::open(path, read)?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&source)?;
        let pages = PageIndexes::new(source.clone(), &metadata);
        let metadata = Arc::new(metadata.into_builder().set_page_index(Some(Arc::new(pages))).build());
        let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new())?;
        Ok(Fragment { source, metadata, plain, dictionaries: OnceLock::new(), words: OnceLock::new() })
    }

    /// The place of a column in the file.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.plain.schema().fields().iter().position(|field| field.name() == name)
    }

    pub fn schema(&self) -> &SchemaRef {
        self.plain.schema()
    }

    pub fn chunk(&self, group: usize, column: usize) -> &ColumnChunkMetaData {
        self.metadata.row_group(group).column(column)
    }

    pub fn group_rows(&self, group: usize) -> usize {
        self.metadata.row_group(group).num_rows().max(0) as usize
    }

    pub fn column_index(&self, group: usize, column: usize) -> Option<&ColumnIndexMetaData> {
        self.metadata.page_index()?.column_index(group, column)
    }

    /// Where the pages of a column are, and their rows; None without an offset index.
    pub fn pages(&self, group: usize, column: usize) -> Option<Vec<Range<usize>>> {
        let locations = self.metadata.page_index()?.page_locations(group, column)?;
        let starts = locations.iter().map(|page| page.first_row_index.max(0) as usize);
        let ends = starts.clone().skip(1).chain([self.group_rows(group)]);
        Some(starts.zip(ends).map(|(start, end)| start..end.max(start)).collect())
    }

    /// The stretches of a row group that have word filters of the column.
    pub fn stretches(&self, group: usize, column: usize) -> &[Stretch] {
        let words = self.words.get_or_init(|| stretches(&self.metadata).unwrap_or_default());
        words.get(self.schema().field(column).name()).and_then(|groups| groups.get(group)).map_or(&[], Vec::as_slice)
    }

    /// Whether a dictionary holds all values of a column.
    pub fn is_dictionary(&self, group: usize, column: usize) -> bool {
        let encodings = self.chunk(group, column).page_encoding_stats_mask();
        encodings.is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY))
    }

    /// Some rows of some columns, in batches of at most `batch_rows`.
    pub fn read(&self, group: usize, columns: &[usize], rows: &Rows, batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        self.reader(&self.plain, group, columns, rows, batch_rows)
    }

    /// As `read`, with text as dictionaries.
    pub fn read_dictionaries(&self, group: usize, columns: &[usize], rows: &Rows, batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        self.reader(self.dictionaries.get_or_init(|| self.with_dictionaries()), group, columns, rows, batch_rows)
    }

    fn reader(
        &self,
        metadata: &ArrowReaderMetadata,
        group: usize,
        columns: &[usize],
        rows: &Rows,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader> {
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_row_selection(rows.selection(self.group_rows(group)))
            .with_batch_size(batch_rows.max(1));
        Ok(builder.build()?)
    }

    fn with_dictionaries(&self) -> ArrowReaderMetadata {
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = self.plain.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => field.as_ref().clone().with_data_type(text.clone()),
            _ => field.as_ref().clone(),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        ArrowReaderMetadata::try_new(Arc::clone(&self.metadata), options).unwrap_or_else(|_| self.plain.clone())
    }
}
