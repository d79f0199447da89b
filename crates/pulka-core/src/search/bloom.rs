//! One look into a Bloom filter of a column chunk: the one block of 32 bytes that a value falls in, not the whole filter.

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;
use xxhash_rust::xxh64::xxh64;

use super::source::Source;
use crate::fragment::Result;

/// Bytes of a block; a value sets and asks bits of one block only.
const BLOCK_BYTES: u64 = 32;
/// More than any header has.
const HEADER_BYTES_MAX: u64 = 24;

/// The place of a filter's bits.
pub struct Filter {
    start: u64,
    blocks: u64,
}

impl Filter {
    /// None when the column has no filter, or one of another build than the format knows today.
    pub fn of(source: &Source, chunk: &ColumnChunkMetaData) -> Result<Option<Filter>> {
        let (Some(start), Some(length)) = (chunk.bloom_filter_offset(), chunk.bloom_filter_length()) else { return Ok(None) };
        let (start, length) = (start.max(0) as u64, length.max(0) as u64);
        let header = source.get_bytes(start, length.min(HEADER_BYTES_MAX) as usize)?;
        Ok(bitset_bytes(&header).filter(|bytes| *bytes > 0 && bytes % BLOCK_BYTES == 0 && *bytes < length).map(|bytes| Filter {
            start: start + length - bytes,
            blocks: bytes / BLOCK_BYTES,
        }))
    }

    /// False when no value of the column is `text`.
    pub fn may_hold(&self, source: &Source, text: &str) -> Result<bool> {
        let block = ((xxh64(text.as_bytes(), 0) >> 32) * self.blocks) >> 32;
        let bytes: Bytes = source.get_bytes(self.start + block * BLOCK_BYTES, BLOCK_BYTES as usize)?;
        Ok(Sbbf::new(&bytes).check(&text)) // a filter of one block: the value falls in it
    }
}

/// `numBytes` of a header in Thrift's compact form: the first field, a zigzag varint.
fn bitset_bytes(header: &Bytes) -> Option<u64> {
    const FIRST_FIELD_I32: u8 = 0x15;
    let (kind, digits) = header.split_first()?;
    let mut value = 0_u64;
    for (place, byte) in digits.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (*kind == FIRST_FIELD_I32).then_some(value >> 1);
        }
    }
    None
}
