//! Rows that count alike, as one row with a count: what a query needs that only groups and counts.
//!
//! A query reads columns for three reasons. By some it groups, or asks of them what a count does not know: of those the values
//! count. Of some it only asks the values to be like that, and it is told here what that means to the letter: for those any value
//! that passes stands for all. So of each row group one row is left for each combination of what counts, and the engine, which is
//! given these rows, filters and groups them again by its own means. Dictionaries are never unpacked and texts never copied.

mod alike;
mod coder;
mod codes;
mod delta;
pub mod exact;
mod filter;
mod groups;
mod hybrid;
mod merge;
mod output;
mod pages;
mod text_test;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow_array::RecordBatch;

pub use alike::Alike;
use codes::{Coded, Value, coded};
use exact::Exact;

use super::condition::Condition;
use super::fragment::Fragment;
use super::rows::Rows;
use super::watch::Watch;
use super::{Answer, OPEN_MAX, Opened, Request as Sought, prune, workers};
use crate::fragment::Result;

/// A combination of values is taken for so many bytes beside its texts.
const ROW_BYTES: usize = 16;
/// Row groups after which it is foreseen how much will be found.
const SAMPLE_GROUPS: usize = 4;

/// Rows that tell whether rows are alike at all.
const SAMPLE_ROWS: usize = 1 << 12;

/// What to count in one fragment. A column that the file lacks is left out, with all that is asked of it.
pub struct Request {
    pub path: PathBuf,
    /// Columns whose values count.
    pub keys: Vec<(String, Alike)>,
    /// Columns of which any value that passes the tests stands for all.
    pub witnesses: Vec<String>,
    pub tests: Vec<(String, Exact)>,
    /// What any row has that passes, to leave out row groups and pages by.
    pub conditions: Vec<Condition>,
}

/// A count that runs once and may be cancelled from another thread.
pub struct Counts {
    requests: Vec<Request>,
    threads: usize,
    watch: Watch,
    read: Arc<AtomicU64>,
    done: AtomicUsize,
    bytes: AtomicUsize,
    rows: AtomicUsize,
    found: AtomicUsize,
    bytes_max: usize,
}

impl Counts {
    /// `bytes_max` bounds what is found.
    pub fn new(requests: Vec<Request>, bytes_max: usize, threads: usize) -> Counts {
        let none = AtomicUsize::default;
        Counts { requests, threads, watch: Watch::new(bytes_max), read: Arc::default(), done: none(), bytes: none(), rows: none(), found: none(), bytes_max }
    }

    pub fn cancel(&self) {
        self.watch.cancel();
    }

    /// Per request batches with the columns named in it, and last the counts. None when too little of the rows count alike.
    pub fn run(&self) -> Result<Answer> {
        let (mut answer, mut batches) = (Answer::default(), Vec::new());
        for requests in self.requests.chunks(OPEN_MAX) {
            let sought: Vec<Sought> = requests.iter().map(Request::sought).collect();
            let opened = workers::map(self.threads, &sought, |one| Opened::new(one, &self.read))?;
            opened.iter().for_each(|one| one.count(&mut answer));
            batches.extend(self.batches(requests, &opened)?);
            if self.watch.stopped() {
                break;
            }
        }
        if self.requests.iter().flat_map(|request| &request.keys).any(|(_, alike)| *alike == Alike::About) && !self.watch.stopped() {
            batches = merge::merged(batches)?; // what is nearly the same is the same in all row groups
        }
        answer.cancelled = self.watch.cancelled();
        answer.bytes_read = self.read.load(Ordering::Relaxed);
        answer.rows = batches.iter().flatten().map(RecordBatch::num_rows).sum();
        answer.batches = (!self.watch.stopped()).then_some(batches);
        Ok(answer)
    }

    fn batches(&self, requests: &[Request], opened: &[Opened]) -> Result<Vec<Vec<RecordBatch>>> {
        let groups = opened.iter().enumerate().flat_map(|(at, one)| one.groups.iter().map(move |(group, rows)| (at, *group, rows)));
        let groups: Vec<(usize, usize, &Rows)> = groups.collect();
        let found = workers::map(self.threads, &groups, |(at, group, rows)| {
            let found = if self.watch.stopped() { None } else { self.group(&requests[*at], &opened[*at].fragment, *group, rows)? };
            self.foresee(groups.len(), found.as_ref());
            Ok(found)
        })?;
        let mut batches = vec![Vec::new(); opened.len()];
        for ((at, _, _), batch) in groups.iter().zip(found) {
            batches[*at].extend(batch);
        }
        Ok(batches)
    }

