//! Heads of HTTP/1 messages: request lines, status lines, and the few header fields that framing depends on.

const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK",
    "REPORT", "SEARCH", "MERGE", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "M-SEARCH", "PURGE", "LINK", "UNLINK", "BIND", "ACL", "MKCALENDAR", "CHECKOUT",
];

/// OpenTelemetry's name for methods that are not known.
pub const OTHER_METHOD: &str = "_OTHER";

pub fn known_method(token: &[u8]) -> Option<&'static str> {
    METHODS.iter().find(|method| method.as_bytes() == token).copied()
}

pub fn begins_known_method(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| method.as_bytes().starts_with(bytes) || bytes.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" ")))
}

pub fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[derive(Debug, PartialEq)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// None: HTTP/0.9, which has no version, no header and no status.
    pub version: Option<u8>,
}

/// A request line without its end; None when it is none.
pub fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let space = memchr::memchr(b' ', line)?;
    let (method, rest) = (&line[..space], line[space + 1..].trim_ascii());
    if method.is_empty() || method.len() > 24 || !method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) || rest.is_empty() {
        return None;
    }
    let last = memchr::memrchr(b' ', rest);
    match last.map(|last| &rest[last + 1..]) {
        Some(version) if version.starts_with(b"HTTP/") => {
            let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] = version else { return None };
            Some(RequestLine { method, target: rest[..last?].trim_ascii(), version: Some(minor - b'0') })
        }
        _ => (known_method(method).is_some() && rest.starts_with(b"/") && last.is_none()).then_some(RequestLine { method, target: rest, version: None }),
    }
}

/// The status of a status line without its end.
pub fn status_line(line: &[u8]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9', b' ', rest @ ..] = line else { return None };
    let rest = rest.trim_ascii_start();
    let digits = rest.get(..3)?;
    if rest.get(3).is_some_and(u8::is_ascii_digit) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    (100..=999).contains(&status).then_some(status)
}

/// What framing and naming need of a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    pub content_length: Option<u64>,
    pub chunked: bool,
    pub close: bool,
    pub expects_continue: bool,
    pub upgrade: Option<Upgrade>,
    pub host: Option<Vec<u8>>,
    /// Two lengths, or a length beside chunks: a smuggling attempt or a broken peer. Framing goes on as RFC 9112 says.
    pub ambiguous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    WebSocket,
    H2c,
    Other,
}

impl Fields {
    /// Reads one header line without its end; unknown and broken ones are passed over.
    pub fn read(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        let is = |expected: &str| name.eq_ignore_ascii_case(expected.as_bytes());
        match name.len() {
            14 if is("content-length") => self.length(value),
            17 if is("transfer-encoding") => self.transfer_encoding(value),
            10 if is("connection") => self.close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close")),
            7 if is("upgrade") => self.upgrade = tokens(value).next().map(upgrade),
            6 if is("expect") => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            4 if is("host") => self.host = Some(value[..value.len().min(256)].to_vec()),
            _ => {}
        }
    }

    fn length(&mut self, value: &[u8]) {
        let first = tokens(value).next().unwrap_or_default();
        let length = std::str::from_utf8(first).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
        self.ambiguous |= self.chunked || length.is_none() || self.content_length.is_some_and(|known| Some(known) != length);
        self.content_length = self.content_length.or(length);
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        self.chunked = tokens(value).last().is_some_and(|token| token.eq_ignore_ascii_case(b"chunked"));
        self.ambiguous |= self.content_length.is_some();
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn upgrade(token: &[u8]) -> Upgrade {
    match token {
        _ if token.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        _ if token.eq_ignore_ascii_case(b"h2c") => Upgrade::H2c,
        _ => Upgrade::Other,
    }
}

/// The size of a chunk from its line without end: hexadecimal, extensions after `;`.
pub fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b';', line).unwrap_or(line.len());
    let digits = std::str::from_utf8(line[..end].trim_ascii()).ok()?;
    if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let read = |line: &'static str| request_line(line.as_bytes()).map(|line| (String::from_utf8_lossy(line.target).into_owned(), line.version));
        assert_eq!(read("GET /a?b HTTP/1.1"), Some(("/a?b".into(), Some(1))));
        assert_eq!(read("GET  /a b  HTTP/1.0"), Some(("/a b".into(), Some(0))));
        assert_eq!(read("GET /old"), Some(("/old".into(), None)));
        assert_eq!(read("FROB /new HTTP/1.1"), Some(("/new".into(), Some(1))));
        for line in ["PRI * HTTP/2.0", "OPTIONS rtsp://x RTSP/1.0", "GET key", "FROB /old", "get / HTTP/1.1", "", " / HTTP/1.1", "GET / HTTP/1.10"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn status_lines() {
        assert_eq!(status_line(b"HTTP/1.1 200 OK"), Some(200));
        assert_eq!(status_line(b"HTTP/1.0 404"), Some(404));
        for line in [&b"HTTP/2 200"[..], b"HTTP/1.1 2000", b"HTTP/1.1 20", b"HTTP/1.1 099", b"ICY 200 OK"] {
            assert_eq!(status_line(line), None);
        }
    }

    #[test]
    fn header_fields() {
        let mut fields = Fields::default();
        for line in [&b"Content-Length: 12"[..], b"content-length: 12, 13", b"Host:  a.example:80", b"Connection: Upgrade, Close", b"Upgrade: WebSocket", b"nonsense"] {
            fields.read(line);
        }
        assert_eq!((fields.content_length, fields.close, fields.upgrade), (Some(12), true, Some(Upgrade::WebSocket)));
        assert!(!fields.ambiguous);
        fields.read(b"Transfer-Encoding: gzip, chunked");
        assert!(fields.chunked && fields.ambiguous);
    }

    #[test]
    fn chunk_sizes() {
        assert_eq!(chunk_size(b"1aF;name=value"), Some(0x1af));
        assert_eq!(chunk_size(b"0"), Some(0));
        for line in [&b""[..], b"-1", b"0x1", b"fffffffffffffffff"] {
            assert_eq!(chunk_size(line), None);
        }
    }
}
