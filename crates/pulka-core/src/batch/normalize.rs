//! Concatenates batches of any schemas into one and decides anew which fields get columns and which the residual.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::zip::zip;
use hashbrown::HashSet;

use super::field::{Column, FieldType, RESIDUAL, TIMESTAMP, name_columns};
use super::residual::{self, Member, Value};

/// Batches with fewer rows say nothing of density: all their fields are dense.
pub const DENSITY_ROWS_MIN: usize = 100;

/// Concatenate `batches` into one, rows in input order. A field is dense, with a column per type, when at least
/// `dense_share` of the rows have it and `columns_max` leaves room (see [`dense_paths`]); else it is in the residual.
pub fn normalize(
    batches: &[RecordBatch],
    declared: &HashMap<String, FieldType>,
    columns_max: usize,
    dense_share: f64,
) -> Result<RecordBatch, ArrowError> {
    let sources = Sources::of(batches)?;
    let counts = sources.all.iter().map(|source| (&source.column, source.rows()));
    let dense = dense_paths(counts, sources.rows, declared, columns_max, dense_share);
    let (mut columns, sparse): (Vec<&Source>, Vec<&Source>) =
        sources.all.iter().partition(|source| dense.contains(source.column.path.as_str()));
    columns.retain(|source| source.rows() > 0 || is_declared(&source.column, declared));
    columns.sort_by_key(|source| (rank(&source.column, declared), &source.column));

    let names = name_columns(&columns.iter().map(|source| source.naming(declared)).collect::<Vec<_>>());
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len() + 1);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
    for (source, name) in columns.iter().zip(&names) {
        fields.push(source.column.to_arrow(name, !is_timestamp(&source.column)));
        arrays.push(source.array(sources.rows)?);
    }
    if let Some(residual) = sources.residual(&columns, &sparse)? {
        fields.push(Field::new(RESIDUAL, DataType::Utf8, true));
        arrays.push(residual);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// The physical columns of a batch, in its order and without the residual, each with the number of rows that have it.
pub fn columns_with_rows(batch: &RecordBatch) -> Result<Vec<(Column, usize)>, ArrowError> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    fields
        .filter(|(field, _)| field.name() != RESIDUAL)
        .map(|(field, array)| Ok((column_of(field)?, array.len() - array.null_count())))
        .collect()
}

/// The paths whose fields get columns, given the columns of all fields with the rows that have them.
///
/// Declared fields and those with a type that JSON has not always do. Of the others, the ones in at least `dense_share`
/// of `rows` (all, below 100 rows), the fullest first, while the columns of all their types fit `columns_max`.
/// The columns of one path must follow each other.
pub fn dense_paths<'a>(
    columns: impl Iterator<Item = (&'a Column, usize)>,
    rows: usize,
    declared: &HashMap<String, FieldType>,
    columns_max: usize,
    dense_share: f64,
) -> HashSet<&'a str> {
    let mut candidates = candidates(columns, declared);
    let rows_min = if rows < DENSITY_ROWS_MIN { 0.0 } else { dense_share * rows as f64 };
    candidates.retain(|field| field.pinned || (field.rows > 0 && field.rows as f64 >= rows_min));
    candidates.sort_by_key(|field| (!field.pinned, std::cmp::Reverse(field.rows), field.path));
    let mut taken = 0;
    let fitting = candidates.iter().take_while(|field| {
        taken += field.columns;
        field.pinned || taken <= columns_max
    });
    fitting.map(|field| field.path).collect()
}

/// A field that may become dense.
struct Candidate<'a> {
    path: &'a str,
    rows: usize,
    columns: usize,
    pinned: bool,
}

fn candidates<'a>(
    columns: impl Iterator<Item = (&'a Column, usize)>,
    declared: &HashMap<String, FieldType>,
) -> Vec<Candidate<'a>> {
    let mut fields: Vec<Candidate> = Vec::new();
    for (column, rows) in columns {
        if fields.last().is_none_or(|field| field.path != column.path) {
            let pinned = declared.contains_key(&column.path);
            fields.push(Candidate { path: &column.path, rows: 0, columns: 0, pinned });
        }
        if let Some(field) = fields.last_mut() {
            field.rows += rows;
            field.columns += usize::from(rows > 0);
            field.pinned |= column.kind == FieldType::Timestamp;
        }
    }
    fields
}

