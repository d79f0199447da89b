//! Any bytes on a connection whose protocol is to be found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulka_l7::decoder::Transport;
use pulka_l7::testing::feed_unknown;

fuzz_target!(|script: &[u8]| {
    feed_unknown(Transport::Stream, true, script);
    feed_unknown(Transport::Stream, false, script);
    feed_unknown(Transport::Datagram, true, script);
});
