//! Any bytes as recorded events.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_edge::tracker::{Bounds, Tracker};
use pulka_l7::decoder::Limits;

use pulka_edge::replay::replay;

fuzz_target!(|recording: &[u8]| {
    let mut tracker = Tracker::new(Bounds { connections_max: 16, keys_max: 16, held_bytes_max: 1 << 20, idle_ns: i64::MAX, limits: Limits::DEFAULT });
    replay(recording, &mut tracker);
    assert!(tracker.connections() <= 32);
});
