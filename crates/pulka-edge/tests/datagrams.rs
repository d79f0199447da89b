//! Datagrams: both ends of an exchange on one machine name each other.

use std::net::SocketAddr;

use pulka_edge::red::{Key, Series};
use pulka_edge::tracker::{Bounds, Facts, Tracker};
use pulka_l7::connection::Side;
use pulka_l7::decoder::Limits;

const QUERY: &[u8] = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";
const ANSWER: &[u8] = b"\x00\x07\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";
const MS: i64 = 1_000_000;

fn tracker() -> Tracker {
    Tracker::new(Bounds { connections_max: 100, keys_max: 100, held_bytes_max: 1 << 20, idle_ns: 300_000 * MS, limits: Limits::DEFAULT })
}

fn facts(local: &str, remote: &str, process: u32) -> Facts {
    let end = |text: &str| text.parse::<SocketAddr>().ok();
    Facts { local: end(local), remote: end(remote), client: None, process, namespace: 0 }
}

/// A question of process 10 to the server of process 20, as their sockets see it; only who sends is known.
fn exchange(tracker: &mut Tracker, client: &str, at_ns: i64) {
    let server = "127.0.0.1:53";
    tracker.datagram(1, facts(client, server, 10), Side::A, at_ns, QUERY);
    tracker.datagram(2, facts(server, client, 0), Side::B, at_ns, QUERY);
    tracker.datagram(2, facts(server, client, 20), Side::A, at_ns + MS, ANSWER);
    tracker.datagram(1, facts(client, server, 0), Side::B, at_ns + MS, ANSWER);
}

fn ends(series: &[(Key, Series)]) -> Vec<(u32, bool, u32, u64)> {
    let mut ends: Vec<_> = series.iter().map(|(key, series)| (key.end.process, key.end.is_client, key.end.peer.process, series.durations.count)).collect();
    ends.sort_unstable();
    ends
}

#[test]
fn who_asked_and_who_answered() {
    let mut tracker = tracker();
    exchange(&mut tracker, "127.0.0.1:40000", 0);
    exchange(&mut tracker, "127.0.0.1:40001", 5 * MS);
    assert_eq!(ends(&tracker.red.take()), [(10, true, 20, 2), (20, false, 10, 2)]);
}

#[test]
fn peers_that_are_silent_are_forgotten() {
    let mut tracker = tracker();
    exchange(&mut tracker, "127.0.0.1:40000", 0);
    assert_eq!(tracker.connections(), 2);
    tracker.tick(11_000 * MS);
    assert_eq!(tracker.connections(), 0);
    tracker.red.take();
    tracker.datagram(3, facts("127.0.0.1:53", "127.0.0.1:40000", 0), Side::B, 12_000 * MS, QUERY);
    tracker.datagram(3, facts("127.0.0.1:53", "127.0.0.1:40000", 21), Side::A, 12_001 * MS, ANSWER);
    assert_eq!(ends(&tracker.red.take()), [(21, false, 0, 1)], "the port has another owner now");
}

#[test]
fn questions_that_nobody_answered_have_failed() {
    let mut tracker = tracker();
    tracker.datagram(1, facts("127.0.0.1:40000", "127.0.0.1:53", 10), Side::A, 0, QUERY);
    tracker.tick(11_000 * MS);
    let series = tracker.red.take();
    assert_eq!(ends(&series), [(10, true, 0, 1)]);
    assert_eq!(series[0].0.error.as_deref(), Some("no_response"));
}
