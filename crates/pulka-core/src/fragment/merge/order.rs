//! The order of a merge: which rows of which part come next, found from the sort columns alone.
//!
//! Rows that agree in the leading sort columns are a series. Parts are kept in the order of their next series; those that
//! have the least one are merged by time, which is one integer. A part gives all its rows up to the next row of the
//! runner-up at once, found by galloping.

use std::cmp::Reverse;
use std::collections::VecDeque;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::RecordBatch;

use super::{FragmentOptions, MergeOptions, Part, naming};
use crate::batch::TIMESTAMP;
use crate::fragment::Result;
use crate::fragment::pages::Batches;
use crate::fragment::sort::{Keys, SortColumn, leading, ordered_int};

/// Rows of one part that follow each other in the output too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    pub part: u32,
    pub start: u32,
    pub rows: u32,
}

pub struct Order<'a> {
    streams: Vec<Stream<'a>>,
    /// Streams between two series, the one with the least next series first; of equal ones the earlier part.
    queue: VecDeque<usize>,
    /// Streams within the present series by their next row; the least one is last.
    members: Vec<Reverse<(u64, usize)>>,
    series: u64,
    ready: VecDeque<Run>,
    merge: &'a MergeOptions,
}

impl<'a> Order<'a> {
    pub fn new(parts: &'a [Part<'a>], options: &'a FragmentOptions, merge: &'a MergeOptions) -> Result<Order<'a>> {
        let open = |part| Stream::open(part, &options.sort, merge.batch_bytes(parts.len()));
        let streams = parts.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (queue, members, ready) = (VecDeque::new(), Vec::new(), VecDeque::new());
        let mut order = Order { streams, queue, members, series: 0, ready, merge };
        for index in 0..parts.len() {
            if order.streams[index].advance()? {
                order.enqueue(index);
            }
        }
        Ok(order)
    }

    /// The next rows, with the number of their series; None at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Run)>> {
        loop {
            if let Some(run) = self.ready.pop_front() {
                return Ok(Some((self.series, run)));
            }
            if self.members.is_empty() && !self.begin_series() {
                return Ok(None);
            }
            self.step()?;
        }
    }

    fn begin_series(&mut self) -> bool {
        let Some(first) = self.queue.pop_front() else { return false };
        self.series += 1;
        while let Some(&next) = self.queue.front()
            && self.streams[first].compare_series(&self.streams[next]).is_eq()
        {
            self.queue.pop_front();
            self.join(next);
        }
        self.join(first);
        true
    }

    /// Take the least rows of the series.
    fn step(&mut self) -> Result<()> {
        let Some(Reverse((_, index))) = self.members.pop() else { return Ok(()) };
        let stream = &mut self.streams[index];
        let start = stream.row;
        stream.row = match self.members.last() {
            Some(Reverse(next)) => gallop(start, stream.series_end, |row| (stream.times[row], index) < *next),
            None => stream.series_end,
        };
        stream.emit(index, start, &mut self.ready);
        self.place(index)
    }

    /// Put a stream where its next row belongs.
    fn place(&mut self, index: usize) -> Result<()> {
        let stream = &mut self.streams[index];
        if stream.row < stream.series_end {
            self.insert(index);
        } else if stream.row < stream.batch.num_rows() {
            self.enqueue(index);
        } else {
            self.merge.cancel.check()?;
            let (keys, last) = (std::mem::take(&mut stream.keys), stream.row - 1);
            if stream.advance()? {
                let goes_on = keys.compare(last, &stream.keys, 0).is_eq();
                if goes_on { self.join(index) } else { self.enqueue(index) }
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, index: usize) {
        let stream = &self.streams[index];
        let comes_first = |other: &usize| stream.compare_series(&self.streams[*other]).then(index.cmp(other)).is_lt();
        let at = self.queue.partition_point(|other| !comes_first(other));
        self.queue.insert(at, index);
    }

    fn join(&mut self, index: usize) {
        self.streams[index].find_series_end();
        self.insert(index);
    }

    fn insert(&mut self, index: usize) {
        let stream = &self.streams[index];
        let member = Reverse((stream.times[stream.row], index));
        let at = self.members.partition_point(|other| *other < member);
        self.members.insert(at, member);
    }
}

/// The sort columns of one part, at its next row.
struct Stream<'a> {
    part: &'a Part<'a>,
    sort: &'a [SortColumn],
    batches: Batches<'a>,
    batch: RecordBatch,
    /// Row of the part at which `batch` begins.
    first: usize,
    /// Next row of `batch`.
    row: usize,
    /// End of the series in `batch`.
    series_end: usize,
    /// The leading columns of `batch`.
    keys: Keys,
    /// The last column of `batch` as integers in its order; all the same when it does not count.
    times: Vec<u64>,
}

