//! Any bytes as JSON events.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::decode::json::decode_json;
use pulka_core::decode::options::DecodeOptions;

fuzz_target!(|body: &[u8]| {
    decode_json(body, 1_700_000_000_000_000_000, 1, &DecodeOptions::default());
});
