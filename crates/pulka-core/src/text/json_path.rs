//! One value out of JSON text by its path: `a.b`, `a[0].b`, or `a.0.b`.

use arrow_array::{Array, StringArray, builder::StringBuilder};
use sonic_rs::{JsonValueTrait, PointerNode};

/// The steps of a path; None when it is none.
pub fn parse(path: &str) -> Option<Vec<PointerNode>> {
    let mut steps = Vec::new();
    for part in path.strip_prefix("$.").unwrap_or(path).split('.') {
        let (name, indexes) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if name.is_empty() && (indexes.is_empty() || !steps.is_empty()) {
            return None;
        }
        if !name.is_empty() {
            steps.push(name.parse().map_or_else(|_| PointerNode::Key(name.to_owned().into()), PointerNode::Index));
        }
        for index in indexes.split('[').skip(1) {
            steps.push(PointerNode::Index(index.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// Per row the value at the path as text: strings without quotes, all else as its JSON; null where there is none.
pub fn get(texts: &StringArray, steps: &[PointerNode]) -> StringArray {
    let mut out = StringBuilder::with_capacity(texts.len(), 0);
    for row in 0..texts.len() {
        match if texts.is_valid(row) { value(texts.value(row), steps) } else { None } {
            Some(text) => out.append_value(text),
            None => out.append_null(),
        }
    }
    out.finish()
}

fn value(text: &str, steps: &[PointerNode]) -> Option<String> {
    let found = sonic_rs::get_from_str(text, steps).ok()?;
    if found.is_null() {
        return None;
    }
    Some(found.as_str().map_or_else(|| found.as_raw_str().to_owned(), str::to_owned))
}
