//! The file of a fragment: made new, checksummed while it is written, sealed with its own size and checksum, gone when
//! anything fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::{KEY_CRC32C, Result, invalid};

/// Stands for the file's size in the description until the size is known.
pub const BYTES_PLACEHOLDER: u64 = 99_999_999_999_999;
/// Stands for the checksum while it is computed.
pub const CRC_PLACEHOLDER: &str = "00000000";

/// A file that did not exist before; removed on drop unless it was kept.
pub struct NewFile {
    path: PathBuf,
    kept: bool,
}

impl NewFile {
    pub fn create(path: &Path) -> io::Result<(NewFile, Checksummed)> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok((NewFile { path: path.to_path_buf(), kept: false }, Checksummed { file, bytes: 0, crc: 0 }))
    }

    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path); // the first error is the one that is reported
        }
    }
}

/// Counts and checksums what goes to the file.
pub struct Checksummed {
    file: File,
    bytes: u64,
    crc: u32,
}

impl Write for Checksummed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.bytes += written as u64;
        self.crc = crc32c::crc32c_append(self.crc, &buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Checksummed {
    /// Where the pages end and the footer will begin.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, crc: self.crc }
    }

    /// Put size and checksum into the footer, which begins at `mark`, and make the file durable. Returns the size.
    pub fn seal(mut self, mark: Mark) -> Result<u64> {
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(mark.bytes))?;
        self.file.read_to_end(&mut tail)?;
        let bytes = mark.bytes + tail.len() as u64;
        patch_bytes(&mut tail, bytes)?;
        let crc = crc32c::crc32c_append(mark.crc, &tail);
        let Some(at) = crc_position(&tail) else { return invalid("the footer lost its checksum; this is a bug") };
        tail[at..at + CRC_PLACEHOLDER.len()].copy_from_slice(format!("{crc:08x}").as_bytes());
        self.file.seek(SeekFrom::Start(mark.bytes))?;
        self.file.write_all(&tail)?;
        self.file.sync_all()?;
        Ok(bytes)
    }
}

/// A place in the file and the checksum up to it.
#[derive(Clone, Copy)]
pub struct Mark {
    bytes: u64,
    crc: u32,
}

/// The size as it stands in the description: as wide as its placeholder, so that nothing moves.
pub fn bytes_text(bytes: u64) -> String {
    format!("\"bytes\":{bytes:>14},")
}

fn patch_bytes(tail: &mut [u8], bytes: u64) -> Result<()> {
    let Some(at) = memmem::rfind(tail, bytes_text(BYTES_PLACEHOLDER).as_bytes()) else {
        return invalid("the footer lost its description; this is a bug");
    };
    let text = bytes_text(bytes);
    tail[at..at + text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// Where the digits of the checksum stand: after the key and, in Thrift's compact form, a field header and a length.
fn crc_position(tail: &[u8]) -> Option<usize> {
    let at = memmem::rfind(tail, KEY_CRC32C.as_bytes())? + KEY_CRC32C.len() + 2;
    (at + CRC_PLACEHOLDER.len() <= tail.len()).then_some(at)
}

/// Whether the bytes of a file are those that were written.
pub fn check_crc(file: &mut File, stored: &str) -> Result<()> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let start = footer_start(file, bytes)?;
    file.seek(SeekFrom::Start(start))?;
    let mut footer = Vec::new();
    file.read_to_end(&mut footer)?;
    if let Some(at) = crc_position(&footer) {
        footer[at..at + CRC_PLACEHOLDER.len()].copy_from_slice(CRC_PLACEHOLDER.as_bytes());
    }
    let crc = crc32c::crc32c_append(crc_of_first(file, start)?, &footer);
    if format!("{crc:08x}") != stored {
        return invalid("the checksum is not the one that was written: bytes of the file have changed");
    }
    Ok(())
}

/// A Parquet file ends with the footer, its length and `PAR1`.
fn footer_start(file: &mut File, bytes: u64) -> Result<u64> {
    let mut length = [0; 4];
    file.seek(SeekFrom::Start(bytes.saturating_sub(8)))?;
    file.read_exact(&mut length)?;
    match bytes.checked_sub(8 + u64::from(u32::from_le_bytes(length))) {
        Some(start) => Ok(start),
        None => invalid("the footer's length is wrong: bytes of the file have changed"),
    }
}

fn crc_of_first(file: &mut File, bytes: u64) -> Result<u32> {
    file.seek(SeekFrom::Start(0))?;
    let mut rest = file.take(bytes);
    let (mut crc, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(crc),
            count => crc = crc32c::crc32c_append(crc, &buffer[..count]),
        }
    }
}
