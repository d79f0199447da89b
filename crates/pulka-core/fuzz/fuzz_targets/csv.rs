//! Any bytes as CSV, with a column of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::decode::csv::decode_csv;
use pulka_core::decode::options::DecodeOptions;

fuzz_target!(|body: &[u8]| {
    let options = DecodeOptions { json_fields: vec!["log".to_string()], ..DecodeOptions::default() };
    decode_csv(body, 1_700_000_000_000_000_000, &options, None, 1);
    decode_csv(body, 1_700_000_000_000_000_000, &options, Some(&["log".to_string()]), 1);
});
