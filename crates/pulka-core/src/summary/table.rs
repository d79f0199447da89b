//! The summaries of a table's fields: batches in, findings out. Memory stays within a budget by keeping fewer values of each
//! field, and past that by taking no more fields.

use std::collections::HashMap;

use ahash::RandomState;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray};

use super::Sides;
use super::effect::{self, Effect};
use super::field::FieldSummary;
use super::heavy::{TEXT_BYTES_MAX, cut};
use crate::batch::{FieldType, residual};
use crate::text::mask::mask;

const CAPACITY: usize = 256;
const CAPACITY_MIN: usize = 8;

#[derive(Clone, Debug)]
pub struct Options {
    /// Memory of all summaries.
    pub bytes_max: usize,
    /// Summaries per value of this field, beside those of all rows.
    pub by: Option<String>,
    /// Values of `by` that get summaries of their own: the first ones met.
    pub groups_max: usize,
    /// Fields that are left out.
    pub skip: Vec<String>,
    /// The fields whose texts count by their shape (`text::mask`).
    pub masked: Vec<String>,
}

/// A physical column: the field it belongs to and the type it holds.
#[derive(Clone, Debug)]
pub struct Column {
    pub path: String,
    pub kind: FieldType,
    pub values: ArrayRef,
}

/// Rows of one shape.
pub struct Rows<'a> {
    pub columns: &'a [Column],
    pub residual: Option<&'a ArrayRef>,
    /// Which rows are on which side; a row may be on both.
    pub sides: Sides<&'a BooleanArray>,
}

struct Field {
    path: String,
    is_masked: bool,
    types: Vec<FieldType>,
    /// Per group, 0 being all rows.
    groups: Vec<Option<Box<FieldSummary>>>,
}

/// What was found about one field, in all rows or in those of a group.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    pub path: &'a str,
    pub group: Option<&'a str>,
    pub types: &'a [FieldType],
    /// Rows per side.
    pub rows: Sides<u64>,
    pub field: &'a FieldSummary,
    pub effect: Effect,
}

pub struct Table {
    options: Options,
    fields: Vec<Field>,
    places: HashMap<String, usize, RandomState>,
    groups: Vec<String>,
    group_places: HashMap<String, usize, RandomState>,
    rows: Vec<Sides<u64>>,
    capacity: usize,
    is_full: bool,
    left_out: u64,
}

impl Table {
    pub fn new(options: Options) -> Table {
        let hasher = || RandomState::with_seeds(1, 2, 3, 4);
        Table {
            options,
            fields: Vec::new(),
            places: HashMap::with_hasher(hasher()),
            groups: vec![String::new()],
            group_places: HashMap::with_hasher(hasher()),
            rows: vec![[0, 0]],
            capacity: CAPACITY,
            is_full: false,
            left_out: 0,
        }
    }

    /// Rows per side.
    pub fn rows(&self) -> Sides<u64> {
        self.rows[0]
    }

