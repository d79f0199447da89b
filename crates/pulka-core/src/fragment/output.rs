//! A fragment being written, one row group after the other: its file, the encoders of its columns, its footer.

use std::path::Path;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::file::metadata::KeyValue;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::file::{BYTES_PLACEHOLDER, CRC_PLACEHOLDER, Checksummed, NewFile, bytes_text};
use super::row_group_words::{Place, Places, STRETCH_ROWS};
use super::stats::Stats;
use super::{FORMAT, FragmentOptions, KEY_CRC32C, KEY_FORMAT, KEY_FRAGMENT, KEY_SORT, KEY_WORDS, Result, SortColumn, encoding, invalid};

/// One part in this many of a file may be word filters of stretches of rows, more in a small file,
const STRETCH_WORDS_SHARE: usize = 16;
const STRETCH_WORDS_BYTES_MIN: usize = 4 << 10;
/// and one in this many the filters of the whole fragment, which the catalog keeps too, within these bytes.
const FRAGMENT_WORDS_SHARE: usize = 50;
const FRAGMENT_WORDS_BYTES_MIN: usize = 1 << 10;
const FRAGMENT_WORDS_BYTES_MAX: usize = 32 << 10;

pub struct Output<'a> {
    new_file: NewFile,
    parquet: SerializedFileWriter<Checksummed>,
    columns: Columns<'a>,
}

/// What the columns of a file need while they are encoded.
pub struct Columns<'a> {
    schema: SchemaRef,
    options: &'a FragmentOptions,
    stats: Stats,
    /// Whether a column has dictionaries: decided by a sample, or its first values.
    dictionaries: Vec<Option<bool>>,
}

/// A column chunk being encoded.
pub struct ColumnChunk {
    index: usize,
    rows: usize,
    writer: Option<ArrowColumnWriter>,
}

impl ColumnChunk {
    /// The chunk of the column `index` in a row group of `rows`.
    pub fn new(index: usize, rows: usize) -> ColumnChunk {
        ColumnChunk { index, rows, writer: None }
    }
}

impl<'a> Output<'a> {
    pub fn create(path: &Path, schema: SchemaRef, options: &'a FragmentOptions) -> Result<Output<'a>> {
        let properties = encoding::file_properties(&schema, options)?;
        let (stats, dictionaries) = (Stats::new(&schema, Some(options))?, vec![None; schema.fields().len()]);
        let (new_file, file) = NewFile::create(path)?;
        let (parquet, _) = ArrowWriter::try_new(file, schema.clone(), Some(properties))?.into_serialized_writer()?;
        Ok(Output { new_file, parquet, columns: Columns { schema, options, stats, dictionaries } })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.columns.schema
    }

    fn rows(&self) -> u64 {
        self.columns.stats.rows()
    }

    /// Begin a row group: every column's chunk is to be closed and appended to it, in order.
    pub fn next_row_group(&mut self, rows: usize) -> Result<(SerializedRowGroupWriter<'_, Checksummed>, &mut Columns<'a>)> {
        self.columns.stats.add_rows(rows);
        Ok((self.parquet.next_row_group()?, &mut self.columns))
    }

    /// Write the footer, with the items `more` beside those of the options, and make the file durable; `rows` is how many
    /// must have been written. Returns the description as JSON, and the file, which is for the caller to keep.
    pub fn finish(mut self, rows: u64, more: &[(&str, String)]) -> Result<(String, NewFile)> {
        if self.rows() != rows {
            return invalid(format!("{} rows were written of {rows}; this is a bug", self.rows()));
        }
        if rows == 0 {
            return invalid("a fragment needs at least one row");
        }
        let pages_bytes = self.parquet.bytes_written();
        let words = self.write_words((pages_bytes / STRETCH_WORDS_SHARE).max(STRETCH_WORDS_BYTES_MIN))?;
        self.parquet.flush()?;
        let mark = self.parquet.inner().mark();
        let words_bytes_max = (pages_bytes / FRAGMENT_WORDS_SHARE).clamp(FRAGMENT_WORDS_BYTES_MIN, FRAGMENT_WORDS_BYTES_MAX);
        let description = self.columns.stats.describe(BYTES_PLACEHOLDER, words_bytes_max);
        let description = serde_json::to_string(&description).map_err(std::io::Error::from)?;
        for (key, value) in footer(&description, &words, self.columns.options, more)? {
            self.parquet.append_key_value_metadata(KeyValue::new(key, value));
        }
        let bytes = self.parquet.into_inner()?.seal(mark)?;
        Ok((description.replacen(&bytes_text(BYTES_PLACEHOLDER), &bytes_text(bytes), 1), self.new_file))
    }
}

impl Output<'_> {
    /// Word filters go behind the pages.
    fn write_words(&mut self, bytes_max: usize) -> Result<Places> {
        let mut places = Places::new();
        for (column, filters) in self.columns.stats.stretch_words(bytes_max) {
            let (offset, bytes) = (self.parquet.bytes_written() as u64, filters.iter().map(|filter| filter.len() as u64).collect());
            places.insert(column.to_string(), Place { rows: STRETCH_ROWS, offset, bytes });
            self.parquet.write_all(&filters.concat())?;
        }
        Ok(places)
    }
}

