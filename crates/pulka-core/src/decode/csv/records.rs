//! The records of a CSV body with the physical line where each begins.

use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;

pub struct Record<'r> {
    pub line: usize,
    /// Bytes it takes in the body.
    pub bytes: usize,
    /// False when a quote is open at the end of the body.
    pub is_whole: bool,
    text: &'r [u8],
    ends: &'r [usize],
}

impl<'r> Record<'r> {
    pub fn cells(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        let (text, mut start) = (self.text, 0);
        self.ends.iter().map(move |end| &text[std::mem::replace(&mut start, *end)..*end])
    }
}

pub struct Records<'b> {
    reader: Reader,
    rest: &'b [u8],
    line: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// How far one record got: bytes of the body, of the unquoted text, and cells.
#[derive(Default)]
struct Progress {
    read: usize,
    text: usize,
    cells: usize,
}

impl<'b> Records<'b> {
    pub fn new(body: &'b [u8], first_line: usize) -> Self {
        let rest = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        Records { reader: Reader::new(), rest, line: first_line, text: vec![0; 4096], ends: vec![0; 64] }
    }

    /// The next record; blank lines are none.
    pub fn next(&mut self) -> Option<Record<'_>> {
        let blank = self.rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.advance(blank);
        if self.rest.is_empty() {
            return None;
        }
        let mut progress = Progress::default();
        let is_whole = self.read(self.rest, &mut progress) || self.read_end(&mut progress);
        let (line, bytes) = (self.line, progress.read);
        self.advance(bytes);
        Some(Record { line, bytes, is_whole, text: &self.text[..progress.text], ends: &self.ends[..progress.cells] })
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += memchr_iter(b'\n', passed).count();
        self.rest = rest;
    }

    /// The last line may lack its end: give it one. Only an open quote takes that for text.
    fn read_end(&mut self, progress: &mut Progress) -> bool {
        let read = progress.read;
        let is_whole = self.read(b"\n", progress);
        progress.read = read;
        is_whole
    }

    /// Read on through `input`. True when the record ended within it.
    fn read(&mut self, input: &[u8], progress: &mut Progress) -> bool {
        let mut at = 0;
        loop {
            let (text, ends) = (&mut self.text[progress.text..], &mut self.ends[progress.cells..]);
            let (result, read, written, ended) = self.reader.read_record(&input[at..], text, ends);
            at += read;
            progress.read += read;
            progress.text += written;
            progress.cells += ended;
            match result {
                ReadRecordResult::Record => return true,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return false,
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }
}
