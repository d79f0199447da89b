//! Texts that leave a decoder: bounded, printable, UTF-8.

/// `bytes` as printable text of at most `limit_bytes`; what is not printable becomes `?`.
pub fn printable(bytes: &[u8], limit_bytes: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit_bytes)]);
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let shown = if character.is_control() || character == '\u{fffd}' { '?' } else { character };
        if out.len() + shown.len_utf8() > limit_bytes {
            break;
        }
        out.push(shown);
    }
    out
}
