//! HPACK (RFC 7541) as far as an observer needs it: only fields that name a transaction keep their values, the rest counts
//! by size, so that tables are small and hold no secret.

use std::collections::VecDeque;

use super::huffman;

/// Fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Method,
    Path,
    Authority,
    Status,
    ContentType,
    GrpcStatus,
    Other,
}

/// A field of a header. Its value is None when it is in a part of the table that was not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Name,
    pub value: Option<Vec<u8>>,
}

/// A block that is no HPACK.
#[derive(Debug, PartialEq)]
pub struct Broken;

const VALUE_BYTES: usize = 512;
/// Encoders may be allowed larger tables; what does not fit is unknown to us.
const TABLE_BYTES: usize = 65_536;

/// The static table: names that matter by index, with values.
fn fixed(index: usize) -> Option<(Name, &'static str)> {
    Some(match index {
        1 => (Name::Authority, ""),
        2 => (Name::Method, "GET"),
        3 => (Name::Method, "POST"),
        4 => (Name::Path, "/"),
        5 => (Name::Path, "/index.html"),
        8 => (Name::Status, "200"),
        9 => (Name::Status, "204"),
        10 => (Name::Status, "206"),
        11 => (Name::Status, "304"),
        12 => (Name::Status, "400"),
        13 => (Name::Status, "404"),
        14 => (Name::Status, "500"),
        31 => (Name::ContentType, ""),
        6 | 7 | 15..=61 => (Name::Other, ""),
        _ => return None,
    })
}

/// Lengths of the static table's names, which count towards the size of entries.
const NAME_BYTES: [u8; 62] = [
    0, 10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12,
    18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

struct Entry {
    name: Name,
    name_bytes: usize,
    value: Vec<u8>,
    bytes: usize,
}

/// One direction's table.
pub struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
}

impl Default for Table {
    fn default() -> Self {
        Table { entries: VecDeque::new(), bytes: 0, limit: 4096 }
    }
}

impl Table {
    /// A block was missed: what it added is unknown, so that nothing is left that an index names.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    pub fn held_bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.bytes
    }

    /// The fields of a block that matter, in order. Other fields are left out.
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, Broken> {
        let (mut rest, mut fields) = (Reader { bytes: block }, Vec::new());
        while let Some(first) = rest.bytes.first().copied() {
            let field = match first {
                0x80.. => self.indexed(rest.integer(7)?)?,
                0x40.. => self.literal(&mut rest, 6, true)?,
                0x20..0x40 => {
                    let limit = rest.integer(5)?;
                    self.resize(limit);
                    continue;
                }
                _ => self.literal(&mut rest, 4, false)?,
            };
            if field.name != Name::Other {
                fields.push(field);
            }
        }
        Ok(fields)
    }

    fn indexed(&self, index: usize) -> Result<Field, Broken> {
        if let Some((name, value)) = fixed(index) {
            return Ok(Field { name, value: Some(value.as_bytes().to_vec()) });
        }
        let place = index.checked_sub(62).ok_or(Broken)?;
        Ok(match self.entries.get(place) {
            Some(entry) => Field { name: entry.name, value: Some(entry.value.clone()) },
            None => Field { name: Name::Other, value: None },
        })
    }

    fn literal(&mut self, rest: &mut Reader<'_>, prefix: u32, keep: bool) -> Result<Field, Broken> {
        let index = rest.integer(prefix)?;
        let (name, name_bytes) = match index {
            0 => {
                let (name, length) = rest.string()?;
                (name_of(&name), length)
            }
            _ => self.name_at(index),
        };
        let (value, value_bytes) = rest.string()?;
        let value = if name == Name::Other { Vec::new() } else { value };
        if keep {
            self.insert(Entry { name, name_bytes, value: value.clone(), bytes: name_bytes + value_bytes + 32 });
        }
        Ok(Field { name, value: Some(value) })
    }

    fn name_at(&self, index: usize) -> (Name, usize) {
        if let Some((name, _)) = fixed(index) {
            return (name, usize::from(NAME_BYTES[index]));
        }
        self.entries.get(index - 62).map_or((Name::Other, 0), |entry| (entry.name, entry.name_bytes))
    }

    fn insert(&mut self, entry: Entry) {
        self.bytes += entry.bytes;
        self.entries.push_front(entry);
        self.evict();
    }

    fn resize(&mut self, limit: usize) {
        self.limit = limit.min(TABLE_BYTES);
        self.evict();
    }

    fn evict(&mut self) {
        while self.bytes > self.limit {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.bytes -= oldest.bytes;
        }
    }
}

