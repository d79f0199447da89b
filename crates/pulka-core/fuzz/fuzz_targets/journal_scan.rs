//! Any bytes as a journal segment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_core::journal::scan;

fuzz_target!(|body: &[u8]| {
    let _ = scan(body, 0);
});
