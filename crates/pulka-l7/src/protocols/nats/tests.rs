use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};
use crate::transaction::Initiator;

const INFO: &[u8] = b"INFO {\"server_id\":\"N\",\"version\":\"2.10.9\",\"headers\":true}\r\n";

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("nats"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

#[test]
fn publications_and_deliveries() {
    let script: Script<'_> = &[
        (Server, INFO),
        (Client, b"CONNECT {\"user\":\"a\",\"pass\":\"secret\"}\r\nPING\r\n"),
        (Server, b"PONG\r\n"),
        (Client, b"SUB orders.* 1\r\nPUB orders.4711 5\r\nPING\n\r\nPUB empty 0\r\n\r\n"),
        (Server, b"MSG orders.4711 1 5\r\nPING\n\r\nPING\r\n"),
        (Client, b"PONG\r\nUNSUB 1\r\n"),
    ];
    check(script, &["CONNECT", "subscribe orders.*", "publish orders.*", "publish empty", "deliver orders.*", "PING", "unsubscribe"]);
    let out = talk(script);
    assert_eq!([out[2].initiator, out[4].initiator, out[5].initiator], [Initiator::ClientOneWay, Initiator::ServerOneWay, Initiator::Server]);
    assert_eq!((out[0].end_ns, out[2].request_bytes), (2000, 26));
}

#[test]
fn requests_and_answers() {
    check(
        &[
            (Server, INFO),
            (Client, b"CONNECT {}\r\n"),
            (Client, b"SUB _INBOX.abc.* 1\r\nPUB pay _INBOX.abc.1 2\r\nhi\r\nHPUB pay _INBOX.abc.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
            (Server, b"MSG _INBOX.abc.1 1 2\r\nok\r\nHMSG _INBOX.abc.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
            (Server, b"MSG work 2 _INBOX.other.7 3\r\njob\r\n"),
            (Client, b"PUB _INBOX.other.7 4\r\ndone\r\nPUB pay _INBOX.abc.3 0\r\n\r\n"),
        ],
        &["subscribe _INBOX.abc.*", "request pay", "request pay 503 !no_responders", "deliver work", "CONNECT !no_response", "request pay !no_response"],
    );
}

#[test]
fn errors() {
    check(&[(Server, INFO), (Client, b"CONNECT {\"pass\":\"secret\"}\r\nPING\r\n"), (Server, b"-ERR 'Authorization Violation'\r\n")], &["CONNECT !authorization_violation"]);
    check(
        &[(Server, INFO), (Client, b"CONNECT {}\r\n"), (Server, b"+OK\r\n"), (Client, b"PUB a.b 1\r\nx\r\n"), (Server, b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n")],
        &["CONNECT", "publish a.b", "error !permissions_violation"],
    );
}
