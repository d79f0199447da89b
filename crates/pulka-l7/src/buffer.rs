//! What one party has sent and no decoder has taken, with the time each byte arrived.

use std::collections::VecDeque;

use crate::decoder::Input;

/// Chunks of which the arrival is kept apart; more at once share the last one's.
const MARKS: usize = 1024;

#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    position: u64,
    /// Where chunks begin, with their arrival in ns.
    marks: VecDeque<(u64, i64)>,
    skip: u64,
    taken_ns: i64,
}

impl Buffer {
    pub fn input(&self) -> Input<'_> {
        Input { bytes: &self.bytes[self.start..], position: self.position, marks: &self.marks, taken_ns: self.taken_ns }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn skipping(&self) -> bool {
        self.skip > 0
    }

    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.marks.capacity() * size_of::<(u64, i64)>()
    }

    /// Appends a chunk, or the next piece of one. True when a skip ended within it.
    pub fn push(&mut self, at_ns: i64, data: &[u8], begins_chunk: bool) -> bool {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(data.len());
        if skipped > 0 {
            self.skip -= skipped as u64;
            self.position += skipped as u64;
            self.taken_ns = at_ns;
        }
        let kept = &data[skipped..];
        if !kept.is_empty() {
            if (begins_chunk || skipped > 0 || self.marks.is_empty()) && self.marks.len() < MARKS {
                self.marks.push_back((self.position + self.len() as u64, at_ns));
            }
            self.bytes.extend_from_slice(kept);
        }
        skipped > 0 && self.skip == 0
    }

    pub fn take(&mut self, count: usize) {
        let count = count.min(self.len());
        if count == 0 {
            return;
        }
        self.taken_ns = self.input().ns_at(count - 1);
        self.start += count;
        self.position += count as u64;
        while self.marks.len() > 1 && self.marks[1].0 <= self.position {
            self.marks.pop_front();
        }
        if self.is_empty() {
            self.forget();
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    pub fn skip(&mut self, count: u64) {
        let here = count.min(self.len() as u64);
        self.take(here as usize);
        self.skip = count - here;
    }

    /// Discards up to where the next chunk begins.
    pub fn lose_chunk(&mut self) {
        let next = self.marks.iter().find(|(start, _)| *start > self.position).map(|(start, _)| *start);
        self.take(next.map_or(self.len(), |start| (start - self.position) as usize));
    }

    /// `count` bytes are missing after those that are there. True when they all belong to a payload that is skipped.
    pub fn gap(&mut self, count: u64) -> bool {
        self.position += count;
        if self.is_empty() && self.skip >= count {
            self.skip -= count;
            return true;
        }
        self.position += self.len() as u64;
        self.skip = 0;
        self.forget();
        false
    }

    /// Drops what is buffered, and its memory when it is much.
    fn forget(&mut self) {
        self.start = 0;
        self.bytes.clear();
        self.marks.clear();
        if self.bytes.capacity() > 2048 {
            self.bytes = Vec::new();
        }
        if self.marks.capacity() > 64 {
            self.marks = VecDeque::new();
        }
    }
}
