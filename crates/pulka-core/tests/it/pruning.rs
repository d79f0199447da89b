//! What prunes a fragment never denies what is in it, and says exactly so when it is exact.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use pulka_core::fragment::automaton::Automaton;
use pulka_core::fragment::packed_automaton::may_match;
use pulka_core::fragment::word_filter::{Gatherer, WordFilter, has_all};
use pulka_core::fragment::{Description, FragmentOptions, MergeOptions, SortColumn, inspect_fragment, matching_row_groups, merge_fragments, write_fragment};
use pulka_core::text::pattern::Pattern;
use pulka_core::text::words;
use tempfile::TempDir;

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[abc]{0,6}", 2 => "svc-[a-d]{1,3}", 1 => "\\PC{0,20}", 1 => "[a\n]{0,3}", 1 => "a{250,270}"]
}

fn accepts(packed: &[u8], text: &str) -> bool {
    may_match(packed, &Pattern::new(&[text], false))
}

/// The slow reference: whether a state below `at` takes `text`.
fn walks(automaton: &Automaton, at: usize, text: &str) -> bool {
    let state = &automaton.states[at];
    let Some(first) = text.chars().next() else { return state.is_end };
    let edge = state.edges.iter().find(|(character, _)| *character == first);
    state.is_cut || edge.is_some_and(|(_, next)| walks(automaton, *next, &text[first.len_utf8()..]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_automaton_denies_no_value(values in prop::collection::vec(any_value(), 1..60), others in prop::collection::vec(any_value(), 20), budget in 1usize..80) {
        let Some(automaton) = Automaton::of(&values, budget) else { return Ok(()) };
        let packed = automaton.to_bytes();
        prop_assert!(automaton.states.len() <= budget + 1);
        prop_assert_eq!(Automaton::from_bytes(&packed).unwrap().to_bytes(), packed.clone());
        for value in &values {
            prop_assert!(accepts(&packed, value), "{:?}", value);
        }
        for other in &others {
            prop_assert_eq!(accepts(&packed, other), walks(&automaton, 0, other));
            prop_assert!(!automaton.is_exact() || !accepts(&packed, other) || values.contains(other), "{:?}", other);
        }
    }

    #[test]
    fn an_automaton_meets_the_patterns_of_its_values(values in prop::collection::vec(any_value(), 1..30), pieces in prop::collection::vec("[abcA-]{0,2}", 1..4), budget in 1usize..80) {
        let Some(automaton) = Automaton::of(&values, budget) else { return Ok(()) };
        for ignore_case in [false, true] {
            let pattern = Pattern::new(&pieces, ignore_case);
            let matched = values.iter().any(|value| pattern.matches(value));
            let met = may_match(&automaton.to_bytes(), &pattern);
            prop_assert!(met || !matched);
            prop_assert!(matched || !met || !automaton.is_exact());
        }
    }

    #[test]
    fn broken_automata_deny_nothing_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let answer = accepts(&bytes, "abc");
        prop_assert!(answer || Automaton::from_bytes(&bytes).is_some() || !bytes.is_empty());
    }

    #[test]
    fn a_word_filter_lacks_no_word(numbers in prop::collection::vec(any::<u64>(), 1..6000), blocks in 0usize..12, bits in 0.1..30.0f64) {
        let mut gatherer = Gatherer::default();
        numbers.iter().for_each(|number| gatherer.add(*number));
        let mut other = WordFilter::new(1 << blocks);
        let filter = gatherer.take(&mut other);
        let folded = filter.folded(bits);
        for filter in [filter, other, folded] {
            prop_assert!(has_all(&filter.to_bytes(), &numbers));
        }
    }
}

#[test]
fn exact_until_something_is_cut() {
    let services: Vec<String> = (0..20).map(|n| format!("service-{n}")).collect();
    let exact = Automaton::of(&services, 64).unwrap();
    assert!(exact.is_exact());
    assert_eq!(exact.regex(), "^service\\-(?:[02-9]|1[0-9]?)$");
    let trimmed = Automaton::of(&services, 12).unwrap();
    assert!(!trimmed.is_exact());
    assert_eq!(trimmed.regex(), "^service\\-[\\s\\S]+$");
    assert!(Automaton::of(&services, 0).is_none(), "nothing is known of the first character");
}

#[test]
fn popular_prefixes_stay_exact() {
    let rare = (0..500).map(|n| format!("{n:03}-rare"));
    let values: Vec<String> = std::iter::repeat_n("checkout-api".to_string(), 2000).chain(rare).collect();
    let packed = Automaton::of(&values, 64).unwrap().to_bytes();
    assert!(accepts(&packed, "checkout-api") && !accepts(&packed, "checkout-apj") && accepts(&packed, "123-rare"));
    assert!(packed.len() < 200, "{} bytes", packed.len());
}

#[test]
fn a_regex_is_bounded() {
    let mut worst = 0;
    for seed in 0..200u32 {
        let text = |n: u32| (0..6).map(|at| char::from(b'a' + (n.wrapping_mul(seed | 1).wrapping_mul(2_654_435_761) >> (at * 5)) as u8 % 20)).collect::<String>();
        let values: Vec<String> = (0..40).map(text).collect();
        worst = worst.max(Automaton::of(&values, 64).map_or(0, |automaton| automaton.regex().len()));
    }
    assert!((100..=16 * 64).contains(&worst), "{worst}");
}

#[test]
fn many_words_take_little_room() {
    let mut gatherer = Gatherer::default();
    let hash = |n: u32| words::hash(&format!("word{n}"));
    (0..20_000).for_each(|n| gatherer.add(hash(n % 10_000)));
    let filter = gatherer.take(&mut WordFilter::new(1)).folded(5.8);
    assert!((0.005..=0.09).contains(&filter.false_positives()), "{}", filter.false_positives());
    assert!(filter.to_bytes().len() <= 16_384);
    let wrong = (10_000..20_000).filter(|n| filter.has(hash(*n))).count() as f64 / 10_000.0;
    assert!((wrong - filter.false_positives()).abs() < 0.01, "{wrong} for {}", filter.false_positives());
}

fn batch(rows: usize, service: impl Fn(usize) -> String, message: impl Fn(usize) -> String) -> RecordBatch {
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(0..rows as i64).with_timezone("UTC"));
    let services: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(service)));
    let messages: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(message)));
    RecordBatch::try_from_iter_with_nullable([("timestamp", times, false), ("service", services, true), ("message", messages, true)]).unwrap()
}

