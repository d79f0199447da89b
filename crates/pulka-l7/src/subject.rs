//! Names of topics, subjects, queues, channels and keys, so that they are few: `orders.4711.created` is `orders.*.created`.

use crate::path::is_identifier;
use crate::text::printable;

/// Segments of more are cut off: deep names are mostly data.
const SEGMENTS: usize = 8;

/// `name` with the segments between `separators` that look like identifiers as `*`.
pub fn quantise_name(name: &[u8], separators: &[u8], limit_bytes: usize) -> String {
    let mut out = Vec::with_capacity(name.len().min(limit_bytes));
    let mut rest = name;
    for index in 0.. {
        let end = rest.iter().position(|byte| separators.contains(byte)).unwrap_or(rest.len());
        let wild = matches!(&rest[..end], [b'*' | b'#' | b'>' | b'+']);
        if index == SEGMENTS {
            out.push(b'*');
            break;
        }
        out.extend_from_slice(if !wild && is_identifier(&rest[..end]) { b"*" } else { &rest[..end] });
        let Some(separator) = rest.get(end) else { break };
        out.push(*separator);
        rest = &rest[end + 1..];
        if out.len() >= limit_bytes {
            break;
        }
    }
    printable(&out, limit_bytes)
}

/// The space a key belongs to: what stands before its first colon. A key without one says nothing that is not data.
pub fn key_space(key: &[u8], limit_bytes: usize) -> String {
    match memchr::memchr(b':', key) {
        Some(end @ 1..=32) if !is_identifier(&key[..end]) => format!("{}:*", printable(&key[..end], limit_bytes.saturating_sub(2))),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{key_space, quantise_name};

    fn check(name: &str, expected: &str) {
        assert_eq!(quantise_name(name.as_bytes(), b"./", 64), expected);
    }

    #[test]
    fn names() {
        check("orders", "orders");
        check("orders.4711.created", "orders.*.created");
        check("sensors/+/temperature", "sensors/+/temperature");
        check("orders.>", "orders.>");
        check("_INBOX.AI573QFG88AQQSZBG5WH7T.1", "_INBOX.*.*");
        check("a/b/c/d/e/f/g/h/i/j", "a/b/c/d/e/f/g/h/*");
        check("", "");
    }

    #[test]
    fn keys() {
        assert_eq!(key_space(b"user:alice", 64), "user:*");
        assert_eq!(key_space(b"alice", 64), "");
        assert_eq!(key_space(b"4711:cart", 64), "");
        assert_eq!(key_space(b":x", 64), "");
    }
}