fn is_timestamp(column: &Column) -> bool {
    column.kind == FieldType::Timestamp && column.path == TIMESTAMP
}

fn is_declared(column: &Column, declared: &HashMap<String, FieldType>) -> bool {
    is_timestamp(column) || declared.get(&column.path) == Some(&column.kind)
}

/// The order of columns: the timestamp, the declared ones, the others.
fn rank(column: &Column, declared: &HashMap<String, FieldType>) -> u8 {
    match column {
        _ if is_timestamp(column) => 0,
        _ if is_declared(column, declared) => 1,
        _ => 2,
    }
}

fn column_of(field: &Field) -> Result<Column, ArrowError> {
    let column = Column::of(field).filter(|column| column.kind.arrow() == *field.data_type());
    column.ok_or_else(|| {
        let (name, data_type) = (field.name(), field.data_type());
        ArrowError::SchemaError(format!("column {name:?} of type {data_type} is no event batch column; cast it first"))
    })
}

/// All there is of one (path, type) in the batches.
struct Source<'a> {
    column: Column,
    /// Arrays by the row they begin at, ascending.
    parts: Vec<(usize, &'a ArrayRef)>,
    part_rows: usize,
    /// Values in residuals by row, ascending.
    members: Vec<(usize, Member<'a>)>,
}

impl<'a> Source<'a> {
    fn rows(&self) -> usize {
        self.part_rows + self.members.len()
    }

    fn naming(&self, declared: &HashMap<String, FieldType>) -> (Column, usize, bool) {
        (self.column.clone(), self.rows(), is_declared(&self.column, declared))
    }

    /// The whole column, `rows` long.
    fn array(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if self.members.is_empty() {
            return self.concatenated(rows);
        }
        let promoted = self.promoted(rows)?;
        if self.part_rows == 0 {
            return Ok(promoted);
        }
        let parts = self.concatenated(rows)?;
        let Some(valid) = parts.nulls() else { return Ok(parts) };
        zip(&BooleanArray::new(valid.inner().clone(), None), &parts, &promoted)
    }

    /// The parts, with nulls for the batches that lack the column.
    fn concatenated(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let mut pieces: Vec<ArrayRef> = Vec::with_capacity(2 * self.parts.len() + 1);
        let mut end = 0;
        for (start, part) in &self.parts {
            self.pad(&mut pieces, start - end);
            pieces.push(Arc::clone(part));
            end = start + part.len();
        }
        self.pad(&mut pieces, rows - end);
        concat(&pieces.iter().map(|piece| piece.as_ref()).collect::<Vec<&dyn Array>>())
    }

    fn pad(&self, pieces: &mut Vec<ArrayRef>, rows: usize) {
        if rows > 0 || (pieces.is_empty() && self.parts.is_empty()) {
            pieces.push(new_null_array(&self.column.kind.arrow(), rows));
        }
    }

    fn promoted(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        check_text_bytes(self.members.iter().map(|(_, member)| member.raw_value().len()).sum())?;
        let values = self.members.iter().map(|(row, member)| (*row, member.raw_value()));
        Ok(residual::scatter(self.column.kind, rows, values))
    }

    /// The values of the parts as residual members: their text, and per row the range of its member there.
    fn demoted(&self) -> Demoted {
        let mut demoted = Demoted::default();
        let mut key = Vec::new();
        residual::write_key(&mut key, &self.column.path);
        for (start, part) in &self.parts {
            for index in set_rows(part) {
                demoted.push(start + index, &key, value_at(part, self.column.kind, index));
            }
        }
        demoted
    }
}

#[derive(Default)]
struct Demoted {
    text: Vec<u8>,
    ranges: Vec<(usize, Range<usize>)>,
}

impl Demoted {
    fn push(&mut self, row: usize, key: &[u8], value: Option<Value>) {
        let Some(value) = value else { return };
        let start = self.text.len();
        self.text.extend_from_slice(key);
        residual::write_value(&mut self.text, value);
        self.ranges.push((row, start..self.text.len()));
    }

    fn members(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.ranges.iter().map(|(row, range)| (*row, &self.text[range.clone()]))
    }
}

fn set_rows(array: &ArrayRef) -> Box<dyn Iterator<Item = usize> + '_> {
    match array.nulls() {
        Some(nulls) => Box::new(nulls.valid_indices()),
        None => Box::new(0..array.len()),
    }
}

