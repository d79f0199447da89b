//! The same combinations of several row groups and fragments as one.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_select::interleave::interleave;

use crate::fragment::Result;

/// All batches as one, with the first of them; as they are when they differ in their columns. The last column is the count.
pub fn merged(batches: Vec<Vec<RecordBatch>>) -> Result<Vec<Vec<RecordBatch>>> {
    let all: Vec<&RecordBatch> = batches.iter().flatten().collect();
    let Some(first) = all.first() else { return Ok(batches) };
    if first.num_columns() < 2 || all.iter().any(|batch| batch.schema() != first.schema()) {
        return Ok(batches);
    }
    let (keys, schema) = (first.num_columns() - 1, first.schema());
    let fields = schema.fields()[..keys].iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let mut places: HashMap<Box<[u8]>, usize, RandomState> = HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
    let (mut picked, mut counts) = (Vec::<(usize, usize)>::new(), Vec::<i64>::new());
    for (number, batch) in all.iter().enumerate() {
        let rows = converter.convert_columns(&batch.columns()[..keys])?;
        let own = batch.column(keys).as_primitive::<Int64Type>().values();
        for (row, count) in own.iter().enumerate() {
            let bytes = rows.row(row);
            match places.get(bytes.as_ref()) {
                Some(place) => counts[*place] += count,
                None => {
                    places.insert(bytes.as_ref().into(), counts.len());
                    picked.push((number, row));
                    counts.push(*count);
                }
            }
        }
    }
    let column = |at: usize| {
        let arrays: Vec<&dyn Array> = all.iter().map(|batch| batch.column(at).as_ref()).collect();
        interleave(&arrays, &picked)
    };
    let mut columns = (0..keys).map(column).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    columns.push(Arc::new(Int64Array::from(counts)));
    let mut found = vec![Vec::new(); batches.len()];
    let at = batches.iter().position(|own| !own.is_empty()).unwrap_or(0);
    found[at].push(RecordBatch::try_new(schema, columns)?);
    Ok(found)
}
