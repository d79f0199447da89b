//! Small texts: JSON pieces, hexadecimal ids, strings whose UTF-8 is broken.

use std::borrow::Cow;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `bytes` as text, broken UTF-8 replaced by U+FFFD; `bad` counts such strings.
#[inline]
pub fn lossy<'b>(bytes: &'b [u8], bad: &mut usize) -> Cow<'b, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            *bad += 1;
            String::from_utf8_lossy(bytes)
        }
    }
}

/// Lower-case hexadecimal after what `text` holds.
pub fn write_hex(text: &mut String, bytes: &[u8]) {
    text.reserve(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// An id of nothing but zeros is no id.
pub fn is_id(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

pub fn write_str(text: &mut String, value: &str) {
    text.push('"');
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate().filter(|(_, byte)| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        text.push_str(&value[from..at]);
        write_escape(text, byte);
        from = at + 1;
    }
    text.push_str(&value[from..]);
    text.push('"');
}

fn write_escape(text: &mut String, byte: u8) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        b'\t' => text.push_str("\\t"),
        0x08 => text.push_str("\\b"),
        0x0c => text.push_str("\\f"),
        _ => {
            text.push_str("\\u00");
            write_hex(text, &[byte]);
        }
    }
}

/// Always with a point or an exponent; JSON has no numbers for the others, so they are their names.
pub fn write_f64(text: &mut String, value: f64) {
    if value.is_finite() {
        text.push_str(zmij::Buffer::new().format_finite(value));
    } else if value.is_nan() {
        text.push_str("\"NaN\"");
    } else {
        text.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

pub fn write_int(text: &mut String, value: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(value));
}

/// A comma unless the last thing written opened an array or object.
pub fn write_comma(text: &mut String) {
    if !text.ends_with(['[', '{']) {
        text.push(',');
    }
}

/// `"name":`, after a comma if need be.
pub fn write_key(text: &mut String, name: &str) {
    write_comma(text);
    write_str(text, name);
    text.push(':');
}
