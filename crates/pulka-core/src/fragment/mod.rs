//! Fragments: plain Parquet files of one table and window, sorted, described by statistics for pruning.
//!
//! `write` makes one from batches, `merge` one from many, `inspect` reads the footer and verifies the whole file. What a
//! fragment holds is in its footer: `pulka.format`, `pulka.sort`, `pulka.fragment` (a [`Description`] as JSON),
//! `pulka.words` (where the word filters of stretches of rows stand, before the footer) and `pulka.crc32c` (the checksum of the
//! file, its own digits taken as zeros); a merged one also names itself and its siblings in `pulka.id` and `pulka.outputs`.

pub mod automaton;
mod automaton_regex;
mod encoding;
mod file;
mod input;
mod inspect;
mod layout;
mod merge;
mod output;
pub mod packed_automaton;
mod pages;
pub mod row_group_words;
mod sketch;
pub mod sort;
mod soundness;
pub mod stats;
pub mod word_filter;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::io;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use crate::batch::FieldType;

pub use inspect::inspect_fragment;
pub use merge::{Cancel, MergeOptions, merge_fragments};
pub use row_group_words::matching_row_groups;
pub use sort::SortColumn;
pub use stats::Description;
pub use write::write_fragment;

/// Version of the footer's meaning.
pub const FORMAT: &str = "1";
pub const KEY_FORMAT: &str = "pulka.format";
pub const KEY_SORT: &str = "pulka.sort";
pub const KEY_FRAGMENT: &str = "pulka.fragment";
pub const KEY_WORDS: &str = "pulka.words";
pub const KEY_CRC32C: &str = "pulka.crc32c";
pub const KEY_ID: &str = "pulka.id";
pub const KEY_OUTPUTS: &str = "pulka.outputs";

/// Most rows of a row group: enough for the dictionaries to pay, few enough that a scan has groups to share out.
pub const ROW_GROUP_ROWS_MAX: usize = 1 << 18;

/// How a fragment is laid out.
#[derive(Clone, Debug)]
pub struct FragmentOptions {
    /// Well-known paths and their declared types.
    pub declared: HashMap<String, FieldType>,
    pub sort: Vec<SortColumn>,
    /// Columns that get a Bloom filter where they are present.
    pub bloom: Vec<String>,
    /// More footer key-values.
    pub metadata: BTreeMap<String, String>,
    /// Most uncompressed bytes of one column in one row group.
    pub row_group_bytes: usize,
    pub zstd_level: i32,
    pub columns_max: usize,
    pub dense_share: f64,
}

impl Default for FragmentOptions {
    fn default() -> Self {
        FragmentOptions {
            declared: HashMap::new(),
            sort: Vec::new(),
            bloom: Vec::new(),
            metadata: BTreeMap::new(),
            row_group_bytes: 32 << 20,
            zstd_level: 3,
            columns_max: 1000,
            dense_share: 0.01,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FragmentError {
    /// The disk failed.
    #[error(transparent)]
    Io(io::Error),
    /// The bytes or the arguments are wrong; the sentence says how.
    #[error("{0}")]
    Invalid(String),
    /// The caller asked to stop.
    #[error("the merge was cancelled")]
    Cancelled,
}

pub type Result<T> = std::result::Result<T, FragmentError>;

impl From<io::Error> for FragmentError {
    /// Errors of the operating system are the disk's; decompressors wrap broken data in `io::Error` too.
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => FragmentError::Io(error),
            None => FragmentError::Invalid(error.to_string()),
        }
    }
}

impl From<ParquetError> for FragmentError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(error) => (*error).into(),
                Err(source) => FragmentError::Invalid(source.to_string()),
            },
            other => FragmentError::Invalid(other.to_string()),
        }
    }
}

impl From<ArrowError> for FragmentError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => error.into(),
            ArrowError::ExternalError(source) => match source.downcast::<ParquetError>() {
                Ok(error) => (*error).into(),
                Err(source) => FragmentError::Invalid(source.to_string()),
            },
            other => FragmentError::Invalid(other.to_string()),
        }
    }
}

fn invalid<T>(sentence: impl Into<String>) -> Result<T> {
    Err(FragmentError::Invalid(sentence.into()))
}
