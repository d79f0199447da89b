//! Any bytes in every encoding; the limit holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::decode::decompress::decompress;

fuzz_target!(|body: &[u8]| {
    const LIMIT: usize = 1 << 20;
    for encoding in ["gzip", "deflate", "zstd", "identity"] {
        if let Ok(plain) = decompress(body, encoding, LIMIT) {
            assert!(plain.len() <= LIMIT);
        }
    }
});
