//! Fragments end to end: what goes in comes out sorted, described, and broken bytes found.

use std::collections::BTreeMap;
use std::fs::File;

use arrow_array::cast::AsArray;
use crate::fragments::{any_batch, any_sort, batch, floats, is_sorted, logs, multiset, options, read, timestamps};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use pulka_core::fragment::{Description, FragmentOptions, MergeOptions, inspect_fragment, merge_fragments, write_fragment};
use tempfile::TempDir;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_rows_come_back_sorted(batches in prop::collection::vec(any_batch(150), 1..4), sort in any_sort()) {
        let (directory, options) = (TempDir::new().unwrap(), options(&sort));
        let path = directory.path().join("f");
        let description: Description = serde_json::from_str(&write_fragment(&batches, &path, &options).unwrap()).unwrap();
        let stored = read(&path);
        prop_assert_eq!(multiset(&batches), multiset(std::slice::from_ref(&stored)));
        prop_assert!(is_sorted(&stored, &options.sort));
        prop_assert_eq!(description.bytes, std::fs::metadata(&path).unwrap().len());
        inspect_fragment(&path, true).unwrap();
    }
}

#[test]
fn a_row_group_is_bounded_by_its_heaviest_column() {
    let directory = TempDir::new().unwrap();
    let options = FragmentOptions { row_group_bytes: 3 << 20, ..options(&["service"]) };
    let (path, merged) = (directory.path().join("f"), directory.path().join("m"));
    write_fragment(&[logs(20, |row| "x".repeat((1 << 20) - row))], &path, &options).unwrap();
    merge_fragments(std::slice::from_ref(&path), std::slice::from_ref(&merged), &options, &MergeOptions::default()).unwrap();
    for path in [path, merged] {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let groups = builder.metadata().row_groups();
        let sizes = groups.iter().flat_map(|group| group.columns()).map(|column| column.uncompressed_size());
        assert!(sizes.max().unwrap() <= (3 << 20) + 4096);
        assert!((7..=10).contains(&groups.len()), "{} groups", groups.len());
    }
}

#[test]
fn ids_have_filters_and_columns_have_page_indexes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    write_fragment(&[logs(50_000, |row| format!("message {row}"))], &path, &options(&["service", "-timestamp"])).unwrap();
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
        .parse_and_finish(&File::open(&path).unwrap())
        .unwrap();
    let group = metadata.row_group(0);
    let id = group.columns().iter().position(|column| column.column_path().string() == "id").unwrap();
    let with_filter: Vec<bool> = group.columns().iter().map(|column| column.bloom_filter_offset().is_some()).collect();
    assert_eq!(with_filter.iter().filter(|has| **has).count(), 1);
    assert!(with_filter[id]);
    let filter_bytes = group.column(id).bloom_filter_length().unwrap();
    assert!((50_000..=200_000).contains(&filter_bytes), "{filter_bytes} bytes for 50,000 ids");
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    assert!(metadata.page_index().is_some());
}

#[test]
fn a_nan_leaves_the_range_out() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, value: f64| -> Description {
        let columns = vec![timestamps(vec![1, 2]), floats("v", vec![Some(value), Some(2.0)])];
        let text = write_fragment(&[batch(columns)], &directory.path().join(name), &options(&[])).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let range = |description: &Description| {
        let column = description.columns.iter().find(|column| column.path == "v").unwrap();
        (column.min.as_f64(), column.max.as_f64())
    };
    assert_eq!(range(&write("finite", 1.0)), (Some(1.0), Some(2.0)));
    assert_eq!(range(&write("nan", f64::NAN)), (None, None));
    assert_eq!(range(&write("infinite", f64::INFINITY)), (Some(2.0), None));
}

#[test]
fn every_changed_byte_is_found() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    write_fragment(&[logs(300, |row| format!("message {row}"))], &path, &options(&["service"])).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let broken = directory.path().join("broken");
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        std::fs::write(&broken, &changed).unwrap();
        assert!(inspect_fragment(&broken, true).is_err(), "byte {at} of {}", bytes.len());
    }
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    assert!(inspect_fragment(&broken, true).is_err());
}

#[test]
fn a_failed_write_leaves_no_file_and_none_is_overwritten() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    let reserved = FragmentOptions { metadata: BTreeMap::from([("pulka.sort".into(), "x".into())]), ..options(&[]) };
    assert!(write_fragment(&[logs(3, |_| String::new())], &path, &reserved).is_err());
    assert!(!path.exists());
    std::fs::write(&path, b"mine").unwrap();
    assert!(write_fragment(&[logs(3, |_| String::new())], &path, &options(&[])).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn equal_rows_keep_their_order_of_arrival() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("f");
    let batch = logs(100, |row| format!("{row:03}"));
    write_fragment(&[batch], &path, &options(&["service"])).unwrap();
    let stored = read(&path);
    let column = |name: &str| stored.column_by_name(name).unwrap().as_string::<i32>().clone();
    let pairs: Vec<(String, String)> =
        column("service").iter().zip(column("message").iter()).map(|(a, b)| (a.unwrap().into(), b.unwrap().into())).collect();
    assert!(pairs.is_sorted());
}
