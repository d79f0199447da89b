//! Builds an event batch row by row from typed values at dotted paths.
//!
//! Each field keeps one list of (row, value) per type; what is dense, nullable or residual is decided at the end.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_schema::{ArrowError, Field, Schema};

use super::field::{Column, FieldType, RESIDUAL, TIMESTAMP, name_columns};
use super::values::{Sparse, Value};

/// Batches with fewer rows have no residual unless `columns_max` forces one.
const RESIDUAL_ROWS_MIN: usize = 100;
/// Field that names the paths whose strings were cut.
const TRUNCATED: &str = "truncated";
const NONE: u32 = u32::MAX;
/// What a value costs beside its text: row number and end, or row number and number.
const VALUE_BYTES: usize = 12;

/// What a batch builder must know; shared by all batches of a table.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Well-known paths and their declared types.
    pub declared: HashMap<String, FieldType>,
    /// Longer strings are cut at a character boundary, bytes.
    pub field_bytes_max: usize,
    /// Most physical columns; the least dense fields beyond it go to the residual.
    pub columns_max: usize,
    /// A field in a smaller share of the rows goes to the residual.
    pub dense_share: f64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions { declared: HashMap::new(), field_bytes_max: 1 << 20, columns_max: 1000, dense_share: 0.01 }
    }
}

/// Handle of a path within one builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldId(pub u32);

/// Where a field's values are: the current row's value, if any, is the last one of list `current`.
struct Slot {
    path: String,
    /// Index into `BatchBuilder::lists` by type, `NONE` until the first value.
    lists: [u32; FieldType::ALL.len()],
    current: u32,
}

/// All values of one type of one field.
struct List {
    field: FieldId,
    kind: FieldType,
    values: Sparse,
}

/// Collects rows; `finish` makes the batch.
pub struct BatchBuilder {
    options: BatchOptions,
    slots: Vec<Slot>,
    lists: Vec<List>,
    by_path: HashMap<String, FieldId, RandomState>,
    times: Vec<i64>,
    row: Row,
    bytes: usize,
    warnings: BTreeMap<&'static str, usize>,
}

/// The row being built.
#[derive(Default)]
struct Row {
    number: u32,
    time: i64,
    /// Fields in the order their values came; a field forgotten since is still listed.
    touched: Vec<FieldId>,
    cut: Vec<FieldId>,
    duplicates: usize,
}

impl BatchBuilder {
    pub fn new(options: &BatchOptions) -> Self {
        BatchBuilder {
            options: options.clone(),
            slots: Vec::new(),
            lists: Vec::new(),
            by_path: HashMap::default(),
            times: Vec::new(),
            row: Row::default(),
            bytes: 0,
            warnings: BTreeMap::new(),
        }
    }

    /// The handle of a path, new or known.
    pub fn field(&mut self, path: &str) -> FieldId {
        if let Some(field) = self.by_path.get(path) {
            return *field;
        }
        let field = FieldId(self.slots.len() as u32);
        self.slots.push(Slot { path: path.to_string(), lists: [NONE; FieldType::ALL.len()], current: NONE });
        self.by_path.insert(path.to_string(), field);
        field
    }

    pub fn path(&self, field: FieldId) -> &str {
        &self.slots[field.0 as usize].path
    }

    #[inline]
    pub fn push_str(&mut self, field: FieldId, value: &str) {
        let value = if value.len() > self.options.field_bytes_max { self.cut(field, value) } else { value };
        self.bytes += value.len();
        self.claim(field, FieldType::Str).push_text(value);
    }

    #[inline]
    pub fn push_i64(&mut self, field: FieldId, value: i64) {
        self.claim(field, FieldType::I64).push_i64(value);
    }

