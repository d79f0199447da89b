//! Tests of text that no dictionary holds: a page is decompressed and searched as one piece of memory; only where that finds
//! something are its values told apart.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::StringArray;
use arrow_array::builder::StringBuilder;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::ByteArrayType;
use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::condition::Pattern;
use super::fragment::Fragment;
use super::rows::Rows;
use super::watch::Watch;
use crate::fragment::{FragmentError, Result};

/// The rows that match and their texts, so that these are not decompressed again.
pub struct Texts {
    pub rows: Rows,
    pub values: StringArray,
}

/// Those of `rows` that match any of the patterns; None when the file does not say where its pages are, or the watch says stop.
pub fn filter(fragment: &Fragment, group: usize, column: usize, patterns: &[Pattern], rows: &Rows, watch: &Watch) -> Result<Option<Texts>> {
    let Some(pages) = fragment.pages(group, column) else { return Ok(None) };
    let chunk = fragment.chunk(group, column);
    let locations = fragment.metadata.page_index().and_then(|index| index.page_locations(group, column)).cloned();
    let mut reader = SerializedPageReader::new(Arc::new(fragment.source.clone()), chunk, fragment.group_rows(group), locations)?;
    let dictionary = if chunk.dictionary_page_offset().is_some() { reader.get_next_page()? } else { None };
    let mut scan = Scan::new(patterns, rows, chunk.column_descr_ptr(), dictionary);
    for page in pages {
        if watch.stop(scan.decoded, page.start) {
            return Ok(None);
        }
        if !rows.overlap(&page) {
            reader.skip_next_page()?;
        } else if let Some(read) = reader.get_next_page()? {
            scan.page(read, &page)?;
        }
    }
    Ok(Some(Texts { rows: scan.found.into_iter().collect(), values: scan.texts.finish() }))
}

struct Scan<'a> {
    patterns: &'a [Pattern],
    rows: &'a Rows,
    column: ColumnDescPtr,
    dictionary: Option<Page>,
    folded: Vec<u8>,
    /// Rows of pages that had to be decoded.
    decoded: usize,
    found: Vec<usize>,
    texts: StringBuilder,
}

impl<'a> Scan<'a> {
    fn new(patterns: &'a [Pattern], rows: &'a Rows, column: ColumnDescPtr, dictionary: Option<Page>) -> Scan<'a> {
        Scan { patterns, rows, column, dictionary, folded: Vec::new(), decoded: 0, found: Vec::new(), texts: StringBuilder::new() }
    }

    fn page(&mut self, page: Page, range: &Range<usize>) -> Result<()> {
        if !self.may_match(&page) {
            return Ok(());
        }
        self.decoded += range.len();
        let pages = self.dictionary.iter().cloned().chain([page]).collect();
        let mut reader = ColumnReaderImpl::<ByteArrayType>::new(Arc::clone(&self.column), Box::new(Pages(pages)));
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (count, _, _) = reader.read_records(range.len(), Some(&mut levels), None, &mut values)?;
        let (mut values, most) = (values.iter(), self.column.max_def_level());
        for row in range.start..range.start + count {
            let present = most == 0 || levels[row - range.start] == most;
            if present && let Some(value) = values.next() {
                self.value(row, value.data())?;
            }
        }
        Ok(())
    }

    fn value(&mut self, row: usize, value: &[u8]) -> Result<()> {
        if self.patterns.iter().any(|pattern| pattern.matches(value)) && self.rows.contains(row) {
            let text = simdutf8::basic::from_utf8(value).map_err(|_| FragmentError::Invalid("a text is no UTF-8".to_string()))?;
            self.found.push(row);
            self.texts.append_value(text);
        }
        Ok(())
    }

    /// Only these encodings keep each value in one piece.
    fn may_match(&mut self, page: &Page) -> bool {
        let bytes = match page.encoding() {
            Encoding::PLAIN | Encoding::DELTA_LENGTH_BYTE_ARRAY => page.buffer(),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => match &self.dictionary {
                Some(dictionary) => dictionary.buffer(),
                None => return true,
            },
            _ => return true,
        };
        self.patterns.iter().any(|pattern| pattern.found_in(bytes, &mut self.folded))
    }
}

/// Pages that were read already, for a decoder.
struct Pages(VecDeque<Page>);

impl Iterator for Pages {
    type Item = std::result::Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> std::result::Result<Option<Page>, ParquetError> {
        Ok(self.0.pop_front())
    }

    fn peek_next_page(&mut self) -> std::result::Result<Option<PageMetadata>, ParquetError> {
        Ok(self.0.front().map(|page| PageMetadata {
            num_rows: None,
            num_levels: Some(page.num_values() as usize),
            is_dict: page.is_dictionary_page(),
        }))
    }

    fn skip_next_page(&mut self) -> std::result::Result<(), ParquetError> {
        self.0.pop_front();
        Ok(())
    }
}
