//! Row groups and stretches of rows that no row of the answer is in, by statistics, Bloom filters, the page index and word filters.

use std::ops::Range;

use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::bloom::Filter;
use super::condition::{Match, Pattern, Test};
use super::fragment::Fragment;
use super::rows::Rows;
use crate::fragment::Result;

/// What told that a row group need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    MinMax,
    Bloom,
    Pages,
    Words,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            By::MinMax => "min_max",
            By::Bloom => "bloom",
            By::Pages => "pages",
            By::Words => "words",
        }
    }
}

/// The tests of a search, each with the place of its column in the file.
pub type Tests<'a> = [(usize, &'a Test)];

/// The rows of a row group that may pass all tests, or what told that none does.
pub fn rows(fragment: &Fragment, group: usize, tests: &Tests) -> Result<std::result::Result<Rows, By>> {
    if tests.iter().any(|(column, test)| !statistics_allow(fragment, group, *column, test)) {
        return Ok(Err(By::MinMax));
    }
    for (column, test) in tests {
        if !bloom_allows(fragment, group, *column, test)? {
            return Ok(Err(By::Bloom));
        }
    }
    let whole = Rows::all(fragment.group_rows(group));
    let left = tests.iter().fold(whole, |rows, (column, test)| pages(fragment, group, *column, test, rows));
    if left.is_empty() {
        return Ok(Err(By::Pages));
    }
    let left = tests.iter().try_fold(left, |rows, (column, test)| words(fragment, group, *column, test, rows))?;
    Ok(if left.is_empty() { Err(By::Words) } else { Ok(left) })
}

fn statistics_allow(fragment: &Fragment, group: usize, column: usize, test: &Test) -> bool {
    let Some(statistics) = fragment.chunk(group, column).statistics() else { return true };
    let (nulls, rows) = (statistics.null_count_opt(), fragment.group_rows(group) as u64);
    match (test, statistics) {
        (Test::Null(true), _) => nulls != Some(0),
        _ if nulls == Some(rows) => false,
        (Test::Integers(low, high), Statistics::Int64(found)) => {
            found.min_opt().is_none_or(|min| min <= high) && found.max_opt().is_none_or(|max| low <= max)
        }
        (Test::Text(patterns), Statistics::ByteArray(found)) => match (found.min_bytes_opt(), found.max_bytes_opt()) {
            (Some(min), Some(max)) => any_between(patterns, min, max),
            _ => true,
        },
        _ => true, // statistics of floats leave NaN out
    }
}

/// Whether all rows of a row group pass, so that nothing has to be decoded.
pub fn certain(fragment: &Fragment, group: usize, column: usize, test: &Test) -> bool {
    let Some(statistics) = fragment.chunk(group, column).statistics() else { return false };
    if statistics.null_count_opt() != Some(0) {
        return false;
    }
    match (test, statistics) {
        (Test::Integers(low, high), Statistics::Int64(found)) => {
            found.min_opt().is_some_and(|min| low <= min) && found.max_opt().is_some_and(|max| max <= high)
        }
        _ => false,
    }
}

fn any_between(patterns: &[Pattern], low: &[u8], high: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.may_be_between(low, high))
}

fn bloom_allows(fragment: &Fragment, group: usize, column: usize, test: &Test) -> Result<bool> {
    let Test::Text(patterns) = test else { return Ok(true) };
    if patterns.iter().any(|pattern| pattern.how != Match::Equals) {
        return Ok(true);
    }
    let Some(filter) = Filter::of(&fragment.source, fragment.chunk(group, column))? else { return Ok(true) };
    for pattern in patterns {
        if filter.may_hold(&fragment.source, &pattern.text)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `rows` without those of pages that the page index excludes.
fn pages(fragment: &Fragment, group: usize, column: usize, test: &Test, rows: Rows) -> Rows {
    if rows.is_empty() || !is_ordered(test) {
        return rows;
    }
    let (Some(index), Some(pages)) = (fragment.column_index(group, column), fragment.pages(group, column)) else { return rows };
    let kept = pages.into_iter().enumerate().filter(|(page, _)| page_allows(index, *page, test));
    rows.intersect(&Rows::of(kept.map(|(_, range): (usize, Range<usize>)| range)))
}

/// `rows` without stretches that lack a word of each pattern.
fn words(fragment: &Fragment, group: usize, column: usize, test: &Test, rows: Rows) -> Result<Rows> {
    let Test::Text(patterns) = test else { return Ok(rows) };
    let stretches = fragment.stretches(group, column);
    if stretches.is_empty() || patterns.iter().any(|pattern| pattern.words.is_empty()) {
        return Ok(rows);
    }
    let mut kept = Vec::new();
    for stretch in stretches.iter().filter(|stretch| rows.overlap(&stretch.rows)) {
        for pattern in patterns {
            if stretch.may_have(&fragment.source, &pattern.words)? {
                kept.push(stretch.rows.clone());
                break;
            }
        }
    }
    Ok(rows.intersect(&Rows::of(kept)))
}

/// Whether bounds of a page can exclude it.
fn is_ordered(test: &Test) -> bool {
    match test {
        Test::Text(patterns) => patterns.iter().all(|pattern| matches!(pattern.how, Match::Equals | Match::StartsWith)),
        Test::Integers(..) | Test::Null(false) => true,
        Test::Floats(..) | Test::Null(true) => false,
    }
}

fn page_allows(index: &ColumnIndexMetaData, page: usize, test: &Test) -> bool {
    if page >= index.num_pages() as usize {
        return true;
    }
    match (test, index) {
        (Test::Integers(low, high), ColumnIndexMetaData::INT64(index)) => match (index.min_value(page), index.max_value(page)) {
            (Some(min), Some(max)) => min <= high && low <= max,
            _ => !index.is_null_page(page),
        },
        (Test::Text(patterns), ColumnIndexMetaData::BYTE_ARRAY(index)) => match (index.min_value(page), index.max_value(page)) {
            (Some(min), Some(max)) => any_between(patterns, min, max),
            _ => !index.is_null_page(page),
        },
        (Test::Null(false), ColumnIndexMetaData::INT64(index)) => !index.is_null_page(page),
        (Test::Null(false), ColumnIndexMetaData::BYTE_ARRAY(index)) => !index.is_null_page(page),
        _ => true,
    }
}
