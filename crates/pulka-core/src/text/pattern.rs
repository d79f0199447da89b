//! Patterns: literal pieces in order with anything between them, as LIKE's patterns are, matched bit-parallel.

use super::fold;

/// Longer patterns are cut, with anything behind the cut: they then match more, never less.
const TOKENS_MAX: usize = 126;

/// A pattern as a machine whose state is a set of places in it, one bit each.
pub struct Pattern {
    /// None stands for any text.
    tokens: Vec<Option<char>>,
    gaps: u128,
    ignore_case: bool,
}

/// Places that a pattern may be at; none left means that it cannot match any more.
pub type Places = u128;

impl Pattern {
    /// The first piece begins the text, the last one ends it; one piece is the whole text.
    pub fn new<S: AsRef<str>>(pieces: &[S], ignore_case: bool) -> Pattern {
        let mut tokens = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 && tokens.last() != Some(&None) {
                tokens.push(None);
            }
            tokens.extend(piece.as_ref().chars().take(TOKENS_MAX + 1).map(|c| Some(if ignore_case { fold(c) } else { c })));
        }
        if tokens.len() > TOKENS_MAX {
            tokens.truncate(TOKENS_MAX);
            tokens.push(None);
        }
        let gaps = tokens.iter().enumerate().filter(|(_, token)| token.is_none());
        let gaps = gaps.fold(0, |gaps, (index, _)| gaps | 1 << index);
        Pattern { tokens, gaps, ignore_case }
    }

    pub fn start(&self) -> Places {
        self.past_gaps(1)
    }

    /// Where the pattern may be after one more character.
    pub fn step(&self, places: Places, character: char) -> Places {
        let wanted = Some(if self.ignore_case { fold(character) } else { character });
        let here = self.tokens.iter().enumerate().filter(|(_, token)| **token == wanted);
        let moves = here.fold(0, |moves, (index, _)| moves | (places & 1 << index) << 1);
        self.past_gaps(places & self.gaps | moves)
    }

    /// Whether the text may end here.
    pub fn is_end(&self, places: Places) -> bool {
        places & self.end() != 0
    }

    /// Whether some text that is not empty may follow here.
    pub fn goes_on(&self, places: Places) -> bool {
        places & !self.end() != 0
    }

    pub fn matches(&self, text: &str) -> bool {
        self.is_end(text.chars().fold(self.start(), |places, character| self.step(places, character)))
    }

    fn end(&self) -> Places {
        1 << self.tokens.len()
    }

    /// A gap may be empty.
    fn past_gaps(&self, places: Places) -> Places {
        places | (places & self.gaps) << 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slow(pieces: &[String], text: &str) -> bool {
        match pieces {
            [] => unreachable!(),
            [only] => only == text,
            [first, rest @ ..] => {
                let Some(tail) = text.strip_prefix(first.as_str()) else { return false };
                let mut cuts = (0..=tail.len()).filter(|at| tail.is_char_boundary(*at));
                cuts.any(|at| slow(rest, &tail[at..]))
            }
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_the_slow_way(pieces in prop::collection::vec("[abé]{0,2}", 1..4), text in "[abé]{0,7}") {
            prop_assert_eq!(Pattern::new(&pieces, false).matches(&text), slow(&pieces, &text));
            let upper: Vec<String> = pieces.iter().map(|piece| piece.to_uppercase()).collect();
            prop_assert_eq!(Pattern::new(&upper, true).matches(&text), slow(&pieces, &text));
        }
    }

    #[test]
    fn a_long_pattern_is_cut() {
        let text = "x".repeat(500);
        assert!(Pattern::new(&[text.as_str()], false).matches(&text));
        assert!(Pattern::new(&["", text.as_str(), ""], false).matches(&format!("y{text}y")));
        assert!(!Pattern::new(&[text.as_str()], false).matches("xyz"));
    }
}
