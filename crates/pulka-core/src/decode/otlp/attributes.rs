//! `KeyValue` and `AnyValue`: flattened to dotted paths, or written as JSON text.

use crate::batch::Value;

use super::base64;
use super::text::{lossy, write_comma, write_f64, write_int, write_key, write_str};
use super::wire::{Broken, Wire, broken, fields};

/// Values nested deeper than this are refused.
const NESTING_MAX: usize = 64;
const TOO_DEEP: Broken = Broken { reason: "too_deep", detail: "a value is nested more than 64 levels deep" };

/// One `AnyValue`, its inside not read yet.
#[derive(Clone, Copy)]
pub enum Any<'b> {
    Str(&'b [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'b [u8]),
    Kvlist(&'b [u8]),
    Bytes(&'b [u8]),
}

/// A plain value as the batch has it; None for an array or a list.
#[inline]
pub fn plain<'b>(value: Any<'b>, bad_utf8: &mut usize) -> Option<Value<'b>> {
    Some(match value {
        Any::Str(bytes) => Value::Str(lossy(bytes, bad_utf8)),
        Any::Bool(value) => Value::Bool(value),
        Any::Int(value) => Value::I64(value),
        Any::Double(value) => Value::F64(value),
        Any::Bytes(bytes) => Value::Str(base64::encode(bytes).into()),
        Any::Array(_) | Any::Kvlist(_) => return None,
    })
}

/// The value of an `AnyValue` message; None when it is empty.
#[inline]
pub fn any(message: &[u8]) -> Result<Option<Any<'_>>, Broken> {
    let mut value = None;
    for field in fields(message) {
        let (number, wire) = field?;
        value = match number {
            1 => Some(Any::Str(wire.bytes()?)),
            2 => Some(Any::Bool(wire.bool()?)),
            3 => Some(Any::Int(wire.varint()? as i64)),
            4 => Some(Any::Double(wire.double()?)),
            5 => Some(Any::Array(wire.bytes()?)),
            6 => Some(Any::Kvlist(wire.bytes()?)),
            7 => Some(Any::Bytes(wire.bytes()?)),
            _ => value,
        };
    }
    Ok(value)
}

/// Key and value of a `KeyValue`; None when the value is empty.
#[inline]
pub fn key_value(message: &[u8]) -> Result<(&[u8], Option<Any<'_>>), Broken> {
    let (mut key, mut value) = (&[][..], None);
    for field in fields(message) {
        match field? {
            (1, wire) => key = wire.bytes()?,
            (2, wire) => value = any(wire.bytes()?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The `values` of an `ArrayValue` or a `KeyValueList`.
fn values(message: &[u8]) -> impl Iterator<Item = Result<&[u8], Broken>> {
    fields(message).filter_map(|field| match field {
        Ok((1, Wire::Bytes(value))) => Some(Ok(value)),
        Ok((1, _)) => Some(Err(broken("a list holds something else than values"))),
        Ok(_) => None,
        Err(broken) => Some(Err(broken)),
    })
}

/// Walks attributes and hands out their leaves with their paths.
pub struct Flattener {
    path: String,
    /// Nested deeper, a list becomes JSON text.
    depth_max: usize,
    /// Strings whose UTF-8 was broken.
    pub bad_utf8: usize,
}

impl Flattener {
    pub fn new(depth_max: usize) -> Self {
        Flattener { path: String::new(), depth_max: depth_max.min(NESTING_MAX), bad_utf8: 0 }
    }

    /// The leaves of one attribute, whose key stands after `prefix`.
    pub fn attribute(
        &mut self, key: &[u8], value: Any<'_>, prefix: &str, put: &mut impl FnMut(&str, Value<'_>),
    ) -> Result<(), Broken> {
        self.path.clear();
        self.path.push_str(prefix);
        self.path.push_str(&lossy(key, &mut self.bad_utf8));
        self.leaves(value, 1, put)
    }

    /// The leaves of one value at or below `path`.
    pub fn value(&mut self, value: Any<'_>, path: &str, put: &mut impl FnMut(&str, Value<'_>)) -> Result<(), Broken> {
        self.path.clear();
        self.path.push_str(path);
        self.leaves(value, 1, put)
    }

    fn leaves(&mut self, value: Any<'_>, depth: usize, put: &mut impl FnMut(&str, Value<'_>)) -> Result<(), Broken> {
        if let Some(leaf) = plain(value, &mut self.bad_utf8) {
            put(&self.path, leaf);
            return Ok(());
        }
        match value {
            Any::Kvlist(list) if depth < self.depth_max => self.members(list, depth, put),
            _ => {
                let mut text = String::new();
                write_any(&mut text, Some(value), depth, &mut self.bad_utf8)?;
                put(&self.path, Value::Json(text.into()));
                Ok(())
            }
        }
    }

    fn members(&mut self, list: &[u8], depth: usize, put: &mut impl FnMut(&str, Value<'_>)) -> Result<(), Broken> {
        let end = self.path.len();
        let mut is_empty = true;
        for member in values(list) {
            let (key, value) = key_value(member?)?;
            is_empty = false;
            self.path.push('.');
            self.path.push_str(&lossy(key, &mut self.bad_utf8));
            if let Some(value) = value {
                self.leaves(value, depth + 1, put)?;
            }
            self.path.truncate(end);
        }
        if is_empty {
            put(&self.path, Value::Json("{}".into()));
        }
        Ok(())
    }
}

/// A value as JSON text; `depth` levels are around it.
pub fn write_any(text: &mut String, value: Option<Any<'_>>, depth: usize, bad_utf8: &mut usize) -> Result<(), Broken> {
    if depth > NESTING_MAX {
        return Err(TOO_DEEP);
    }
    match value {
        None => text.push_str("null"),
        Some(Any::Str(bytes)) => write_str(text, &lossy(bytes, bad_utf8)),
        Some(Any::Bool(value)) => text.push_str(if value { "true" } else { "false" }),
        Some(Any::Int(value)) => write_int(text, value),
        Some(Any::Double(value)) => write_f64(text, value),
        Some(Any::Bytes(bytes)) => write_str(text, &base64::encode(bytes)),
        Some(Any::Array(list)) => write_array(text, list, depth, bad_utf8)?,
        Some(Any::Kvlist(list)) => {
            text.push('{');
            for member in values(list) {
                write_member(text, member?, depth, bad_utf8)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn write_array(text: &mut String, list: &[u8], depth: usize, bad_utf8: &mut usize) -> Result<(), Broken> {
    text.push('[');
    for value in values(list) {
        write_comma(text);
        write_any(text, any(value?)?, depth + 1, bad_utf8)?;
    }
    text.push(']');
    Ok(())
}

/// One `KeyValue` as a member of the JSON object being written.
pub fn write_member(text: &mut String, message: &[u8], depth: usize, bad_utf8: &mut usize) -> Result<(), Broken> {
    let (key, value) = key_value(message)?;
    write_key(text, &lossy(key, bad_utf8));
    write_any(text, value, depth + 1, bad_utf8)
}
