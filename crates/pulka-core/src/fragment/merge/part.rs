//! A part: rows in the order of the outputs, and where each of their columns is read.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::MergeOptions;
use crate::batch::{Column, RESIDUAL, TIMESTAMP};
use crate::fragment::input::Input;
use crate::fragment::layout::Layout;
use crate::fragment::pages::Pages;
use crate::fragment::write::CHUNK_BYTES;
use crate::fragment::{FragmentOptions, Result, SortColumn, invalid, sort};

pub struct Part<'a> {
    /// For errors.
    pub path: &'a Path,
    /// Has the sort columns.
    pub keys: Arc<Pages>,
    /// Rows that go to the outputs; None is all.
    pub keep: Option<BooleanBuffer>,
    /// Per column of the outputs where it is; None when all its values are null.
    pub columns: Vec<Option<Source>>,
}

/// A column of a file.
#[derive(Clone)]
pub struct Source {
    pub pages: Arc<Pages>,
    pub column: usize,
}

impl<'a> Part<'a> {
    /// The parts of an input; scratch files are made beside `output`.
    pub fn of(
        input: &'a Input,
        keep: Option<BooleanBuffer>,
        layout: &Layout,
        options: &FragmentOptions,
        merge: &MergeOptions,
        output: &Path,
    ) -> Result<Vec<Part<'a>>> {
        if input.pages.rows() > u64::from(u32::MAX) {
            return invalid("a fragment of more than 4 billion rows");
        }
        if !keeps_order(input, layout, options) {
            return sorted(input, keep, layout, options, merge, output);
        }
        let moved = if layout.moves(&input.description) { moved(input, layout, merge, output)? } else { Vec::new() };
        let mut columns = sources(&input.pages, layout);
        for (index, source) in moved {
            columns[index] = Some(source);
        }
        Ok(vec![Part { path: &input.path, keys: Arc::clone(&input.pages), keep, columns }])
    }

    /// Stored bytes per row, about.
    pub fn row_bytes(&self) -> f64 {
        self.keys.bytes() as f64 / self.keys.rows().max(1) as f64
    }
}

/// Where a file that needs no moves has the columns of the outputs.
fn sources(pages: &Arc<Pages>, layout: &Layout) -> Vec<Option<Source>> {
    let stored: Vec<Option<Column>> = pages.schema().fields().iter().map(|field| Column::of(field)).collect();
    let residual = pages.schema().index_of(RESIDUAL).ok();
    let find = |column: &Option<Column>| match column {
        Some(_) => stored.iter().position(|stored| stored == column),
        None => residual,
    };
    let source = |column| Some(Source { pages: Arc::clone(pages), column: find(column)? });
    layout.columns().iter().map(source).collect()
}

/// Whether the input's rows are in order by the columns of the outputs too: a sort column may have another type there,
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

/// The columns that an input has in another place than the outputs, brought there in a scratch file.
fn moved(input: &Input, layout: &Layout, merge: &MergeOptions, output: &Path) -> Result<Vec<(usize, Source)>> {
    let from_residual = |path: &str| input.description.residual.contains_key(path);
    let is_read = |column: Option<Column>| match column {
        Some(column) => column.path == TIMESTAMP || from_residual(&column.path) || !layout.is_dense(&column.path),
        None => true,
    };
    let fields = input.pages.schema().fields().iter().enumerate();
    let read: Vec<usize> = fields.filter(|(_, field)| is_read(Column::of(field))).map(|(index, _)| index).collect();
    let outputs = layout.columns().iter().enumerate();
    let is_placed = |column: &Option<Column>| column.as_ref().is_none_or(|column| from_residual(&column.path));
    let placed: Vec<usize> = outputs.filter(|(_, column)| is_placed(column)).map(|(index, _)| index).collect();

    let mut scratch = Scratch::create(output, Arc::new(layout.schema.project(&placed)?), merge)?;
    for batch in input.pages.read(&read, 0..input.pages.rows(), merge.memory_bytes / 8) {
        scratch.write(&layout.place(&batch?, true)?.project(&placed)?)?;
    }
    let pages = scratch.finish()?;
    let source = |(column, index)| (index, Source { pages: Arc::clone(&pages), column });
    Ok(placed.into_iter().enumerate().map(source).collect())
}

/// An input in another order: as much as fits in memory is sorted at a time, each time a part.
fn sorted<'a>(
    input: &'a Input,
    keep: Option<BooleanBuffer>,
    layout: &Layout,
    options: &FragmentOptions,
    merge: &MergeOptions,
    output: &Path,
) -> Result<Vec<Part<'a>>> {
    let all: Vec<usize> = (0..input.pages.schema().fields().len()).collect();
    let (moves, share, mut row, mut parts) = (layout.moves(&input.description), merge.memory_bytes / 8, 0, Vec::new());
    let mut kept = |batch: RecordBatch| -> Result<RecordBatch> {
        row += batch.num_rows();
        let Some(keep) = &keep else { return Ok(batch) };
        Ok(filter_record_batch(&batch, &BooleanArray::new(keep.slice(row - batch.num_rows(), batch.num_rows()), None))?)
    };
    let mut sort = |batches: &mut Vec<RecordBatch>| -> Result<()> {
        let batch = concat_batches(&layout.schema, &std::mem::take(batches))?;
        let mut scratch = Scratch::create(output, batch.schema(), merge)?;
        match sort::order(&batch, &options.sort) {
            Some(order) => scratch.write(&take_record_batch(&batch, &order)?)?,
            None => scratch.write(&batch)?,
        }
        let pages = scratch.finish()?;
        parts.push(Part { path: &input.path, columns: sources(&pages, layout), keys: pages, keep: None });
        Ok(())
    };
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for batch in input.pages.read(&all, 0..input.pages.rows(), CHUNK_BYTES.min(share)) {
        let batch = layout.place(&kept(batch?)?, moves)?;
        bytes += batch.get_array_memory_size();
        batches.push(batch);
        if bytes >= share {
            bytes = 0;
            sort(&mut batches)?;
        }
    }
    if !batches.is_empty() {
        sort(&mut batches)?;
    }
    Ok(parts)
}

/// A file without a name, gone when it is closed: plainly encoded, for it is read once and soon.
struct Scratch<'a> {
    parquet: ArrowWriter<File>,
    merge: &'a MergeOptions,
}

impl<'a> Scratch<'a> {
    fn create(output: &Path, schema: SchemaRef, merge: &'a MergeOptions) -> Result<Scratch<'a>> {
        let path = output.with_extension("scratch");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_data_page_size_limit(64 << 10)
            .set_max_row_group_row_count(None)
            .build();
        Ok(Scratch { parquet: ArrowWriter::try_new(file, schema, Some(properties))?, merge })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.merge.cancel.check()?;
        self.parquet.write(batch)?;
        if self.parquet.in_progress_size() > self.merge.memory_bytes / 8 {
            self.parquet.flush()?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Arc<Pages>> {
        Ok(Arc::new(Pages::open(self.parquet.into_inner()?)?))
    }
}
