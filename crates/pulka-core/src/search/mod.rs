//! Search: the rows of fragments that a few simple conditions allow, read with as little decoding as they need.
//!
//! Row groups are left out by statistics and Bloom filters, pages by the page index. Then the conditions are tested one after
//! the other, each on its own column and only where the earlier ones left rows; all other columns are decoded for the rows
//! that remain. The answer may hold rows too many (see [`condition`]), never too few.

mod arrays;
mod bloom;
pub mod condition;
pub mod counts;
mod fragment;
mod page_indexes;
mod prune;
mod rows;
mod source;
mod text;
mod watch;
mod workers;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader, StringArray};
use arrow_schema::Schema;
use arrow_select::concat::concat_batches;

use crate::fragment::Result;
use condition::{Condition, Match, Pattern, Test};
use fragment::Fragment;
use prune::By;
use rows::Rows;
use watch::Watch;

/// With more matches the ordinary scan, which has nothing to keep, makes less work.
const ROWS_PER_MATCH_MIN: usize = 16;
/// Fragments open at once.
const OPEN_MAX: usize = 64;

/// What to look for in one fragment, and the columns to return; columns that the file lacks are left out.
pub struct Request {
    pub path: PathBuf,
    pub columns: Vec<String>,
    pub conditions: Vec<Condition>,
}

/// A search that runs once and may be cancelled from another thread.
pub struct Search {
    requests: Vec<Request>,
    threads: usize,
    watch: Watch,
    read: Arc<AtomicU64>,
}

/// What a search found, and what it cost.
#[derive(Default)]
pub struct Answer {
    /// Per request; None when there was more than the search may hold, or most rows match.
    pub batches: Option<Vec<Vec<RecordBatch>>>,
    pub cancelled: bool,
    pub row_groups: usize,
    /// Row groups that were left out, by what.
    pub pruned: BTreeMap<&'static str, usize>,
    pub rows: usize,
    pub bytes_read: u64,
}

impl Search {
    /// `bytes_max` bounds the decoded bytes of all matching rows, by the average row of their row groups.
    pub fn new(requests: Vec<Request>, bytes_max: usize, threads: usize) -> Search {
        Search { requests, threads, watch: Watch::new(bytes_max), read: Arc::default() }
    }

    pub fn cancel(&self) {
        self.watch.cancel();
    }

    pub fn run(&self) -> Result<Answer> {
        let (mut answer, mut batches) = (Answer::default(), Vec::new());
        for requests in self.requests.chunks(OPEN_MAX) {
            let opened = workers::map(self.threads, requests, |request| Opened::new(request, &self.read))?;
            opened.iter().for_each(|one| one.count(&mut answer));
            batches.extend(self.batches(&opened)?);
            if self.watch.stopped() {
                break;
            }
        }
        answer.cancelled = self.watch.cancelled();
        answer.bytes_read = self.read.load(Ordering::Relaxed);
        answer.rows = batches.iter().flatten().map(RecordBatch::num_rows).sum();
        answer.batches = (!self.watch.stopped()).then_some(batches);
        Ok(answer)
    }

    /// The matching rows of each fragment.
    fn batches(&self, opened: &[Opened]) -> Result<Vec<Vec<RecordBatch>>> {
        let groups = opened.iter().enumerate().flat_map(|(at, one)| one.groups.iter().map(move |(group, rows)| (at, *group, rows)));
        let groups: Vec<(usize, usize, &Rows)> = groups.collect();
        let found = workers::map(self.threads, &groups, |(at, group, rows)| opened[*at].search(*group, rows, &self.watch))?;
        let mut batches = vec![Vec::new(); opened.len()];
        for ((at, _, _), batch) in groups.iter().zip(found) {
            batches[*at].extend(batch);
        }
        Ok(batches)
    }
}

/// A fragment with the row groups that are left to search.
struct Opened<'a> {
    fragment: Fragment,
    tests: Vec<(usize, &'a Test)>,
    /// The columns to return.
    columns: Vec<usize>,
    groups: Vec<(usize, Rows)>,
    pruned: Vec<By>,
}

