//! The outermost fields of BSON documents. Nested ones are passed over by their length; a document may be cut off.

use crate::reader::Reader;
use crate::text::printable;

#[derive(Clone, Copy)]
pub struct Document<'a> {
    body: &'a [u8],
}

#[derive(Clone, Copy)]
pub struct Value<'a> {
    kind: u8,
    bytes: &'a [u8],
}

impl<'a> Document<'a> {
    /// `bytes` begin with the document's length, and may go on after it or end before.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(Reader::new(bytes).i32_le()?).ok().filter(|length| *length >= 5)?;
        Some(Document { body: &bytes[4..bytes.len().min(length - 1)] })
    }

    pub fn elements(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut reader = Reader::new(self.body);
        std::iter::from_fn(move || element(&mut reader))
    }

    fn field(self, name: &[u8]) -> Option<Value<'a>> {
        self.elements().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn element<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], Value<'a>)> {
    let kind = reader.u8()?;
    let name = reader.cstring()?;
    let length = match kind {
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x02 | 0x0d | 0x0e => prefixed(reader, 4)?,
        0x03 | 0x04 | 0x0f => prefixed(reader, 0)?,
        0x05 => prefixed(reader, 5)?,
        0x06 | 0x0a | 0x7f | 0xff => 0,
        0x07 => 12,
        0x08 => 1,
        0x0b => {
            let mut both = *reader;
            both.cstring()?;
            both.cstring()?;
            reader.rest().len() - both.rest().len()
        }
        0x0c => prefixed(reader, 16)?,
        0x10 => 4,
        0x13 => 16,
        _ => return None,
    };
    let value = reader.bytes(length).or_else(|| nested_and_cut_off(kind, reader))?;
    Some((name, Value { kind, bytes: value }))
}

/// The length that a value begins with, and what it does not count itself.
fn prefixed(reader: &Reader<'_>, beside: usize) -> Option<usize> {
    let length = usize::try_from(Reader::new(reader.rest()).i32_le()?).ok()?;
    length.checked_add(beside)
}

/// A document that is cut off is what there is of it: its first fields may say enough.
fn nested_and_cut_off<'a>(kind: u8, reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    matches!(kind, 0x03 | 0x04).then(|| reader.bytes(reader.rest().len()))?
}

impl<'a> Value<'a> {
    pub fn text(self) -> Option<&'a [u8]> {
        if self.kind != 0x02 {
            return None;
        }
        self.bytes.get(4..)?.strip_suffix(&[0])
    }

    pub fn document(self) -> Option<Document<'a>> {
        matches!(self.kind, 0x03 | 0x04).then(|| Document::new(self.bytes))?
    }

    fn number(self) -> Option<i64> {
        match self.kind {
            0x01 => Some(f64::from_le_bytes(self.bytes.try_into().ok()?) as i64),
            0x08 => self.bytes.first().map(|byte| i64::from(*byte)),
            0x10 => Some(i64::from(i32::from_le_bytes(self.bytes.try_into().ok()?))),
            0x12 => Some(i64::from_le_bytes(self.bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

pub struct Failure {
    pub code: i64,
    /// As `DuplicateKey`; servers before 3.4 and write errors do not tell it.
    pub name: Option<String>,
}

/// The error of a command's answer: that it is not `ok`, the first write error, that the write concern was not met.
pub fn failure(answer: &Document<'_>) -> Option<Failure> {
    let failed = answer.field(b"ok").and_then(Value::number) == Some(0) || answer.field(b"$err").is_some();
    if failed {
        return Some(described(answer));
    }
    if let Some(errors) = answer.field(b"writeErrors").and_then(Value::document) {
        let first = errors.elements().next().and_then(|(_, error)| error.document());
        return first.map(|error| described(&error));
    }
    answer.field(b"writeConcernError").and_then(Value::document).map(|error| described(&error))
}

fn described(error: &Document<'_>) -> Failure {
    let name = error.field(b"codeName").and_then(Value::text).map(|name| printable(name, 64)).filter(|name| name.chars().all(char::is_alphanumeric));
    Failure { code: error.field(b"code").and_then(Value::number).unwrap_or(0), name }
}
