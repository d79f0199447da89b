//! Merges: invariant 7 against a slow reference, whatever the inputs, their number, their order and the memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use crate::fragments::{any_batch, any_sort, batch, check_paths, ints, is_sorted, logs, multiset, options, read, rows_of, strings, timestamps};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use pulka_core::batch::Column;
use pulka_core::fragment::sort::{Keys, leading};
use pulka_core::fragment::{Description, FragmentError, FragmentOptions, MergeOptions, inspect_fragment, merge_fragments, write_fragment};
use tempfile::TempDir;

/// Fragments in files of their own, each sorted by its own options.
fn write(directory: &Path, fragments: &[Vec<RecordBatch>], options: impl Fn(usize) -> FragmentOptions) -> Vec<PathBuf> {
    let write = |(index, batches): (usize, &Vec<RecordBatch>)| {
        let path = directory.join(format!("in-{index}.parquet"));
        write_fragment(batches, &path, &options(index)).unwrap();
        path
    };
    fragments.iter().enumerate().map(write).collect()
}

fn outputs(directory: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|index| directory.join(format!("out-{index}.parquet"))).collect()
}

/// The rows that a merge is to keep, read plainly.
fn reference(inputs: &[PathBuf], drop: &[Option<BooleanArray>]) -> Vec<RecordBatch> {
    let kept = |(index, path): (usize, &PathBuf)| {
        let batch = read(path);
        match drop.get(index).cloned().flatten() {
            Some(drop) => filter_record_batch(&batch, &drop.iter().map(|drop| Some(drop != Some(true))).collect()).unwrap(),
            None => batch,
        }
    };
    inputs.iter().enumerate().map(kept).collect()
}

/// Columns and residual fields that some row has.
fn present(batches: &[RecordBatch]) -> BTreeSet<String> {
    multiset(batches).iter().flatten().map(|cell| cell.rsplit_once(' ').unwrap().0.to_string()).collect()
}

fn check(inputs: &[PathBuf], outputs: &[PathBuf], options: &FragmentOptions, merge: &MergeOptions) -> Result<(), TestCaseError> {
    let before = std::fs::read_dir(outputs[0].parent().unwrap()).unwrap().count();
    let expected = reference(inputs, &merge.drop);
    let told = merge_fragments(inputs, outputs, options, merge).unwrap();
    let stored: Vec<RecordBatch> = outputs[..told.len()].iter().map(|path| read(path)).collect();
    prop_assert_eq!(std::fs::read_dir(outputs[0].parent().unwrap()).unwrap().count(), before + told.len());
    prop_assert_eq!(multiset(&expected), multiset(&stored));
    prop_assert_eq!(present(&expected), present(&stored));
    let ids: Vec<String> = outputs[..told.len()].iter().map(|path| path.file_stem().unwrap().to_string_lossy().into()).collect();
    for ((text, path), batch) in told.iter().zip(outputs).zip(&stored) {
        let footer = inspect_fragment(path, true).unwrap();
        let description: Description = serde_json::from_str(text).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Description>(&footer["pulka.fragment"]).unwrap(), &description);
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(&footer["pulka.outputs"]).unwrap(), ids.clone());
        prop_assert!(is_sorted(batch, &options.sort));
        prop_assert_eq!(batch.schema().fields().clone(), stored[0].schema().fields().clone());
        check_paths(batch)?;
    }
    for pair in stored.windows(2) {
        prop_assert!(pair[0].num_rows() as u64 >= merge.output_rows);
        let keys = |batch| Keys::of(batch, leading(&options.sort));
        prop_assert!(keys(&pair[0]).compare(pair[0].num_rows() - 1, &keys(&pair[1]), 0).is_lt(), "two outputs share a series");
    }
    check_output_count(&stored, outputs.len(), options, merge)
}

/// An output goes on only within a series, or when it is the last allowed.
fn check_output_count(stored: &[RecordBatch], most: usize, options: &FragmentOptions, merge: &MergeOptions) -> Result<(), TestCaseError> {
    for batch in stored.iter().take(most - 1).filter(|_| merge.output_rows > 0) {
        let keys = Keys::of(batch, leading(&options.sort));
        let full = merge.output_rows as usize;
        let changes = |row: &usize| keys.compare(row - 1, &keys, *row).is_ne();
        prop_assert_eq!((full..batch.num_rows()).find(changes), None, "a series begins in a full output");
    }
    Ok(())
}

