use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};
use crate::transaction::Initiator;

const CONNECT: &[u8] = b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02id\x00\x04user\x00\x04pass";
const CONNECT_5: &[u8] = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02id";

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("mqtt"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

#[test]
fn publications_of_each_quality() {
    let script: Script<'_> = &[
        (Client, CONNECT),
        (Server, b"\x20\x02\x00\x00"),
        (Client, b"\x30\x0c\x00\x04a/42secret\x32\x0e\x00\x04a/42\x00\x01secret\x34\x0e\x00\x04a/42\x00\x02secret"),
        (Server, b"\x40\x02\x00\x01\x50\x02\x00\x02"),
        (Client, b"\x62\x02\x00\x02"),
        (Server, b"\x70\x02\x00\x02"),
        (Client, b"\xc0\x00"),
        (Server, b"\xd0\x00"),
        (Client, b"\xe0\x00"),
    ];
    check(script, &["connect", "publish a/*", "publish a/*", "publish a/*", "ping", "disconnect"]);
    let out = talk(script);
    assert_eq!([out[1].initiator, out[2].initiator, out[3].initiator], [Initiator::ClientOneWay, Initiator::Client, Initiator::Client]);
    assert_eq!([out[2].end_ns, out[3].end_ns], [3000, 5000]);
}

#[test]
fn subscriptions_and_deliveries() {
    check(
        &[
            (Client, CONNECT),
            (Server, b"\x20\x02\x00\x00"),
            (Client, b"\x82\x08\x00\x01\x00\x03a/#\x01\x82\x08\x00\x02\x00\x03b/#\x01"),
            (Server, b"\x90\x03\x00\x01\x01\x90\x03\x00\x02\x80\x32\x0b\x00\x03a/b\x00\x07data"),
            (Client, b"\x40\x02\x00\x07\xa2\x07\x00\x03\x00\x03a/#"),
            (Server, b"\xb0\x02\x00\x03"),
        ],
        &["connect", "subscribe a/#", "subscribe b/# 128 !unspecified_error", "deliver a/b", "unsubscribe a/#"],
    );
}

#[test]
fn refused_logins_and_reason_codes() {
    let refused: Script<'_> = &[(Client, b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02id"), (Server, b"\x20\x02\x00\x05")];
    check(refused, &["connect 5 !not_authorized"]);
    check(
        &[
            (Client, CONNECT_5),
            (Server, b"\x20\x03\x00\x00\x00"),
            (Client, b"\x32\x0d\x00\x01a\x00\x01\x03\x23\x00\x05data"),
            (Server, b"\x40\x03\x00\x01\x87"),
            (Client, b"\x30\x0a\x00\x00\x03\x23\x00\x05data"),
            (Server, b"\xe0\x02\x8b\x00"),
        ],
        &["connect", "publish a 135 !not_authorized", "publish a", "disconnect 139 !server_shutting_down"],
    );
}
