//! Whether what prunes a fragment denies none of its rows.

use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};

use super::packed_automaton::may_match;
use super::row_group_words::Stretch;
use super::sketch::{from_base64, unrepeated};
use super::stats::{ColumnDescription, Description};
use super::word_filter::has_all;
use super::{Result, invalid};
use crate::text::pattern::Pattern;
use crate::text::words;

/// Values, automata and word filters of the fragment hold what the rows of `batch` have.
pub fn check_pruning(description: &Description, batch: &RecordBatch) -> Result<()> {
    for column in &description.columns {
        if let Some(texts) = texts(batch, &column.name)
            && !admits(column, texts)
        {
            return invalid(format!("the description's values of column {} are not those of the rows", column.name));
        }
    }
    Ok(())
}

/// The word filters of `stretches` of one row group have the words of its rows from `first` on, which `batch` has.
pub fn check_words(file: &File, column: &str, stretches: &[Stretch], first: usize, batch: &RecordBatch) -> Result<()> {
    let Some(array) = texts(batch, column) else { return Ok(()) };
    for stretch in stretches {
        let (start, end) = (stretch.rows.start.max(first), stretch.rows.end.min(first + array.len()));
        if start >= end {
            continue;
        }
        let filter = stretch.filter(file)?;
        if !unrepeated(array, start - first..end - first).all(|text| has_words(&filter, text)) {
            return invalid(format!("a word filter of column {column} lacks words of its rows"));
        }
    }
    Ok(())
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

/// Whether a stored filter has all words of `text`.
fn has_words(filter: &[u8], text: &str) -> bool {
    let mut has = true;
    words::hashes(text, |hash| has &= has_all(filter, &[hash]));
    has
}

fn admits(column: &ColumnDescription, texts: &StringArray) -> bool {
    let states = column.automaton.as_ref().map(|automaton| from_base64(&automaton.states)).unwrap_or_default();
    let words = column.words.as_deref().map(from_base64).unwrap_or_default();
    unrepeated(texts, 0..texts.len()).all(|text| {
        let listed = column.values.as_ref().is_none_or(|values| values.iter().any(|value| value == text));
        listed && may_match(&states, &Pattern::new(&[text], false)) && has_words(&words, text)
    })
}
