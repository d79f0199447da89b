//! What a command is: its name, its subcommand, the space of its key. Values, passwords and scripts are not looked at.

use std::borrow::Cow;

use crate::subject::{key_space, quantise_name};

/// Commands whose second word says what they do.
const CONTAINERS: &[&str] =
    &["ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO"];

/// Commands whose second word is no key.
const KEYLESS: &[&str] = &[
    "AUTH", "HELLO", "PING", "ECHO", "SELECT", "SWAPDB", "INFO", "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "WAIT", "WAITAOF", "MULTI", "EXEC", "DISCARD", "UNWATCH",
    "REPLICAOF", "SLAVEOF", "PSYNC", "SYNC", "REPLCONF", "MIGRATE", "KEYS", "SCAN", "MONITOR", "SHUTDOWN", "XREAD", "XREADGROUP", "BITOP", "FLUSHALL", "FLUSHDB", "SAVE", "BGSAVE",
    "BGREWRITEAOF", "DBSIZE", "LASTSAVE", "LOLWUT", "QUIT", "RESET", "ROLE", "TIME", "FAILOVER", "ASKING", "READONLY", "READWRITE", "RANDOMKEY",
];

const CHANNELS: &[&str] = &["PUBLISH", "SPUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"];

/// The first words of a command, as they come.
#[derive(Default)]
pub struct Command {
    words: [Vec<u8>; 3],
    count: u32,
}

pub struct Described {
    pub operation: Cow<'static, str>,
    pub target: String,
    pub replies: u32,
    pub replicates: bool,
}

impl Command {
    pub fn wants_word(&self) -> bool {
        self.count < 3
    }

    pub fn word(&mut self, word: &[u8]) {
        if let Some(place) = self.words.get_mut(self.count as usize) {
            *place = word.to_vec();
        }
        self.count += 1;
    }

    pub fn long_word(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    fn name(&self) -> Cow<'static, str> {
        capitals(&self.words[0]).map_or(Cow::Borrowed("OTHER"), Cow::Owned)
    }

    pub fn describe(&self, limit_bytes: usize) -> Described {
        let name = self.name();
        let operation = match capitals(&self.words[1]) {
            Some(subcommand) if CONTAINERS.contains(&&*name) => format!("{name} {subcommand}").into(),
            _ => name.clone(),
        };
        let target = match &*name {
            name if CHANNELS.contains(&name) => quantise_name(&self.words[1], b".:/", limit_bytes),
            name if CONTAINERS.contains(&name) || KEYLESS.contains(&name) => String::new(),
            _ => key_space(&self.words[1], limit_bytes),
        };
        let subscribes = name.ends_with("SUBSCRIBE");
        let replies = if subscribes { self.count.saturating_sub(1).max(1) } else { 1 };
        Described { replicates: matches!(&*name, "SYNC" | "PSYNC"), operation, target, replies }
    }

    fn is(&self, words: [&[u8]; 3]) -> bool {
        self.words.iter().zip(words).all(|(word, expected)| word.eq_ignore_ascii_case(expected))
    }
}

fn capitals(word: &[u8]) -> Option<String> {
    let fits = (1..=32).contains(&word.len()) && word[0].is_ascii_alphabetic() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    fits.then(|| String::from_utf8_lossy(word).to_ascii_uppercase())
}

/// The words of an inline command; None when it begins with nothing that may be one.
pub fn inline_words(line: &[u8]) -> Option<Command> {
    let mut command = Command::default();
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if word.len() <= 128 { command.word(word) } else { command.long_word() }
    }
    capitals(&command.words[0]).map(|_| command)
}

/// Whether the server answers, which `CLIENT REPLY` changes.
#[derive(Clone, Copy, PartialEq)]
pub enum Replies {
    On,
    Off,
    /// Not to this command and the next one.
    Skip,
}

impl Replies {
    /// Whether `command`, which comes now, is answered.
    pub fn after(&mut self, command: &Command) -> bool {
        if command.is([b"CLIENT", b"REPLY", b"ON"]) {
            *self = Replies::On;
        } else if command.is([b"CLIENT", b"REPLY", b"OFF"]) {
            *self = Replies::Off;
        } else if command.is([b"CLIENT", b"REPLY", b"SKIP"]) {
            *self = if *self == Replies::Off { Replies::Off } else { Replies::Skip };
            return false;
        } else if *self == Replies::Skip {
            *self = Replies::On;
            return false;
        }
        *self == Replies::On
    }
}
