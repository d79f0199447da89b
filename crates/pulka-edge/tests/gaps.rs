//! What a source leaves out on purpose is no loss: the counter of gaps is of those that may have cost a message.

use pulka_edge::tracker::{Bounds, Piece, Tracker};
use pulka_l7::connection::Side;
use pulka_l7::decoder::Limits;

const REQUEST: &[u8] = b"GET /orders/1 HTTP/1.1\r\nHost: shop\r\n\r\n";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";

/// Gaps and transactions of one exchange, of whose answer `left_out` bytes at the end are not there.
fn counted(left_out: u32) -> (u64, u64) {
    let mut tracker = Tracker::new(Bounds { connections_max: 10, keys_max: 10, held_bytes_max: 1 << 20, idle_ns: i64::MAX, limits: Limits::DEFAULT });
    let length = HEAD.len() as u32 + 100_000;
    let answer: Vec<u8> = HEAD.iter().copied().chain(std::iter::repeat_n(b'x', 100_000)).take((length - left_out) as usize).collect();
    for (from, length, data) in [(Side::A, REQUEST.len() as u32, REQUEST), (Side::B, length, &answer)] {
        tracker.piece(1, Some(Side::A), &Piece { from, at_ns: 0, sequence: 0, length, tls: false, data });
    }
    tracker.close(1, 0);
    (tracker.counters.gaps, tracker.counters.transactions)
}

#[test]
fn the_rest_of_a_body_costs_nothing() {
    assert_eq!(counted(0), (0, 1));
    assert_eq!(counted(99_000), (0, 1));
}

#[test]
fn the_end_of_a_head_may_cost_a_message() {
    assert_eq!(counted(100_010).0, 1);
}
