//! Frames survive the round trip; a scan survives everything else.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use pulka_core::journal::{End, FrameRef, decode, encode, resync, scan};

fn batch(values: &[Option<i64>], texts: &[Option<String>]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("number", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef, true),
        ("text", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef, true),
    ])
    .unwrap()
}

fn frame(sequence: u64) -> Vec<u8> {
    let batch = batch(&[Some(sequence as i64), None], &[None, Some("x".repeat(100))]);
    let frame =
        FrameRef { sequence, arrival_ns: 7, tenant: "t", table: "logs", dedup_key: None, ack: b"ok", batch: &batch };
    encode(&frame).unwrap()
}

fn segment(frames: u64) -> Vec<u8> {
    (1..=frames).flat_map(frame).collect()
}

fn sequences(data: &[u8]) -> Vec<u64> {
    scan(data, 0).entries.iter().map(|entry| entry.sequence).collect()
}

#[test]
fn a_segment_cut_anywhere_keeps_the_frames_before_the_cut() {
    let data = segment(3);
    let length = data.len() / 3;
    for cut in 0..data.len() {
        let found = scan(&data[..cut], 0);
        assert_eq!(found.entries.len(), cut / length, "cut at {cut}");
        assert_eq!(found.reason, if cut % length == 0 { End::Complete } else { End::Torn }, "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_in_the_middle_is_corrupt_and_the_next_frame_is_found() {
    let data = segment(3);
    let length = data.len() / 3;
    for at in length..2 * length {
        let mut broken = data.clone();
        broken[at] ^= 0x55;
        let found = scan(&broken, 0);
        assert_eq!((found.entries.len(), found.end, found.reason), (1, length, End::Corrupt), "flip at {at}");
        assert_eq!(resync(&broken, length), 2 * length, "flip at {at}");
    }
}

#[test]
fn a_zero_tail_is_torn_and_a_complete_bad_last_frame_is_corrupt() {
    let mut data = segment(2);
    let good = data.len();
    data.extend([0; 4096]);
    let found = scan(&data, 0);
    assert_eq!((found.entries.len(), found.end, found.reason), (2, good, End::Torn));
    data.truncate(good);
    data[good - 1] ^= 1;
    assert_eq!(scan(&data, 0).reason, End::Corrupt);
    assert_eq!(resync(&data, good / 2), good);
}

#[test]
fn a_frame_inside_the_answer_of_a_bad_frame_is_not_a_frame() {
    let inner = frame(99);
    let batch = batch(&[Some(1)], &[None]);
    let outer = FrameRef {
        sequence: 1,
        arrival_ns: 0,
        tenant: "t",
        table: "logs",
        dedup_key: None,
        ack: &inner,
        batch: &batch,
    };
    let mut data = encode(&outer).unwrap();
    let length = data.len();
    data.extend(frame(2));
    data[length - 1] ^= 1;
    assert_eq!(sequences(&data), Vec::<u64>::new());
    assert_eq!(resync(&data, 0), length);
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let batch = batch(&[], &[]);
    let long = "t".repeat(70_000);
    let frame =
        FrameRef { sequence: 1, arrival_ns: 0, tenant: &long, table: "logs", dedup_key: None, ack: b"", batch: &batch };
    assert!(encode(&frame).unwrap_err().to_string().contains("tenant"));
}

proptest! {
    #[test]
    fn decode_is_the_inverse_of_encode(
        sequence: u64,
        arrival_ns: i64,
        tenant in ".{0,20}",
        table in ".{0,20}",
        dedup_key in proptest::option::of(".{0,40}"),
        ack in proptest::collection::vec(any::<u8>(), 0..50),
        rows in proptest::collection::vec((any::<Option<i64>>(), proptest::option::of(".{0,30}")), 0..40),
    ) {
        let (values, texts): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let batch = batch(&values, &texts);
        let frame = FrameRef { sequence, arrival_ns, tenant: &tenant, table: &table, dedup_key: dedup_key.as_deref(), ack: &ack, batch: &batch };
        let back = decode(&encode(&frame).unwrap()).unwrap();
        prop_assert_eq!((back.sequence, back.arrival_ns), (sequence, arrival_ns));
        prop_assert_eq!((back.tenant, back.table), (tenant, table));
        prop_assert_eq!((back.dedup_key, back.ack), (dedup_key, ack));
        prop_assert_eq!(back.batch, batch);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..500), offset in 0usize..600) {
        let found = scan(&data, offset);
        prop_assert!(found.end <= data.len());
        prop_assert!(resync(&data, offset) <= data.len().max(offset));
        let _ = decode(&data);
    }

    #[test]
    fn damaged_segments_yield_only_frames_that_were_written(flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8)) {
        let good = segment(5);
        let mut data = good.clone();
        for (at, mask) in &flips {
            let at = at.index(data.len());
            data[at] ^= mask;
        }
        let mut offset = 0;
        while offset < data.len() {
            let found = scan(&data, offset);
            for entry in &found.entries {
                let bytes = entry.offset..entry.offset + entry.length;
                prop_assert_eq!(&data[bytes.clone()], &good[bytes]);
            }
            offset = resync(&data, found.end);
        }
    }
}
