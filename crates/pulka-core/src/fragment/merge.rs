//! Merges sorted fragments into one, reading each a batch at a time.
//!
//! The input whose next row is least gives all its rows up to the next row of the runner-up at once (found by galloping),
//! so inputs that hardly overlap are copied in long runs. Memory: one batch per input, one chunk, one encoded row group.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::concat::{concat, concat_batches};
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave_record_batch;
use arrow_select::take::take_record_batch;
use parquet::file::properties::WriterProperties;

use super::file::NewFile;
use super::input::Input;
use super::layout::Layout;
use super::sort::{self, Keys, SortColumn};
use super::write::{CHUNK_BYTES, CHUNK_ROWS, FragmentWriter};
use super::{FragmentError, FragmentOptions, KEY_ID, KEY_OUTPUTS, MergeOptions, Result, encoding, invalid};

/// Runs at least this long on average are copied as slices, shorter ones row by row.
const LONG_RUN_ROWS: usize = 16;
/// The batches of all inputs together, about; a single one is never smaller than the second.
const INPUTS_BYTES: usize = 16 << 20;
const INPUT_BYTES_MIN: usize = 128 << 10;

/// Merge the fragments in the files `inputs` into new files at `outputs`, in order, as many as `merge` asks for: at least
/// one, none when every row is dropped. The results are those that `write_fragment` gives. A merge that fails leaves no file.
pub fn merge_fragments(inputs: &[PathBuf], outputs: &[PathBuf], options: &FragmentOptions, merge: &MergeOptions) -> Result<Vec<String>> {
    if inputs.is_empty() || outputs.is_empty() {
        return invalid("there is nothing to merge; name at least one fragment and one output");
    }
    let inputs: Vec<Input> = inputs.iter().map(|path| Input::open(path).map_err(|e| naming(path, e))).collect::<Result<_>>()?;
    check_drop(&inputs, merge)?;
    let layout = Layout::of(&inputs.iter().map(|input| &input.description).collect::<Vec<_>>(), options);
    let share = (INPUTS_BYTES / inputs.len()).clamp(INPUT_BYTES_MIN, CHUNK_BYTES);
    let drops = (0..inputs.len()).map(|index| merge.drop.get(index).cloned().flatten());
    let open = |(input, drop)| Stream::open(input, drop, &layout, options, share);
    let streams: Vec<Stream> = inputs.iter().zip(drops).map(open).collect::<Result<_>>()?;
    let sample: Vec<&RecordBatch> = streams.iter().map(|stream| &stream.batch).collect();
    let rows: u64 = inputs.iter().map(|input| input.description.rows).sum();
    let properties = encoding::properties(&sample, &layout.schema, rows as usize, options)?;
    let mut writers = Outputs { paths: outputs, schema: layout.schema.clone(), properties, options, merge, writers: Vec::new(), rows: Vec::new() };
    Merger::new(streams).run(&mut writers)?;
    writers.finish()
}

fn check_drop(inputs: &[Input], merge: &MergeOptions) -> Result<()> {
    if merge.drop.len() > inputs.len() {
        return invalid(format!("{} arrays of rows to drop for {} inputs", merge.drop.len(), inputs.len()));
    }
    for (input, drop) in inputs.iter().zip(&merge.drop) {
        if let Some(drop) = drop.as_ref().filter(|drop| drop.len() as u64 != input.description.rows) {
            let (name, rows) = (input.path.display(), input.description.rows);
            return invalid(format!("{name} has {rows} rows, but {} are given as dropped or not", drop.len()));
        }
    }
    Ok(())
}

struct Outputs<'a> {
    paths: &'a [PathBuf],
    schema: SchemaRef,
    properties: WriterProperties,
    options: &'a FragmentOptions,
    merge: &'a MergeOptions,
    writers: Vec<FragmentWriter>,
    rows: Vec<usize>,
}

impl Outputs<'_> {
    /// Whether the next series belongs to the next output.
    fn is_full(&self, pending: usize) -> bool {
        let rows = (self.rows.last().copied().unwrap_or(0) + pending) as u64;
        self.merge.output_rows > 0 && rows >= self.merge.output_rows && self.writers.len().max(1) < self.paths.len()
    }

    fn next(&mut self) -> Result<()> {
        let path = &self.paths[self.writers.len()];
        self.writers.push(FragmentWriter::create(path, self.schema.clone(), self.properties.clone(), self.options)?);
        self.rows.push(0);
        Ok(())
    }

    fn write(&mut self, chunk: &RecordBatch) -> Result<()> {
        self.merge.cancel.check()?;
        if self.writers.is_empty() {
            self.next()?;
        }
        let last = self.writers.len() - 1;
        self.rows[last] += chunk.num_rows();
        self.writers[last].write(chunk)
    }

    fn finish(self) -> Result<Vec<String>> {
        let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let stems: Vec<String> = self.paths[..self.writers.len()].iter().map(stem).collect();
        let siblings = serde_json::Value::from(stems.clone()).to_string();
        let more = |id: &String| BTreeMap::from([(KEY_ID.to_string(), id.clone()), (KEY_OUTPUTS.to_string(), siblings.clone())]);
        let finish = |((writer, rows), id)| FragmentWriter::finish(writer, rows, self.options, &more(id));
        let done: Vec<(String, NewFile)> = self.writers.into_iter().zip(self.rows).zip(&stems).map(finish).collect::<Result<_>>()?;
        Ok(done.into_iter().map(|(description, file)| { file.keep(); description }).collect())
    }
}

