//! Sketches against exact counts, comparisons against a slow reference, patterns against what they promise.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampNanosecondArray};
use proptest::prelude::*;
use pulka_core::batch::FieldType;
use pulka_core::patterns::Patterns;
use pulka_core::summary::effect::difference;
use pulka_core::summary::exponential;
use pulka_core::summary::heavy::Heavy;
use pulka_core::summary::histogram::Histogram;
use pulka_core::summary::table::{Column, Options, Rows, Table};
use pulka_core::text::mask::mask;

fn options(bytes_max: usize) -> Options {
    Options { bytes_max, by: None, groups_max: 16, skip: Vec::new(), masked: Vec::new() }
}

fn masked(text: &str) -> String {
    let mut out = String::new();
    mask(text, 1000, &mut out);
    out
}

/// Rows with a text, a number and a side (0, 1, or 2 for both).
type Row = (Option<u8>, Option<i16>, u8);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((prop::option::of(0..40u8), prop::option::of(-20..20i16), 0..3u8), 1..600)
}

fn table_of(rows: &[Row], by: Option<&str>, bytes_max: usize) -> Table {
    let mut table = Table::new(Options { by: by.map(str::to_owned), ..options(bytes_max) });
    for some in rows.chunks(100) {
        let texts: ArrayRef = Arc::new(some.iter().map(|row| row.0.map(|value| format!("v{value}"))).collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(some.iter().map(|row| row.1.map(f64::from)).collect::<Float64Array>());
        let side = |side: u8| some.iter().map(|row| Some(row.2 == side || row.2 == 2)).collect::<BooleanArray>();
        let residual: ArrayRef = Arc::new(some.iter().map(|row| row.0.map(|value| format!(r#"{{"r":"v{value}"}}"#))).collect::<StringArray>());
        let columns = [
            Column { path: "text".into(), kind: FieldType::Str, values: texts },
            Column { path: "number".into(), kind: FieldType::F64, values: numbers },
        ];
        table.add(&Rows { columns: &columns, residual: Some(&residual), sides: [&side(0), &side(1)] });
    }
    table
}

proptest! {
    #[test]
    fn exponential_histograms_keep_their_quantiles(values in prop::collection::vec(1e-6f64..1e3, 1..300), scale in 0..8i64, zeros in 0..5i64, cut in 0..300usize) {
        let mut sketch = Histogram::default();
        let middle = |value: f64| ((value.log2() * (scale as f64).exp2()).ceil() - 0.5) / (scale as f64).exp2();
        for some in [&values[..cut.min(values.len())], &values[cut.min(values.len())..]] {
            let mut buckets: BTreeMap<i64, u64> = BTreeMap::new();
            some.iter().for_each(|value| *buckets.entry((value.log2() * (scale as f64).exp2()).ceil() as i64 - 1).or_default() += 1);
            let offset = buckets.keys().next().copied().unwrap_or(0);
            let last = buckets.keys().last().copied().unwrap_or(-1);
            let counts: Vec<String> = (offset..=last).map(|index| buckets.get(&index).copied().unwrap_or(0).to_string()).collect();
            exponential::add(&mut sketch, scale, zeros, offset, &format!("[{}]", counts.join(",")));
        }
        let mut all: Vec<f64> = std::iter::repeat_n(0.0, 2 * zeros as usize).chain(values.iter().map(|value| middle(*value).exp2())).collect();
        all.sort_by(f64::total_cmp);
        prop_assert_eq!(sketch.totals()[0], all.len() as u64);
        for share in [0.1, 0.5, 0.99] {
            let exact = all[((share * all.len() as f64).ceil() as usize).max(1) - 1];
            let found = sketch.quantile(0, share).expect("numbers");
            prop_assert!((found - exact).abs() <= exact * (sketch.relative_error() + 1e-9), "{found} for {exact}");
        }
    }

    #[test]
    fn nonsense_counts_nothing_and_breaks_nothing(scale in any::<i64>(), zeros in any::<i64>(), offset in any::<i64>(), counts in "[\\[\\]0-9,a-]{0,40}") {
        let mut sketch = Histogram::default();
        exponential::add(&mut sketch, scale, zeros, offset, &counts);
        prop_assert!(sketch.quantile(0, 0.5).is_none_or(f64::is_finite));
    }

    #[test]
    fn heavy_hitters_keep_their_bounds(values in prop::collection::vec(0..300u32, 0..4000), skew in 1..4u32) {
        let mut heavy = Heavy::new(16);
        let mut exact: HashMap<String, u64> = HashMap::new();
        for value in &values {
            let text = format!("{}", value / 3u32.pow(value % skew));
            heavy.add(&text, 1);
            *exact.entry(text).or_default() += 1;
        }
        prop_assert!(heavy.len() <= 32);
        prop_assert!(heavy.slack() <= values.len() as u64 / 16);
        for (text, count) in &exact {
            let least = heavy.count(text);
            prop_assert!(least <= *count && *count <= least + heavy.slack());
        }
    }

    #[test]
    fn quantiles_are_within_their_error(values in prop::collection::vec(prop_oneof![-1e9..1e9f64, 1e-6..1.0f64, Just(0.0)], 1..2000), q in 0.0..1.0f64) {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(0, *value, 1));
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = ((q * values.len() as f64).ceil() as usize).max(1);
        let (exact, found) = (sorted[rank - 1], histogram.quantile(0, q).unwrap());
        prop_assert!((exact - found).abs() <= exact.abs() * histogram.relative_error() * 1.001, "{} {}", exact, found);
    }

    #[test]
    fn merged_histograms_are_the_histogram_of_all(values in prop::collection::vec(-1e12..1e12f64, 1..3000), cut in 0..3000usize) {
        let (mut whole, mut one, mut other) = (Histogram::default(), Histogram::default(), Histogram::default());
        for (at, value) in values.iter().enumerate() {
            whole.add(0, *value, 1);
            if at < cut { &mut one } else { &mut other }.add(0, *value, 1);
        }
        one.merge(&Histogram::from_bytes(&other.to_bytes(0)).unwrap());
        prop_assert_eq!(one, whole);
    }

    #[test]
    fn sketches_of_anything_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(found) = Histogram::from_bytes(&bytes) {
            let mut twice = found.clone();
            twice.merge(&found);
            twice.quantile(0, 0.5);
        }
        Patterns::new(10).merge_bytes(&bytes);
    }

    #[test]
    fn comparisons_are_those_of_a_slow_reference(rows in rows()) {
        let table = table_of(&rows, None, usize::MAX);
        let on = |row: &Row, side: u8| row.2 == side || row.2 == 2;
        let totals = [0u8, 1].map(|side| rows.iter().filter(|row| on(row, side)).count() as u64);
        prop_assert_eq!(table.rows(), totals);
        let mut counts: BTreeMap<Option<String>, [u64; 2]> = BTreeMap::new();
        for row in &rows {
            let own = counts.entry(row.0.map(|value| format!("v{value}"))).or_default();
            [0u8, 1].iter().for_each(|side| own[usize::from(*side)] += u64::from(on(row, *side)));
        }
        let wanted = counts.values().map(|counts| difference(*counts, [0, 0], totals).abs()).fold(0.0, f64::max);
        for path in ["text", "r"] {
            let found = table.describe().into_iter().find(|one| one.path == path);
            let Some(found) = found else { prop_assert!(rows.iter().all(|row| row.0.is_none())); continue };
            prop_assert!((found.effect.effect - wanted).abs() < 1e-9, "{} {}", found.effect.effect, wanted);
            for share in &found.effect.values {
                prop_assert_eq!(share.counts, counts[&share.value]);
            }
        }
    }

    #[test]
    fn numbers_are_as_far_apart_as_kolmogorov_says(rows in rows()) {
        let table = table_of(&rows, None, usize::MAX);
        let of = |side: u8| rows.iter().filter(|row| row.2 == side || row.2 == 2).filter_map(|row| row.1).collect::<Vec<_>>();
        let (a, b) = (of(0), of(1));
        prop_assume!(!a.is_empty() && !b.is_empty());
        let below = |values: &[i16], at: i16| values.iter().filter(|value| **value <= at).count() as f64 / values.len() as f64;
        let wanted = (-20..20).map(|at| (below(&a, at) - below(&b, at)).abs()).fold(0.0, f64::max);
        let found = table.describe().into_iter().find(|one| one.path == "number").unwrap();
        prop_assert!((found.field.histogram.distance() - wanted).abs() < 1e-9);
    }

    #[test]
    fn groups_are_compared_with_themselves(rows in rows()) {
        let table = table_of(&rows, Some("text"), usize::MAX);
        for found in table.compare().into_iter().filter(|one| one.group.is_some()) {
            prop_assert!(found.path != "text");
            let of = |side: u8| rows.iter().filter(|row| row.0.map(|value| format!("v{value}")).as_deref() == found.group && (row.2 == side || row.2 == 2)).count() as u64;
            prop_assert_eq!(found.rows, [of(0), of(1)]);
        }
    }

    #[test]
    fn every_message_is_counted_in_one_pattern_that_fits_it(
        messages in prop::collection::vec(prop::collection::vec(prop_oneof!["[a-e]{1,2}", "[0-9]{1,3}", "u[0-9]", "<\\*>"], 0..6), 0..300),
        most in 1..40usize,
    ) {
        let mut patterns = Patterns::new(most);
        let texts: Vec<String> = messages.iter().map(|words| words.join(" ")).collect();
        let places: Vec<usize> = texts.iter().map(|text| patterns.add(text)).collect();
        let found = patterns.templates();
        prop_assert!(found.len() <= most.max(1));
        prop_assert_eq!(found.iter().map(|one| one.count).sum::<u64>(), texts.len() as u64);
        for (at, template) in found.iter().enumerate() {
            prop_assert_eq!(template.count, places.iter().filter(|place| **place == at).count() as u64);
        }
        for (text, place) in texts.iter().zip(&places) {
            let pattern = found[*place].text();
            let (words, own): (Vec<&str>, String) = (pattern.split(' ').collect(), masked(text));
            let fits = words.iter().zip(own.split_ascii_whitespace()).all(|(word, given)| *word == "<*>" || *word == given);
            prop_assert!(pattern == "<*>" || fits, "{} {}", pattern, text);
        }
    }

    #[test]
    fn merged_patterns_count_all(a in prop::collection::vec("[a-c ]{0,12}", 0..100), b in prop::collection::vec("[a-c ]{0,12}", 0..100)) {
        let (mut one, mut other) = (Patterns::new(20), Patterns::new(20));
        a.iter().for_each(|text| { one.add(text); });
        b.iter().for_each(|text| { other.add(text); });
        one.merge_bytes(&other.to_bytes()).unwrap();
        prop_assert_eq!(one.templates().iter().map(|template| template.count).sum::<u64>(), (a.len() + b.len()) as u64);
    }

    #[test]
    fn masks_of_anything_end_in_time(text in "\\PC{0,80}", most in 0..60usize) {
        let mut out = String::new();
        mask(&text, most, &mut out);
        prop_assert!(out.len() <= most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn memory_stays_within_the_budget(fields in 1..100usize, values in 1..200usize) {
        let budget = 1 << 20;
        let mut table = Table::new(options(budget));
        let yes = BooleanArray::from(vec![true; values]);
        let columns: Vec<Column> = (0..fields)
            .map(|field| Column {
                path: format!("f{field}"),
                kind: FieldType::Str,
                values: Arc::new((0..values).map(|value| Some(format!("{value}-{field}-{}", "x".repeat(100)))).collect::<StringArray>()),
            })
            .collect();
        for _ in 0..3 {
            table.add(&Rows { columns: &columns, residual: None, sides: [&yes, &yes] });
        }
        // Past the fewest values of each field nothing is given up but new fields.
        prop_assert!(table.bytes() <= budget + fields * (64 << 10));
        prop_assert_eq!(table.rows(), [3 * values as u64; 2]);
    }
}

#[test]
fn values_are_masked() {
    for (text, shape) in [
        ("took 12 ms", "took <*> ms"),
        ("17:03:11.532 INFO x", "<*> INFO x"),
        ("10.0.0.1:8080 -> 10.0.0.2:90", "<*> -> <*>"),
        ("id=7e144dbe-057e-266f ok", "id=<*> ok"),
        ("no values, none", "no values, none"),
        ("user u17 (admin)", "user <*> (admin)"),
        ("", ""),
        ("größe 3", "größe <*>"),
    ] {
        assert_eq!(masked(text), shape);
    }
}

#[test]
fn a_clock_is_no_difference_and_a_step_is_one() {
    let mut table = Table::new(options(1 << 24));
    let n = 1000;
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values((0..n).map(|row| row * 1_000_000_000)).with_timezone("UTC"));
    let clock: ArrayRef = Arc::new(Float64Array::from_iter_values((0..n).map(|row| 5e9 + row as f64)));
    let step: ArrayRef = Arc::new(Float64Array::from_iter_values((0..n).map(|row| if row < n / 2 { 10.0 + (row % 7) as f64 } else { 50.0 })));
    let columns = [
        Column { path: "timestamp".into(), kind: FieldType::Timestamp, values: times },
        Column { path: "clock".into(), kind: FieldType::F64, values: clock },
        Column { path: "step".into(), kind: FieldType::F64, values: step },
    ];
    let late = BooleanArray::from_iter((0..n).map(|row| Some(row >= n / 2)));
    let early = BooleanArray::from_iter((0..n).map(|row| Some(row < n / 2)));
    table.add(&Rows { columns: &columns, residual: None, sides: [&late, &early] });
    let found: Vec<(&str, f64)> = table.compare().into_iter().map(|one| (one.path, one.effect.effect)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == "step" && found[0].1 > 0.9, "{found:?}");
}

#[test]
fn ids_score_less_than_what_explains() {
    let mut table = Table::new(options(1 << 24));
    let n = 5000;
    let text = |make: &dyn Fn(usize) -> String| -> ArrayRef { Arc::new((0..n).map(|row| Some(make(row))).collect::<StringArray>()) };
    let columns = [
        Column { path: "id".into(), kind: FieldType::Str, values: text(&|row| format!("id{row}")) },
        Column { path: "request".into(), kind: FieldType::Str, values: text(&|row| format!("r{}", row / 50)) },
        Column { path: "host".into(), kind: FieldType::Str, values: text(&|row| if row < 1000 { "bad".into() } else { format!("h{}", row % 8) }) },
    ];
    let slow = BooleanArray::from_iter((0..n).map(|row| Some(row < 1000)));
    let rest = BooleanArray::from_iter((0..n).map(|row| Some(row >= 1000)));
    table.add(&Rows { columns: &columns, residual: None, sides: [&slow, &rest] });
    let found = table.compare();
    assert_eq!(found[0].path, "host");
    assert_eq!(found[0].effect.values[0].value.as_deref(), Some("bad"));
    assert!(found.iter().all(|one| one.path != "id"));
}
