//! Pages of one column of one row group, decoded as far as a count needs: dictionary codes stay codes, texts stay where they are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem::Finder;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page as Raw, PageReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::{delta, hybrid};
use crate::fragment::{FragmentError, Result};
use crate::search::fragment::Fragment;
use crate::search::source::Source;

/// Values of one physical type; booleans are integers.
pub enum Values {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Texts),
}

/// Texts within one piece of memory, in order.
#[derive(Default)]
pub struct Texts {
    pub buffer: Bytes,
    pub places: Vec<Range<usize>>,
}

impl Texts {
    pub fn get(&self, at: usize) -> &[u8] {
        &self.buffer[self.places[at].clone()]
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Values::Integers(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Texts(texts) => texts.places.len(),
        }
    }
}

/// What a page holds of the rows that are not null.
pub enum Held {
    /// Places in the dictionary.
    Codes(Vec<u32>),
    /// One place in the dictionary for all.
    Code(u32),
    /// No text that is sought.
    Nothing,
    Values(Values),
}

pub struct Page {
    pub rows: Range<usize>,
    /// Which rows are not null; None when all are.
    pub present: Option<Vec<bool>>,
    pub held: Held,
}

impl Page {
    /// The rows that have a value, in order.
    pub fn rows_with_values(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().filter(|row| self.present.as_ref().is_none_or(|present| present[row - self.rows.start]))
    }
}

/// How many are true.
pub fn count(rows: &[bool]) -> usize {
    rows.chunks(128).map(|some| usize::from(some.iter().fold(0_u8, |count, one| count.wrapping_add(u8::from(*one))))).sum()
}

/// A column of a row group, page by page.
pub struct Chunk {
    reader: SerializedPageReader<Source>,
    kind: Type,
    optional: bool,
    ranges: std::vec::IntoIter<Range<usize>>,
    pub dictionary: Option<Values>,
    /// Only which rows are null is asked for.
    pub levels_only: bool,
    /// Texts of which a page has at least one, or is not decoded further.
    pub sought: Vec<Finder<'static>>,
}

impl Chunk {
    /// Invalid for what Pulka does not write: nested columns, other types.
    pub fn open(fragment: &Fragment, group: usize, column: usize) -> Result<Chunk> {
        let ranges = fragment.pages(group, column).ok_or_else(unknown)?;
        let chunk = fragment.chunk(group, column);
        let descriptor = chunk.column_descr();
        if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 {
            return Err(unknown());
        }
        let locations = fragment.metadata.page_index().and_then(|index| index.page_locations(group, column)).cloned();
        let mut reader = SerializedPageReader::new(Arc::new(fragment.source.clone()), chunk, fragment.group_rows(group), locations)?;
        let kind = descriptor.physical_type();
        let dictionary = match chunk.dictionary_page_offset() {
            Some(_) => reader.get_next_page()?.map(|page| plain(kind, page.buffer(), page.num_values() as usize)).transpose()?,
            None => None,
        };
        Ok(Chunk { reader, kind, optional: descriptor.max_def_level() == 1, ranges: ranges.into_iter(), dictionary, levels_only: false, sought: Vec::new() })
    }

