//! The lines of both parties.

use crate::transaction::Party;

/// Longer subjects are no subjects.
const SUBJECT_BYTES: usize = 512;
const PAYLOAD_BYTES: u64 = 1_073_741_824;

#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    Info,
    Connect,
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
    Subscribe(&'a [u8]),
    Unsubscribe,
    /// PUB, HPUB, MSG, HMSG; `bytes` of payload follow, of which the first `header_bytes` are headers.
    Message { subject: &'a [u8], reply: Option<&'a [u8]>, header_bytes: u64, bytes: u64 },
}

/// `line` with its end; None when `from` says no such thing.
pub fn parse(from: Party, line: &[u8]) -> Option<Line<'_>> {
    let line = line.trim_ascii_end();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (word, rest) = (line[..end].to_ascii_uppercase(), line[end..].trim_ascii_start());
    match (&word[..], from) {
        (b"INFO", Party::Server) if rest.starts_with(b"{") => Some(Line::Info),
        (b"CONNECT", Party::Client) if rest.starts_with(b"{") => Some(Line::Connect),
        (b"PING", _) if rest.is_empty() => Some(Line::Ping),
        (b"PONG", _) if rest.is_empty() => Some(Line::Pong),
        (b"+OK", Party::Server) => Some(Line::Ok),
        (b"-ERR", Party::Server) => Some(Line::Error(rest)),
        (b"PUB", Party::Client) => message(rest, 0, false),
        (b"HPUB", Party::Client) => message(rest, 0, true),
        (b"MSG", Party::Server) => message(rest, 1, false),
        (b"HMSG", Party::Server) => message(rest, 1, true),
        (b"SUB", Party::Client) => words(rest, 2..=3).and_then(|words| subject(words[0])).map(Line::Subscribe),
        (b"UNSUB", Party::Client) => words(rest, 1..=2).map(|_| Line::Unsubscribe),
        _ => None,
    }
}

/// Subject, subscription (of the server's), reply subject (not always), length of headers, length of all.
fn message(rest: &[u8], subscriptions: usize, headers: bool) -> Option<Line<'_>> {
    let numbers = 1 + usize::from(headers);
    let words = words(rest, 1 + subscriptions + numbers..=2 + subscriptions + numbers)?;
    let bytes = number(words[words.len() - 1])?;
    let header_bytes = if headers { number(words[words.len() - 2]).filter(|header| *header <= bytes)? } else { 0 };
    let reply = (words.len() == 2 + subscriptions + numbers).then(|| words[1 + subscriptions]);
    Some(Line::Message { subject: subject(words[0])?, reply: match reply { Some(reply) => Some(subject(reply)?), None => None }, header_bytes, bytes })
}

fn words(rest: &[u8], count: std::ops::RangeInclusive<usize>) -> Option<Vec<&[u8]>> {
    let words: Vec<&[u8]> = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(6).collect();
    count.contains(&words.len()).then_some(words)
}

fn subject(word: &[u8]) -> Option<&[u8]> {
    (word.len() <= SUBJECT_BYTES && word.iter().all(|byte| !byte.is_ascii_control())).then_some(word)
}

fn number(word: &[u8]) -> Option<u64> {
    let digits = word.len() <= 10 && word.iter().all(u8::is_ascii_digit);
    digits.then(|| word.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))).filter(|bytes| *bytes < PAYLOAD_BYTES)
}

/// `'Permissions Violation for Publish to "orders"'` is `permissions_violation`: names are not told.
pub fn error_class(text: &[u8]) -> String {
    let words = text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.take_while(|word| !word.eq_ignore_ascii_case(b"for")).take(3).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    if words.is_empty() { "error".into() } else { words.join("_").chars().take(64).collect() }
}
