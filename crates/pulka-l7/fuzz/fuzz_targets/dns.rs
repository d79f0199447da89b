//! Any bytes to the decoder of `dns`, as datagrams and as a stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_l7::decoder::Transport;
use pulka_l7::testing::feed_anything;

fuzz_target!(|script: &[u8]| {
    feed_anything("dns", Transport::Datagram, script);
    feed_anything("dns", Transport::Stream, script);
});