fn value_at(array: &ArrayRef, kind: FieldType, index: usize) -> Option<Value<'_>> {
    Some(match kind {
        FieldType::Timestamp => return None, // pinned: never demoted
        FieldType::Bool => Value::Bool(array.as_boolean_opt()?.value(index)),
        FieldType::I64 => Value::I64(array.as_primitive_opt::<Int64Type>()?.value(index)),
        FieldType::F64 => Value::F64(array.as_primitive_opt::<Float64Type>()?.value(index)),
        FieldType::Str => Value::Str(array.as_string_opt::<i32>()?.value(index)),
        FieldType::Json => Value::Json(array.as_string_opt::<i32>()?.value(index)),
    })
}

/// The union of all columns and residual fields, sorted by path and type.
struct Sources<'a> {
    all: Vec<Source<'a>>,
    rows: usize,
    /// The residual columns by the row they begin at.
    residuals: Vec<(usize, &'a ArrayRef)>,
}

impl<'a> Sources<'a> {
    fn of(batches: &'a [RecordBatch]) -> Result<Self, ArrowError> {
        let mut gatherer = Gatherer::default();
        gatherer.source(Column { path: TIMESTAMP.to_string(), kind: FieldType::Timestamp });
        for batch in batches {
            gatherer.add(batch)?;
        }
        let mut sources = gatherer.sources;
        sources.all.sort_by(|a, b| a.column.cmp(&b.column));
        Ok(sources)
    }

    /// The residual of the `sparse` fields; None when no row has one.
    fn residual(&self, columns: &[&Source], sparse: &[&Source]) -> Result<Option<ArrayRef>, ArrowError> {
        if sparse.iter().all(|source| source.rows() == 0) {
            return Ok(None);
        }
        let unchanged = columns.iter().all(|source| source.members.is_empty());
        if unchanged && sparse.iter().all(|source| source.part_rows == 0) {
            let column = Column { path: RESIDUAL.to_string(), kind: FieldType::Str };
            let whole = Source { column, parts: self.residuals.clone(), part_rows: 0, members: Vec::new() };
            return whole.concatenated(self.rows).map(Some);
        }
        self.rebuilt(sparse).map(Some)
    }

    fn rebuilt(&self, sparse: &[&Source]) -> Result<ArrayRef, ArrowError> {
        let demoted: Vec<Demoted> = sparse.iter().map(|source| source.demoted()).collect();
        let mut members: Vec<(usize, &[u8])> = Vec::with_capacity(sparse.iter().map(|source| source.rows()).sum());
        for (source, demoted) in sparse.iter().zip(&demoted) {
            members.extend(demoted.members());
            members.extend(source.members.iter().map(|(row, member)| (*row, member.text().as_bytes())));
        }
        // Sources come in the order of their paths, so a stable sort leaves each row's keys sorted.
        members.sort_by_key(|(row, _)| *row);
        objects(self.rows, &members)
    }
}

/// One object per row out of members sorted by row; null where a row has none.
fn objects(rows: usize, members: &[(usize, &[u8])]) -> Result<ArrayRef, ArrowError> {
    let text_bytes = members.iter().map(|(_, member)| member.len() + 2).sum();
    check_text_bytes(text_bytes)?;
    let mut text: Vec<u8> = Vec::with_capacity(text_bytes);
    let mut lengths = vec![0; rows];
    for row in members.chunk_by(|(left, _), (right, _)| left == right) {
        let start = text.len();
        text.push(b'{');
        for (_, member) in row {
            text.extend_from_slice(member);
            text.push(b',');
        }
        text.pop();
        text.push(b'}');
        lengths[row[0].0] = text.len() - start;
    }
    let valid: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(StringArray::try_new(offsets, text.into(), Some(valid))?))
}

