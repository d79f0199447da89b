//! JSON: NDJSON, an array of objects, or objects end to end.

use super::options::DecodeOptions;
use super::report::Decoded;

/// Decode one body; `first_line` numbers its first line or item.
pub fn decode_json(_body: &[u8], _arrival_ns: i64, _first_line: usize, _options: &DecodeOptions) -> Decoded {
    Decoded::default()
}