    /// Whether hardly any rows are alike.
    fn is_vain(&self, found: usize, rows: usize) -> bool {
        let found = self.found.fetch_add(found, Ordering::Relaxed).saturating_add(found);
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows);
        if rows >= SAMPLE_ROWS && found > rows / 2 {
            self.watch.hold(usize::MAX);
        }
        self.watch.stopped()
    }

    /// Stop when all row groups together will be too much.
    fn foresee(&self, groups: usize, found: Option<&RecordBatch>) {
        let bytes = found.map_or(0, |batch| batch.get_array_memory_size() + ROW_BYTES * batch.num_rows());
        let (done, bytes) = (self.done.fetch_add(1, Ordering::Relaxed) + 1, self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes);
        let all = if done >= SAMPLE_GROUPS { bytes / done * groups.max(done) } else { bytes };
        if all > self.bytes_max {
            self.watch.hold(usize::MAX);
        }
    }

    fn group(&self, request: &Request, fragment: &Fragment, group: usize, rows: &Rows) -> Result<Option<RecordBatch>> {
        let mut wanted = vec![false; fragment.group_rows(group)];
        rows.ranges().for_each(|range| wanted[range].fill(true));
        let (mut witnesses, mut keys) = (Vec::<(usize, Value)>::new(), Vec::<(usize, Coded)>::new());
        let alike = |column: usize| request.keys.iter().find(|(name, _)| fragment.column(name) == Some(column)).map(|(_, alike)| *alike);
        for (column, tests) in tested(request, fragment, group) {
            if alike(column) == Some(Alike::Equal) && fragment.is_dictionary(group, column) {
                let Some(key) = coded(fragment, group, column, Alike::Equal, &wanted, &self.watch)? else { return Ok(None) };
                key.filter(&tests, &mut wanted);
                keys.push((column, key));
                continue;
            }
            match filter::filter(fragment, group, column, &tests, &mut wanted, &self.watch)? {
                Some(value) => witnesses.push((column, value)),
                None => return Ok(None),
            }
        }
        for (name, alike) in &request.keys {
            let Some(column) = fragment.column(name) else { continue };
            if keys.iter().all(|(known, _)| *known != column) {
                match coded(fragment, group, column, *alike, &wanted, &self.watch)? {
                    Some(key) => keys.push((column, key)),
                    None => return Ok(None),
                }
            }
        }
        let (columns, codes): (Vec<usize>, Vec<Coded>) = keys.into_iter().unzip();
        let found = groups::groups(&codes, &wanted);
        if found.rows.is_empty() || self.is_vain(found.rows.len(), pages::count(&wanted)) {
            return Ok(None);
        }
        witnesses.retain(|(column, _)| request.witnesses.iter().any(|name| fragment.column(name) == Some(*column)));
        for column in request.witnesses.iter().filter_map(|name| fragment.column(name)) {
            if witnesses.iter().all(|(known, _)| *known != column) {
                witnesses.push((column, output::value(fragment, group, column, found.rows[0])?));
            }
        }
        output::batch(fragment, &columns, &codes, &witnesses, &found).map(Some)
    }
}

impl Request {
    /// What leaves out row groups and pages.
    fn sought(&self) -> Sought {
        Sought { path: self.path.clone(), columns: Vec::new(), conditions: self.conditions.clone() }
    }
}

/// Columns with the tests they have to pass, those that cost least first; none that all rows of the row group pass.
fn tested<'a>(request: &'a Request, fragment: &Fragment, group: usize) -> Vec<(usize, Vec<&'a Exact>)> {
    let mut found: Vec<(usize, Vec<&Exact>)> = Vec::new();
    for (name, test) in &request.tests {
        let Some(column) = fragment.column(name) else { continue };
        if certain(fragment, group, column, test) {
            continue;
        }
        match found.iter_mut().find(|(known, _)| *known == column) {
            Some((_, tests)) => tests.push(test),
            None => found.push((column, vec![test])),
        }
    }
    found.sort_by_key(|(column, _)| (!fragment.is_dictionary(group, *column), fragment.chunk(group, *column).uncompressed_size()));
    found
}

/// Whether statistics say that all rows of the row group pass.
fn certain(fragment: &Fragment, group: usize, column: usize, test: &Exact) -> bool {
    match test {
        Exact::Integers(ranges) => ranges.iter().any(|(low, high)| {
            prune::certain(fragment, group, column, &super::condition::Test::Integers(*low, *high))
        }),
        Exact::Null(wanted) => {
            let nulls = fragment.chunk(group, column).statistics().and_then(|statistics| statistics.null_count_opt());
            nulls == Some(if *wanted { fragment.group_rows(group) as u64 } else { 0 })
        }
        _ => false,
    }
}