/// Which rows to leave out: often none, often all.
fn any_drop(rows: usize) -> impl Strategy<Value = Option<BooleanArray>> {
    let some = prop::collection::vec(prop::option::weighted(0.9, any::<bool>()), rows).prop_map(|rows| Some(rows.into()));
    prop_oneof![2 => Just(None), 2 => some, 1 => Just(Some(vec![true; rows].into()))]
}

fn any_inputs(count: impl Into<prop::collection::SizeRange>, rows: usize) -> impl Strategy<Value = Vec<(Vec<RecordBatch>, Option<BooleanArray>)>> {
    let input = prop::collection::vec(any_batch(rows), 1..3).prop_flat_map(|batches| {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        (Just(batches), any_drop(rows))
    });
    prop::collection::vec(input, count)
}

fn any_merge() -> impl Strategy<Value = MergeOptions> {
    let (memory, rows) = (prop_oneof![Just(1), Just(1 << 16), Just(128 << 20)], prop_oneof![Just(0), Just(1), 2..100u64]);
    (memory, rows).prop_map(|(memory_bytes, output_rows)| MergeOptions { memory_bytes, output_rows, ..MergeOptions::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_is_the_union_in_order(
        inputs in any_inputs(1..6, 150),
        (sort, other) in (any_sort(), prop_oneof![4 => Just(None), 1 => any_sort().prop_map(Some)]),
        merge in any_merge(),
        (most, row_group_bytes) in (1..5usize, prop_oneof![Just(64), Just(1000), Just(32 << 20)]),
    ) {
        let directory = TempDir::new().unwrap();
        let options = FragmentOptions { row_group_bytes, ..options(&sort) };
        let (fragments, drop): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        // Some inputs may be older than the sort schema.
        let own = |index: usize| crate::fragments::options(if index % 2 == 1 { other.as_ref().unwrap_or(&sort) } else { &sort });
        let paths = write(directory.path(), &fragments, own);
        check(&paths, &outputs(directory.path(), most), &options, &MergeOptions { drop, ..merge })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_inputs_are_merged_at_once(inputs in any_inputs(40..65, 20), sort in any_sort(), merge in any_merge()) {
        let directory = TempDir::new().unwrap();
        let (fragments, drop): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        let paths = write(directory.path(), &fragments, |_| options(&sort));
        check(&paths, &outputs(directory.path(), 3), &options(&sort), &MergeOptions { drop, ..merge })?;
    }

    #[test]
    fn rows_of_any_width_come_through(
        lengths in prop::collection::vec(prop::collection::vec(prop_oneof![20 => 0..50usize, 1 => 0..200_000usize], 1..300), 1..4),
        row_group_bytes in prop_oneof![Just(1000), Just(100_000), Just(32 << 20)],
    ) {
        let directory = TempDir::new().unwrap();
        let options = FragmentOptions { row_group_bytes, ..options(&["service", "-timestamp"]) };
        let fragments: Vec<_> = lengths.iter().map(|lengths| vec![logs(lengths.len(), |row| "ž".repeat(lengths[row] / 2))]).collect();
        let paths = write(directory.path(), &fragments, |_| options.clone());
        check(&paths, &outputs(directory.path(), 1), &options, &MergeOptions { memory_bytes: 1 << 20, ..MergeOptions::default() })?;
    }
}

fn merged(inputs: &[PathBuf], output: &Path, options: &FragmentOptions) -> RecordBatch {
    merge_fragments(inputs, &[output.to_path_buf()], options, &MergeOptions::default()).unwrap();
    read(output)
}

/// What a column holds, in order.
fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_string()).collect()
}

#[test]
fn equal_rows_keep_the_order_of_the_inputs() {
    let directory = TempDir::new().unwrap();
    let input = |name: &str| {
        let message = (0..50).map(|row| Some(format!("{name}{row:02}"))).collect();
        vec![batch(vec![timestamps(vec![7; 50]), strings("service", vec![Some("s".into()); 50]), strings("message", message)])]
    };
    let options = options(&["service", "-timestamp"]);
    let paths = write(directory.path(), &[input("a"), input("b"), input("c")], |_| options.clone());
    assert!(texts(&merged(&paths, &directory.path().join("out"), &options), "message").is_sorted());
}

#[test]
fn long_series_are_merged_across_batches_and_row_groups() {
    let directory = TempDir::new().unwrap();
    let input = |part: i64| {
        let times: Vec<i64> = (0..30_000).map(|row| row * 3 + part).collect();
        let numbers = times.iter().map(|time| Some(*time)).collect();
        vec![batch(vec![timestamps(times), strings("service", vec![Some("s".into()); 30_000]), ints("number", numbers)])]
    };
    let options = FragmentOptions { row_group_bytes: 200_000, ..options(&["service", "-timestamp"]) };
    let paths = write(directory.path(), &[input(0), input(1), input(2)], |_| options.clone());
    let stored = merged(&paths, &directory.path().join("out"), &options);
    let numbers: Vec<i64> = stored.column_by_name("number").unwrap().as_primitive::<arrow_array::types::Int64Type>().values().to_vec();
    assert!(numbers.iter().copied().eq((0..90_000).rev()));
}

#[test]
fn types_of_a_field_stay_apart() {
    let directory = TempDir::new().unwrap();
    let text = batch(vec![timestamps(vec![1]), strings("code", vec![Some("7".into())])]);
    let number = batch(vec![timestamps(vec![2]), ints("code", vec![Some(7)])]);
    let options = options(&["code", "timestamp"]);
    let paths = write(directory.path(), &[vec![text], vec![number]], |_| options.clone());
    let stored = merged(&paths, &directory.path().join("out"), &options);
    let columns: Vec<_> = stored.schema().fields().iter().filter_map(|field| Column::of(field)).filter(|column| column.path == "code").collect();
    assert_eq!(columns.len(), 2);
    assert_eq!(rows_of(&stored).len(), 2);
}

#[test]
fn row_groups_are_cut_by_the_sizes_of_pages() {
    let directory = TempDir::new().unwrap();
    let options = FragmentOptions { row_group_bytes: 3 << 20, ..options(&["service"]) };
    let input = |_| vec![logs(20, |row| if row < 10 { "x".repeat((1 << 20) - row) } else { "short".into() })];
    let paths = write(directory.path(), &[0, 1].map(input), |_| options.clone());
    let path = directory.path().join("out");
    merged(&paths, &path, &options);
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
    let groups = builder.metadata().row_groups();
    let sizes = groups.iter().flat_map(|group| group.columns()).map(|column| column.uncompressed_size());
    assert!(sizes.max().unwrap() <= (3 << 20) + 4096);
    assert!((7..=12).contains(&groups.len()), "{} groups", groups.len());
}

#[test]
fn a_merge_that_fails_or_is_cancelled_leaves_no_file() {
    let directory = TempDir::new().unwrap();
    let options = options(&["service"]);
    let paths = write(directory.path(), &[vec![logs(300, |row| format!("{row}"))], vec![logs(300, |row| format!("{row}"))]], |_| options.clone());
    let out = outputs(directory.path(), 2);
    let merge = MergeOptions { output_rows: 100, ..MergeOptions::default() };
    merge.cancel.cancel();
    assert!(matches!(merge_fragments(&paths, &out, &options, &merge), Err(FragmentError::Cancelled)));

    let mut broken = std::fs::read(&paths[1]).unwrap();
    broken[4..64].fill(0xff);
    std::fs::write(&paths[1], broken).unwrap();
    let merge = MergeOptions { output_rows: 100, ..MergeOptions::default() };
    let error = merge_fragments(&paths, &out, &options, &merge).unwrap_err();
    assert!(error.to_string().contains("in-1.parquet"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);

    // A file that is there already is not ours to write or to remove.
    let taken = outputs(directory.path(), 1);
    std::fs::write(&taken[0], b"mine").unwrap();
    assert!(merge_fragments(&paths[..1], &taken, &options, &MergeOptions::default()).is_err());
    assert_eq!(std::fs::read(&taken[0]).unwrap(), b"mine");
}
