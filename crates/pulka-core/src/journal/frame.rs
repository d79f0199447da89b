//! One frame. All integers are little-endian:
//!
//! | offset | bytes | what                                                            |
//! |-------:|------:|-----------------------------------------------------------------|
//! |      0 |     4 | magic `PKJ` and the format version, 1                            |
//! |      4 |     4 | length of the whole frame                                        |
//! |      8 |     4 | CRC32C of everything from offset 12 to the end                   |
//! |     12 |     8 | sequence                                                         |
//! |     20 |     8 | arrival, nanoseconds since 1970 UTC (signed)                     |
//! |     28 |   2+2 | lengths of tenant and table                                      |
//! |     32 |   4+4 | lengths of dedup key (all ones: there is none) and ack           |
//! |     40 |       | tenant, table, dedup key, ack; zeros up to a multiple of 8       |
//! |        |       | Arrow IPC stream: schema and one batch, buffers lz4-compressed   |

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::ArrowError;

pub(super) const MAGIC: [u8; 4] = *b"PKJ\x01";
const PREFIX_BYTES: usize = 12;
const HEADER_BYTES: usize = 40;
const NO_KEY: u32 = u32::MAX;
/// Every Arrow IPC message begins so. Text (UTF-8) cannot contain it, hence no log line can imitate a frame.
const ARROW_CONTINUATION: [u8; 4] = [0xff; 4];

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("not a journal frame of version 1")]
    Format,
    #[error("the journal frame is cut short")]
    Short,
    #[error("the journal frame fails its checksum")]
    Checksum,
    #[error("{0} is too long for a journal frame")]
    TooLong(&'static str),
    #[error("the journal frame holds no readable batch: {0}")]
    Arrow(#[from] ArrowError),
}

/// What goes into a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    pub sequence: u64,
    pub arrival_ns: i64,
    pub tenant: &'a str,
    pub table: &'a str,
    pub dedup_key: Option<&'a str>,
    pub ack: &'a [u8],
    pub batch: &'a RecordBatch,
}

/// What comes out of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub sequence: u64,
    pub arrival_ns: i64,
    pub tenant: String,
    pub table: String,
    pub dedup_key: Option<String>,
    pub ack: Vec<u8>,
    pub batch: RecordBatch,
}

/// Encode one frame. The Arrow writer appends to the frame's own buffer; length and checksum are patched in last.
pub fn encode(frame: &FrameRef) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 2048 + frame.ack.len() + frame.batch.get_array_memory_size() / 3);
    write_header(&mut out, frame)?;
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(&mut out, frame.batch.schema_ref(), options)?;
    writer.write(frame.batch)?;
    writer.finish()?;
    drop(writer);
    seal(&mut out)?;
    Ok(out)
}

fn write_header(out: &mut Vec<u8>, frame: &FrameRef) -> Result<(), FrameError> {
    let key_bytes = match frame.dedup_key {
        Some(key) => u32::try_from(key.len())
            .ok()
            .filter(|&length| length != NO_KEY)
            .ok_or(FrameError::TooLong("the dedup key"))?,
        None => NO_KEY,
    };
    let tenant_bytes = u16::try_from(frame.tenant.len()).map_err(|_| FrameError::TooLong("the tenant"))?;
    let table_bytes = u16::try_from(frame.table.len()).map_err(|_| FrameError::TooLong("the table"))?;
    let ack_bytes = u32::try_from(frame.ack.len()).map_err(|_| FrameError::TooLong("the answer"))?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; PREFIX_BYTES - MAGIC.len()]);
    out.extend_from_slice(&frame.sequence.to_le_bytes());
    out.extend_from_slice(&frame.arrival_ns.to_le_bytes());
    out.extend_from_slice(&tenant_bytes.to_le_bytes());
    out.extend_from_slice(&table_bytes.to_le_bytes());
    out.extend_from_slice(&key_bytes.to_le_bytes());
    out.extend_from_slice(&ack_bytes.to_le_bytes());
    out.extend_from_slice(frame.tenant.as_bytes());
    out.extend_from_slice(frame.table.as_bytes());
    out.extend_from_slice(frame.dedup_key.unwrap_or_default().as_bytes());
    out.extend_from_slice(frame.ack);
    out.resize(out.len().next_multiple_of(8), 0);
    Ok(())
}

