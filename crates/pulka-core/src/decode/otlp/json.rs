//! OTLP/JSON to the wire format, driven by the tables of `schema`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Kind, Message, request};
use super::{Signal, base64};

/// Messages nested deeper are refused.
const NESTING_MAX: usize = 64;

/// The request as protobuf, and whether broken UTF-8 was replaced; or one sentence on what is wrong with the document.
pub fn transcode(body: &[u8], signal: Signal) -> Result<(Vec<u8>, bool), String> {
    let text = match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    let mut wire = Vec::with_capacity(body.len());
    let mut json = serde_json::Deserializer::from_str(&text);
    let seed = MessageSeed { message: request(signal), wire: &mut wire, depth: 0 };
    seed.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| sentence(&error))?;
    Ok((wire, matches!(text, Cow::Owned(_))))
}

/// What is wrong and where. The library's own message may repeat the payload.
fn sentence(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the document ends too early",
        serde_json::error::Category::Syntax => "the document is not JSON, or nested too deep,",
        _ => "a value is not what OTLP has there,",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// Reads a JSON object as the fields of `message`.
struct MessageSeed<'w> {
    message: &'static Message,
    wire: &'w mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.depth > NESTING_MAX {
            return Err(D::Error::custom("nested too deep"));
        }
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(KeySeed(self.message))? {
            match field {
                Some(field) => map.next_value_seed(FieldSeed { field, wire: self.wire, depth: self.depth })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds the field a key means; None for an unknown one.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.is_named(key)))
    }
}

/// Reads the value of a field; of a repeated one, all in an array.
struct FieldSeed<'w> {
    field: &'static Field,
    wire: &'w mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let FieldSeed { field, wire, depth } = self;
        if field.is_repeated { json.deserialize_any(Elements { field, wire, depth }) } else { json.deserialize_any(One { field, wire, depth }) }
    }
}

struct Elements<'w> {
    field: &'static Field,
    wire: &'w mut Vec<u8>,
    depth: usize,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Elements { field, wire, depth } = self;
        while elements.next_element_seed(ElementSeed { field, wire, depth })?.is_some() {}
        Ok(())
    }
}

struct ElementSeed<'w> {
    field: &'static Field,
    wire: &'w mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let ElementSeed { field, wire, depth } = self;
        json.deserialize_any(One { field, wire, depth })
    }
}

/// Writes one value of a field.
struct One<'w> {
    field: &'static Field,
    wire: &'w mut Vec<u8>,
    depth: usize,
}

impl One<'_> {
    fn key(&mut self, wire_type: u32) {
        write_varint(self.wire, u64::from(self.field.number << 3 | wire_type));
    }

    fn varint(mut self, value: u64) {
        self.key(0);
        write_varint(self.wire, value);
    }

    fn fixed64(mut self, value: u64) {
        self.key(1);
        self.wire.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(mut self, value: u32) {
        self.key(5);
        self.wire.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(mut self, value: &[u8]) {
        self.key(2);
        write_varint(self.wire, value.len() as u64);
        self.wire.extend_from_slice(value);
    }

    /// A whole number; None when the field takes none.
    fn int(self, value: i128) -> Option<()> {
        match self.field.kind {
            Kind::Double => self.fixed64((value as f64).to_bits()),
            Kind::Int | Kind::Enum(_) => self.varint(bits64(value)?),
            Kind::Fixed64 => self.fixed64(bits64(value)?),
            Kind::Fixed32 => self.fixed32(u32::try_from(value).ok()?),
            Kind::Sint => {
                let value = i32::try_from(value).ok()?;
                self.varint(u64::from((value << 1 ^ value >> 31) as u32));
            }
            _ => return None,
        }
        Some(())
    }

    fn float(self, value: f64) -> Option<()> {
        if let Kind::Double = self.field.kind {
            self.fixed64(value.to_bits());
            return Some(());
        }
        // Every integer that a float of this size has is exact.
        if value.fract() == 0.0 && value.abs() < 1e20 { self.int(value as i128) } else { None }
    }

    fn text(self, value: &str) -> Option<()> {
        match self.field.kind {
            Kind::Text => self.bytes(value.as_bytes()),
            Kind::Id => self.bytes(&from_hex(value)?),
            Kind::Bytes => self.bytes(&base64::decode(value)?),
            Kind::Bool => self.varint(u64::from(value.parse::<bool>().ok()?)),
            Kind::Double => self.fixed64(value.parse::<f64>().ok()?.to_bits()),
            Kind::Enum(names) => match names.iter().position(|name| *name == value) {
                Some(number) => self.varint(number as u64),
                None => return self.int(value.parse().ok()?),
            },
            Kind::Int | Kind::Sint | Kind::Fixed32 | Kind::Fixed64 => match value.parse() {
                Ok(value) => return self.int(value),
                Err(_) => return self.float(value.parse().ok()?),
            },
            Kind::Message(_) => return None,
        }
        Some(())
    }
}

fn wanted<E: Error>() -> E {
    E::custom("not a value of this field")
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value of this field")
    }

    /// `null` is the same as absent; an element of a list cannot be absent, so there it is an empty value.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if let (Kind::Message(_), true) = (self.field.kind, self.field.is_repeated) {
            self.bytes(&[]);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(wanted());
        }
        self.varint(u64::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.int(value.into()).ok_or_else(wanted)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.int(value.into()).ok_or_else(wanted)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.float(value).ok_or_else(wanted)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.text(value).ok_or_else(wanted)
    }

    /// A message inside: its length goes before it, in a varint of five bytes that is filled in at the end.
    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else { return Err(wanted()) };
        if self.depth >= NESTING_MAX {
            return Err(wanted());
        }
        self.key(2);
        let start = self.wire.len();
        self.wire.extend_from_slice(&[0; 5]);
        MessageSeed { message, wire: self.wire, depth: self.depth + 1 }.visit_map(map)?;
        let length = u32::try_from(self.wire.len() - start - 5).map_err(|_| wanted::<A::Error>())?;
        self.wire[start..start + 5].copy_from_slice(&padded_varint(length));
        Ok(())
    }
}

/// Signed or unsigned, the same 64 bits.
fn bits64(value: i128) -> Option<u64> {
    u64::try_from(value).or_else(|_| i64::try_from(value).map(|value| value as u64)).ok()
}

fn write_varint(wire: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        wire.push(value as u8 | 0x80);
        value >>= 7;
    }
    wire.push(value as u8);
}

fn padded_varint(value: u32) -> [u8; 5] {
    std::array::from_fn(|index| {
        let bits = (value >> (7 * index)) as u8 & 0x7f;
        if index < 4 { bits | 0x80 } else { bits }
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