    /// Values of fields for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    pub fn bytes(&self) -> usize {
        self.summaries().map(FieldSummary::bytes).sum()
    }

    pub fn add(&mut self, rows: &Rows<'_>) {
        let (selected, groups) = self.select(rows);
        let times = rows.columns.iter().find(|column| column.path == "timestamp").map(|column| column.values.clone());
        for column in rows.columns {
            if let Some(field) = self.place(&column.path, column.kind) {
                self.add_column(field, column, &selected, &groups, times.as_ref());
            }
        }
        if let Some(residual) = rows.residual {
            self.add_residual(residual, &selected, &groups, times.as_ref());
        }
        self.fit();
    }

    /// The rows of either side with the sides they are on, and each one's group (0: none).
    fn select(&mut self, rows: &Rows<'_>) -> (Vec<(usize, u8)>, Vec<usize>) {
        let on = |side: usize, row: usize| u8::from(rows.sides[side].is_valid(row) && rows.sides[side].value(row)) << side;
        let all = (0..rows.sides[0].len()).map(|row| (row, on(0, row) | on(1, row)));
        let selected: Vec<(usize, u8)> = all.filter(|(_, sides)| *sides != 0).collect();
        let groups = self.groups_of(rows, &selected);
        for (&(_, sides), &group) in selected.iter().zip(&groups) {
            for side in sides_of(sides) {
                self.rows[0][side] += 1;
                if group != 0 {
                    self.rows[group][side] += 1;
                }
            }
        }
        (selected, groups)
    }

    fn groups_of(&mut self, rows: &Rows<'_>, selected: &[(usize, u8)]) -> Vec<usize> {
        let named = self.options.by.as_ref().and_then(|by| rows.columns.iter().find(|column| column.path == *by && is_text(column.kind)));
        let Some(column) = named.cloned() else { return vec![0; selected.len()] };
        let texts = Texts::of(&column.values);
        selected.iter().map(|(row, _)| texts.get(*row).map_or(0, |name| self.group(name))).collect()
    }

    fn group(&mut self, name: &str) -> usize {
        if let Some(place) = self.group_places.get(name) {
            return *place;
        }
        if self.groups.len() > self.options.groups_max {
            return 0;
        }
        let name = cut(name, TEXT_BYTES_MAX).to_owned();
        self.groups.push(name.clone());
        self.rows.push([0, 0]);
        self.group_places.insert(name, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// Where a field is kept; None when it is not.
    fn place(&mut self, path: &str, kind: FieldType) -> Option<usize> {
        if let Some(place) = self.places.get(path) {
            let types = &mut self.fields[*place].types;
            if !types.contains(&kind) {
                types.push(kind);
            }
            return Some(*place);
        }
        let skipped = kind == FieldType::Timestamp || self.options.skip.iter().any(|one| one == path);
        if skipped || self.is_full {
            self.left_out += u64::from(!skipped);
            return None;
        }
        let is_masked = self.options.masked.iter().any(|one| one == path);
        self.fields.push(Field { path: path.to_owned(), is_masked, types: vec![kind], groups: Vec::new() });
        self.places.insert(path.to_owned(), self.fields.len() - 1);
        Some(self.fields.len() - 1)
    }

    fn add_column(&mut self, field: usize, column: &Column, selected: &[(usize, u8)], groups: &[usize], times: Option<&ArrayRef>) {
        let rows = selected.iter().copied().zip(groups.iter().copied()).filter(|((row, _), _)| column.values.is_valid(*row));
        match column.kind {
            FieldType::Timestamp => {}
            FieldType::Bool => {
                let values = column.values.as_boolean();
                self.add_texts(field, rows.map(|((row, sides), group)| (sides, group, if values.value(row) { "true" } else { "false" })));
            }
            FieldType::I64 => {
                let values = column.values.as_primitive::<Int64Type>();
                for ((row, sides), group) in rows {
                    self.add_number(field, sides, group, values.value(row) as f64, moment(times, row));
                }
            }
            FieldType::F64 => {
                let values = column.values.as_primitive::<Float64Type>();
                for ((row, sides), group) in rows {
                    self.add_number(field, sides, group, values.value(row), moment(times, row));
                }
            }
            FieldType::Str | FieldType::Json => {
                let texts = Texts::of(&column.values);
                self.add_texts(field, rows.filter_map(|((row, sides), group)| Some((sides, group, texts.get(row)?))));
            }
        }
    }

    /// Neighbours are often alike, as fragments are sorted: a run is counted at once.
    fn add_texts<'a>(&mut self, field: usize, texts: impl Iterator<Item = (u8, usize, &'a str)>) {
        let mut run: Option<(u8, usize, &str, u64)> = None;
        for (sides, group, text) in texts {
            match &mut run {
                Some((s, g, known, times)) if *s == sides && *g == group && *known == text => *times += 1,
                _ => {
                    self.add_run(field, run.replace((sides, group, text, 1)));
                }
            }
        }
        self.add_run(field, run);
    }

    fn add_run(&mut self, field: usize, run: Option<(u8, usize, &str, u64)>) {
        let Some((sides, group, text, times)) = run else { return };
        let mut masked = String::new();
        let shown = if self.fields[field].is_masked {
            mask(text, TEXT_BYTES_MAX, &mut masked);
            masked.as_str()
        } else {
            text
        };
        for side in sides_of(sides) {
            self.each(field, group, |summary| summary.add_text(side, shown, times));
        }
    }

    fn add_number(&mut self, field: usize, sides: u8, group: usize, value: f64, at_ns: Option<i64>) {
        for side in sides_of(sides) {
            self.each(field, group, |summary| summary.add_number(side, value, at_ns));
        }
    }

    /// The summary of all rows, and that of the group.
    fn each(&mut self, field: usize, group: usize, mut act: impl FnMut(&mut FieldSummary)) {
        for group in std::iter::once(0).chain((group != 0).then_some(group)) {
            match self.summary(field, group) {
                Some(summary) => act(summary),
                None => self.left_out += 1,
            }
        }
    }

    fn summary(&mut self, field: usize, group: usize) -> Option<&mut FieldSummary> {
        let groups = &mut self.fields[field].groups;
        if groups.len() <= group {
            groups.resize_with(group + 1, || None);
        }
        if groups[group].is_none() && !self.is_full {
            groups[group] = Some(Box::new(FieldSummary::new(self.capacity)));
        }
        groups[group].as_deref_mut()
    }

    fn add_residual(&mut self, residual: &ArrayRef, selected: &[(usize, u8)], groups: &[usize], times: Option<&ArrayRef>) {
        let texts = Texts::of(residual);
        let mut known: HashMap<&str, Option<usize>, RandomState> = HashMap::default();
        for (&(row, sides), &group) in selected.iter().zip(groups) {
            for member in texts.get(row).map(residual::members).into_iter().flatten() {
                let raw = member.raw_value();
                let Some(kind) = residual::type_of(raw) else { continue };
                let place = match known.get(member.raw_key()) {
                    Some(Some(place)) if self.fields[*place].types.contains(&kind) => Some(*place),
                    _ => residual::unquote(member.raw_key()).and_then(|path| self.place(&path, kind)),
                };
                known.insert(member.raw_key(), place);
                if let Some(field) = place {
                    self.add_raw(field, kind, raw, sides, group, moment(times, row));
                }
            }
        }
    }

    fn add_raw(&mut self, field: usize, kind: FieldType, raw: &str, sides: u8, group: usize, at_ns: Option<i64>) {
        match kind {
            FieldType::I64 | FieldType::F64 => {
                let value = raw.parse().unwrap_or(f64::NAN); // what is not finite is written as text
                self.add_number(field, sides, group, value, at_ns);
            }
            FieldType::Str => {
                let text = residual::unquote(raw);
                self.add_run(field, text.as_deref().map(|text| (sides, group, text, 1)));
            }
            _ => self.add_run(field, Some((sides, group, raw, 1))),
        }
    }

    fn fit(&mut self) {
        while self.bytes() > self.options.bytes_max && !self.is_full {
            if self.capacity <= CAPACITY_MIN {
                self.is_full = true;
                return;
            }
            self.capacity /= 2;
            let capacity = self.capacity;
            self.fields.iter_mut().flat_map(|field| field.groups.iter_mut().flatten()).for_each(|one| one.shrink(capacity));
        }
    }

    fn summaries(&self) -> impl Iterator<Item = &FieldSummary> {
        self.fields.iter().flat_map(|field| field.groups.iter().flatten()).map(|one| &**one)
    }

    /// Every field, in all rows and in each group that both sides have, the largest effect first.
    pub fn compare(&self) -> Vec<Finding<'_>> {
        let mut found: Vec<Finding<'_>> = self.findings().filter(|finding| finding.effect.effect > 0.0).collect();
        found.sort_by(|a, b| {
            let weight = |one: &Finding<'_>| (one.effect.effect, one.rows[0]);
            let order = weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal);
            order.then_with(|| (a.path, a.group).cmp(&(b.path, b.group)))
        });
        found
    }

    /// Every field in all rows, by name.
    pub fn describe(&self) -> Vec<Finding<'_>> {
        let mut found: Vec<Finding<'_>> = self.findings().filter(|finding| finding.group.is_none()).collect();
        found.sort_by_key(|finding| finding.path);
        found
    }

    fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        let places = self.fields.iter().flat_map(|field| (0..field.groups.len()).map(move |group| (field, group)));
        places.filter_map(|(field, group)| {
            let rows = self.rows[group];
            let is_own = Some(&field.path) == self.options.by.as_ref() && group > 0;
            if is_own || (group > 0 && rows.contains(&0)) {
                return None;
            }
            let summary = field.groups[group].as_deref()?;
            let group = (group > 0).then(|| self.groups[group].as_str());
            Some(Finding { path: &field.path, group, types: &field.types, rows, field: summary, effect: effect::effect(summary, rows) })
        })
    }
}

fn sides_of(sides: u8) -> impl Iterator<Item = usize> {
    (0..2).filter(move |side| sides & (1 << side) != 0)
}

fn is_text(kind: FieldType) -> bool {
    matches!(kind, FieldType::Str | FieldType::Json)
}

fn moment(times: Option<&ArrayRef>, row: usize) -> Option<i64> {
    let times = times?.as_primitive_opt::<TimestampNanosecondType>()?;
    times.is_valid(row).then(|| times.value(row))
}

/// Text in either of the layouts that queries have.
enum Texts<'a> {
    Plain(&'a arrow_array::StringArray),
    View(&'a arrow_array::StringViewArray),
    None,
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Texts<'a> {
        match (array.as_string_opt::<i32>(), array.as_string_view_opt()) {
            (Some(plain), _) => Texts::Plain(plain),
            (_, Some(view)) => Texts::View(view),
            _ => Texts::None,
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            Texts::View(array) => array.is_valid(row).then(|| array.value(row)),
            Texts::None => None,
        }
    }
}
