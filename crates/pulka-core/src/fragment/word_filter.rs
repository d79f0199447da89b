//! Word filters: Bloom filters over the hashes of [`crate::text::words`], in blocks of 64 bits.
//!
//! A word sets `BITS` bits of one block, so that adding and asking touch memory once. The number of blocks is a power of
//! two; a filter is made large and folded to the size that its words need. Stored as blocks in little endian.

/// Bits of a word: measured (docs/design/pruning.md), more do not pay at 8 to 16 bits of filter per word.
const BITS: u32 = 4;
/// Blocks of the largest filter: 32 KiB.
pub const BLOCKS_MAX: usize = 1 << 12;
pub const BLOCK_BYTES: usize = 8;

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
        let chance = |block: &u64| u64::from(block.count_ones().pow(BITS));
        self.blocks.iter().map(chance).sum::<u64>() as f64 / (64_u64.pow(BITS) * self.blocks.len() as u64) as f64
    }

    /// How many different words there are, about, by the bits that are set.
    fn words(&self) -> f64 {
        let (all, set) = (64.0 * self.blocks.len() as f64, self.blocks.iter().map(|block| f64::from(block.count_ones())).sum::<f64>());
        -(1.0 - set.min(all - 1.0) / all).ln() * all / f64::from(BITS)
    }

    /// None when the bytes are broken, or there are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<WordFilter> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let is_whole = rest.is_empty() && blocks.len().is_power_of_two();
        is_whole.then(|| WordFilter { blocks: blocks.iter().map(|block| u64::from_le_bytes(*block)).collect() })
    }

    /// The smallest filter of the same words that has `word_bits` per word; this one if it has fewer.
    pub fn folded(&self, word_bits: f64) -> WordFilter {
        let blocks = (self.words() * word_bits / 64.0).ceil() as usize;
        let mut folded = WordFilter::new(blocks.clamp(1, self.blocks.len()));
        folded.add_all(self);
        folded
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

/// Where in a stored filter of `bytes` the block of a word stands; None when it has every word.
pub fn place_of(hash: u64, bytes: u64) -> Option<u64> {
    let count = bytes as usize / BLOCK_BYTES;
    let is_sound = bytes.is_multiple_of(BLOCK_BYTES as u64) && count.is_power_of_two();
    is_sound.then(|| (place(hash, count) * BLOCK_BYTES) as u64)
}

/// The block of a word among `count`, a power of two: halves of a filter fold onto each other.
fn place(hash: u64, count: usize) -> usize {
    (hash >> 32) as usize & (count - 1)
}

fn bits(hash: u64) -> u64 {
    (0..BITS).fold(0, |bits, index| bits | 1 << (hash >> (6 * index) & 63))
}

/// Gathers the words of some rows: few are held as they are, many go to a large filter at once.
#[derive(Default)]
pub struct Gatherer {
    pending: Vec<u64>,
    filter: Option<WordFilter>,
}

const PENDING: usize = 1024;
/// Bits per pending word of a filter before it is folded.
const ROOM_BITS: usize = 16;

impl Gatherer {
    pub fn add(&mut self, hash: u64) {
        match &mut self.filter {
            Some(filter) => filter.add(hash),
            None => self.pend(hash),
        }
    }

    fn pend(&mut self, hash: u64) {
        self.pending.push(hash);
        if self.pending.len() == PENDING {
            self.filter = Some(self.settled(BLOCKS_MAX));
        }
    }

    fn settled(&mut self, blocks: usize) -> WordFilter {
        let mut filter = WordFilter::new(blocks);
        self.pending.drain(..).for_each(|hash| filter.add(hash));
        filter
    }

    /// A filter of what was added, not folded, which `all` is given too; the gatherer is empty again.
    pub fn take(&mut self, all: &mut WordFilter) -> WordFilter {
        if let Some(filter) = self.filter.take() {
            all.add_all(&filter);
            return filter;
        }
        self.pending.iter().for_each(|hash| all.add(*hash));
        self.settled(self.pending.len() * ROOM_BITS / 64)
    }
}
