//! Paths of requests as operations: `/orders/123/items?token=x` is `/orders/*/items`.

use crate::text::printable;

const SEGMENTS: usize = 12;

/// The path without query, fragment, scheme and host; segments that look like identifiers become `*`.
pub fn quantise(target: &[u8], limit_bytes: usize) -> String {
    let path = path_of(target);
    if path == b"*" || !path.starts_with(b"/") {
        return String::from(if path == b"*" { "*" } else { "" });
    }
    let mut out = String::with_capacity(path.len().min(limit_bytes));
    for (index, segment) in path[1..].split(|byte| *byte == b'/').enumerate() {
        if index == SEGMENTS || out.len() + segment.len().min(2) >= limit_bytes {
            out.push_str("/*");
            break;
        }
        out.push('/');
        if is_identifier(segment) { out.push('*') } else { out.push_str(&printable(segment, limit_bytes - out.len())) }
    }
    out
}

fn path_of(target: &[u8]) -> &[u8] {
    let end = memchr::memchr3(b'?', b'#', b';', target).unwrap_or(target.len());
    let path = &target[..end];
    let Some(scheme) = memchr::memmem::find(&path[..path.len().min(16)], b"://") else { return path };
    let rest = &path[scheme + 3..];
    memchr::memchr(b'/', rest).map_or(b"/", |slash| &rest[slash..])
}

/// Numbers, UUIDs, hashes, dates, encoded and long opaque words. `v1`, `index.html` and `utf8` are names.
fn is_identifier(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    let name_like = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'-' | b'_');
    if segment.is_empty() {
        return false;
    }
    if digits == 0 {
        let odd = segment.iter().any(|byte| !name_like(byte) && !matches!(byte, b':' | b'~' | b'@' | b'$' | b'+' | b',' | b'(' | b')' | b'!' | b'*' | b'\''));
        return odd || segment.len() > 48;
    }
    let version = segment.len() <= 4 && matches!(segment[0], b'v' | b'V') && digits == segment.len() - 1;
    let letters = segment.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let file = memchr::memchr(b'.', segment).is_some() && letters > digits && digits <= 3 && segment.len() <= 32;
    let word = segment.iter().all(|byte| name_like(byte) || byte.is_ascii_digit()) && letters >= 3 && digits <= 2 && segment.len() <= 24 && segment[0].is_ascii_alphabetic();
    !(version || file || word)
}

#[cfg(test)]
mod tests {
    use super::quantise;

    fn check(path: &str, expected: &str) {
        assert_eq!(quantise(path.as_bytes(), 256), expected, "{path}");
    }

    #[test]
    fn identifiers_become_stars() {
        check("/", "/");
        check("/orders/123", "/orders/*");
        check("/orders/123/items?token=secret", "/orders/*/items");
        check("/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301/cart", "/users/*/cart");
        check("/api/v1/things", "/api/v1/things");
        check("/static/app.3f2504e0.js", "/static/*");
        check("/index.html", "/index.html");
        check("/index1.html", "/index1.html");
        check("/a/2026-11-21", "/a/*");
        check("/q/caf%C3%A9", "/q/*");
        check("/login;jsessionid=1A2B", "/login");
    }

    #[test]
    fn other_forms_of_targets() {
        check("http://shop.example:8080/a/1?x", "/a/*");
        check("http://shop.example", "/");
        check("*", "*");
        check("shop.example:443", "");
        check("/a#b", "/a");
    }

    #[test]
    fn long_paths_end_in_a_star() {
        let deep = "/a".repeat(40);
        assert_eq!(quantise(deep.as_bytes(), 256), format!("{}/*", "/a".repeat(12)));
        assert!(quantise("/abcdefgh".repeat(12).as_bytes(), 32).len() <= 34);
    }
}