fn seal(out: &mut [u8]) -> Result<(), FrameError> {
    let length = u32::try_from(out.len()).map_err(|_| FrameError::TooLong("the batch"))?;
    let checksum = crc32c::crc32c(&out[PREFIX_BYTES..]);
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out[8..12].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Decode exactly one frame.
pub fn decode(data: &[u8]) -> Result<Frame, FrameError> {
    let header = Header::check(data)?;
    if header.length != data.len() {
        return Err(FrameError::Format);
    }
    let mut rest = &data[HEADER_BYTES..header.body];
    let tenant = text(&mut rest, header.tenant_bytes)?;
    let table = text(&mut rest, header.table_bytes)?;
    let dedup_key = header.key_bytes.map(|length| text(&mut rest, length)).transpose()?;
    let ack = take(&mut rest, header.ack_bytes)?.to_vec();
    let batch = StreamReader::try_new(&data[header.body..], None)?.next().ok_or(FrameError::Format)??;
    Ok(Frame { sequence: header.sequence, arrival_ns: header.arrival_ns, tenant, table, dedup_key, ack, batch })
}

/// The fixed part of a frame whose checksum holds.
pub(super) struct Header {
    pub sequence: u64,
    pub length: usize,
    arrival_ns: i64,
    tenant_bytes: usize,
    table_bytes: usize,
    key_bytes: Option<usize>,
    ack_bytes: usize,
    /// Offset of the Arrow IPC stream.
    body: usize,
}

impl Header {
    /// Read the frame at the start of `data` and verify it. `Short` means that more bytes could make it good.
    pub fn check(data: &[u8]) -> Result<Header, FrameError> {
        let header = Header::read(data)?;
        let frame = data.get(..header.length).ok_or(FrameError::Short)?;
        // Shape before checksum: a search over damaged bytes must stay cheap.
        if !frame.get(header.body..).is_some_and(|body| body.starts_with(&ARROW_CONTINUATION)) {
            return Err(FrameError::Format);
        }
        let stored = u32::from_le_bytes(array(frame, 8)?);
        if crc32c::crc32c(&frame[PREFIX_BYTES..]) != stored {
            return Err(FrameError::Checksum);
        }
        Ok(header)
    }

    fn read(data: &[u8]) -> Result<Header, FrameError> {
        let seen = data.len().min(MAGIC.len());
        if data[..seen] != MAGIC[..seen] {
            return Err(FrameError::Format);
        }
        let key_bytes = u32::from_le_bytes(array(data, 32)?);
        let mut header = Header {
            length: u32::from_le_bytes(array(data, 4)?) as usize,
            sequence: u64::from_le_bytes(array(data, 12)?),
            arrival_ns: i64::from_le_bytes(array(data, 20)?),
            tenant_bytes: u16::from_le_bytes(array(data, 28)?).into(),
            table_bytes: u16::from_le_bytes(array(data, 30)?).into(),
            key_bytes: (key_bytes != NO_KEY).then_some(key_bytes as usize),
            ack_bytes: u32::from_le_bytes(array(data, 36)?) as usize,
            body: 0,
        };
        // Two u16 and two u32 cannot overflow a 64-bit usize.
        let names = header.tenant_bytes + header.table_bytes + header.key_bytes.unwrap_or(0) + header.ack_bytes;
        header.body = (HEADER_BYTES + names).next_multiple_of(8);
        if header.body >= header.length { Err(FrameError::Format) } else { Ok(header) }
    }
}

/// The length a frame claims, when it begins like one; nothing else of it is checked.
pub(super) fn claimed_length(data: &[u8]) -> Option<usize> {
    let length = data.strip_prefix(&MAGIC)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*length) as usize)
}

fn array<const N: usize>(data: &[u8], offset: usize) -> Result<[u8; N], FrameError> {
    data.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(FrameError::Short)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], FrameError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(FrameError::Format)?;
    *rest = tail;
    Ok(head)
}

fn text(rest: &mut &[u8], length: usize) -> Result<String, FrameError> {
    let bytes = take(rest, length)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::Format)
}
