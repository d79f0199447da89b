//! Any bytes as recorded events of HTTP.sys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_edge::tracker::{Bounds, Tracker};
use pulka_l7::decoder::Limits;

use pulka_edge::event::blocks;
use pulka_edge::http_sys::HttpSys;

fuzz_target!(|recording: &[u8]| {
    let mut tracker = Tracker::new(Bounds { connections_max: 16, keys_max: 16, held_bytes_max: 1 << 20, idle_ns: i64::MAX, limits: Limits::DEFAULT });
    let mut source = HttpSys::new(16);
    blocks(recording).for_each(|block| source.block(block, &mut |event| tracker.take(event)));
    assert!(source.held() <= 48);
});
