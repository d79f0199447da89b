//! A file read at positions, so that threads share it; counts what was really read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

#[derive(Clone)]
pub struct Source {
    file: Arc<File>,
    bytes: u64,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Open `path`; bytes read are added to `read`.
    pub fn open(path: &Path, read: Arc<AtomicU64>) -> io::Result<Source> {
        let file = File::open(path)?;
        Ok(Source { bytes: file.metadata()?.len(), file: Arc::new(file), read })
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Source {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Cursor { file: Arc::clone(&self.file), at: start, read: Arc::clone(&self.read) }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if self.bytes < start.saturating_add(length as u64) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()); // before memory is taken for it
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(buffer.into())
    }
}

/// Reads on from a position.
pub struct Cursor {
    file: Arc<File>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