impl<'a> Stream<'a> {
    fn open(part: &'a Part<'a>, sort: &'a [SortColumn], batch_bytes: usize) -> Result<Stream<'a>> {
        let schema = part.keys.schema();
        let mut columns: Vec<usize> = sort.iter().filter_map(|by| schema.index_of(&by.name).ok()).collect();
        if columns.is_empty() {
            columns.push(schema.index_of(TIMESTAMP)?); // any, for its rows
        }
        let batches = part.keys.read(&columns, 0..part.keys.rows(), batch_bytes);
        let batch = RecordBatch::new_empty(schema.clone());
        Ok(Stream { part, sort, batches, batch, first: 0, row: 0, series_end: 0, keys: Keys::default(), times: Vec::new() })
    }

    /// Go to the next batch; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.first += self.batch.num_rows();
        let Some(batch) = self.batches.next() else { return Ok(false) };
        self.batch = batch.map_err(|error| naming(self.part.path, error))?;
        self.keys = Keys::of(&self.batch, leading(self.sort));
        self.times = times(&self.batch, self.sort);
        self.row = 0;
        Ok(true)
    }

    fn compare_series(&self, other: &Stream) -> std::cmp::Ordering {
        self.keys.compare(self.row, &other.keys, other.row)
    }

    fn find_series_end(&mut self) {
        self.series_end = gallop(self.row, self.batch.num_rows(), |row| self.keys.compare(row, &self.keys, self.row).is_eq());
    }

    /// Runs of the rows from `start` to the present one that are kept.
    fn emit(&self, index: usize, start: usize, ready: &mut VecDeque<Run>) {
        let (first, rows) = (self.first + start, self.row - start);
        let run = |start: usize, end: usize| Run { part: index as u32, start: (first + start) as u32, rows: (end - start) as u32 };
        match &self.part.keep {
            Some(keep) => ready.extend(keep.slice(first, rows).set_slices().map(|(start, end)| run(start, end))),
            None => ready.push_back(run(0, rows)),
        }
    }
}

fn times(batch: &RecordBatch, sort: &[SortColumn]) -> Vec<u64> {
    let last = sort.last().filter(|_| leading(sort).len() < sort.len());
    let column = last.and_then(|by| batch.column_by_name(&by.name)).and_then(|array| array.as_primitive_opt::<TimestampNanosecondType>());
    match (column, last) {
        (Some(times), Some(SortColumn { descending: true, .. })) => times.values().iter().map(|time| !ordered_int(*time)).collect(),
        (Some(times), _) => times.values().iter().map(|time| ordered_int(*time)).collect(),
        (None, _) => vec![0; batch.num_rows()],
    }
}

/// The first row after `from` and up to `end` that is not `before`; `from` itself is: double the stride until it is too
/// far, then halve the last stride.
fn gallop(from: usize, end: usize, before: impl Fn(usize) -> bool) -> usize {
    let mut stride = 1;
    while from + stride < end && before(from + stride) {
        stride *= 2;
    }
    let (mut low, mut high) = (from + stride / 2, (from + stride).min(end));
    while low + 1 < high {
        let middle = (low + high) / 2;
        if before(middle) { low = middle } else { high = middle }
    }
    low + 1
}
