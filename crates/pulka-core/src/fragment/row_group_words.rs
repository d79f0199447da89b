//! Word filters of the row groups. They stand between the last page and the footer, where no Parquet reader looks; the
//! footer's `pulka.words` says where: `{column: {offset, bytes: [of each row group]}}`. No bytes: nothing is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

use super::word_filter::has_all;
use super::{FragmentError, KEY_WORDS, Result};
use crate::text::words;

/// Where the filters of one column stand, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub offset: u64,
    pub bytes: Vec<u64>,
}

/// Places by physical column.
pub type Places = BTreeMap<String, Place>;

/// The row groups of a fragment that may have a row whose `column` has all of `words`; all of them when it has no filters.
pub fn matching_row_groups<S: AsRef<str>>(path: &Path, column: &str, words: &[S]) -> Result<Vec<usize>> {
    let mut file = File::open(path)?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    matching_groups(&mut file, &metadata, column, words)
}

/// [`matching_row_groups`] of a file whose metadata is at hand.
pub fn matching_groups<S: AsRef<str>>(
    file: &mut (impl Read + Seek),
    metadata: &ParquetMetaData,
    column: &str,
    words: &[S],
) -> Result<Vec<usize>> {
    let every = 0..metadata.num_row_groups();
    let Some(place) = places(metadata)?.remove(column).filter(|place| place.bytes.len() == every.len()) else {
        return Ok(every.collect());
    };
    let hashes = hashes(words);
    let filters = read(file, &place)?;
    Ok(every.filter(|group| has_all(&filters[*group], &hashes)).collect())
}

/// The filters of all columns that have them, by row group.
pub fn all_filters(file: &mut (impl Read + Seek), metadata: &ParquetMetaData) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
    places(metadata)?.into_iter().map(|(column, place)| Ok((column, read(file, &place)?))).collect()
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

fn read(file: &mut (impl Read + Seek), place: &Place) -> Result<Vec<Vec<u8>>> {
    file.seek(SeekFrom::Start(place.offset))?;
    let filter = |bytes: &u64| {
        let mut filter = Vec::new();
        file.by_ref().take(*bytes).read_to_end(&mut filter)?;
        Ok(filter)
    };
    place.bytes.iter().map(filter).collect()
}
