//! Reads a fragment's footer, and proves a whole fragment.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;

use super::file::check_crc;
use super::input::Input;
use super::row_group_words::stretches;
use super::sort::Keys;
use super::soundness::{check_pruning, check_words};
use super::stats::{Description, Stats};
use super::write::CHUNK_BYTES;
use super::{KEY_CRC32C, Result, invalid};

/// The footer's key-values. With `verify`, every byte is checked against the checksum, and every row against the sort
/// order and the description; the error says what is wrong.
pub fn inspect_fragment(path: &Path, verify: bool) -> Result<BTreeMap<String, String>> {
    let input = Input::open(path)?;
    if verify {
        let stored = input.footer.get(KEY_CRC32C).cloned().unwrap_or_default();
        check_crc(&mut File::open(path)?, &stored)?;
        check_rows(&input)?;
    }
    Ok(input.footer)
}

fn check_rows(input: &Input) -> Result<()> {
    let (pages, words) = (&input.pages, stretches(input.pages.parquet())?);
    let columns: Vec<usize> = (0..pages.schema().fields().len()).collect();
    let mut stats = Stats::new(pages.schema(), None)?;
    let mut last: Option<RecordBatch> = None;
    for (group, metadata) in pages.parquet().row_groups().iter().enumerate() {
        let first = stats.rows();
        for batch in pages.read(&columns, first..first + metadata.num_rows().max(0) as u64, CHUNK_BYTES) {
            let batch = batch?;
            check_order(last.as_ref(), &batch, input, stats.rows())?;
            check_pruning(&input.description, &batch)?;
            for (column, groups) in &words {
                check_words(pages.file(), column, &groups[group], (stats.rows() - first) as usize, &batch)?;
            }
            stats.add(&batch);
            last = Some(batch);
        }
    }
    let found = stats.describe(std::fs::metadata(&input.path)?.len(), 0);
    check_description(&input.description, &reparsed(&found)?)
}

/// As it would be read from a footer, where floats may differ in the last digit.
fn reparsed(description: &Description) -> Result<Description> {
    let text = serde_json::to_string(description).map_err(std::io::Error::from)?;
    Ok(serde_json::from_str(&text).map_err(std::io::Error::from)?)
}

/// The rows of `batch` follow each other and the last row of the batch before.
fn check_order(last: Option<&RecordBatch>, batch: &RecordBatch, input: &Input, first_row: u64) -> Result<()> {
    let keys = Keys::of(batch, &input.sort);
    let wrong = |row: usize| invalid(format!("row {} comes before the row above it in the sort order", first_row + row as u64));
    if let Some(last) = last.filter(|last| last.num_rows() > 0)
        && Keys::of(last, &input.sort).compare(last.num_rows() - 1, &keys, 0).is_gt()
    {
        return wrong(0);
    }
    match (1..batch.num_rows()).find(|row| keys.compare(row - 1, &keys, *row).is_gt()) {
        Some(row) => wrong(row),
        None => Ok(()),
    }
}

fn check_description(stored: &Description, found: &Description) -> Result<()> {
    let numbers = [
        ("rows", stored.rows, found.rows),
        ("bytes", stored.bytes, found.bytes),
        ("raw_bytes", stored.raw_bytes, found.raw_bytes),
    ];
    if let Some((name, stored, found)) = numbers.iter().find(|(_, stored, found)| stored != found) {
        return invalid(format!("the description says {stored} {name}, the file has {found}"));
    }
    if (stored.min_ns, stored.max_ns) != (found.min_ns, found.max_ns) {
        return invalid("the description's time range is not that of the rows");
    }
    if stored.columns.len() != found.columns.len() {
        return invalid("the description has other columns than the file");
    }
    let mut columns = stored.columns.iter().zip(&found.columns);
    if let Some((column, _)) = columns.find(|(stored, found)| stored.numbers() != found.numbers()) {
        return invalid(format!("the description's nulls, min or max of column {} are not those of the rows", column.name));
    }
    if stored.residual != found.residual {
        return invalid("the description's residual fields are not those of the rows");
    }
    Ok(())
}
