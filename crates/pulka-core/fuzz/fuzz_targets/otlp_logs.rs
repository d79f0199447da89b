//! Any bytes as an OTLP request of logs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::otlp::{Encoding, Signal, decode_otlp};

fuzz_target!(|body: &[u8]| {
    decode_otlp(body, Signal::Logs, Encoding::Protobuf, 1_700_000_000_000_000_000, &DecodeOptions::default());
});
