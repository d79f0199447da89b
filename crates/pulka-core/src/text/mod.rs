//! What text is to search and pruning: characters without case, words, patterns.

pub mod json_path;
pub mod mask;
pub mod needles;
pub mod pattern;
pub mod words;

/// One character for all its cases, so that characters which any case-insensitive comparison holds for equal fold alike.
///
/// Coarser than Unicode's simple folding, as a filter may be: of characters that become several in another case the first
/// counts, so that `\u{df}` folds to `s`.
pub fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    through_upper(through_upper(character)) // twice: the capital sharp s becomes the small one first
}

fn through_upper(character: char) -> char {
    let upper = character.to_uppercase().next().unwrap_or(character);
    upper.to_lowercase().next().unwrap_or(upper)
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

    use super::*;

    /// All characters that a case-insensitive regular expression takes for `character`.
    fn cases(character: char) -> impl Iterator<Item = char> {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        class.case_fold_simple();
        class.ranges().to_vec().into_iter().flat_map(|range| range.start()..=range.end())
    }

    #[test]
    fn all_cases_of_a_character_fold_alike_and_are_of_words_alike() {
        for character in '\0'..=char::MAX {
            assert_eq!(fold(fold(character)), fold(character), "{character:?}");
            for case in cases(character) {
                assert_eq!(fold(case), fold(character), "{case:?} and {character:?}");
                assert_eq!(case.is_alphanumeric(), character.is_alphanumeric(), "{case:?} and {character:?}");
            }
        }
    }

    #[test]
    fn lower_case_folds_alike_and_only_the_dotted_i_becomes_two() {
        for character in '\0'..=char::MAX {
            let lower: Vec<char> = character.to_lowercase().collect();
            assert_eq!(fold(lower[0]), fold(character), "{character:?}");
            assert_eq!(lower[0].is_alphanumeric(), character.is_alphanumeric(), "{character:?}");
            assert!(lower.len() == 1 || lower[1..] == ['\u{307}'], "{character:?}");
        }
    }
}
