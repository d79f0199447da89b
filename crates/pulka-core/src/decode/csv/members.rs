//! A cell that holds a JSON object: its members become fields of the event.

use serde::de::IgnoredAny;
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};

use crate::batch::{BatchBuilder, FieldId};
use crate::decode::options::DecodeOptions;

/// Nesting beyond this stays JSON text whatever the options say.
const NESTING_MAX: usize = 64;

/// Push the members of the object that `text` holds. False, and nothing pushed, when it holds none.
pub fn push_members(builder: &mut BatchBuilder, text: &str, options: &DecodeOptions) -> bool {
    if !text.trim_ascii_start().starts_with('{') || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return false;
    }
    push_object(builder, text, "", 1, options);
    true
}

fn push_object(builder: &mut BatchBuilder, text: &str, prefix: &str, depth: usize, options: &DecodeOptions) {
    // The text was checked as a whole, so no member is broken.
    for (key, value) in sonic_rs::to_object_iter(text).map_while(Result::ok) {
        let source = format!("{prefix}{key}");
        push_value(builder, &value, &source, depth, options);
    }
}

fn push_value(builder: &mut BatchBuilder, value: &LazyValue<'_>, source: &str, depth: usize, options: &DecodeOptions) {
    let raw = value.as_raw_str();
    let path = options.rename.get(source).map_or(source, String::as_str);
    let is_deep = depth >= options.depth_max.min(NESTING_MAX);
    match value.get_type() {
        JsonType::Null => {}
        JsonType::Object if !is_deep && has_members(raw) => {
            push_object(builder, raw, &format!("{source}."), depth + 1, options);
        }
        kind => {
            let field = builder.field(path);
            match kind {
                JsonType::Boolean => builder.push_bool(field, raw == "true"),
                JsonType::Number => push_number(builder, field, raw),
                JsonType::String => builder.push_str(field, value.as_str().unwrap_or(raw)),
                _ => builder.push_json(field, &compact(raw)),
            }
        }
    }
}

fn has_members(raw: &str) -> bool {
    raw.strip_prefix('{').is_some_and(|rest| !rest.trim_ascii_start().starts_with('}'))
}

/// Integers exactly, beyond 64 bits as their digits; everything else as a float.
fn push_number(builder: &mut BatchBuilder, field: FieldId, raw: &str) {
    let is_whole = !raw.contains(['.', 'e', 'E']);
    match (raw.parse::<i64>(), raw.parse::<f64>()) {
        (Ok(value), _) if raw != "-0" => builder.push_i64(field, value),
        (_, Ok(value)) if value.is_finite() && !is_whole => builder.push_f64(field, value),
        _ => builder.push_str(field, raw),
    }
}

/// JSON text without white space between its tokens.
fn compact(raw: &str) -> String {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let keep = |letter: &char| {
        let keep = is_quoted || !letter.is_ascii_whitespace();
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        keep
    };
    raw.chars().filter(keep).collect()
}
