//! Word filters of stretches of rows: [`STRETCH_ROWS`] of a row group each, the last one of a group may have less. They stand
//! between the last page and the footer, where no Parquet reader looks; the footer's `pulka.words` says where:
//! `{column: {rows: of a stretch, offset, bytes: [of each stretch]}}`. No bytes: nothing is known.
//!
//! Stretches are this short because a word of one row in ten thousand is in every row group, but in few stretches, and
//! filters of few rows take hardly more room: what fills them are words that come once.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;
use serde::{Deserialize, Serialize};

use super::word_filter;
use super::{FragmentError, KEY_WORDS, Result};
use crate::text::words;

/// Rows that share a filter; about two pages of log lines.
pub const STRETCH_ROWS: usize = 2048;

/// Where the filters of one column stand, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub rows: usize,
    pub offset: u64,
    pub bytes: Vec<u64>,
}

/// Places by physical column.
pub type Places = BTreeMap<String, Place>;

/// One filter: the rows of its row group that it is of, and its place in the file.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub rows: Range<usize>,
    pub offset: u64,
    pub bytes: u64,
}

impl Stretch {
    /// Whether a row here may have all words of these hashes; reads one block per word.
    pub fn may_have(&self, file: &impl ChunkReader, hashes: &[u64]) -> Result<bool> {
        for hash in hashes {
            let Some(place) = word_filter::place_of(*hash, self.bytes) else { return Ok(true) };
            let block = file.get_bytes(self.offset + place, word_filter::BLOCK_BYTES)?;
            if !word_filter::has_all(&block, &[*hash]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn filter(&self, file: &impl ChunkReader) -> Result<Vec<u8>> {
        Ok(file.get_bytes(self.offset, self.bytes as usize)?.to_vec())
    }
}

/// The row groups of a fragment that may have a row whose `column` has all of `words`; all of them when it has no filters.
pub fn matching_row_groups<S: AsRef<str>>(path: &Path, column: &str, words: &[S]) -> Result<Vec<usize>> {
    let file = File::open(path)?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let every = 0..metadata.num_row_groups();
    let Some(groups) = stretches(&metadata)?.remove(column) else { return Ok(every.collect()) };
    let (hashes, mut matching) = (hashes(words), Vec::new());
    for group in every {
        for stretch in &groups[group] {
            if stretch.may_have(&file, &hashes)? {
                matching.push(group);
                break;
            }
        }
    }
    Ok(matching)
}

/// The stretches of each row group, by column.
pub fn stretches(metadata: &ParquetMetaData) -> Result<BTreeMap<String, Vec<Vec<Stretch>>>> {
    let placed = places(metadata)?.into_iter().map(|(column, place)| Some((column, place.stretches(metadata)?)));
    Ok(placed.flatten().collect())
}

impl Place {
    /// None when the row groups are not those the filters were made of.
    fn stretches(&self, metadata: &ParquetMetaData) -> Option<Vec<Vec<Stretch>>> {
        let (mut offset, mut left) = (self.offset, self.bytes.iter());
        let mut next = |rows: Range<usize>| {
            let stretch = Stretch { rows, offset, bytes: *left.next()? };
            offset = offset.checked_add(stretch.bytes)?;
            Some(stretch)
        };
        let rows = metadata.row_groups().iter().map(|group| group.num_rows().max(0) as usize);
        let groups = rows.map(|rows| split(rows, self.rows).map(&mut next).collect()).collect();
        if left.next().is_none() { groups } else { None }
    }
}

/// The stretches of a row group of `rows`.
fn split(rows: usize, stretch_rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(stretch_rows.max(1)).map(move |start| start..rows.min(start.saturating_add(stretch_rows.max(1))))
}

/// Hashes of the words in all of `texts`.
pub fn hashes<S: AsRef<str>>(texts: &[S]) -> Vec<u64> {
    let mut hashes = Vec::new();
    texts.iter().for_each(|text| words::hashes(text.as_ref(), |hash| hashes.push(hash)));
    hashes
}

fn places(metadata: &ParquetMetaData) -> Result<Places> {
    let items = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let text = items.filter(|item| item.key == KEY_WORDS).find_map(|item| item.value.as_deref());
    let broken = |_| FragmentError::Invalid(format!("the footer's {KEY_WORDS} is broken"));
    text.map_or_else(|| Ok(Places::new()), |text| serde_json::from_str(text).map_err(broken))
}