fn name_of(name: &[u8]) -> Name {
    match name {
        b":method" => Name::Method,
        b":path" => Name::Path,
        b":authority" => Name::Authority,
        b":status" => Name::Status,
        b"content-type" => Name::ContentType,
        b"grpc-status" => Name::GrpcStatus,
        _ => Name::Other,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.bytes.split_first().ok_or(Broken)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// An integer with a prefix of so many bits (section 5.1); at most 2^28.
    fn integer(&mut self, prefix: u32) -> Result<usize, Broken> {
        let mask = (1usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    /// A string, cut at `VALUE_BYTES`, and its true length.
    fn string(&mut self) -> Result<(Vec<u8>, usize), Broken> {
        let coded = self.bytes.first().ok_or(Broken)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(Broken)?;
        self.bytes = rest;
        if !coded {
            return Ok((text[..length.min(VALUE_BYTES)].to_vec(), length));
        }
        let mut text = huffman::decode(text, usize::MAX).ok_or(Broken)?;
        let length = text.len();
        text.truncate(VALUE_BYTES);
        Ok((text, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: Result<Vec<Field>, Broken>) -> Vec<String> {
        let show = |field: Field| format!("{:?}={}", field.name, field.value.map_or("?".into(), |value| String::from_utf8_lossy(&value).into_owned()));
        fields.expect("a header").into_iter().map(show).collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex")).collect()
    }

    /// RFC 7541, C.4: three requests, Huffman coded, on one connection.
    #[test]
    fn requests_of_the_standard() {
        let mut table = Table::default();
        assert_eq!(shown(table.decode(&hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"))), ["Method=GET", "Path=/", "Authority=www.example.com"]);
        assert_eq!(table.bytes, 57);
        assert_eq!(shown(table.decode(&hex("8286 84be 5886 a8eb 1064 9cbf"))), ["Method=GET", "Path=/", "Authority=www.example.com"]);
        assert_eq!(table.bytes, 110);
        assert_eq!(shown(table.decode(&hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"))), ["Method=GET", "Path=/index.html", "Authority=www.example.com"]);
        assert_eq!(table.bytes, 164);
    }

    /// RFC 7541, C.6: responses whose table of 256 bytes evicts.
    #[test]
    fn responses_of_the_standard_evict() {
        let mut table = Table::default();
        table.resize(256);
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        assert_eq!(shown(table.decode(&hex(first))), ["Status=302"]);
        assert_eq!(table.bytes, 222);
        assert_eq!(shown(table.decode(&hex("4883 640e ffc1 c0bf"))), ["Status=307"]);
        assert_eq!(table.bytes, 222);
        let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        assert_eq!(shown(table.decode(&hex(third))), ["Status=200"]);
        assert_eq!(table.bytes, 215);
    }

    #[test]
    fn what_was_not_seen_is_unknown_and_what_is_new_is_not() {
        let mut table = Table::default();
        assert_eq!(shown(table.decode(&hex("82 be c8"))), ["Method=GET"]);
        table.decode(&hex("41 01 61")).expect("a header");
        assert_eq!(shown(table.decode(&hex("be"))), ["Authority=a"]);
        table.forget();
        assert!(shown(table.decode(&hex("be"))).is_empty());
    }

    #[test]
    fn secrets_are_not_kept() {
        let mut table = Table::default();
        let mut block = hex("57 06"); // authorization, literal with indexing
        block.extend(b"secret");
        table.decode(&block).expect("a header");
        assert!(table.entries.iter().all(|entry| entry.value.is_empty()));
        assert_eq!(table.bytes, 13 + 6 + 32);
    }

    #[test]
    fn broken_blocks() {
        for block in ["80", "41", "41 05 61", "ff ff ff ff ff ff", "00 85 ff ff ff ff ff 00"] {
            assert_eq!(Table::default().decode(&hex(block)), Err(Broken), "{block}");
        }
    }
}
