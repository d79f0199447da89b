//! What the messages say.

use crate::reader::Reader;

pub const ERROR: u8 = b'E';

pub struct Portal<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
}

/// The database of a startup message, which is the user's name unless it is told.
pub fn startup(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let (mut user, mut database) = (None, None);
    while let (Some(name), Some(value)) = (reader.cstring().filter(|name| !name.is_empty()), reader.cstring()) {
        match name {
            b"user" => user = Some(value),
            b"database" => database = Some(value),
            _ => {}
        }
    }
    database.or(user)
}

/// Name and statement of a `Parse`; a statement that is cut off is what there is of it.
pub fn parse(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(body);
    let name = reader.cstring()?;
    let rest = reader.rest();
    Some((name, reader.cstring().unwrap_or(rest)))
}

pub fn bind(body: &[u8]) -> Option<Portal<'_>> {
    let mut reader = Reader::new(body);
    Some(Portal { portal: reader.cstring()?, statement: reader.cstring()? })
}

/// The statement that a `Close` closes, unless it closes a portal.
pub fn statement_name(body: &[u8]) -> Option<&[u8]> {
    Reader::new(body.strip_prefix(b"S")?).cstring()
}

pub struct Failure {
    pub sqlstate: String,
    pub fatal: bool,
}

pub fn error_fields(body: &[u8]) -> Failure {
    let mut failure = Failure { sqlstate: String::from("XX000"), fatal: false };
    let mut reader = Reader::new(body);
    while let (Some(code @ 1..), Some(value)) = (reader.u8(), reader.cstring()) {
        match code {
            b'C' if value.len() == 5 && value.iter().all(u8::is_ascii_alphanumeric) => failure.sqlstate = String::from_utf8_lossy(value).into(),
            b'S' | b'V' => failure.fatal |= matches!(value, b"FATAL" | b"PANIC"),
            _ => {}
        }
    }
    failure
}

/// Rows that a `CommandComplete` tells of, when they were returned: `SELECT 5`.
pub fn command_rows(body: &[u8]) -> Option<String> {
    let tag = std::str::from_utf8(Reader::new(body).cstring()?).ok()?;
    let rows = tag.strip_prefix("SELECT ").or_else(|| tag.strip_prefix("FETCH "))?;
    rows.parse::<u64>().ok().map(|rows| rows.to_string())
}