fn options() -> FragmentOptions {
    FragmentOptions { sort: vec![SortColumn::parse("service")], row_group_bytes: 40_000, ..FragmentOptions::default() }
}

fn column(description: &str, name: &str) -> pulka_core::fragment::stats::ColumnDescription {
    let description: Description = serde_json::from_str(description).unwrap();
    description.columns.into_iter().find(|column| column.name == name).unwrap()
}

/// The row groups that really have the word.
fn groups_with(path: &Path, word: &str) -> Vec<usize> {
    let groups = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().metadata().num_row_groups();
    let has = |group: &usize| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        builder.with_row_groups(vec![*group]).build().unwrap().any(|batch| {
            let batch = batch.unwrap();
            let messages = batch.column_by_name("message").unwrap().as_string::<i32>().clone();
            messages.iter().flatten().any(|message| words::words(message).contains(&word.to_string()))
        })
    };
    (0..groups).filter(has).collect()
}

#[test]
fn row_groups_are_told_apart_by_their_words() {
    let directory = TempDir::new().unwrap();
    let (path, merged) = (directory.path().join("f"), directory.path().join("m"));
    let message = |row: usize| format!("Order {} accepted, region eu-{}", row / 40, row / 2000);
    write_fragment(&[batch(10_000, |row| format!("s{:05}", row), message)], &path, &options()).unwrap();
    merge_fragments(std::slice::from_ref(&path), std::slice::from_ref(&merged), &options(), &MergeOptions::default()).unwrap();
    for path in [path, merged] {
        for word in ["7", "171", "order", "nowhere"] {
            let (found, really) = (matching_row_groups(&path, "message", &[word]).unwrap(), groups_with(&path, word));
            assert!(really.iter().all(|group| found.contains(group)), "{word}: {found:?}, {really:?}");
            assert!(found.len() <= really.len() + 2, "{word}: {found:?}, {really:?}");
        }
        assert!(matching_row_groups(&path, "message", &["Order 171"]).unwrap().len() <= 2);
        let every = matching_row_groups(&path, "none", &["order"]).unwrap();
        assert!(every.len() > 5 && every == matching_row_groups(&path, "message", &["..."]).unwrap());
        inspect_fragment(&path, true).unwrap();
    }
}

#[test]
fn few_values_are_listed_many_are_an_automaton() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, services: usize| {
        let batch = batch(100, |row| format!("svc-{:02}", row % services), |row| format!("message {row}"));
        write_fragment(&[batch], &directory.path().join(name), &options()).unwrap()
    };
    let few = column(&write("few", 3), "service");
    assert_eq!(few.values.unwrap(), ["svc-00", "svc-01", "svc-02"]);
    assert!(few.automaton.is_none() && few.words.is_none());
    let many = write("many", 20);
    let service = column(&many, "service");
    let automaton = service.automaton.unwrap();
    assert!(service.values.is_none() && automaton.exact);
    assert_eq!(automaton.regex, "^svc\\-[01][0-9]$");
    let message = column(&many, "message");
    assert!(message.values.is_none() && message.automaton.is_none(), "it is no sort column");
}

#[test]
fn words_of_groups_from_before_a_column_had_many_values_are_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    let long = |text: &str| format!("{text} {}", "x".repeat(40));
    let message = |row: usize| long(if row < 3000 { "calm" } else { "" }) + &if row < 3000 { String::new() } else { format!(" n{}", row / 50) };
    write_fragment(&[batch(6000, |row| format!("{row:05}"), message)], &path, &options()).unwrap();
    let (found, really) = (matching_row_groups(&path, "message", &["calm"]).unwrap(), groups_with(&path, "calm"));
    assert!(really.iter().all(|group| found.contains(group)), "{found:?}, {really:?}");
    let missing = (0..40).filter(|n| matching_row_groups(&path, "message", &[&format!("absent{n}")]).unwrap().is_empty());
    assert!(missing.count() > 20, "the groups of few values have filters too");
    inspect_fragment(&path, true).unwrap();
}
