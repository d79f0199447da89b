use crate::testing::{Client, Server, assert_any_cut, lines, play, talk};
use crate::transaction::{Initiator, Party};

/// Fields, one after the other.
#[derive(Default)]
struct Build(Vec<u8>);

impl Build {
    fn i8(self, value: i8) -> Self {
        self.raw(&value.to_be_bytes())
    }
    fn i16(self, value: i16) -> Self {
        self.raw(&value.to_be_bytes())
    }
    fn i32(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }
    fn i64(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }
    fn string(self, text: &str) -> Self {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }
    fn compact(self, text: &str) -> Self {
        self.i8(text.len() as i8 + 1).raw(text.as_bytes())
    }
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn message(self) -> Vec<u8> {
        [&(self.0.len() as u32).to_be_bytes()[..], &self.0].concat()
    }
}

fn request(key: i16, version: i16, correlation: i32) -> Build {
    Build::default().i16(key).i16(version).i32(correlation).string("shop")
}

fn response(correlation: i32) -> Build {
    Build::default().i32(correlation)
}

fn produce(correlation: i32, acks: i16) -> Vec<u8> {
    request(0, 7, correlation).i16(-1).i16(acks).i32(1000).i32(1).string("orders").i32(1).i32(0).i32(6).raw(b"secret").message()
}

fn produced(correlation: i32, code: i16) -> Vec<u8> {
    response(correlation).i32(1).string("orders").i32(1).i32(0).i16(code).i64(7).i64(-1).i64(0).i32(0).message()
}

fn check(script: &[(Party, Vec<u8>)], expected: &[&str]) {
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(play(&script, None, &[usize::MAX]).0, Some("kafka"));
    assert_eq!(lines(&talk(&script)), expected);
    assert_any_cut(&script);
}

#[test]
fn answers_find_their_requests() {
    check(
        &[
            (Client, [request(18, 3, 1).raw(b"\0\x05java\x041.0\0").message(), produce(2, -1), produce(3, 1)].concat()),
            (Server, [response(1).i16(0).i8(1).message(), produced(3, 6), produced(2, 0)].concat()),
        ],
        &["ApiVersions", "Produce orders 6 !NOT_LEADER_OR_FOLLOWER", "Produce orders"],
    );
}

#[test]
fn producers_that_want_no_acknowledgement() {
    let script = [(Client, request(18, 0, 1).message()), (Server, response(1).i16(0).i32(0).message()), (Client, produce(2, 0))];
    check(&script, &["ApiVersions", "Produce orders"]);
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert_eq!(talk(&script)[1].initiator, Initiator::ClientOneWay);
}

#[test]
fn topics_by_id_are_named_by_metadata() {
    let id = [7u8; 16];
    let metadata = response(1).i8(0).i32(0).i8(2).i32(1).compact("broker").i32(9092).i8(0).i8(0).compact("cluster").i32(1);
    let metadata = metadata.i8(3).i16(0).compact("orders").raw(&id).i8(0).i8(1).i32(0).i8(0).i16(3).compact("gone").raw(&[0; 16]).i8(0).i8(1).i32(0).i8(0).i8(0).message();
    let fetch = request(1, 13, 2).i8(0).i32(-1).i32(500).i32(1).i32(9999).i8(0).i32(0).i32(-1);
    let fetch = fetch.i8(2).raw(&id).i8(2).i32(0).i32(-1).i64(5).i32(-1).i64(-1).i32(1000).i8(0).i8(0).i8(1).compact("").i8(0).message();
    let fetched = response(2).i8(0).i32(0).i16(0).i32(0).i8(2).raw(&id).i8(2).i32(0).i16(1).i64(9).i64(9).i64(0).i8(1).i32(-1).i8(1).i8(0).i8(0).i8(0).message();
    check(
        &[(Client, request(3, 12, 1).i8(0).i8(2).raw(&[0; 16]).compact("orders").i8(0).i8(1).i8(0).i8(0).message()), (Server, metadata), (Client, fetch), (Server, fetched)],
        &["Metadata orders 3 !UNKNOWN_TOPIC_OR_PARTITION", "Fetch orders 1 !OFFSET_OUT_OF_RANGE"],
    );
}

#[test]
fn groups() {
    let script = [
        (Client, request(11, 5, 1).string("billing").i32(1000).i32(1000).string("").i16(-1).string("consumer").i32(0).message()),
        (Server, response(1).i32(0).i16(79).message()),
        (Client, request(12, 4, 2).i8(0).compact("billing").i32(1).compact("m").i8(0).i8(0).message()),
        (Server, response(2).i8(0).i32(0).i16(27).i8(0).message()),
    ];
    check(&script, &["JoinGroup 79", "Heartbeat 27 !REBALANCE_IN_PROGRESS"]);
    let script: Vec<(Party, &[u8])> = script.iter().map(|(party, line)| (*party, &line[..])).collect();
    assert!(talk(&script).iter().all(|heard| heard.attributes.contains(&("messaging.consumer.group.name", "billing".into()))));
}

#[test]
fn tokens_without_a_header() {
    check(
        &[
            (Client, request(17, 0, 1).string("PLAIN").message()),
            (Server, response(1).i16(0).i32(0).message()),
            (Client, Build::default().raw(b"\0user\0secret").message()),
            (Server, Build::default().message()),
            (Client, request(3, 1, 2).i32(0).message()),
            (Server, response(2).i32(0).i32(1).i32(0).message()),
        ],
        &["SaslHandshake", "Metadata"],
    );
}

#[test]
fn a_gap_costs_what_is_in_it() {
    use crate::connection::{Chunk, Connection, Side};
    let mut connection = Connection::new(crate::decoder::Transport::Stream, Some(Side::A), true, Default::default());
    let mut out = Vec::new();
    let mut say = |connection: &mut Connection, side, data: &[u8]| connection.chunk(&Chunk { side, at_ns: 1, tls: false, data }, &mut out);
    say(&mut connection, Side::A, &[produce(1, 1), produce(2, 1)].concat());
    say(&mut connection, Side::B, &produced(1, 0)[..20]);
    connection.gap(Side::B, 40, false, &mut Vec::new());
    say(&mut connection, Side::B, b"the rest of something");
    say(&mut connection, Side::B, &produced(2, 0));
    connection.close(2, &mut out);
    assert_eq!(lines(&out), ["Produce orders", "Produce orders !no_response"]);
}