impl<'a> Opened<'a> {
    fn new(request: &'a Request, read: &Arc<AtomicU64>) -> Result<Opened<'a>> {
        let fragment = Fragment::open(&request.path, Arc::clone(read))?;
        let tests = request.conditions.iter().filter_map(|one| Some((fragment.column(&one.column)?, &one.test))).collect();
        let columns = request.columns.iter().filter_map(|name| fragment.column(name)).collect();
        let mut opened = Opened { fragment, tests, columns, groups: Vec::new(), pruned: Vec::new() };
        for group in 0..opened.fragment.metadata.num_row_groups() {
            match prune::rows(&opened.fragment, group, &opened.tests)? {
                Ok(rows) => opened.groups.push((group, rows)),
                Err(by) => opened.pruned.push(by),
            }
        }
        Ok(opened)
    }

    fn count(&self, answer: &mut Answer) {
        answer.row_groups += self.fragment.metadata.num_row_groups();
        for by in &self.pruned {
            *answer.pruned.entry(by.name()).or_default() += 1;
        }
    }

    /// The matching rows of a row group.
    fn search(&self, group: usize, rows: &Rows, watch: &Watch) -> Result<Option<RecordBatch>> {
        let (mut rows, mut texts) = (rows.clone(), None);
        for (column, test) in self.in_order(group) {
            if rows.is_empty() || watch.stopped() {
                return Ok(None);
            }
            match test {
                Test::Text(patterns) if !self.fragment.is_dictionary(group, column) => {
                    if let Some(found) = text::filter(&self.fragment, group, column, patterns, &rows, watch)? {
                        rows = found.rows;
                        texts = Some((column, found.values));
                    }
                }
                test => rows = arrays::filter(&self.fragment, group, column, test, &rows)?,
            }
        }
        match watch.stop(ROWS_PER_MATCH_MIN * rows.count(), self.fragment.group_rows(group)) {
            true => Ok(None),
            false => self.gather(group, &rows, texts, watch),
        }
    }

    /// The tests that cost least and leave least first: numbers and dictionaries, then whole texts, then parts of texts.
    fn in_order(&self, group: usize) -> Vec<(usize, &'a Test)> {
        let is_open = |(column, test): &(usize, &'a Test)| {
            !matches!(test, Test::Null(_)) && !prune::certain(&self.fragment, group, *column, test)
        };
        let mut tests: Vec<(usize, &'a Test)> = self.tests.iter().copied().filter(is_open).collect();
        tests.sort_by_key(|(column, test)| {
            let (in_part, least_bytes) = match test {
                Test::Text(patterns) if !self.fragment.is_dictionary(group, *column) => needle(patterns),
                _ => (None, 0),
            };
            (in_part, self.fragment.chunk(group, *column).compressed_size(), Reverse(least_bytes))
        });
        tests
    }

    /// Decode the columns to return; `texts` are a column that is decoded already.
    fn gather(&self, group: usize, rows: &Rows, texts: Option<(usize, StringArray)>, watch: &Watch) -> Result<Option<RecordBatch>> {
        if rows.is_empty() || !watch.hold(self.bytes(group, rows.count())) {
            return Ok(None);
        }
        // Rows that a later test dropped are still among the texts.
        let texts = texts.filter(|(column, values)| self.columns.contains(column) && values.len() == rows.count());
        let rest = self.columns.iter().copied().filter(|column| texts.as_ref().is_none_or(|(decoded, _)| column != decoded));
        let reader = self.fragment.read(group, &rest.collect::<Vec<_>>(), rows, rows.count())?;
        let schema = reader.schema();
        let batch = concat_batches(&schema, &reader.collect::<std::result::Result<Vec<_>, _>>()?)?;
        Ok(Some(match texts {
            Some((column, values)) => self.with_texts(&batch, column, values)?,
            None => batch,
        }))
    }

    fn with_texts(&self, batch: &RecordBatch, column: usize, values: StringArray) -> Result<RecordBatch> {
        let added = Arc::clone(&self.fragment.schema().fields()[column]);
        let fields = batch.schema_ref().fields().iter().cloned().chain([added]);
        let arrays = batch.columns().iter().cloned().chain([Arc::new(values) as ArrayRef]);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays.collect())?)
    }

    /// Decoded size of some rows, by the average of the row group.
    fn bytes(&self, group: usize, rows: usize) -> usize {
        let all: i64 = self.columns.iter().map(|column| self.fragment.chunk(group, *column).uncompressed_size()).sum();
        (all.max(0) as usize).saturating_mul(rows) / self.fragment.group_rows(group).max(1)
    }
}

/// Whether patterns are for parts of texts, and the length of the shortest one.
fn needle(patterns: &[Pattern]) -> (Option<bool>, usize) {
    let in_part = patterns.iter().any(|pattern| pattern.how != Match::Equals);
    (Some(in_part), patterns.iter().map(|pattern| pattern.text.len()).min().unwrap_or(0))
}
