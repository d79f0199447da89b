//! Merges sorted fragments into sorted, disjoint ones, in memory that neither their size nor the width of their rows sets.
//!
//! 1. `part`: every input becomes one sorted part, or several when it is sorted otherwise. Fields that the outputs keep elsewhere than the
//!    input does (in columns or in the residual) are moved first, in a scratch file.
//! 2. `order`: only the sort columns are read, which gives the order of the rows as runs of a part.
//! 3. `plan`: the runs are cut into row groups, by the sizes of pages, and into outputs.
//! 4. `column`: a few row groups at a time are written, column by column: one column of every part is read along the runs.
//!
//! So the rows of one column are in memory, a batch of each part, and what is encoded of those row groups. The same design
//! serves Datadog's Husky and Quickwit's Parquet engine; here a row group is cut before it is written, never written again.

mod column;
mod gather;
mod options;
mod order;
mod part;
mod plan;

use std::path::{Path, PathBuf};

use super::file::NewFile;
use super::input::Input;
use super::layout::Layout;
use super::output::Output;
use super::{FragmentError, FragmentOptions, KEY_ID, KEY_OUTPUTS, Result, invalid};

pub use options::{Cancel, MergeOptions};
use order::Order;
use part::Part;
use plan::{Planner, RowGroup};

/// Merge the fragments in the files `inputs` into new files at `outputs`, in order, as many as `merge` asks for: at least
/// one, none when every row is dropped. The results are those that `write_fragment` gives. A merge that fails leaves no file.
///
/// Memory: about `memory_bytes`, but at least one encoded column chunk (up to `row_group_bytes`) and, per input, three of its
/// largest values and half a megabyte. One core is busy; the files are read once, the sort columns twice.
pub fn merge_fragments(inputs: &[PathBuf], outputs: &[PathBuf], options: &FragmentOptions, merge: &MergeOptions) -> Result<Vec<String>> {
    if inputs.is_empty() || outputs.is_empty() {
        return invalid("there is nothing to merge; name at least one fragment and one output");
    }
    let inputs: Vec<Input> = inputs.iter().map(|path| Input::open(path).map_err(|e| naming(path, e))).collect::<Result<_>>()?;
    let keep = merge.keep(&inputs)?;
    let layout = Layout::of(&inputs.iter().map(|input| &input.description).collect::<Vec<_>>(), options);
    let mut parts: Vec<Part> = Vec::new();
    for (input, keep) in inputs.iter().zip(keep) {
        parts.extend(Part::of(input, keep, &layout, options, merge, &outputs[0]).map_err(|e| naming(&input.path, e))?);
    }
    let order = Order::new(&parts, options, merge)?;
    let planner = Planner::new(order, &parts, outputs.len(), options, merge);
    let merger = Merger { parts: &parts, layout: &layout, paths: outputs, options, merge, outputs: Vec::new() };
    merger.run(planner)
}

/// Say which file is broken.
fn naming(path: &Path, error: FragmentError) -> FragmentError {
    match error {
        FragmentError::Invalid(sentence) => FragmentError::Invalid(format!("{}: {sentence}", path.display())),
        other => other,
    }
}

struct Merger<'a> {
    parts: &'a [Part<'a>],
    layout: &'a Layout,
    paths: &'a [PathBuf],
    options: &'a FragmentOptions,
    merge: &'a MergeOptions,
    /// The files begun, with the rows planned for each.
    outputs: Vec<(Output<'a>, u64)>,
}

impl Merger<'_> {
    fn run(mut self, mut planner: Planner) -> Result<Vec<String>> {
        while let Some(groups) = planner.next_row_groups()? {
            self.write(&groups)?;
        }
        self.finish()
    }

    /// Write row groups of one output.
    fn write(&mut self, groups: &[RowGroup]) -> Result<()> {
        if self.outputs.is_empty() || groups[0].begins_output {
            let path = &self.paths[self.outputs.len()];
            self.outputs.push((Output::create(path, self.layout.schema.clone(), self.options)?, 0));
        }
        let Some((output, rows)) = self.outputs.last_mut() else { return Ok(()) };
        *rows += groups.iter().map(|group| group.rows as u64).sum::<u64>();
        column::write(groups, self.parts, output, self.merge)
    }

    /// The footers come last: each names all files.
    fn finish(self) -> Result<Vec<String>> {
        let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let stems: Vec<String> = self.paths[..self.outputs.len()].iter().map(stem).collect();
        let siblings = serde_json::Value::from(stems.clone()).to_string();
        let finish = |((output, rows), id): ((Output, u64), String)| output.finish(rows, &[(KEY_ID, id), (KEY_OUTPUTS, siblings.clone())]);
        let done: Vec<(String, NewFile)> = self.outputs.into_iter().zip(stems).map(finish).collect::<Result<_>>()?;
        let (descriptions, files): (Vec<String>, Vec<NewFile>) = done.into_iter().unzip();
        files.into_iter().for_each(NewFile::keep);
        Ok(descriptions)
    }
}
