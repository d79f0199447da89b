//! What a search asks of single columns. A condition may let rows through that the query's own filter drops later, it never
//! drops one that the filter would keep.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::fragment::row_group_words::hashes;
use crate::text::{fold, words::whole_words};

/// `test` is true of `column`, a physical column of the file.
#[derive(Clone, Debug)]
pub struct Condition {
    pub column: String,
    pub test: Test,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// Any of the patterns matches the text.
    Text(Vec<Pattern>),
    /// Within both bounds; also for times, in nanoseconds.
    Integers(i64, i64),
    /// Within both bounds, or NaN, which sorts above or below all numbers.
    Floats(f64, f64),
    /// Null, or with false not null: told from counts of nulls only.
    Null(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Equals,
    StartsWith,
    Contains,
    ContainsIgnoreCase,
}

/// One way for a text to match.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub how: Match,
    pub text: String,
    /// Hashes of words that every text has which matches.
    pub words: Vec<u64>,
    finder: Finder<'static>,
    /// Letters outside ASCII that fold to one of `text`: a value with any of them is let through.
    odd: Vec<Finder<'static>>,
}

/// Letters outside ASCII that fold to one of ASCII, as Kelvin's sign does to k: each with that one.
static ODD_LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let folded = ('\u{80}'..=char::MAX).map(|odd| (odd, fold(odd)));
    folded.filter(|(_, letter)| letter.is_ascii_lowercase()).collect()
});

/// Bytes that are looked at for characters outside ASCII at once.
const PIECE_BYTES: usize = 256;

impl Pattern {
    pub fn new(how: Match, text: &str) -> Pattern {
        let any_case = how == Match::ContainsIgnoreCase;
        let folded = if any_case { text.to_ascii_lowercase() } else { text.to_string() };
        let odd = ODD_LETTERS.iter().filter(|(_, letter)| any_case && folded.contains(*letter));
        let pieces: &[&str] = match how {
            Match::Equals => &[text],
            Match::StartsWith => &[text, ""],
            Match::Contains | Match::ContainsIgnoreCase => &["", text, ""],
        };
        Pattern {
            how,
            words: hashes(&whole_words(pieces)),
            finder: Finder::new(folded.as_bytes()).into_owned(),
            odd: odd.map(|(odd, _)| Finder::new(odd.to_string().as_bytes()).into_owned()).collect(),
            text: folded,
        }
    }

    pub fn matches(&self, value: &[u8]) -> bool {
        match self.how {
            Match::Equals => value == self.text.as_bytes(),
            Match::StartsWith => value.starts_with(self.text.as_bytes()),
            Match::Contains => self.finder.find(value).is_some(),
            Match::ContainsIgnoreCase => self.found_in(value, &mut Vec::new()),
        }
    }

    /// Whether a value that matches may be among values that stand in `bytes` one after the other.
    pub fn found_in(&self, bytes: &[u8], folded: &mut Vec<u8>) -> bool {
        if self.how != Match::ContainsIgnoreCase {
            return self.finder.find(bytes).is_some();
        }
        folded.clear();
        folded.extend_from_slice(bytes);
        folded.make_ascii_lowercase();
        !self.text.is_ascii() || self.finder.find(folded).is_some() || self.has_odd(bytes)
    }

    /// Most text is ASCII, which is told quickly.
    fn has_odd(&self, bytes: &[u8]) -> bool {
        let pieces = (0..bytes.len()).step_by(PIECE_BYTES).filter(|start| !bytes[*start..bytes.len().min(start + PIECE_BYTES)].is_ascii());
        let longer = |start: usize| &bytes[start..bytes.len().min(start + PIECE_BYTES + 3)]; // a character may go on
        pieces.map(longer).any(|piece| self.odd.iter().any(|odd| odd.find(piece).is_some()))
    }

    /// Whether a value between `low` and `high`, which may be cut short or rounded up, can match.
    pub fn may_be_between(&self, low: &[u8], high: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match self.how {
            Match::Equals => low <= text && text <= high,
            Match::StartsWith => low.get(..text.len()).unwrap_or(low) <= text && text <= high,
            Match::Contains | Match::ContainsIgnoreCase => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_ignores_case_finds_what_any_folding_finds() {
        let pattern = Pattern::new(Match::ContainsIgnoreCase, "DisK");
        for value in ["disk", "a DISK b", "dis\u{212a}", "di\u{17f}k", "d\u{130}sk", "di\u{df}k"] {
            assert!(pattern.matches(value.as_bytes()), "{value}");
        }
        for blanks in 240..270 {
            assert!(pattern.matches(format!("{}dis\u{212a}", " ".repeat(blanks)).as_bytes()), "{blanks} blanks");
        }
        assert!(!pattern.matches("dis c".as_bytes()));
        assert!(Pattern::new(Match::ContainsIgnoreCase, "Ä").matches(b"anything"));
    }

    #[test]
    fn bounds_that_are_cut_short_keep_what_they_stood_for() {
        let starts = Pattern::new(Match::StartsWith, "abc");
        assert!(starts.may_be_between(b"ab", b"b") && starts.may_be_between(b"abcd", b"abce"));
        assert!(!starts.may_be_between(b"abd", b"z") && !starts.may_be_between(b"a", b"abb"));
        assert!(Pattern::new(Match::Equals, "").may_be_between(b"", b"x"));
    }
}