fn check_text_bytes(bytes: usize) -> Result<(), ArrowError> {
    i32::try_from(bytes).map(drop).map_err(|_| ArrowError::OffsetOverflowError(bytes))
}

/// Which source (index) each column of a schema belongs to; None for the residual.
type Slots = Vec<Option<usize>>;

struct Gatherer<'a> {
    sources: Sources<'a>,
    by_column: HashMap<Column, usize, ahash::RandomState>,
    by_key: HashMap<(&'a str, FieldType), Option<usize>, ahash::RandomState>,
    /// Neighbours mostly have the same schema.
    last: Option<(SchemaRef, Arc<Slots>)>,
}

impl Default for Gatherer<'_> {
    fn default() -> Self {
        let sources = Sources { all: Vec::new(), rows: 0, residuals: Vec::new() };
        Gatherer { sources, by_column: HashMap::default(), by_key: HashMap::default(), last: None }
    }
}

impl<'a> Gatherer<'a> {
    fn add(&mut self, batch: &'a RecordBatch) -> Result<(), ArrowError> {
        let start = self.sources.rows;
        let slots = self.slots(batch.schema_ref())?;
        for (slot, array) in slots.iter().zip(batch.columns()) {
            match slot {
                Some(slot) => self.add_part(*slot, start, array),
                None => self.add_residual(start, array)?,
            }
        }
        self.sources.rows += batch.num_rows();
        Ok(())
    }

    fn add_part(&mut self, slot: usize, start: usize, array: &'a ArrayRef) {
        let source = &mut self.sources.all[slot];
        source.parts.push((start, array));
        source.part_rows += array.len() - array.null_count();
    }

    fn add_residual(&mut self, start: usize, array: &'a ArrayRef) -> Result<(), ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("column {RESIDUAL:?} must be Utf8; cast it first"));
        self.sources.residuals.push((start, array));
        for (row, member) in residual::all_members(array.as_string_opt::<i32>().ok_or_else(wrong)?) {
            if let Some(slot) = self.slot_of(member) {
                self.sources.all[slot].members.push((start + row, member));
            }
        }
        Ok(())
    }

    fn slot_of(&mut self, member: Member<'a>) -> Option<usize> {
        let kind = residual::type_of(member.raw_value())?;
        if let Some(slot) = self.by_key.get(&(member.raw_key(), kind)) {
            return *slot;
        }
        let path = residual::unquote(member.raw_key()).map(|path| path.into_owned());
        let slot = path.map(|path| self.source(Column { path, kind }));
        self.by_key.insert((member.raw_key(), kind), slot);
        slot
    }

    fn slots(&mut self, schema: &SchemaRef) -> Result<Arc<Slots>, ArrowError> {
        if let Some((last, slots)) = &self.last
            && (Arc::ptr_eq(last, schema) || last == schema)
        {
            return Ok(Arc::clone(slots));
        }
        let slots = Arc::new(self.new_slots(schema)?);
        self.last = Some((Arc::clone(schema), Arc::clone(&slots)));
        Ok(slots)
    }

    fn new_slots(&mut self, schema: &Schema) -> Result<Slots, ArrowError> {
        let mut slots = Slots::with_capacity(schema.fields().len());
        for field in schema.fields() {
            slots.push(if field.name() == RESIDUAL { None } else { Some(self.source(column_of(field)?)) });
        }
        if slots.iter().collect::<HashSet<_>>().len() < slots.len() {
            return Err(ArrowError::SchemaError("two columns of a batch hold the same field and type; merge them first".into()));
        }
        Ok(slots)
    }

    fn source(&mut self, column: Column) -> usize {
        let sources = &mut self.sources.all;
        *self.by_column.entry(column).or_insert_with_key(|column| {
            sources.push(Source { column: column.clone(), parts: Vec::new(), part_rows: 0, members: Vec::new() });
            sources.len() - 1
        })
    }
}
