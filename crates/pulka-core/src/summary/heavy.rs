//! The most frequent texts of a stream, with bounds on their counts.
//!
//! Frequent Items as in Anderson et al. 2017 (the batched form of Misra-Gries): counters are let fill up, then the median is
//! taken off all of them. A count is too low by at most `slack`, and `slack` is at most a `capacity`-th of the stream.

use ahash::RandomState;
use hashbrown::HashMap;

/// Longer texts are cut before they are counted, so texts that differ behind this count as one.
pub const TEXT_BYTES_MAX: usize = 160;
/// What an entry takes beside its text: the key, the counter, the slot and the allocation's head.
const ENTRY_BYTES: usize = 48;

#[derive(Clone, Debug)]
pub struct Heavy {
    counts: HashMap<Box<str>, u64, RandomState>,
    capacity: usize,
    slack: u64,
    text_bytes: usize,
}

impl Heavy {
    /// Keeps between `capacity` and twice as many texts.
    pub fn new(capacity: usize) -> Heavy {
        let hasher = RandomState::with_seeds(1, 2, 3, 4); // the same answer every time
        Heavy { counts: HashMap::with_hasher(hasher), capacity: capacity.max(1), slack: 0, text_bytes: 0 }
    }

    pub fn add(&mut self, text: &str, times: u64) {
        let text = cut(text, TEXT_BYTES_MAX);
        if let Some(count) = self.counts.get_mut(text) {
            *count += times;
            return;
        }
        if self.counts.len() >= 2 * self.capacity {
            self.purge();
        }
        self.text_bytes += text.len();
        self.counts.insert(text.into(), times);
    }

    /// Keep fewer texts from now on.
    pub fn shrink(&mut self, capacity: usize) {
        self.capacity = capacity.clamp(1, self.capacity);
        while self.counts.len() > 2 * self.capacity {
            self.purge();
        }
        self.counts.shrink_to_fit();
    }

    fn purge(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let keep = self.capacity.min(counts.len() - 1);
        let at = counts.len() - 1 - keep;
        let (_, cut_off, _) = counts.select_nth_unstable(at);
        let cut_off = *cut_off;
        self.counts.retain(|_, count| *count > cut_off);
        self.counts.values_mut().for_each(|count| *count -= cut_off);
        self.text_bytes = self.counts.keys().map(|text| text.len()).sum();
        self.slack += cut_off;
    }

    /// How much higher any count may be; that of a text that is not kept is 0 here. 0: all counts are exact.
    pub fn slack(&self) -> u64 {
        self.slack
    }

    pub fn is_exact(&self) -> bool {
        self.slack == 0
    }

    /// The count of a text, from below.
    pub fn count(&self, text: &str) -> u64 {
        self.counts.get(cut(text, TEXT_BYTES_MAX)).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (&**text, *count))
    }

    pub fn bytes(&self) -> usize {
        self.text_bytes + self.counts.len() * ENTRY_BYTES
    }
}

/// The beginning of a text, at most so many bytes of whole characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max { text } else { &text[..text.floor_char_boundary(bytes_max)] }
}
