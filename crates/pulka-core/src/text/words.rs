//! Words: the one definition that filters are built by and searches look up.
//!
//! A word is a longest run of letters and digits (`char::is_alphanumeric`), without case (see [`fold`]). So `user_id=42`
//! has the words `user`, `id` and `42`. A word is known by its hash, which is part of the file format: the folded UTF-8
//! bytes in blocks of 8 (little endian, the last filled up with zeros), each xored into the hash, which is then multiplied
//! by a constant, 64 by 64 bits, and the halves of the product xored. No word has a zero byte, so the length need not be
//! mixed in.

use super::fold;

const BLOCK: usize = 64;
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const FACTOR: u64 = 0xA076_1D64_78BD_642F;
/// Sets the bit that tells lower from upper case; digits have it already.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// The words of `text`, folded.
pub fn words(text: &str) -> Vec<String> {
    let runs = text.split(|character: char| !character.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.map(|run| run.chars().map(fold).collect()).collect()
}

/// Words that any text has which is made of `pieces` in this order with anything between them: those that touch no gap.
pub fn whole_words<S: AsRef<str>>(pieces: &[S]) -> Vec<String> {
    let last = pieces.len().saturating_sub(1);
    let closed = pieces.iter().enumerate().flat_map(|(index, piece)| {
        let piece = piece.as_ref();
        let piece = if index > 0 { piece.trim_start_matches(char::is_alphanumeric) } else { piece };
        words(if index < last { piece.trim_end_matches(char::is_alphanumeric) } else { piece })
    });
    closed.collect()
}

/// Call `visit` with the hash of every word of `text`, repetitions included.
pub fn hashes(text: &str, mut visit: impl FnMut(u64)) {
    if text.is_ascii() { ascii_hashes(text.as_bytes(), &mut visit) } else { any_hashes(text, &mut visit) }
}

/// The hash of one word, folded or not.
pub fn hash(word: &str) -> u64 {
    let mut hasher = Hasher::default();
    word.chars().for_each(|character| hasher.push(character));
    hasher.finish()
}

/// Bytes are told apart 64 at a time, which the compiler turns into SIMD; words are then found by counting bits.
fn ascii_hashes(bytes: &[u8], visit: &mut impl FnMut(u64)) {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK]; // with zeros behind, which end the last word
    last[..rest.len()].copy_from_slice(rest);
    let mut begun = None; // a word that goes on from the block before
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let (base, mask) = (index * BLOCK, word_mask(block));
        let after = mask << 1 | u64::from(begun.is_some());
        let (mut starts, mut ends) = (mask & !after, !mask & after);
        while ends != 0 {
            let from = begun.take().unwrap_or_else(|| base + next_bit(&mut starts));
            visit(ascii_hash(bytes, from, base + next_bit(&mut ends)));
        }
        if starts != 0 {
            begun = Some(base + next_bit(&mut starts));
        }
    }
}

/// One bit for each byte of a block that is of a word, the first byte's the lowest.
fn word_mask(block: &[u8; BLOCK]) -> u64 {
    let mut of_word = [0u8; BLOCK];
    for (flag, byte) in of_word.iter_mut().zip(block) {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        *flag = u8::from(letter | (byte.wrapping_sub(b'0') < 10));
    }
    let eights = of_word.as_chunks::<8>().0.iter().enumerate();
    // The product gathers the low bits of 8 bytes in its highest byte.
    eights.fold(0, |mask, (index, flags)| {
        mask | (u64::from_le_bytes(*flags).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index)
    })
}

/// The place of the lowest bit, which is taken away.
fn next_bit(bits: &mut u64) -> usize {
    let place = bits.trailing_zeros() as usize;
    *bits &= bits.wrapping_sub(1);
    place
}

#[inline(always)] // called for every word of every text that is written
fn ascii_hash(bytes: &[u8], from: usize, to: usize) -> u64 {
    let (mut hash, mut at) = (SEED, from);
    while at + 8 < to {
        hash = mix(hash ^ (load(bytes, at) | LOWER));
        at += 8;
    }
    mix(hash ^ (load(bytes, at) | LOWER) & u64::MAX >> (64 - 8 * (to - at)))
}

/// Eight bytes from `at`, zeros behind the end.
fn load(bytes: &[u8], at: usize) -> u64 {
    let start = at.min(bytes.len().saturating_sub(8));
    match bytes[start..].first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight) >> (8 * (at - start)),
        None => bytes[at..].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    }
}

fn any_hashes(text: &str, visit: &mut impl FnMut(u64)) {
    let mut hasher = Hasher::default();
    for character in text.chars() {
        if character.is_alphanumeric() {
            hasher.push(character);
        } else if hasher.bytes > 0 {
            visit(std::mem::take(&mut hasher).finish());
        }
    }
    if hasher.bytes > 0 {
        visit(hasher.finish());
    }
}

fn mix(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(FACTOR);
    product as u64 ^ (product >> 64) as u64
}

/// Hashes a word character by character.
struct Hasher {
    hash: u64,
    block: u64,
    bytes: usize,
}

impl Default for Hasher {
    fn default() -> Self {
        Hasher { hash: SEED, block: 0, bytes: 0 }
    }
}

impl Hasher {
    fn push(&mut self, character: char) {
        for byte in fold(character).encode_utf8(&mut [0; 4]).bytes() {
            self.block |= u64::from(byte) << (8 * (self.bytes % 8));
            self.bytes += 1;
            if self.bytes.is_multiple_of(8) {
                self.hash = mix(self.hash ^ std::mem::take(&mut self.block));
            }
        }
    }

    fn finish(self) -> u64 {
        if self.bytes.is_multiple_of(8) { self.hash } else { mix(self.hash ^ self.block) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collected(text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        hashes(text, |hash| found.push(hash));
        found
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_without_case() {
        assert_eq!(words("GET /api/v1?user_id=42"), ["get", "api", "v1", "user", "id", "42"]);
        assert_eq!(words("Straße ÉCLAIR \u{212A}elvin"), ["strase", "éclair", "kelvin"]);
        assert!(words(" --\n ").is_empty());
    }

    #[test]
    fn words_at_a_gap_are_not_whole() {
        assert_eq!(whole_words(&["", "eset by peer: con", ""]), ["by", "peer"]);
        assert_eq!(whole_words(&["connection res"]), ["connection", "res"]);
        assert_eq!(whole_words(&["GET /a", "b/c d"]), ["get", "c", "d"]);
        assert!(whole_words(&["", "error", ""]).is_empty());
        assert_eq!(whole_words(&["", " error ", ""]), ["error"]);
    }

    #[test]
    fn hashes_are_part_of_the_format() {
        assert_eq!(hash("error"), collected("ERROR")[0]);
        assert_eq!([hash("error"), hash("a"), hash("0123456789abcdef0"), hash("é")], HASHES);
    }

    const HASHES: [u64; 4] =
        [5_358_132_773_339_873_900, 17_521_500_348_107_062_945, 1_379_766_430_330_091_156, 7_951_396_562_723_591_614];

    proptest! {
        #[test]
        fn the_fast_way_is_the_plain_way(text in prop_oneof!["[ -~]{0,200}", "[a-zA-Z0-9 ]{0,300}", "\\PC{0,80}", "[a-c]{60,70}( [a-c]{50,70}){0,3}"]) {
            let plain: Vec<u64> = words(&text).iter().map(|word| hash(word)).collect();
            prop_assert_eq!(collected(&text), plain);
        }
    }
}
