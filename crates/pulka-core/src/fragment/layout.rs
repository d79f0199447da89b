//! The columns of a merged fragment, decided from the descriptions of its inputs, and how a batch is brought into them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::stats::Description;
use super::{FragmentOptions, Result};
use crate::batch::field::name_columns;
use crate::batch::normalize::{dense_paths, normalize};
use crate::batch::{Column, FieldType, RESIDUAL, TIMESTAMP};

pub struct Layout {
    pub schema: SchemaRef,
    columns: Vec<Option<Column>>,
    /// Paths that have columns, in the form [`normalize`] takes.
    dense: HashMap<String, FieldType>,
}

impl Layout {
    /// The union of the inputs' columns. A field is dense when the rows known to have it are enough; those in residuals
    /// are not counted (they were sparse in their input), so a field is never promoted too soon.
    pub fn of(inputs: &[&Description], options: &FragmentOptions) -> Layout {
        let rows: u64 = inputs.iter().map(|input| input.rows).sum();
        let counts = counts(inputs);
        let counted = counts.iter().map(|(column, count)| (column, *count));
        let dense = dense_paths(counted, rows as usize, &options.declared, options.columns_max, options.dense_share);
        let mut kept: Vec<(&Column, usize)> = counts.iter().map(|(column, count)| (column, *count)).collect();
        kept.retain(|(column, count)| {
            dense.contains(column.path.as_str()) && (*count > 0 || rank(column, options) < 2)
        });
        kept.sort_by_key(|(column, _)| rank(column, options));
        let sparse = counts.iter().any(|(column, count)| *count > 0 && !dense.contains(column.path.as_str()));
        let dense = dense.into_iter().map(|path| (path.to_string(), FieldType::Json)).collect();
        Layout::new(&kept, sparse, dense, options)
    }

    fn new(kept: &[(&Column, usize)], sparse: bool, dense: HashMap<String, FieldType>, options: &FragmentOptions) -> Layout {
        let naming = kept.iter().map(|(column, count)| ((*column).clone(), *count, rank(column, options) < 2));
        let names = name_columns(&naming.collect::<Vec<_>>());
        let pairs = kept.iter().zip(&names);
        let mut fields: Vec<Field> =
            pairs.map(|((column, _), name)| column.to_arrow(name, rank(column, options) > 0)).collect();
        let mut columns: Vec<Option<Column>> = kept.iter().map(|(column, _)| Some((*column).clone())).collect();
        if sparse {
            fields.push(Field::new(RESIDUAL, DataType::Utf8, true));
            columns.push(None);
        }
        Layout { schema: Arc::new(Schema::new(fields)), columns, dense }
    }

    /// The columns of `schema`; None is the residual.
    pub fn columns(&self) -> &[Option<Column>] {
        &self.columns
    }

    /// Whether the field at `path` has columns.
    pub fn is_dense(&self, path: &str) -> bool {
        self.dense.contains_key(path)
    }

    /// The column that has `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(self.schema.index_of(name).ok()?)?.as_ref()
    }

    /// Whether batches of this input have fields to move between columns and residual.
    pub fn moves(&self, input: &Description) -> bool {
        let columns = input.columns.iter().filter(|column| column.nulls < input.rows);
        columns.map(|column| &column.path).any(|path| !self.dense.contains_key(path))
            || input.residual.keys().any(|path| self.dense.contains_key(path))
    }

    /// Bring a batch into this layout; `moves` as told by [`Layout::moves`].
    pub fn place(&self, batch: &RecordBatch, moves: bool) -> Result<RecordBatch> {
        if !moves {
            return self.select(batch);
        }
        // No room for columns but the dense ones: normalize moves all other fields to the residual.
        self.select(&normalize(std::slice::from_ref(batch), &self.dense, 0, 1.0)?)
    }

    fn select(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let fields = batch.schema_ref().fields().iter().map(|field| Column::of(field));
        let found: HashMap<Option<Column>, &ArrayRef> = fields.zip(batch.columns()).collect();
        let missing = |field: &Field| new_null_array(field.data_type(), batch.num_rows());
        let pairs = self.columns.iter().zip(self.schema.fields());
        let arrays = pairs.map(|(column, field)| found.get(column).map_or_else(|| missing(field), |array| Arc::clone(array)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect())?)
    }
}

/// Rows known to have each column, sorted by path and type; a residual tells only that there are some.
fn counts(inputs: &[&Description]) -> Vec<(Column, usize)> {
    let mut counts: BTreeMap<Column, usize> = BTreeMap::new();
    for input in inputs {
        for described in &input.columns {
            if let Some(column) = described.column() {
                *counts.entry(column).or_default() += input.rows.saturating_sub(described.nulls) as usize;
            }
        }
        for (path, kinds) in &input.residual {
            for kind in kinds.iter().filter_map(|kind| FieldType::parse(kind)) {
                *counts.entry(Column { path: path.clone(), kind }).or_default() += 1;
            }
        }
    }
    counts.into_iter().collect()
}

/// The order of columns, as everywhere: the timestamp, the declared ones, the others.
fn rank(column: &Column, options: &FragmentOptions) -> u8 {
    match column {
        Column { path, kind: FieldType::Timestamp } if path == TIMESTAMP => 0,
        Column { path, kind } if options.declared.get(path) == Some(kind) => 1,
        _ => 2,
    }
}
