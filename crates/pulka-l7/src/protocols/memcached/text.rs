//! Lines of the text protocol.

use crate::subject::key_space;

pub struct Command {
    pub name: &'static str,
    pub target: String,
    /// A value of so many bytes follows.
    pub value_bytes: Option<u64>,
    pub replies: bool,
    /// It is answered only when there is something to say.
    pub quiet: bool,
}

pub enum Answer {
    /// More lines come.
    Part { value_bytes: Option<u64> },
    /// A value of so many bytes ends it, or this line does.
    Whole { status: &'static str, error: Option<&'static str>, value_bytes: Option<u64>, barrier: bool },
}

const NAMES: &[&str] = &[
    "get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "touch", "stats", "version", "verbosity", "flush_all", "mg", "ms", "md", "ma", "mn",
    "me", "cache_memlimit", "slabs", "lru", "lru_crawler", "watch", "quit", "shutdown",
];

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).filter(|word| !word.is_empty())
}

/// `line` with its end; None when it is no command.
pub fn command(line: &[u8], limit_bytes: usize) -> Option<Command> {
    let words: Vec<&[u8]> = words(line).take(32).collect();
    let name = NAMES.iter().copied().find(|name| words.first().is_some_and(|word| *word == name.as_bytes()))?;
    let meta = matches!(name, "mg" | "ms" | "md" | "ma" | "me");
    let (wanted, key, value) = match name {
        "get" | "gets" | "mg" | "md" | "ma" | "me" => (2, words.get(1), None),
        "gat" | "gats" => (3, words.get(2), None),
        "set" | "add" | "replace" | "append" | "prepend" => (5, words.get(1), words.get(4)),
        "cas" => (6, words.get(1), words.get(4)),
        "ms" => (3, words.get(1), words.get(2)),
        "delete" => (2, words.get(1), None),
        "incr" | "decr" | "touch" => (3, words.get(1), None),
        _ => (1, None, None),
    };
    let value_bytes = match value {
        Some(word) => Some(number(word)?),
        None => None,
    };
    if words.len() < wanted || key.is_some_and(|key| key.len() > 250 || key.iter().any(u8::is_ascii_control)) {
        return None;
    }
    Some(Command {
        name,
        target: key.map(|key| key_space(key, limit_bytes)).unwrap_or_default(),
        value_bytes,
        replies: name != "quit" && (meta || words.last() != Some(&&b"noreply"[..])),
        quiet: meta && words[2..].iter().any(|flag| *flag == b"q"),
    })
}

fn number(word: &[u8]) -> Option<u64> {
    let digits = (1..=10).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    digits.then(|| word.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

const STATUSES: &[&str] = &["END", "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "RESET", "BUSY", "EN", "HD", "NS", "EX", "NF", "MN"];
const ERRORS: &[&str] = &["ERROR", "CLIENT_ERROR", "SERVER_ERROR"];

/// `line` with its end; `asked` is the command it answers. None when it is no answer.
pub fn answer(line: &[u8], asked: Option<&str>) -> Option<Answer> {
    let mut words = words(line);
    let first = words.next()?;
    let known = |names: &[&'static str]| names.iter().copied().find(|name| name.as_bytes() == first);
    let whole = |status, error| Answer::Whole { status, error, value_bytes: None, barrier: first == b"MN" };
    if let Some(error) = known(ERRORS) {
        return Some(whole(error, Some(error)));
    }
    if let Some(status) = known(STATUSES) {
        let plain = matches!(status, "END" | "HD" | "MN" | "OK" | "STORED" | "DELETED" | "TOUCHED");
        return Some(whole(if plain { "" } else { status }, None));
    }
    match first {
        b"VALUE" => {
            words.next()?;
            words.next()?;
            Some(Answer::Part { value_bytes: Some(number(words.next()?)?) })
        }
        b"VA" => Some(Answer::Whole { status: "", error: None, value_bytes: Some(number(words.next()?)?), barrier: false }),
        b"STAT" | b"ITEM" => Some(Answer::Part { value_bytes: None }),
        b"VERSION" | b"ME" => Some(whole("", None)),
        _ if number(first).is_some() && matches!(asked, Some("incr" | "decr")) => Some(whole("", None)),
        _ => None,
    }
}