    /// Integers beyond 64 bits signed are kept as their digits.
    pub fn push_u64(&mut self, field: FieldId, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.push_i64(field, value),
            Err(_) => self.push_str(field, itoa::Buffer::new().format(value)),
        }
    }

    #[inline]
    pub fn push_f64(&mut self, field: FieldId, value: f64) {
        self.claim(field, FieldType::F64).push_f64(value);
    }

    #[inline]
    pub fn push_bool(&mut self, field: FieldId, value: bool) {
        self.claim(field, FieldType::Bool).push_bool(value);
    }

    /// `value` must be valid JSON text without white space between its tokens. Text too long becomes a (cut) string.
    pub fn push_json(&mut self, field: FieldId, value: &str) {
        if value.len() > self.options.field_bytes_max {
            return self.push_str(field, value);
        }
        self.bytes += value.len();
        self.claim(field, FieldType::Json).push_text(value);
    }

    /// The time of the current row, nanoseconds since 1970 UTC.
    pub fn set_time(&mut self, ns: i64) {
        self.row.time = ns;
    }

    /// Whether the current row has a value of the field.
    #[inline]
    pub fn has(&self, field: FieldId) -> bool {
        self.slots[field.0 as usize].current != NONE
    }

    /// The current row's value of the field.
    pub fn value(&self, field: FieldId) -> Option<Value<'_>> {
        let list = self.lists.get(self.slots[field.0 as usize].current as usize)?;
        list.values.last()
    }

    /// Take the field's value out of the current row. True when there was one.
    pub fn forget(&mut self, field: FieldId) -> bool {
        let slot = &mut self.slots[field.0 as usize];
        let current = std::mem::replace(&mut slot.current, NONE);
        let Some(list) = self.lists.get_mut(current as usize) else { return false };
        list.values.pop();
        true
    }

    /// Give the current row's value of one field to another.
    pub fn shift(&mut self, from: FieldId, to: FieldId) {
        let Some(value) = self.value(from).map(Value::into_owned) else { return };
        self.forget(from);
        self.push(to, &value);
    }

    pub fn push(&mut self, field: FieldId, value: &Value<'_>) {
        match value {
            Value::Bool(value) => self.push_bool(field, *value),
            Value::I64(value) => self.push_i64(field, *value),
            Value::F64(value) => self.push_f64(field, *value),
            Value::Str(value) => self.push_str(field, value),
            Value::Json(value) => self.push_json(field, value),
        }
    }

    /// A place in the current row, for `forget_between`.
    pub fn mark(&self) -> u32 {
        self.row.touched.len() as u32
    }

    /// Take out every value that was pushed between two marks of the current row. Returns how many there were.
    pub fn forget_between(&mut self, start: u32, end: u32) -> usize {
        (start..end).filter(|index| self.forget(self.row.touched[*index as usize])).count()
    }

    /// Count values of the current row that a later one of the same key replaced.
    pub fn count_duplicates(&mut self, values: usize) {
        self.row.duplicates += values;
    }

    pub fn end_row(&mut self) {
        self.note_cuts();
        self.times.push(self.row.time);
        self.warn("duplicate_key", self.row.duplicates);
        self.bytes += self.row.touched.len() * VALUE_BYTES;
        for field in self.row.touched.drain(..) {
            self.slots[field.0 as usize].current = NONE;
        }
        self.row.duplicates = 0;
        self.row.number += 1;
    }

    /// Forget all values of the current row.
    pub fn abort_row(&mut self) {
        self.forget_between(0, self.mark());
        self.row.touched.clear();
        self.row.cut.clear();
        self.row.duplicates = 0;
    }

    /// Rows ended so far.
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// Approximate memory of the values, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn warnings(&self) -> &BTreeMap<&'static str, usize> {
        &self.warnings
    }

    /// The batch of all ended rows; None when there are none.
    pub fn finish(mut self) -> Result<Option<RecordBatch>, ArrowError> {
        self.abort_row();
        if self.times.is_empty() {
            return Ok(None);
        }
        let (dense, residual) = self.split();
        let mut arrays = self.dense_columns(dense)?;
        if !residual.is_empty() {
            let field = Field::new(RESIDUAL, FieldType::Str.arrow(), true);
            arrays.push((field, self.residual(residual)?));
        }
        let (fields, arrays): (Vec<_>, Vec<_>) = arrays.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map(Some)
    }

    /// The list that takes the field's value of the current row, whose row number is noted already.
    #[inline(always)]
    fn claim(&mut self, field: FieldId, kind: FieldType) -> &mut Sparse {
        let slot = &mut self.slots[field.0 as usize];
        let mut list = slot.lists[kind as usize];
        if slot.current != NONE || list == NONE {
            list = self.prepare(field, kind);
        } else {
            slot.current = list;
        }
        self.row.touched.push(field);
        let values = &mut self.lists[list as usize].values;
        values.push_row(self.row.number);
        values
    }

    /// Drop the value the field has already, make its list when it has none of the type.
    #[cold]
    fn prepare(&mut self, field: FieldId, kind: FieldType) -> u32 {
        self.row.duplicates += usize::from(self.forget(field));
        let slot = &mut self.slots[field.0 as usize];
        let list = &mut slot.lists[kind as usize];
        if *list == NONE {
            *list = self.lists.len() as u32;
            self.lists.push(List { field, kind, values: Sparse::new(kind) });
        }
        slot.current = *list;
        *list
    }

    #[cold]
    fn cut<'v>(&mut self, field: FieldId, value: &'v str) -> &'v str {
        self.row.cut.push(field);
        &value[..value.floor_char_boundary(self.options.field_bytes_max)]
    }

    fn note_cuts(&mut self) {
        if self.row.cut.is_empty() {
            return;
        }
        let mut cut = std::mem::take(&mut self.row.cut);
        cut.retain(|field| self.has(*field));
        self.warn("field_truncated", cut.len());
        let paths: Vec<&str> = cut.iter().map(|field| self.path(*field)).collect();
        let text = paths.join(",");
        let field = self.field(TRUNCATED);
        self.forget(field);
        self.push_str(field, &text);
        self.row.cut.clear();
    }

    fn warn(&mut self, warning: &'static str, times: usize) {
        if times > 0 {
            *self.warnings.entry(warning).or_default() += times;
        }
    }

    /// Which lists become columns and which go to the residual, both by path. Well-known fields are never residual.
    fn split(&mut self) -> (Vec<List>, Vec<List>) {
        let mut lists = std::mem::take(&mut self.lists);
        lists.retain(|list| list.values.len() > 0);
        lists.sort_by(|a, b| (self.path(a.field), a.kind).cmp(&(self.path(b.field), b.kind)));
        let residual = self.residual_fields(&lists);
        lists.into_iter().partition(|list| !residual[list.field.0 as usize])
    }

    /// By field: whether it is residual, because it is sparse or because there are too many columns.
    fn residual_fields(&self, lists: &[List]) -> Vec<bool> {
        let mut present = vec![(0usize, 0usize); self.slots.len()];
        for list in lists {
            let (rows, columns) = &mut present[list.field.0 as usize];
            (*rows, *columns) = (*rows + list.values.len(), *columns + 1);
        }
        let mut free: Vec<FieldId> = lists.iter().map(|list| list.field).collect();
        free.dedup();
        free.retain(|field| !self.options.declared.contains_key(self.path(*field)));
        // Least dense first; the sort is stable, so equally dense fields leave from the back of the alphabet.
        free.reverse();
        free.sort_by_key(|field| present[field.0 as usize].0);

        let few = if self.rows() < RESIDUAL_ROWS_MIN { 0.0 } else { self.options.dense_share * self.rows() as f64 };
        // Beside the lists there is the timestamp, and the residual once it has a field.
        let mut columns = 1 + lists.len();
        let mut has_residual = false;
        let mut residual = vec![false; self.slots.len()];
        for field in free {
            let (rows, own) = present[field.0 as usize];
            if rows as f64 >= few && columns <= self.options.columns_max {
                break;
            }
            columns += usize::from(!std::mem::replace(&mut has_residual, true));
            columns -= own;
            residual[field.0 as usize] = true;
        }
        residual
    }

    /// Timestamp, then well-known fields, then the others by path.
    fn dense_columns(&mut self, lists: Vec<List>) -> Result<Vec<(Field, ArrayRef)>, ArrowError> {
        let rows = self.rows();
        let (known, other): (Vec<List>, Vec<List>) = lists.into_iter().partition(|list| self.declared(list).is_some());
        let lists: Vec<List> = known.into_iter().chain(other).collect();
        let mut columns = vec![(Column { path: TIMESTAMP.to_string(), kind: FieldType::Timestamp }, rows, true)];
        columns.extend(lists.iter().map(|list| {
            let declared = self.declared(list) == Some(list.kind);
            (Column { path: self.path(list.field).to_string(), kind: list.kind }, list.values.len(), declared)
        }));
        let names = name_columns(&columns);
        let mut fields = columns.iter().zip(&names).map(|((column, _, _), name)| column.to_arrow(name, column.kind != FieldType::Timestamp));

        let times = TimestampNanosecondArray::from(std::mem::take(&mut self.times)).with_timezone("UTC");
        let mut arrays: Vec<(Field, ArrayRef)> = fields.next().map(|field| (field, Arc::new(times) as ArrayRef)).into_iter().collect();
        for (field, list) in fields.zip(lists) {
            arrays.push((field, list.values.into_array(rows)?));
        }
        Ok(arrays)
    }

    fn declared(&self, list: &List) -> Option<FieldType> {
        self.options.declared.get(self.path(list.field)).copied()
    }

    /// One canonical JSON object per row that has a value in `lists`, which are sorted by path.
    fn residual(&self, lists: Vec<List>) -> Result<ArrayRef, ArrowError> {
        let columns: Vec<(Cow<'_, str>, &Sparse)> =
            lists.iter().map(|list| (Cow::Borrowed(self.path(list.field)), &list.values)).collect();
        super::values::residual_array(&columns, self.row.number as usize)
    }
}
