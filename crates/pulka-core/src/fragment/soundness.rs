//! Whether what prunes a fragment denies none of its rows.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, StringArray};

use super::packed_automaton::may_match;
use super::row_group_words::hashes;
use super::sketch::{from_base64, unrepeated};
use super::stats::{ColumnDescription, Description};
use super::word_filter::has_all;
use super::{Result, invalid};
use crate::text::pattern::Pattern;

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

/// The word filters of row group `group` have the words of its rows in `batch`.
pub fn check_words(filters: &BTreeMap<String, Vec<Vec<u8>>>, group: usize, batch: &RecordBatch) -> Result<()> {
    for (name, groups) in filters {
        let filter: &[u8] = groups.get(group).map_or(&[], |filter| filter);
        if texts(batch, name).is_some_and(|texts| !unrepeated(texts).all(|text| has_all(filter, &hashes(&[text])))) {
            return invalid(format!("the word filter of column {name} lacks words of row group {group}"));
        }
    }
    Ok(())
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

fn admits(column: &ColumnDescription, texts: &StringArray) -> bool {
    let states = column.automaton.as_ref().map(|automaton| from_base64(&automaton.states)).unwrap_or_default();
    let words = column.words.as_deref().map(from_base64).unwrap_or_default();
    unrepeated(texts).all(|text| {
        let listed = column.values.as_ref().is_none_or(|values| values.iter().any(|value| value == text));
        listed && may_match(&states, &Pattern::new(&[text], false)) && has_all(&words, &hashes(&[text]))
    })
}
