//! Connections with both ends in one network namespace: each end tells what it sends, and both are counted.

use std::net::SocketAddr;

use pulka_edge::replay::replay;
use pulka_edge::tracker::{Bounds, Conn, Facts, Piece, Tracker, Verdict};
use pulka_l7::connection::Side;
use pulka_l7::decoder::Limits;

const MS: i64 = 1_000_000;
const CLIENT: Conn = 1;
const SERVER: Conn = 2;
const REQUEST: &[u8] = b"GET /orders/1 HTTP/1.1\r\nHost: shop\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn tracker() -> Tracker {
    Tracker::new(Bounds { connections_max: 100, keys_max: 100, held_bytes_max: 1 << 20, idle_ns: 1000 * MS, limits: Limits::DEFAULT })
}

/// Both ends of a connection, known as the kernel tells of them.
fn open(tracker: &mut Tracker, namespaces: [u32; 2]) {
    let (client, server): (SocketAddr, SocketAddr) = ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
    let facts = |local, remote, side, process, namespace| Facts { local: Some(local), remote: Some(remote), client: Some(side), process, namespace };
    tracker.open(CLIENT, facts(client, server, Side::A, 10, namespaces[0]), true, 0);
    tracker.open(SERVER, facts(server, client, Side::B, 20, namespaces[1]), true, 0);
}

struct Wire {
    sent: [u32; 2],
    /// Whether who receives is told of it, too.
    both: bool,
}

impl Wire {
    fn say(&mut self, tracker: &mut Tracker, from: Conn, at_ns: i64, data: &[u8]) {
        let sent = &mut self.sent[from as usize - 1];
        let piece = |from| Piece { from, at_ns, sequence: *sent, length: data.len() as u32, tls: false, data };
        tracker.piece(from, None, &piece(Side::A));
        if self.both {
            tracker.piece(3 - from, None, &piece(Side::B));
        }
        *sent = sent.wrapping_add(data.len() as u32);
    }

    fn exchange(&mut self, tracker: &mut Tracker, at_ns: i64) {
        self.say(tracker, CLIENT, at_ns, REQUEST);
        self.say(tracker, SERVER, at_ns + MS, ANSWER);
    }
}

fn counted(tracker: &mut Tracker) -> Vec<(u32, bool, String, u64)> {
    let mut found: Vec<_> = tracker.red.take().into_iter().map(|(key, series)| (key.end.process, key.end.is_client, key.status, series.durations.count)).collect();
    found.sort_unstable();
    found
}

fn both(count: u64) -> Vec<(u32, bool, String, u64)> {
    vec![(10, true, "200".to_owned(), count), (20, false, "200".to_owned(), count)]
}

#[test]
fn what_one_sends_is_what_the_other_receives() {
    let (mut tracker, mut wire) = (tracker(), Wire { sent: [u32::MAX - 20, 5], both: true });
    tracker.tap = Some(Vec::new());
    open(&mut tracker, [7, 7]);
    wire.exchange(&mut tracker, 0);
    let mut verdicts = tracker.verdicts();
    verdicts.sort_by_key(|(conn, _)| *conn);
    assert_eq!(verdicts, [(CLIENT, Verdict::KeepSent), (SERVER, Verdict::KeepSent)], "one each: the source looks only until it finds one");
    wire.exchange(&mut tracker, 10 * MS); // until the source has heard of it, some is told twice
    wire.both = false;
    (2..5).for_each(|turn| wire.exchange(&mut tracker, turn * 10 * MS));
    assert_eq!(counted(&mut tracker), both(5));
    let mut again = self::tracker();
    replay(&tracker.tap.take().unwrap(), &mut again);
    assert_eq!(counted(&mut again), both(5));
}

#[test]
fn with_ends_in_two_namespaces_or_unknown_ones_each_tells_of_both() {
    for namespaces in [[7, 8], [0, 0]] {
        let (mut tracker, mut wire) = (tracker(), Wire { sent: [0, 0], both: true });
        open(&mut tracker, namespaces);
        (0..3).for_each(|turn| wire.exchange(&mut tracker, turn * 10 * MS));
        let verdicts = tracker.verdicts();
        assert_eq!(verdicts.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), [Verdict::Keep, Verdict::Keep]);
        assert_eq!(counted(&mut tracker), both(3));
    }
}

#[test]
fn a_pair_that_was_silent_for_long_goes_on() {
    let (mut tracker, mut wire) = (tracker(), Wire { sent: [0, 0], both: true });
    open(&mut tracker, [7, 7]);
    wire.exchange(&mut tracker, 0);
    wire.both = false;
    tracker.tick(5000 * MS);
    wire.exchange(&mut tracker, 6000 * MS);
    assert_eq!(counted(&mut tracker), both(2));
    tracker.close(CLIENT, 6100 * MS);
    tracker.tick(9000 * MS);
    assert_eq!(tracker.connections(), 0, "the one that is left is idle");
}

#[test]
fn what_was_given_up_for_its_memory_stays_so() {
    let bounds = Bounds { connections_max: 100, keys_max: 100, held_bytes_max: 1, idle_ns: 1000 * MS, limits: Limits::DEFAULT };
    let (mut tracker, mut wire) = (Tracker::new(bounds), Wire { sent: [0, 0], both: true });
    open(&mut tracker, [7, 7]);
    wire.exchange(&mut tracker, 0);
    wire.say(&mut tracker, CLIENT, 10 * MS, &REQUEST[..20]);
    tracker.tick(20 * MS);
    assert_eq!(tracker.counters.evicted, 2);
    wire.both = false;
    (2..5).for_each(|turn| wire.exchange(&mut tracker, turn * 10 * MS));
    assert_eq!(counted(&mut tracker), both(1));
    [CLIENT, SERVER].into_iter().for_each(|conn| tracker.close(conn, 60 * MS));
    assert_eq!(tracker.connections(), 0);
}

#[test]
fn a_connection_that_is_broken_off_takes_its_other_end_along_and_nothing_else() {
    let mut tracker = tracker();
    open(&mut tracker, [1, 1]);
    let mut wire = Wire { sent: [0, 0], both: true };
    wire.exchange(&mut tracker, 0);
    wire.both = false;
    let (told, other) = (tracker.verdicts().len(), 3);
    tracker.open(other, Facts { client: Some(Side::A), process: 30, ..Facts::default() }, true, 0);
    tracker.break_off(CLIENT);
    wire.exchange(&mut tracker, 12 * MS);
    let broken = tracker.verdicts();
    assert!(told > 0 && broken.iter().all(|(conn, verdict)| *conn != other && *verdict == Verdict::Ignore), "{told} {broken:?}");
    for (from, data) in [(Side::A, REQUEST), (Side::B, ANSWER)] {
        tracker.piece(other, None, &Piece { from, at_ns: 15 * MS, sequence: 0, length: data.len() as u32, tls: false, data });
    }
    assert_eq!(tracker.counters.failed, 1);
    assert_eq!(counted(&mut tracker), [both(1), vec![(30, true, "200".to_owned(), 1)]].concat());
    assert!(counted(&mut tracker).is_empty());
    tracker.close(CLIENT, 20 * MS);
    tracker.close(SERVER, 20 * MS);
    assert_eq!(tracker.connections(), 1);
}
