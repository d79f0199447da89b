//! Journal frames: one acknowledged batch with its length and checksum, and the walk over a segment of them.
//!
//! Layout, little endian: `PJ1\n`, payload length u32, CRC32C of the payload u32, payload. Payload: sequence u64,
//! arrival i64 (ns), lengths of tenant u16, table u16, dedup key u16 (0xFFFF: none), ack u32, then those bytes, then an Arrow
//! IPC stream of one batch with LZ4 buffers.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::ArrowError;

pub const MAGIC: &[u8; 4] = b"PJ1\n";
const HEADER: usize = 12;
const FIXED: usize = 26;
const NO_KEY: u16 = u16::MAX;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the journal frame is broken: {0}")]
    Broken(&'static str),
    #[error("the journal frame cannot hold {0} of {1} bytes")]
    TooLong(&'static str, usize),
    #[error("the batch of a journal frame cannot be read: {0}")]
    Arrow(#[from] ArrowError),
}

/// What a frame says besides its batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub sequence: u64,
    /// Nanoseconds since 1970 UTC.
    pub arrival_ns: i64,
    pub tenant: String,
    pub table: String,
    pub dedup_key: Option<String>,
    pub ack: Vec<u8>,
}

/// One frame as bytes.
pub fn encode(header: &Header, batch: &RecordBatch) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(batch.get_array_memory_size() / 2 + 4096);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 8]);
    encode_header(header, &mut out)?;
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(out, &batch.schema(), options)?;
    writer.write(batch)?;
    let mut out = writer.into_inner()?;
    let length = u32::try_from(out.len() - HEADER).map_err(|_| FrameError::TooLong("a batch", out.len()))?;
    let checksum = crc32c::crc32c(&out[HEADER..]);
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out[8..12].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

fn encode_header(header: &Header, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let short = |what, text: &str| match u16::try_from(text.len()) {
        Ok(length) if length != NO_KEY => Ok(length),
        _ => Err(FrameError::TooLong(what, text.len())),
    };
    let key = match &header.dedup_key {
        Some(key) => short("a key", key)?,
        None => NO_KEY,
    };
    let ack = u32::try_from(header.ack.len()).map_err(|_| FrameError::TooLong("an answer", header.ack.len()))?;
    out.extend_from_slice(&header.sequence.to_le_bytes());
    out.extend_from_slice(&header.arrival_ns.to_le_bytes());
    out.extend_from_slice(&short("a tenant", &header.tenant)?.to_le_bytes());
    out.extend_from_slice(&short("a table", &header.table)?.to_le_bytes());
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(&ack.to_le_bytes());
    out.extend_from_slice(header.tenant.as_bytes());
    out.extend_from_slice(header.table.as_bytes());
    out.extend_from_slice(header.dedup_key.as_deref().unwrap_or("").as_bytes());
    out.extend_from_slice(&header.ack);
    Ok(())
}

/// Read one frame; an error when its checksum or its format is wrong.
pub fn decode(frame: &[u8]) -> Result<(Header, RecordBatch), FrameError> {
    let payload = payload_at(frame, 0).ok_or(FrameError::Broken("its length or checksum is wrong"))?;
    if payload.len() + HEADER != frame.len() {
        return Err(FrameError::Broken("bytes follow its end"));
    }
    let (header, body) = decode_header(payload)?;
    let mut reader = StreamReader::try_new(Cursor::new(body), None)?;
    let batch = reader.next().ok_or(FrameError::Broken("it holds no batch"))??;
    Ok((header, batch))
}

fn decode_header(payload: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let short = FrameError::Broken("its header is too short");
    let (fixed, mut rest) = payload.split_at_checked(FIXED).ok_or(short)?;
    let key_length = read_u16(fixed, 20);
    let mut text = |length: usize| -> Result<String, FrameError> {
        let (head, tail) = rest.split_at_checked(length).ok_or(FrameError::Broken("its header is too short"))?;
        rest = tail;
        String::from_utf8(head.to_vec()).map_err(|_| FrameError::Broken("its header is not UTF-8"))
    };
    let tenant = text(read_u16(fixed, 16) as usize)?;
    let table = text(read_u16(fixed, 18) as usize)?;
    let dedup_key = if key_length == NO_KEY { None } else { Some(text(key_length as usize)?) };
    let ack_length = read_u32(fixed, 22) as usize;
    let (ack, body) = rest.split_at_checked(ack_length).ok_or(FrameError::Broken("its header is too short"))?;
    let header = Header {
        sequence: read_u64(fixed, 0),
        arrival_ns: read_u64(fixed, 8) as i64,
        tenant,
        table,
        dedup_key,
        ack: ack.to_vec(),
    };
    Ok((header, body))
}

/// Where a good frame lies in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub sequence: u64,
    pub offset: usize,
    pub length: usize,
}

/// The good frames of a segment, the bad ranges between them, and where the last good frame ends (a torn tail may follow).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walk {
    pub frames: Vec<Place>,
    pub corrupt: Vec<(usize, usize)>,
    pub good_end: usize,
}

/// Walk all frames of a segment. Bad bytes before a good frame are corrupt; bad bytes at the end are a torn tail.
pub fn scan(data: &[u8]) -> Walk {
    let mut walk = Walk::default();
    let mut at = 0;
    while at < data.len() {
        match payload_at(data, at) {
            Some(payload) if payload.len() >= FIXED => {
                if at > walk.good_end {
                    walk.corrupt.push((walk.good_end, at));
                }
                let length = payload.len() + HEADER;
                walk.frames.push(Place { sequence: read_u64(payload, 0), offset: at, length });
                at += length;
                walk.good_end = at;
            }
            _ => match memchr::memmem::find(&data[at + 1..], MAGIC) {
                Some(step) => at += 1 + step,
                None => break,
            },
        }
    }
    walk
}

fn payload_at(data: &[u8], at: usize) -> Option<&[u8]> {
    let head = data.get(at..at.checked_add(HEADER)?)?;
    if &head[..4] != MAGIC {
        return None;
    }
    let start = at + HEADER;
    let payload = data.get(start..start.checked_add(read_u32(head, 4) as usize)?)?;
    (crc32c::crc32c(payload) == read_u32(head, 8)).then_some(payload)
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(read_u32(bytes, at)) | u64::from(read_u32(bytes, at + 4)) << 32
}
