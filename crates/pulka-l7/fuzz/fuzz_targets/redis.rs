//! Any bytes, cut anywhere, with gaps, to the decoder of `redis`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_l7::decoder::Transport;
use pulka_l7::testing::feed_anything;

fuzz_target!(|script: &[u8]| feed_anything("redis", Transport::Stream, script));
