//! Any bytes as OTLP/JSON of every signal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::decode::options::DecodeOptions;
use pulka_core::decode::otlp::{Encoding, Signal, decode_otlp};

fuzz_target!(|body: &[u8]| {
    for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
        decode_otlp(body, signal, Encoding::Json, 1_700_000_000_000_000_000, &DecodeOptions::default());
    }
});
