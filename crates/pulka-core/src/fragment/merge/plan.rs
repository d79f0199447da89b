//! The plan of a merge: its runs, cut into row groups and outputs.

use super::order::{Order, Run};
use super::{FragmentOptions, MergeOptions, Part};
use crate::fragment::pages::Width;
use crate::fragment::{ROW_GROUP_ROWS_MAX, Result};

#[derive(Debug, Default)]
pub struct RowGroup {
    pub runs: Vec<Run>,
    pub rows: usize,
    /// Whether it is the first of the next output.
    pub begins_output: bool,
    /// Encoded size, as far as the inputs tell.
    stored_bytes: f64,
}

pub struct Planner<'a> {
    order: Order<'a>,
    merge: &'a MergeOptions,
    row_bytes: Vec<f64>,
    row_group_rows: usize,
    row_group_bytes: u64,
    heavy: Vec<Heavy>,
    /// Rows of the present output so far, their last series, and how many outputs may follow.
    rows: u64,
    series: u64,
    outputs_left: usize,
    /// What was looked at and belongs to the next row group or call.
    next_run: Option<(u64, Run)>,
    next_group: Option<RowGroup>,
}

impl<'a> Planner<'a> {
    pub fn new(order: Order<'a>, parts: &[Part], outputs: usize, options: &FragmentOptions, merge: &'a MergeOptions) -> Planner<'a> {
        Planner {
            order,
            merge,
            row_bytes: parts.iter().map(Part::row_bytes).collect(),
            row_group_rows: ROW_GROUP_ROWS_MAX.min(options.row_group_bytes / 8).max(1),
            row_group_bytes: options.row_group_bytes as u64,
            heavy: heavy(parts, options),
            rows: 0,
            series: 0,
            outputs_left: outputs - 1,
            next_run: None,
            next_group: None,
        }
    }

    /// Row groups of one output to be written together: one at least; more while all but the first may be held in memory.
    pub fn next_row_groups(&mut self) -> Result<Option<Vec<RowGroup>>> {
        let Some(first) = self.take_group()? else { return Ok(None) };
        let (mut groups, mut held) = (vec![first], 0.0);
        while let Some(group) = self.take_group()? {
            held += group.stored_bytes + (size_of::<Run>() * group.runs.len()) as f64;
            if group.begins_output || held > self.merge.held_bytes() as f64 {
                self.next_group = Some(group);
                break;
            }
            groups.push(group);
        }
        Ok(Some(groups))
    }

    fn take_group(&mut self) -> Result<Option<RowGroup>> {
        match self.next_group.take() {
            Some(group) => Ok(Some(group)),
            None => self.build_group(),
        }
    }

    fn build_group(&mut self) -> Result<Option<RowGroup>> {
        let mut group = RowGroup::default();
        self.heavy.iter_mut().for_each(|column| column.used = 0);
        while let Some((series, run)) = self.take_run()? {
            let begins_output = self.begins_output(series);
            let fitting = if begins_output && group.rows > 0 { 0 } else { self.fitting(&run, group.rows) };
            if fitting < run.rows {
                self.next_run = Some((series, Run { start: run.start + fitting, rows: run.rows - fitting, ..run }));
            }
            if fitting == 0 {
                break;
            }
            if begins_output {
                (group.begins_output, self.rows, self.outputs_left) = (true, 0, self.outputs_left - 1);
            }
            self.series = series;
            self.push(&mut group, Run { rows: fitting, ..run });
        }
        Ok(Some(group).filter(|group| group.rows > 0))
    }

    fn take_run(&mut self) -> Result<Option<(u64, Run)>> {
        match self.next_run.take() {
            Some(run) => Ok(Some(run)),
            None => self.order.next(),
        }
    }

    fn begins_output(&self, series: u64) -> bool {
        let is_full = self.merge.output_rows > 0 && self.rows >= self.merge.output_rows;
        is_full && self.outputs_left > 0 && series != self.series
    }

    /// How many rows of a run go to a row group that has `rows`; a row too large for any has one of its own.
    fn fitting(&self, run: &Run, rows: usize) -> u32 {
        let room = (self.row_group_rows - rows) as u64;
        let fitting = |column: &Heavy| column.measure(run, self.row_group_bytes.saturating_sub(column.used)).0;
        let fitting = self.heavy.iter().map(fitting).fold(room.min(u64::from(run.rows)), u64::min);
        fitting.max(u64::from(rows == 0)) as u32
    }

    fn push(&mut self, group: &mut RowGroup, run: Run) {
        self.heavy.iter_mut().for_each(|column| column.add(&run));
        self.rows += u64::from(run.rows);
        group.rows += run.rows as usize;
        group.stored_bytes += f64::from(run.rows) * self.row_bytes[run.part as usize];
        match group.runs.last_mut() {
            Some(last) if last.part == run.part && last.start + last.rows == run.start => last.rows += run.rows,
            _ => group.runs.push(run),
        }
    }
}

/// A column of the outputs that may fill a row group before its rows do.
struct Heavy {
    /// Per part the widths of its rows, and which of them has the part's next row.
    parts: Vec<(Vec<Width>, usize)>,
    /// Bytes in the row group.
    used: u64,
}

fn heavy(parts: &[Part], options: &FragmentOptions) -> Vec<Heavy> {
    let columns = parts.first().map_or(0, |part| part.columns.len());
    let widths = |part: &Part, column: usize| match &part.columns[column] {
        Some(source) => (source.pages.widths(&[source.column]), 0),
        None => (vec![Width { row: 0, row_bytes: 0 }], 0),
    };
    let is_heavy = |width: &Width| width.row_bytes * ROW_GROUP_ROWS_MAX as u64 > options.row_group_bytes as u64;
    let column = |column| Heavy { parts: parts.iter().map(|part| widths(part, column)).collect(), used: 0 };
    (0..columns).map(column).filter(|column| column.parts.iter().any(|(widths, _)| widths.iter().any(is_heavy))).collect()
}

impl Heavy {
    /// How many rows of a run have at most `room` bytes, and how many bytes.
    fn measure(&self, run: &Run, room: u64) -> (u64, u64) {
        let (widths, at) = &self.parts[run.part as usize];
        let (start, end) = (u64::from(run.start), u64::from(run.start + run.rows));
        let (mut row, mut bytes) = (start, 0);
        for index in *at.. {
            let step_end = widths.get(index + 1).map_or(end, |next| next.row.min(end));
            let (rows, row_bytes) = (step_end.saturating_sub(row), widths[index].row_bytes);
            let fitting = (room - bytes).checked_div(row_bytes).unwrap_or(rows).min(rows);
            (row, bytes) = (row + fitting, bytes + fitting * row_bytes);
            if fitting < rows || row == end {
                break;
            }
        }
        (row - start, bytes)
    }

    /// Count the next rows of a part.
    fn add(&mut self, run: &Run) {
        self.used += self.measure(run, u64::MAX).1;
        let (widths, at) = &mut self.parts[run.part as usize];
        while widths.get(*at + 1).is_some_and(|next| next.row <= u64::from(run.start + run.rows)) {
            *at += 1;
        }
    }
}
