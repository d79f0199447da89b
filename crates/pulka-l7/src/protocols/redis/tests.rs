use crate::testing::{Client, Script, Server, assert_any_cut, lines, play, talk};
use crate::transaction::Initiator;

fn check(script: Script<'_>, expected: &[&str]) {
    assert_eq!(play(script, None, &[usize::MAX]).0, Some("redis"));
    assert_eq!(lines(&talk(script)), expected);
    assert_any_cut(script);
}

#[test]
fn commands_and_replies() {
    check(
        &[
            (Client, b"*3\r\n$3\r\nset\r\n$10\r\nuser:alice\r\n$6\r\nsecret\r\n"),
            (Server, b"+OK\r\n"),
            (Client, b"*2\r\n$3\r\nGET\r\n$10\r\nuser:alice\r\n"),
            (Server, b"$6\r\nsecret\r\n"),
            (Client, b"*2\r\n$4\r\nLLEN\r\n$10\r\nuser:alice\r\n"),
            (Server, b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
            (Client, b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"),
            (Server, b"-WRONGPASS invalid username-password pair\r\n"),
            (Client, b"*3\r\n$6\r\nCLIENT\r\n$7\r\nsetname\r\n$1\r\nx\r\n"),
            (Server, b"+OK\r\n"),
            (Client, b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n"),
            (Server, b"-MOVED 3999 127.0.0.1:6381\r\n"),
        ],
        &["SET user:*", "GET user:*", "LLEN user:* WRONGTYPE !WRONGTYPE", "AUTH WRONGPASS !WRONGPASS", "CLIENT SETNAME", "GET MOVED"],
    );
}

#[test]
fn pipelines_and_nested_replies() {
    check(
        &[
            (Client, b"*1\r\n$4\r\nPING\r\n*4\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n$2\r\n-1\r\n*1\r\n$4\r\nEXEC\r\n*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n*1\r\n$4\r\nPING\r\n"),
            (Server, b"+PONG\r\n*3\r\n$1\r\na\r\n$-1\r\n*2\r\n:1\r\n*0\r\n*-1\r\n%1\r\n+a\r\n~2\r\n#t\r\n_\r\n|1\r\n+ttl\r\n:3\r\n+PONG\r\n"),
        ],
        &["PING", "LRANGE", "EXEC", "HGETALL", "PING"],
    );
}

#[test]
fn inline_commands() {
    check(&[(Client, b"PING\r\nSET a:b \"c d\"\r\n"), (Server, b"+PONG\r\n+OK\r\n")], &["PING", "SET a:*"]);
}

#[test]
fn subscriptions_under_resp2() {
    let script: Script<'_> = &[
        (Client, b"*3\r\n$9\r\nSUBSCRIBE\r\n$3\r\nFoo\r\n$3\r\nBar\r\n"),
        (Server, b"*3\r\n$9\r\nsubscribe\r\n$3\r\nFoo\r\n:1\r\n"),
        (Server, b"*3\r\n$7\r\nmessage\r\n$3\r\nFoo\r\n$2\r\nHi\r\n"),
        (Server, b"*3\r\n$9\r\nsubscribe\r\n$3\r\nBar\r\n:2\r\n"),
        (Server, b"*4\r\n$8\r\npmessage\r\n$2\r\nF*\r\n$3\r\nFoo\r\n$2\r\nHi\r\n"),
        (Client, b"*1\r\n$5\r\nRESET\r\n"),
        (Server, b"+RESET\r\n"),
        (Client, b"*1\r\n$4\r\nKEYS\r\n"),
        (Server, b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n"),
    ];
    check(script, &["MESSAGE Foo", "SUBSCRIBE Foo", "PMESSAGE F*", "RESET", "KEYS"]);
    let out = talk(script);
    assert_eq!((out[0].initiator, out[1].end_ns - out[1].start_ns), (Initiator::ServerOneWay, 3000));
}

#[test]
fn pushes_under_resp3() {
    check(
        &[
            (Client, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\nFoo\r\n*1\r\n$4\r\nPING\r\n"),
            (Server, b"%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$3\r\nFoo\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$3\r\nFoo\r\n$2\r\nHi\r\n+PONG\r\n"),
        ],
        &["HELLO", "SUBSCRIBE Foo", "MESSAGE Foo", "PING"],
    );
}

#[test]
fn silence_refusals_and_replication() {
    check(
        &[(Client, b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nTIME\r\n"), (Server, b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n")],
        &["CLIENT REPLY", "PING", "TIME"],
    );
    assert_eq!(lines(&talk(&[(Server, b"-ERR max number of clients reached\r\n")])), ["CONNECT ERR !ERR"]);
    let replication: Script<'_> =
        &[(Client, b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"), (Server, b"+FULLRESYNC 0 0\r\n$3\r\nRDB"), (Client, b"*1\r\n$4\r\nPING\r\n")];
    assert_eq!(lines(&talk(replication)), ["PSYNC"]);
}

#[test]
fn values_are_skipped_whatever_their_length() {
    let value = vec![b'\r'; 200_000];
    let set = [&b"*3\r\n$3\r\nSET\r\n$3\r\na:b\r\n$200000\r\n"[..], &value, b"\r\n*2\r\n$3\r\nGET\r\n$3\r\na:b\r\n"].concat();
    let got = [&b"+OK\r\n$200000\r\n"[..], &value, b"\r\n"].concat();
    let out = talk(&[(Client, &set), (Server, &got)]);
    assert_eq!(lines(&out), ["SET a:*", "GET a:*"]);
    assert_eq!(out[1].response_bytes, 200_011);
}

#[test]
fn a_thousand_commands_at_once() {
    let commands = b"*3\r\n$3\r\nSET\r\n$3\r\na:b\r\n$1\r\nc\r\n".repeat(1000);
    assert_eq!(talk(&[(Client, &commands), (Server, &b"+OK\r\n".repeat(1000))]).len(), 1000);
}
