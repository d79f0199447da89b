//! An existing fragment, opened for reading.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::stats::Description;
use super::write::chunk_rows;
use super::{FORMAT, FragmentError, KEY_FORMAT, KEY_FRAGMENT, KEY_SORT, Result, SortColumn, invalid};

pub struct Input {
    pub path: PathBuf,
    pub file: File,
    pub footer: BTreeMap<String, String>,
    pub description: Description,
    pub sort: Vec<SortColumn>,
    metadata: ArrowReaderMetadata,
}

impl Input {
    pub fn open(path: &Path) -> Result<Input> {
        let file = File::open(path)?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let footer = key_values(&metadata);
        check_format(&footer)?;
        let description: Description = parse(&footer, KEY_FRAGMENT)?;
        let sort = parse::<Vec<String>>(&footer, KEY_SORT)?.iter().map(|text| SortColumn::parse(text)).collect();
        Ok(Input { path: path.to_path_buf(), file, footer, description, sort, metadata })
    }

    /// The rows in order, in batches of about `bytes`.
    pub fn batches(&self, bytes: usize) -> Result<ParquetRecordBatchReader> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        Ok(builder.with_batch_size(self.batch_rows(bytes)).build()?)
    }

    /// The rows of one row group, in the same way.
    pub fn group_batches(&self, group: usize, bytes: usize) -> Result<ParquetRecordBatchReader> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        Ok(builder.with_row_groups(vec![group]).with_batch_size(self.batch_rows(bytes)).build()?)
    }

    pub fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// By the row group with the largest rows.
    fn batch_rows(&self, bytes: usize) -> usize {
        let groups = self.metadata.metadata().row_groups().iter();
        let size = |group: &RowGroupMetaData| (2 * group.total_byte_size().max(0) as usize, group.num_rows().max(0) as usize);
        let rows = groups.map(size).map(|(all_bytes, rows)| chunk_rows(bytes, all_bytes, rows));
        rows.min().unwrap_or(1)
    }
}

/// All footer key-values but the Arrow schema, which is binary.
fn key_values(metadata: &ArrowReaderMetadata) -> BTreeMap<String, String> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let pairs = pairs.filter(|pair| pair.key != parquet::arrow::ARROW_SCHEMA_META_KEY);
    pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
}

fn check_format(footer: &BTreeMap<String, String>) -> Result<()> {
    match footer.get(KEY_FORMAT).map(String::as_str) {
        Some(FORMAT) => Ok(()),
        Some(other) => invalid(format!("the fragment has format {other:.20}, this release knows {FORMAT}; upgrade Pulka")),
        None => invalid(format!("the file is no fragment: its footer has no {KEY_FORMAT}")),
    }
}

fn parse<T: serde::de::DeserializeOwned>(footer: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let text = footer.get(key).map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|_| FragmentError::Invalid(format!("the footer's {key} is missing or broken")))
}
