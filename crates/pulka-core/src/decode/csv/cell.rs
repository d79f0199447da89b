//! What the text of a cell looks like.

use crate::batch::{BatchBuilder, FieldId, FieldType};

/// Push a cell as the type it looks like, or as text into a text column. An empty cell is absent.
pub fn push_cell(builder: &mut BatchBuilder, field: FieldId, declared: Option<FieldType>, text: &str) {
    match (text, declared) {
        ("", _) => {}
        (_, Some(FieldType::Str)) => builder.push_str(field, text),
        ("true", _) => builder.push_bool(field, true),
        ("false", _) => builder.push_bool(field, false),
        _ => push_number(builder, field, declared, text),
    }
}

fn push_number(builder: &mut BatchBuilder, field: FieldId, declared: Option<FieldType>, text: &str) {
    let float = || text.parse::<f64>().ok().filter(|value| value.is_finite());
    match look(text) {
        Look::Int => match (declared, float(), text.parse::<i64>()) {
            (Some(FieldType::F64), Some(value), _) => builder.push_f64(field, value),
            (_, _, Ok(value)) => builder.push_i64(field, value),
            _ => builder.push_str(field, text),
        },
        Look::Float => match float() {
            Some(value) => builder.push_f64(field, value),
            None => builder.push_str(field, text),
        },
        Look::Text => builder.push_str(field, text),
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Look {
    Int,
    Float,
    Text,
}

/// Numbers as JSON writes them. `007` is text, for its zeros count; so is `12e5`, which more often is the end of an id.
fn look(text: &str) -> Look {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let power = exponent.map(|exponent| exponent.trim_start_matches(['+', '-']));
    let is_number = are_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    if !is_number || !fraction.is_none_or(are_digits) || !power.is_none_or(are_digits) {
        return Look::Text;
    }
    match (fraction, exponent) {
        (None, None) if text == "-0" => Look::Text,
        (None, None) => Look::Int,
        (None, Some(exponent)) if !exponent.starts_with(['+', '-']) => Look::Text,
        _ => Look::Float,
    }
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Look, look};

    #[test]
    fn only_exact_numbers_are_numbers() {
        for text in ["0", "-1", "42", "18446744073709551616"] {
            assert_eq!(look(text), Look::Int, "{text}");
        }
        for text in ["0.5", "-1.25", "1e-05", "2.5E10", "1.5e+300"] {
            assert_eq!(look(text), Look::Float, "{text}");
        }
        for text in ["007", "+5", "1.", ".5", "1e5", "123456e7", "-", "-0", "NaN", "1 ", "0x10", "1_000", "1.2.3", "1e+-5e"] {
            assert_eq!(look(text), Look::Text, "{text}");
        }
    }
}
