//! How fast fragments are written and merged: `cargo run --release --example fragment_speed [rows]`.
//!
//! Log rows of about 400 bytes, ten columns, arrival order. Prints rows per second of
//! processor time, stored bytes per row
//! and the process's peak memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use pulka_core::fragment::{Description, FragmentOptions, MergeOptions, SortColumn, inspect_fragment, merge_fragments, write_fragment};

const INPUTS: usize = 16;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1 << 20);
    let directory = tempfile::tempdir()?;
    let options = options();
    let part_rows = rows / INPUTS;
    if std::env::args().nth(2).is_none() {
        write_whole(rows, directory.path(), &options)?;
    }
    for overlap in [false, true] {
        let name = if overlap { "merge of 16, same times" } else { "merge of 16, one after the other" };
        let inputs: Vec<PathBuf> = (0..INPUTS).map(|part| directory.path().join(format!("{overlap}-{part}"))).collect();
        for (part, path) in inputs.iter().enumerate() {
            let first = if overlap { 0 } else { part * part_rows };
            write_fragment(&logs(first, part_rows, part as u64 + 1), path, &options)?;
        }
        reset_peak();
        let start = cpu_seconds();
        let text = merge_fragments(&inputs, &[directory.path().join(format!("{overlap}-merged"))], &options, &MergeOptions::default())?.remove(0);
        report(name, &text, start)?;
    }
    Ok(())
}

fn write_whole(rows: usize, directory: &Path, options: &FragmentOptions) -> Result<(), Failure> {
    let (batches, path) = (logs(0, rows, 0), directory.join("whole"));
    reset_peak();
    let start = cpu_seconds();
    let text = write_fragment(&batches, &path, options)?;
    report("normalize, sort, write", &text, start)?;
    let start = cpu_seconds();
    inspect_fragment(&path, true)?;
    report("verify", &text, start)
}

fn report(name: &str, description: &str, start: f64) -> Result<(), Failure> {
    let (seconds, found): (f64, Description) = (cpu_seconds() - start, serde_json::from_str(description)?);
    let rows = found.rows as f64;
    println!(
        "{name}: {:.0} rows/s/core, {:.1} raw and {:.1} stored bytes per row, peak {} MB",
        rows / seconds,
        found.raw_bytes as f64 / rows,
        found.bytes as f64 / rows,
        peak_kb() / 1024,
    );
    Ok(())
}

fn options() -> FragmentOptions {
    let sort = ["service", "env", "severity", "-timestamp"].map(SortColumn::parse).to_vec();
    FragmentOptions { sort, bloom: vec!["trace_id".into()], ..FragmentOptions::default() }
}

/// Time on a processor, which other programs do not lengthen; waits for the disk do not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Start measuring the peak anew.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// A small generator, so that every run sees the same rows.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn logs(first: usize, rows: usize, seed: u64) -> Vec<RecordBatch> {
    let mut random = Random(seed);
    (0..rows).step_by(8192).map(|start| batch(first + start, 8192.min(rows - start), &mut random)).collect()
}

fn batch(first: usize, rows: usize, random: &mut Random) -> RecordBatch {
    let texts = |make: &mut dyn FnMut(&mut Random) -> String, random: &mut Random| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| make(random))))
    };
    let times = (first..first + rows).map(|row| 1_700_000_000_000_000_000 + row as i64 * 1_000_000 + random.below(900_000) as i64);
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let timestamps: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("service", texts(&mut |random| format!("service-{:02}", random.below(65)), random)),
        ("env", texts(&mut |random| ["production", "staging", "development"][random.below(3) as usize].into(), random)),
        ("severity", texts(&mut |random| ["DEBUG", "INFO", "INFO", "WARN", "ERROR"][random.below(5) as usize].into(), random)),
        ("host", texts(&mut |random| format!("ip-10-0-{}-{}.eu-central-1.compute.internal", random.below(4), random.below(50)), random)),
        ("message", texts(&mut message, random)),
        ("trace_id", texts(&mut |random| format!("{:016x}{:016x}", random.next(), random.next()), random)),
        ("http.status_code", Arc::new((0..rows).map(|_| [200, 200, 200, 404, 500][random.below(5) as usize]).collect::<Int64Array>())),
        ("duration_ms", Arc::new((0..rows).map(|_| random.below(10_000_000) as f64 / 1000.0).collect::<Float64Array>())),
        ("path", texts(&mut |random| format!("/api/v1/customers/{}/orders/{}", random.below(500), ["list", "create", "cancel"][random.below(3) as usize]), random)),
    ];
    let mut fields = vec![Field::new("timestamp", time, false)];
    fields.extend(columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)));
    let arrays = std::iter::once(timestamps).chain(columns.into_iter().map(|(_, array)| array));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect()).expect("columns of equal length")
}

fn message(random: &mut Random) -> String {
    let (customer, order, amount) = (random.below(100_000), random.next() & 0xffff_ffff, random.below(100_000));
    match random.below(4) {
        0 => format!("request for customer {customer} finished: order {order:08x} was accepted by the payment provider after one attempt, amount {amount} cents, cache hit ratio {}%", amount % 100),
        1 => format!("connection pool exhausted while fetching order {order:08x} for customer {customer}; waited {amount} ms before giving up and returning an error to the client"),
        2 => format!("user session {order:08x} refreshed, customer {customer}, the token expires in {amount} seconds, scopes read write profile orders, issued by the identity service"),
        _ => format!("slow query took {amount} us: SELECT id, state, total FROM orders WHERE customer_id = {customer} AND token = '{order:08x}' ORDER BY created_at DESC LIMIT 50"),
    }
}