/// Say which file is broken.
fn naming(path: &Path, error: FragmentError) -> FragmentError {
    match error {
        FragmentError::Invalid(sentence) => FragmentError::Invalid(format!("{}: {sentence}", path.display())),
        other => other,
    }
}

/// One input, placed into the output's layout, at its next row.
struct Stream<'a> {
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + 'a>,
    sort: &'a [SortColumn],
    batch: RecordBatch,
    keys: Keys,
    row: usize,
    /// Where `batch` is among the pending sources, if it is.
    source: Option<usize>,
}

impl<'a> Stream<'a> {
    fn open(input: &'a Input, drop: Option<BooleanArray>, layout: &'a Layout, options: &'a FragmentOptions, batch_bytes: usize) -> Result<Stream<'a>> {
        let moves = layout.moves(&input.description);
        let mut row = 0;
        let mut kept = move |batch: RecordBatch| -> Result<RecordBatch> {
            row += batch.num_rows();
            let Some(drop) = &drop else { return Ok(batch) };
            let dropped = drop.slice(row - batch.num_rows(), batch.num_rows());
            let keep: BooleanArray = dropped.iter().map(|dropped| Some(dropped != Some(true))).collect();
            Ok(filter_record_batch(&batch, &keep)?)
        };
        let place = move |batch: std::result::Result<RecordBatch, arrow_schema::ArrowError>| {
            let placed = batch.map_err(FragmentError::from).and_then(&mut kept).and_then(|batch| layout.place(&batch, moves));
            placed.map_err(|error| naming(&input.path, error))
        };
        let mut batches: Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> = Box::new(input.batches(batch_bytes)?.map(place));
        if !keeps_order(input, layout, options) {
            batches = Box::new(std::iter::once(Ok(sorted(batches, layout, options)?)));
        }
        let batch = RecordBatch::new_empty(layout.schema.clone());
        let keys = Keys::of(&batch, &options.sort);
        let mut stream = Stream { batches, sort: &options.sort, batch, keys, row: 0, source: None };
        stream.advance()?;
        Ok(stream)
    }

    /// Go to the next batch that has rows; false at the end.
    fn advance(&mut self) -> Result<bool> {
        for batch in self.batches.by_ref() {
            self.batch = batch?;
            self.keys = Keys::of(&self.batch, self.sort);
            self.row = 0;
            self.source = None;
            if self.batch.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_spent(&self) -> bool {
        self.row >= self.batch.num_rows()
    }
}

/// Whether the input's rows are in order by the columns of the output too: a sort column may have another type there,
/// or be spread over columns and residuals.
fn keeps_order(input: &Input, layout: &Layout, options: &FragmentOptions) -> bool {
    let description = &input.description;
    let column = |name: &str| description.columns.iter().find(|column| column.name == name).and_then(|column| column.column());
    let same = |by: &SortColumn| match (column(&by.name), layout.column(&by.name)) {
        (None, Some(output)) => {
            description.columns.iter().all(|column| column.column().as_ref() != Some(output))
                && !description.residual.contains_key(&output.path)
        }
        (input, output) => input.as_ref() == output,
    };
    input.sort == options.sort && options.sort.iter().all(same)
}

/// All rows of an input whose order is another one. This holds the input in memory; it is rare, as sort columns are declared.
fn sorted(batches: impl Iterator<Item = Result<RecordBatch>>, layout: &Layout, options: &FragmentOptions) -> Result<RecordBatch> {
    let batches = batches.collect::<Result<Vec<_>>>()?;
    let batch = concat_batches(&layout.schema, &batches)?;
    Ok(match sort::order(&batch, &options.sort) {
        Some(order) => take_record_batch(&batch, &order)?,
        None => batch,
    })
}

struct Merger<'a> {
    streams: Vec<Stream<'a>>,
    /// Streams that have rows, the one with the least next row first; of equal ones the earlier input.
    queue: VecDeque<usize>,
    pending: Pending,
}

impl<'a> Merger<'a> {
    fn new(streams: Vec<Stream<'a>>) -> Self {
        let mut merger = Merger { streams, queue: VecDeque::new(), pending: Pending::default() };
        for index in 0..merger.streams.len() {
            if !merger.streams[index].is_spent() {
                merger.enqueue(index);
            }
        }
        merger
    }

    fn run(&mut self, writer: &mut Outputs) -> Result<()> {
        let mut last: Option<(Keys, usize)> = None;
        while let Some(first) = self.queue.pop_front() {
            let mut end = self.run_end(first);
            if writer.merge.output_rows > 0 {
                let stream = &self.streams[first];
                let keys = Keys::of(&stream.batch, sort::leading(stream.sort));
                let changes = last.as_ref().is_some_and(|(last, row)| last.compare(*row, &keys, stream.row).is_ne());
                if changes && writer.is_full(self.pending.rows) {
                    self.flush(writer)?;
                    writer.next()?;
                }
                let stream = &self.streams[first];
                end = (stream.row..end).find(|row| keys.compare(stream.row, &keys, *row).is_ne()).unwrap_or(end);
                last = Some((keys, end - 1));
            }
            self.take(first, end);
            if self.pending.is_full() {
                self.flush(writer)?;
            }
            if !self.streams[first].is_spent() || self.streams[first].advance()? {
                self.enqueue(first);
            }
        }
        self.flush(writer)
    }

    /// Whether `row` of stream `index` comes before the next row of stream `other`.
    fn is_before(&self, index: usize, row: usize, other: usize) -> bool {
        let (left, right) = (&self.streams[index], &self.streams[other]);
        match left.keys.compare(row, &right.keys, right.row) {
            Ordering::Equal => index < other,
            ordering => ordering.is_lt(),
        }
    }

    fn enqueue(&mut self, index: usize) {
        let row = self.streams[index].row;
        let at = self.queue.partition_point(|other| !self.is_before(index, row, *other));
        self.queue.insert(at, index);
    }

    /// End of the rows of stream `first` that come before all other streams.
    fn run_end(&self, first: usize) -> usize {
        let (row, rows) = (self.streams[first].row, self.streams[first].batch.num_rows());
        let Some(&next) = self.queue.front() else { return rows };
        // `row` itself is before `next`: double the stride until it is too far, then halve the last stride.
        let mut stride = 1;
        while row + stride < rows && self.is_before(first, row + stride, next) {
            stride *= 2;
        }
        let (mut low, mut high) = (row + stride / 2, (row + stride).min(rows));
        while low + 1 < high {
            let middle = (low + high) / 2;
            if self.is_before(first, middle, next) { low = middle } else { high = middle }
        }
        low + 1
    }

    fn take(&mut self, index: usize, end: usize) {
        let stream = &mut self.streams[index];
        let source = *stream.source.get_or_insert_with(|| self.pending.source(&stream.batch));
        self.pending.push(Run { source, start: stream.row, rows: end - stream.row });
        stream.row = end;
    }

    fn flush(&mut self, writer: &mut Outputs) -> Result<()> {
        if let Some(chunk) = std::mem::take(&mut self.pending).assemble()? {
            writer.write(&chunk)?;
        }
        self.streams.iter_mut().for_each(|stream| stream.source = None);
        Ok(())
    }
}

/// Rows of one source that follow each other in the output too.
struct Run {
    source: usize,
    start: usize,
    rows: usize,
}

/// The next chunk of the output, as references into batches.
#[derive(Default)]
struct Pending {
    sources: Vec<RecordBatch>,
    row_bytes: Vec<usize>,
    runs: Vec<Run>,
    rows: usize,
    bytes: usize,
}

impl Pending {
    fn source(&mut self, batch: &RecordBatch) -> usize {
        self.sources.push(batch.clone());
        self.row_bytes.push(batch.get_array_memory_size() / batch.num_rows().max(1));
        self.sources.len() - 1
    }

    fn push(&mut self, run: Run) {
        self.rows += run.rows;
        self.bytes += run.rows * self.row_bytes[run.source];
        self.runs.push(run);
    }

    fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    fn assemble(self) -> Result<Option<RecordBatch>> {
        match self.runs.as_slice() {
            [] => Ok(None),
            [run] => Ok(Some(self.sources[run.source].slice(run.start, run.rows))),
            runs if self.rows >= LONG_RUN_ROWS * runs.len() => self.concatenated().map(Some),
            _ => self.interleaved().map(Some),
        }
    }

    fn concatenated(&self) -> Result<RecordBatch> {
        let columns = (0..self.sources[0].num_columns()).map(|column| {
            let slice = |run: &Run| self.sources[run.source].column(column).slice(run.start, run.rows);
            let slices: Vec<ArrayRef> = self.runs.iter().map(slice).collect();
            concat(&slices.iter().map(|slice| slice.as_ref()).collect::<Vec<&dyn Array>>())
        });
        Ok(RecordBatch::try_new(self.sources[0].schema(), columns.collect::<std::result::Result<_, _>>()?)?)
    }

    fn interleaved(&self) -> Result<RecordBatch> {
        let rows = |run: &Run| (run.start..run.start + run.rows).map(|row| (run.source, row)).collect::<Vec<_>>();
        let indices: Vec<(usize, usize)> = self.runs.iter().flat_map(rows).collect();
        Ok(interleave_record_batch(&self.sources.iter().collect::<Vec<_>>(), &indices)?)
    }
}
