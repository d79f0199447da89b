//! Puts rows of several arrays into one, run by run: what lies together is copied together.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};

/// Rows of one array that follow each other in the result too.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub array: usize,
    pub start: usize,
    pub rows: usize,
}

/// The rows of `pieces`, `rows` together; the arrays have one type, one that columns of event batches have.
pub fn gather(arrays: &[ArrayRef], pieces: &[Piece], rows: usize) -> Result<ArrayRef, ArrowError> {
    if let [piece] = pieces {
        return Ok(arrays[piece.array].slice(piece.start, piece.rows));
    }
    let nulls = nulls(arrays, pieces, rows);
    Ok(match arrays[0].data_type() {
        DataType::Utf8 => Arc::new(texts(arrays, pieces, rows, nulls)?),
        DataType::Boolean => {
            let values: Vec<&BooleanBuffer> = arrays.iter().map(|array| array.as_boolean().values()).collect();
            Arc::new(BooleanArray::new(bits(&values, pieces, rows), nulls))
        }
        DataType::Int64 => Arc::new(primitives::<Int64Type>(arrays, pieces, rows, nulls)),
        DataType::Float64 => Arc::new(primitives::<Float64Type>(arrays, pieces, rows, nulls)),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let times = primitives::<TimestampNanosecondType>(arrays, pieces, rows, nulls);
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        other => return Err(ArrowError::SchemaError(format!("a column of type {other}, which no event batch has"))),
    })
}

fn nulls(arrays: &[ArrayRef], pieces: &[Piece], rows: usize) -> Option<NullBuffer> {
    if arrays.iter().all(|array| array.null_count() == 0) {
        return None;
    }
    let all = |array: &ArrayRef| BooleanBuffer::new_set(array.len());
    let valid: Vec<BooleanBuffer> = arrays.iter().map(|array| array.nulls().map_or_else(|| all(array), |nulls| nulls.inner().clone())).collect();
    Some(NullBuffer::new(bits(&valid.iter().collect::<Vec<_>>(), pieces, rows)))
}

fn bits(arrays: &[&BooleanBuffer], pieces: &[Piece], rows: usize) -> BooleanBuffer {
    let mut gathered = BooleanBufferBuilder::new(rows);
    for piece in pieces {
        let bits = arrays[piece.array];
        match piece.rows {
            1 => gathered.append(bits.value(piece.start)),
            rows => gathered.append_buffer(&bits.slice(piece.start, rows)),
        }
    }
    gathered.finish()
}

fn primitives<T: ArrowPrimitiveType>(arrays: &[ArrayRef], pieces: &[Piece], rows: usize, nulls: Option<NullBuffer>) -> PrimitiveArray<T> {
    let sources: Vec<&[T::Native]> = arrays.iter().map(|array| array.as_primitive::<T>().values().as_ref()).collect();
    let mut values: Vec<T::Native> = Vec::with_capacity(rows);
    for piece in pieces {
        values.extend_from_slice(&sources[piece.array][piece.start..piece.start + piece.rows]);
    }
    PrimitiveArray::new(values.into(), nulls)
}

fn texts(arrays: &[ArrayRef], pieces: &[Piece], rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
    let sources: Vec<(&[i32], &[u8])> = arrays.iter().map(|array| parts(array.as_string())).collect();
    let bounds = |piece: &Piece| &sources[piece.array].0[piece.start..=piece.start + piece.rows];
    let bytes: usize = pieces.iter().map(|piece| (bounds(piece)[piece.rows] - bounds(piece)[0]) as usize).sum();
    i32::try_from(bytes).map_err(|_| ArrowError::OffsetOverflowError(bytes))?;
    let (mut offsets, mut values) = (Vec::with_capacity(rows + 1), Vec::with_capacity(bytes));
    offsets.push(0);
    for piece in pieces {
        let bounds = bounds(piece);
        let (first, moved) = (bounds[0], values.len() as i32);
        values.extend_from_slice(&sources[piece.array].1[first as usize..bounds[piece.rows] as usize]);
        offsets.extend(bounds[1..].iter().map(|offset| offset - first + moved));
    }
    StringArray::try_new(OffsetBuffer::new(offsets.into()), values.into(), nulls)
}

fn parts(texts: &StringArray) -> (&[i32], &[u8]) {
    (texts.value_offsets(), texts.value_data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_pieces() {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None, Some("ccc"), Some("")])),
            Arc::new(StringArray::from(vec!["é", "f"])),
        ];
        let pieces = [(1, 1, 1), (0, 1, 3), (1, 0, 2), (0, 0, 1)].map(|(array, start, rows)| Piece { array, start, rows });
        let expected = StringArray::from(vec![Some("f"), None, Some("ccc"), Some(""), Some("é"), Some("f"), Some("a")]);
        assert_eq!(gather(&arrays, &pieces, 7).unwrap().as_string::<i32>(), &expected);
    }

    #[test]
    fn booleans_and_numbers_keep_their_nulls() {
        let pieces = [(1, 0, 1), (0, 0, 2), (1, 1, 1)].map(|(array, start, rows)| Piece { array, start, rows });
        let flags: Vec<ArrayRef> = vec![Arc::new(BooleanArray::from(vec![Some(true), None])), Arc::new(BooleanArray::from(vec![false, true]))];
        let expected = BooleanArray::from(vec![Some(false), Some(true), None, Some(true)]);
        assert_eq!(gather(&flags, &pieces, 4).unwrap().as_boolean(), &expected);
        let numbers: Vec<ArrayRef> = vec![
            Arc::new(PrimitiveArray::<Int64Type>::from(vec![Some(1), None])),
            Arc::new(PrimitiveArray::<Int64Type>::from(vec![2, 3])),
        ];
        let expected = PrimitiveArray::<Int64Type>::from(vec![Some(2), Some(1), None, Some(3)]);
        assert_eq!(gather(&numbers, &pieces, 4).unwrap().as_primitive::<Int64Type>(), &expected);
    }
}
