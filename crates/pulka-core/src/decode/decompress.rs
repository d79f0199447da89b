//! Compressed bodies to plain ones, never past a limit.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use thiserror::Error;

const CHUNK_BYTES: usize = 64 << 10;
/// What a zstd frame may ask for as its window, as a power of two: level 19 asks for the least, nothing for more than the most.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecompressError {
    #[error("the decompressed body is larger than {limit} bytes; send less at once")]
    TooLarge { limit: usize },
    #[error("the body is not complete and valid {encoding}; compress it again or send it without Content-Encoding")]
    Broken { encoding: &'static str },
    #[error("the encoding is not known; use gzip, zstd, deflate or identity")]
    UnknownEncoding,
}

/// Decompress `body`; the result and all that is held meanwhile stay within `limit` bytes (and a chunk).
pub fn decompress(body: &[u8], encoding: &str, limit: usize) -> Result<Vec<u8>, DecompressError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => identity(body, limit),
        "gzip" | "x-gzip" => read_all(MultiGzDecoder::new(body), "gzip", limit),
        "deflate" => deflate(body, limit),
        "zstd" => zstd(body, limit),
        _ => Err(DecompressError::UnknownEncoding),
    }
}

fn identity(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    if body.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(body.to_vec())
}

/// `deflate` means zlib, but some clients send the raw stream.
fn deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut zlib = ZlibDecoder::new(body);
    match read_all(&mut zlib, "deflate", limit) {
        Ok(plain) if zlib.total_in() == body.len() as u64 => Ok(plain),
        Err(too_large @ DecompressError::TooLarge { .. }) => Err(too_large),
        _ => raw_deflate(body, limit),
    }
}

fn raw_deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut raw = DeflateDecoder::new(body);
    let plain = read_all(&mut raw, "deflate", limit)?;
    if raw.total_in() != body.len() as u64 {
        return Err(DecompressError::Broken { encoding: "deflate" });
    }
    Ok(plain)
}

fn zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let broken = |_| DecompressError::Broken { encoding: "zstd" };
    let window_log = usize::BITS - limit.leading_zeros();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
    decoder.window_log_max(window_log.clamp(*ZSTD_WINDOW_LOG.start(), *ZSTD_WINDOW_LOG.end())).map_err(broken)?;
    read_all(decoder, "zstd", limit)
}

fn read_all(mut reader: impl Read, encoding: &'static str, limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut plain = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(plain),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(DecompressError::Broken { encoding }),
        };
        if read > limit - plain.len() {
            return Err(DecompressError::TooLarge { limit });
        }
        grow(&mut plain, read, limit);
        plain.extend_from_slice(&chunk[..read]);
    }
}

/// Double the capacity as a vector does, but never beyond the limit.
fn grow(plain: &mut Vec<u8>, more: usize, limit: usize) {
    let needed = plain.len() + more;
    if needed > plain.capacity() {
        let capacity = plain.capacity().saturating_mul(2).clamp(needed, limit);
        plain.reserve_exact(capacity - plain.len());
    }
}
