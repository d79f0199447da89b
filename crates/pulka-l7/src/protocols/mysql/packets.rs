//! What single packets say.

use crate::reader::Reader;

pub struct Packet<'a> {
    pub length: u32,
    pub sequence: u8,
    /// Its first bytes.
    pub body: &'a [u8],
}

pub mod capability {
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const LENGTH_ENCODED_AUTH: u32 = 1 << 21;
    pub const DEPRECATE_EOF: u32 = 1 << 24;
    pub const ZSTD: u32 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

pub fn command_name(command: u8) -> &'static str {
    match command {
        0x02 => "USE",
        0x04 => "FIELD_LIST",
        0x05 => "CREATE_DB",
        0x06 => "DROP_DB",
        0x07 => "REFRESH",
        0x08 => "SHUTDOWN",
        0x09 => "STATISTICS",
        0x0a => "PROCESS_INFO",
        0x0c => "PROCESS_KILL",
        0x0d => "DEBUG",
        0x0e => "PING",
        0x11 => "CHANGE_USER",
        0x12 | 0x1e => "BINLOG_DUMP",
        0x15 => "REGISTER_REPLICA",
        0x16 => "PREPARE",
        0x1a => "STMT_RESET",
        0x1b => "SET_OPTION",
        0x1f => "RESET_CONNECTION",
        _ => "OTHER",
    }
}

/// What the server can, of a greeting of protocol 10.
pub fn greeting(body: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(body);
    (reader.u8()? == 10).then_some(())?;
    reader.cstring()?;
    reader.bytes(13)?;
    let low = reader.u16_le()?;
    let high = reader.bytes(3).and_then(|_| reader.u16_le()).unwrap_or(0);
    Some(u32::from(low) | u32::from(high) << 16)
}

pub struct Login<'a> {
    pub capabilities: u32,
    pub database: Option<&'a [u8]>,
}

pub fn login(body: &[u8]) -> Login<'_> {
    let mut reader = Reader::new(body);
    let capabilities = match reader.u32_le() {
        Some(capabilities) if capabilities & capability::PROTOCOL_41 != 0 => capabilities,
        _ => return Login { capabilities: 0, database: None },
    };
    Login { capabilities, database: if capabilities & capability::CONNECT_WITH_DB != 0 { login_database(reader, capabilities) } else { None } }
}

fn login_database(mut reader: Reader<'_>, capabilities: u32) -> Option<&[u8]> {
    reader.bytes(28)?;
    reader.cstring()?;
    if capabilities & capability::LENGTH_ENCODED_AUTH != 0 {
        let length = integer(&mut reader)?;
        reader.bytes(usize::try_from(length).ok()?)?;
    } else if capabilities & capability::SECURE_CONNECTION != 0 {
        let length = reader.u8()?;
        reader.bytes(usize::from(length))?;
    } else {
        reader.cstring()?;
    }
    reader.cstring()
}

/// The code of an ERR packet. MariaDB's progress reports look like errors with the highest code, and are none.
pub fn error_code(body: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(body);
    (reader.u8()? == 0xff).then_some(())?;
    reader.u16_le()
}

/// A length-encoded integer.
pub fn integer(reader: &mut Reader<'_>) -> Option<u64> {
    match reader.u8()? {
        small @ 0..=0xfa => Some(u64::from(small)),
        0xfc => reader.u16_le().map(u64::from),
        0xfd => reader.array::<3>().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
        0xfe => reader.array().map(u64::from_le_bytes),
        _ => None,
    }
}

/// The statement of a COM_QUERY, after its attributes if there are any; `attributes` is None when that is not known.
pub fn query_text(rest: &[u8], attributes: Option<bool>) -> &[u8] {
    match attributes {
        Some(true) => after_attributes(rest).unwrap_or_default(),
        None => rest.strip_prefix(&[0, 1]).unwrap_or(rest),
        Some(false) => rest,
    }
}

fn after_attributes(rest: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(rest);
    let count = usize::try_from(integer(&mut reader)?).ok().filter(|count| *count <= 1024)?;
    integer(&mut reader)?;
    if count == 0 {
        return Some(reader.rest());
    }
    let nulls = reader.bytes(count.div_ceil(8))?;
    (reader.u8()? == 1).then_some(())?;
    let mut types = Vec::with_capacity(count);
    for _ in 0..count {
        types.push(reader.u16_le()? as u8);
        let name = integer(&mut reader)?;
        reader.bytes(usize::try_from(name).ok()?)?;
    }
    for (index, kind) in types.into_iter().enumerate() {
        if nulls[index / 8] & 1 << (index % 8) == 0 {
            skip_value(&mut reader, kind)?;
        }
    }
    Some(reader.rest())
}

/// Passes over a value of the binary protocol.
fn skip_value(reader: &mut Reader<'_>, kind: u8) -> Option<()> {
    let length = match kind {
        0x06 => 0,
        0x01 => 1,
        0x02 | 0x0d => 2,
        0x03 | 0x04 | 0x09 => 4,
        0x05 | 0x08 => 8,
        _ => integer(reader)?,
    };
    reader.bytes(usize::try_from(length).ok()?).map(|_| ())
}
