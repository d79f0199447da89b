//! Conversations of databases and brokers: as many transactions as there were requests, the same however the bytes are cut,
//! and nothing of what is between quotes or in values.

use proptest::prelude::*;
use pulka_l7::connection::Side;
use pulka_l7::testing::{Client, Server, play};
use pulka_l7::transaction::Party;

type Talk = Vec<(Party, Vec<u8>)>;
type Exchange = (Vec<u8>, Vec<u8>);

/// What must never come out; it is in every value, password and literal below.
const SECRET: &str = "hunter2";

fn secret_value() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(|noise| [SECRET.as_bytes(), &noise].concat())
}

fn redis() -> impl Strategy<Value = Exchange> {
    let bulk = |value: &[u8]| [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    (0..5usize, secret_value()).prop_map(move |(kind, value)| {
        let command = |words: &[&[u8]]| [format!("*{}\r\n", words.len()).into_bytes(), words.iter().flat_map(|word| bulk(word)).collect()].concat();
        match kind {
            0 => (command(&[b"SET", b"user:1", &value]), b"+OK\r\n".to_vec()),
            1 => (command(&[b"GET", b"user:1"]), bulk(&value)),
            2 => (command(&[b"EXEC"]), [b"*3\r\n*1\r\n".to_vec(), bulk(&value), b":-1\r\n*-1\r\n".to_vec()].concat()),
            3 => (command(&[b"HGETALL", b"user:1"]), [b"%1\r\n".to_vec(), bulk(b"name"), bulk(&value)].concat()),
            _ => (command(&[b"AUTH", &value]), b"-WRONGPASS no\r\n".to_vec()),
        }
    })
}

fn postgresql() -> impl Strategy<Value = Exchange> {
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    (0..3usize, secret_value()).prop_map(move |(kind, value)| {
        let (row, done, ready) = (message(b'D', &[b"\0\x01", &(value.len() as u32).to_be_bytes()[..], &value].concat()), message(b'C', b"SELECT 1\0"), message(b'Z', b"I"));
        let sql = format!("SELECT a FROM t WHERE b = '{SECRET}' AND c = 42");
        let simple = message(b'Q', format!("{sql}\0").as_bytes());
        let bind = message(b'B', &[b"\0\0\0\0\0\x01", &(value.len() as u32).to_be_bytes()[..], &value, b"\0\0"].concat());
        let extended = [message(b'P', format!("\0{sql}\0\0\0").as_bytes()), bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
        let failed = message(b'E', format!("SERROR\0C23505\0D{SECRET}\0\0").as_bytes());
        match kind {
            0 => (simple, [row, done, ready].concat()),
            1 => (extended, [message(b'1', b""), message(b'2', b""), row, done, ready].concat()),
            _ => (extended, [message(b'1', b""), failed, ready].concat()),
        }
    })
}

fn memcached() -> impl Strategy<Value = Exchange> {
    (0..3usize, secret_value()).prop_map(|(kind, value)| {
        let sized = |line: &str| [format!("{line} {}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        match kind {
            0 => (sized("set user:1 0 0"), b"STORED\r\n".to_vec()),
            1 => (b"get user:1 user:2\r\n".to_vec(), [sized("VALUE user:1 0"), b"END\r\n".to_vec()].concat()),
            _ => (b"mg user:1 v\r\n".to_vec(), sized("VA")),
        }
    })
}

fn mqtt() -> impl Strategy<Value = Exchange> {
    let packet = |first: u8, body: &[u8]| {
        let length = body.len();
        let digits = if length < 128 { vec![length as u8] } else { vec![(length % 128) as u8 | 128, (length / 128) as u8] };
        [&[first][..], &digits, body].concat()
    };
    (1..u16::MAX, secret_value()).prop_map(move |(id, value)| {
        let id = id.to_be_bytes();
        (packet(0x32, &[b"\0\x06orders", &id[..], &value].concat()), packet(0x40, &id))
    })
}

/// A pipeline is one line of each party.
fn talk(opening: &[(Party, &[u8])], exchanges: Vec<Exchange>, pipelined: bool) -> Talk {
    let mut talk: Talk = opening.iter().map(|(party, line)| (*party, line.to_vec())).collect();
    if pipelined {
        let (sent, back): (Vec<_>, Vec<_>) = exchanges.into_iter().unzip();
        talk.extend([(Client, sent.concat()), (Server, back.concat())]);
    } else {
        talk.extend(exchanges.into_iter().flat_map(|(sent, back)| [(Client, sent), (Server, back)]));
    }
    talk
}

fn check(name: &str, talk: &Talk, requests: usize, sizes: &[usize]) -> Result<(), TestCaseError> {
    let script: Vec<(Party, &[u8])> = talk.iter().map(|(party, line)| (*party, &line[..])).collect();
    let (protocol, whole) = play(&script, Some(Side::A), &[usize::MAX]);
    prop_assert_eq!(protocol, Some(name));
    prop_assert_eq!(whole.len(), requests);
    prop_assert!(!format!("{:?}", whole).contains(SECRET), "a secret came out");
    prop_assert_eq!(&play(&script, Some(Side::A), sizes).1, &whole);
    prop_assert_eq!(&play(&script, None, sizes).1, &whole);
    Ok(())
}

const STARTUP: &[u8] = b"\0\0\0\x16\0\x03\0\0user\0shopper\0\0";
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
const CONNECT: &[u8] = b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id";

proptest! {
    #[test]
    fn redis_pipelines(exchanges in proptest::collection::vec(redis(), 1..12), pipelined in any::<bool>(), sizes in proptest::collection::vec(1..80usize, 1..8)) {
        let requests = exchanges.len();
        check("redis", &talk(&[], exchanges, pipelined), requests, &sizes)?;
    }

    #[test]
    fn postgresql_pipelines(exchanges in proptest::collection::vec(postgresql(), 1..12), pipelined in any::<bool>(), sizes in proptest::collection::vec(1..80usize, 1..8)) {
        let requests = exchanges.len() + 1;
        check("postgresql", &talk(&[(Client, STARTUP), (Server, WELCOME)], exchanges, pipelined), requests, &sizes)?;
    }

    #[test]
    fn memcached_pipelines(exchanges in proptest::collection::vec(memcached(), 1..12), pipelined in any::<bool>(), sizes in proptest::collection::vec(1..80usize, 1..8)) {
        let requests = exchanges.len();
        check("memcached", &talk(&[], exchanges, pipelined), requests, &sizes)?;
    }

    #[test]
    fn mqtt_pipelines(exchanges in proptest::collection::vec(mqtt(), 1..12), pipelined in any::<bool>(), sizes in proptest::collection::vec(1..80usize, 1..8)) {
        let requests = exchanges.len() + 1;
        check("mqtt", &talk(&[(Client, CONNECT), (Server, b"\x20\x02\0\0")], exchanges, pipelined), requests, &sizes)?;
    }
}