impl Columns<'_> {
    /// Decide the encoding of the column `index` by these values, unless it is decided.
    pub fn sample(&mut self, index: usize, array: &ArrayRef) -> bool {
        *self.dictionaries[index].get_or_insert_with(|| encoding::repeats(array))
    }

    /// Append values to a chunk.
    pub fn write(&mut self, chunk: &mut ColumnChunk, array: &ArrayRef) -> Result<()> {
        let dictionary = self.sample(chunk.index, array);
        let field = &self.schema.fields()[chunk.index];
        if chunk.writer.is_none() {
            chunk.writer = Some(encoding::column_writer(field, dictionary, chunk.rows, self.options)?);
        }
        self.stats.add_values(chunk.index, array);
        for leaf in compute_leaves(field, array)? {
            chunk.writer.as_mut().map_or(Ok(()), |writer| writer.write(&leaf))?;
        }
        Ok(())
    }

    pub fn close(&mut self, chunk: ColumnChunk) -> Result<ArrowColumnChunk> {
        let Some(writer) = chunk.writer else {
            return invalid("a column chunk got no rows; this is a bug");
        };
        self.stats.end_group(chunk.index);
        Ok(writer.close()?)
    }
}

/// Footer key-values; the sealed ones come last, where they are looked for.
fn footer(description: &str, words: &Places, options: &FragmentOptions, more: &[(&str, String)]) -> Result<Vec<(String, String)>> {
    let own = [
        (KEY_FORMAT, FORMAT.to_string()),
        (KEY_SORT, sort_text(&options.sort)),
        (KEY_WORDS, serde_json::to_string(words).map_err(std::io::Error::from)?),
        (KEY_FRAGMENT, description.to_string()),
        (KEY_CRC32C, CRC_PLACEHOLDER.to_string()),
    ];
    if let Some((key, _)) = own.iter().find(|(key, _)| options.metadata.contains_key(*key)) {
        return invalid(format!("the metadata key {key} is taken; name it otherwise"));
    }
    let given = options.metadata.iter().filter(|(key, _)| more.iter().all(|(other, _)| other != key));
    let given = given.map(|(key, value)| (key.clone(), value.clone()));
    let own = more.iter().chain(&own).map(|(key, value)| (key.to_string(), value.clone()));
    Ok(given.chain(own).collect())
}

/// The sort schema as it stands in the footer: a JSON array.
fn sort_text(sort: &[SortColumn]) -> String {
    serde_json::Value::from(sort.iter().map(SortColumn::text).collect::<Vec<_>>()).to_string()
}
