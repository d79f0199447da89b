//! Any bytes as a capture file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_l7::capture::{Capture, Settings};

fuzz_target!(|file: &[u8]| {
    let mut capture = Capture::new(Settings { connections: 16, memory_bytes: 1 << 18, ..Settings::default() });
    for piece in file.chunks(1000) {
        if capture.push(piece).is_err() {
            return;
        }
    }
    capture.finish();
    assert!(capture.take().connections.len() <= file.len());
});