    /// The next page with a row of which `wanted` is true.
    pub fn next(&mut self, wanted: &[bool]) -> Result<Option<Page>> {
        while let Some(rows) = self.ranges.next() {
            if !wanted.get(rows.clone()).ok_or_else(unknown)?.contains(&true) {
                self.reader.skip_next_page()?;
            } else if let Some(page) = self.reader.get_next_page()? {
                if self.lacks(&page) {
                    return Ok(Some(Page { rows, present: None, held: Held::Nothing }));
                }
                return self.decoded(&page, rows).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a page has none of what is sought; only these encodings keep each text in one piece.
    fn lacks(&self, page: &Raw) -> bool {
        let whole = matches!(page.encoding(), Encoding::PLAIN | Encoding::DELTA_LENGTH_BYTE_ARRAY);
        whole && !self.sought.is_empty() && self.sought.iter().all(|finder| finder.find(page.buffer()).is_none())
    }

    fn decoded(&self, page: &Raw, rows: Range<usize>) -> Result<Page> {
        let (levels, values) = self.split(page)?;
        if page.num_values() as usize != rows.len() {
            return Err(unknown());
        }
        let present = match levels {
            Some(levels) if hybrid::only(levels, 1, rows.len()) != Some(1) => {
                Some(hybrid::decode(levels, 1, rows.len(), |level| level == 1).ok_or_else(unknown)?)
            }
            _ => None,
        };
        let held_rows = present.as_ref().map_or(rows.len(), |present| count(present));
        let held = if self.levels_only { Held::Codes(Vec::new()) } else { self.held(page, values, held_rows)? };
        Ok(Page { rows, present, held })
    }

    /// Definition levels, where there are any, and values.
    fn split<'a>(&self, page: &'a Raw) -> Result<(Option<&'a [u8]>, usize)> {
        let buffer: &'a [u8] = page.buffer();
        let (start, length) = match page {
            Raw::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => (*rep_levels_byte_len as usize, *def_levels_byte_len as usize),
            Raw::DataPage { .. } if self.optional => {
                (4, u32::from_le_bytes(*buffer.first_chunk::<4>().ok_or_else(unknown)?) as usize)
            }
            Raw::DataPage { .. } => (0, 0),
            Raw::DictionaryPage { .. } => return Err(unknown()),
        };
        let end = start.checked_add(length).filter(|end| *end <= buffer.len()).ok_or_else(unknown)?;
        Ok((self.optional.then(|| &buffer[start..end]), end))
    }

    fn held(&self, page: &Raw, start: usize, count: usize) -> Result<Held> {
        let bytes = page.buffer().slice(start..);
        if count == 0 {
            return Ok(Held::Codes(Vec::new()));
        }
        match page.encoding() {
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => codes(&bytes, count, self.dictionary.as_ref().map_or(0, Values::len)),
            Encoding::PLAIN => plain(self.kind, &bytes, count).map(Held::Values),
            Encoding::DELTA_BINARY_PACKED if self.kind == Type::INT64 => {
                delta::decode(&mut &bytes[..], count).map(Values::Integers).map(Held::Values).ok_or_else(unknown)
            }
            Encoding::DELTA_LENGTH_BYTE_ARRAY => behind_lengths(&bytes, count).map(Values::Texts).map(Held::Values).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }
}

/// What is written in no way that Pulka writes, or is broken: the ordinary scan shows which.
pub fn unknown() -> FragmentError {
    FragmentError::Invalid("a column that cannot be counted".to_string())
}

fn codes(bytes: &[u8], count: usize, known: usize) -> Result<Held> {
    let (bits, bytes) = bytes.split_first().ok_or_else(unknown)?;
    let bits = u32::from(*bits);
    if let Some(code) = hybrid::only(bytes, bits, count).filter(|code| (*code as usize) < known) {
        return Ok(Held::Code(code));
    }
    let codes = hybrid::decode(bytes, bits, count, |code| code as u32).ok_or_else(unknown)?;
    match codes.iter().max() {
        Some(most) if *most as usize >= known => Err(unknown()),
        _ => Ok(Held::Codes(codes)),
    }
}

fn plain(kind: Type, bytes: &Bytes, count: usize) -> Result<Values> {
    let eights = || bytes.as_chunks::<8>().0.get(..count).ok_or_else(unknown);
    match kind {
        Type::INT64 => Ok(Values::Integers(eights()?.iter().map(|eight| i64::from_le_bytes(*eight)).collect())),
        Type::DOUBLE => Ok(Values::Floats(eights()?.iter().map(|eight| f64::from_le_bytes(*eight)).collect())),
        Type::BOOLEAN if bytes.len() * 8 >= count => Ok(Values::Integers((0..count).map(|bit| i64::from(bytes[bit / 8] >> (bit % 8) & 1)).collect())),
        Type::BYTE_ARRAY => behind_own_length(bytes, count).map(Values::Texts).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

/// Each text behind its length.
fn behind_own_length(bytes: &Bytes, count: usize) -> Option<Texts> {
    let (mut places, mut at) = (Vec::with_capacity(count.min(bytes.len() / 4)), 0_usize);
    for _ in 0..count {
        let length = u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?) as usize;
        places.push(at + 4..at + 4 + length);
        at += 4 + length;
        (at <= bytes.len()).then_some(())?;
    }
    Some(Texts { buffer: bytes.clone(), places })
}

/// All texts behind all lengths.
fn behind_lengths(bytes: &Bytes, count: usize) -> Option<Texts> {
    let mut rest = &bytes[..];
    let lengths = delta::decode(&mut rest, count)?;
    let buffer = bytes.slice(bytes.len() - rest.len()..);
    let (mut places, mut at) = (Vec::with_capacity(count), 0_usize);
    for length in lengths {
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        places.push(at..end);
        at = end;
    }
    (at <= buffer.len()).then_some(Texts { buffer, places })
}
