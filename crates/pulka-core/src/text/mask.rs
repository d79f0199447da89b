//! The shape of a message: what varies from one to the next replaced by `<*>`.
//!
//! A run of letters, digits and `_` that has a digit is taken for a value: numbers, times, addresses, ids, hexadecimal digests.
//! Values that only `.`, `:`, `-`, `/`, `+` or `,` stand between are one, so an address or a time is one `<*>`.

/// What stands for a value.
pub const ANY: &str = "<*>";

/// Append the shape of `text` to `out`, at most `bytes_max` bytes of it.
pub fn mask(text: &str, bytes_max: usize, out: &mut String) {
    let bytes = text.as_bytes();
    let end = out.len() + bytes_max;
    let (mut at, mut after_value) = (0, None);
    while at < bytes.len() && out.len() < end {
        let stop = at + bytes[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len() - at);
        if stop == at {
            let stop = at + bytes[at..].iter().position(|byte| is_word(*byte)).unwrap_or(bytes.len() - at);
            out.push_str(&text[at..stop]);
            at = stop;
        } else if bytes[at..stop].iter().any(u8::is_ascii_digit) {
            match after_value {
                Some(before) if is_joint(&out[before..]) => out.truncate(before),
                _ => out.push_str(ANY),
            }
            after_value = Some(out.len());
            at = stop;
        } else {
            out.push_str(&text[at..stop]);
            after_value = None;
            at = stop;
        }
    }
    if out.len() > end {
        out.truncate(out.floor_char_boundary(end));
    }
}

/// Bytes of other scripts count as letters.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_joint(between: &str) -> bool {
    between.len() == 1 && b".:-/+,".contains(&between.as_bytes()[0])
}
