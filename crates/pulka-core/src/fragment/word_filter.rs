//! Word filters: Bloom filters over the hashes of [`crate::text::words`], in blocks of 64 bits.
//!
//! A word sets `BITS` bits of one block, so that adding and asking touch memory once. The number of blocks is a power of
//! two; a filter is made large and folded to the size that its words need. Stored as blocks in little endian.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Bits of a word: measured (docs/design/pruning.md), more do not pay at 8 to 16 bits of filter per word.
const BITS: u32 = 4;
/// Blocks of the largest filter: 512 KiB.
pub const BLOCKS_MAX: usize = 1 << 16;

/// The words of a set of texts; some others seem to be there too, none is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordFilter {
    blocks: Vec<u64>,
}

impl WordFilter {
    /// `blocks` is rounded up to a power of two.
    pub fn new(blocks: usize) -> WordFilter {
        WordFilter { blocks: vec![0; blocks.clamp(1, BLOCKS_MAX).next_power_of_two()] }
    }

    pub fn add(&mut self, hash: u64) {
        let place = place(hash, self.blocks.len());
        self.blocks[place] |= bits(hash);
    }

    pub fn has(&self, hash: u64) -> bool {
        self.blocks[place(hash, self.blocks.len())] & bits(hash) == bits(hash)
    }

    /// Add the words of another filter: a larger one is folded onto this one, a smaller one laid out repeatedly.
    pub fn add_all(&mut self, other: &WordFilter) {
        let (ours, theirs) = (self.blocks.len(), other.blocks.len());
        for index in 0..ours.max(theirs) {
            self.blocks[index & (ours - 1)] |= other.blocks[index & (theirs - 1)];
        }
    }

    /// The share of words that are not there but seem to be.
    pub fn false_positives(&self) -> f64 {
        let chance = |block: &u64| (f64::from(block.count_ones()) / 64.0).powi(BITS as i32);
        self.blocks.iter().map(chance).sum::<f64>() / self.blocks.len() as f64
    }

    /// The smallest filter of the same words with at most this share of false positives; this one if none is.
    pub fn folded(self, false_positives_max: f64) -> WordFilter {
        let mut best = self;
        while best.blocks.len() > 1 {
            let mut half = WordFilter::new(best.blocks.len() / 2);
            half.add_all(&best);
            if half.false_positives() > false_positives_max {
                break;
            }
            best = half;
        }
        best
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.to_le_bytes()).collect()
    }
}

/// Whether a stored filter has every one of these words; so has one that is empty or broken.
pub fn has_all(stored: &[u8], hashes: &[u64]) -> bool {
    let (blocks, rest) = stored.as_chunks::<8>();
    if !rest.is_empty() || !blocks.len().is_power_of_two() {
        return true;
    }
    hashes.iter().all(|hash| u64::from_le_bytes(blocks[place(*hash, blocks.len())]) & bits(*hash) == bits(*hash))
}

/// The block of a word among `count`, a power of two: halves of a filter fold onto each other.
fn place(hash: u64, count: usize) -> usize {
    (hash >> 32) as usize & (count - 1)
}

fn bits(hash: u64) -> u64 {
    (0..BITS).fold(0, |bits, index| bits | 1 << (hash >> (6 * index) & 63))
}

/// How many large filters may be under way at once, shared by the columns of a fragment.
#[derive(Clone)]
pub struct LargeFilters(Arc<AtomicUsize>);

impl LargeFilters {
    pub fn new(count: usize) -> LargeFilters {
        LargeFilters(Arc::new(AtomicUsize::new(count)))
    }

    /// A filter of the largest size, or one that has every word when there is no room.
    fn begin(&self) -> WordFilter {
        match self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => WordFilter::new(BLOCKS_MAX),
            Err(_) => WordFilter { blocks: vec![u64::MAX] },
        }
    }

    fn end(&self, filter: &WordFilter) {
        if filter.blocks.len() == BLOCKS_MAX {
            self.0.fetch_add(1, Relaxed);
        }
    }
}

/// Gathers words in little memory: those that come often are dropped early, and a large filter is only made for many.
pub struct Gatherer {
    large: LargeFilters,
    /// In each slot a hash seen lately; empty while there is none at all.
    recent: Vec<u64>,
    pending: Vec<u64>,
    filter: Option<WordFilter>,
}

const RECENT: usize = 1024;
/// Words held as they are.
const PENDING: usize = 4096;
/// Bits per word of a filter before it is folded.
const ROOM_BITS: usize = 32;

impl Gatherer {
    pub fn new(large: LargeFilters) -> Gatherer {
        Gatherer { large, recent: Vec::new(), pending: Vec::new(), filter: None }
    }

    pub fn add(&mut self, hash: u64) {
        match self.recent.get_mut(hash as usize % RECENT) {
            Some(recent) if *recent == hash => return,
            Some(recent) => *recent = hash,
            None => self.recent = no_words(),
        }
        self.pending.push(hash);
        if self.pending.len() == PENDING {
            self.settle();
        }
    }

    /// Make room: without repetitions if that is enough, else in a filter.
    fn settle(&mut self) {
        if self.filter.is_none() {
            self.pending.sort_unstable();
            self.pending.dedup();
            if self.pending.len() <= PENDING / 2 {
                return;
            }
        }
        let filter = self.filter.get_or_insert_with(|| self.large.begin());
        self.pending.drain(..).for_each(|hash| filter.add(hash));
    }

    /// A filter of what was added, not folded; the gatherer is empty again. Where it can, it has at least `blocks`.
    pub fn take(&mut self, blocks: usize) -> WordFilter {
        self.recent = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        let mut filter = match self.filter.take() {
            Some(filter) => filter,
            None => WordFilter::new((pending.len() * ROOM_BITS / 64).max(blocks)),
        };
        self.large.end(&filter);
        pending.into_iter().for_each(|hash| filter.add(hash));
        filter
    }
}

/// In each slot a hash that belongs to another one.
fn no_words() -> Vec<u64> {
    (0..RECENT as u64).map(|slot| !slot).collect()
}
