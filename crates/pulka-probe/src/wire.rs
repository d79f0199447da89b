//! The layouts of `bpf/records.h`, read without casts: a record that is too short is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HEAD: usize = 24;
const ENDS: usize = 40;
const PLAINTEXT: usize = HEAD + 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Unknown,
    Client,
    Server,
}

/// A piece of a connection's bytes. `length` bytes were sent from `sequence` on, of which `data` is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a> {
    pub conn: u64,
    pub direction: Direction,
    pub role: Role,
    /// CLOCK_MONOTONIC.
    pub ts_ns: u64,
    pub sequence: u32,
    pub length: u32,
    pub data: &'a [u8],
}

/// What is known of a connection when it opens, closes, or its process is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conn {
    pub conn: u64,
    pub role: Role,
    pub ts_ns: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub udp: bool,
    /// 0: not known (yet).
    pub tgid: u32,
    /// The kernel's TCP state, where the record comes from the table of open files.
    pub state: u32,
    /// Of the network.
    pub namespace: u32,
    /// What the process was forked from, 0 when it has begun a program of its own.
    pub parent: u32,
}

/// A TLS library's object for a connection. Its sequence numbers are a count of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub tgid: u32,
    pub address: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Bytes(Bytes<'a>),
    /// `Bytes::conn` is 0 while it is not known.
    Plaintext(Session, Bytes<'a>),
    /// What a session wrote went out on this connection.
    Bind(Session, u64),
    Open(Conn),
    Close(Conn),
    Owner(Conn),
    /// One packet of UDP, complete up to 512 bytes; `Conn::conn` is the socket, `Conn::tgid` who sent it.
    Datagram(Conn, Direction, &'a [u8]),
}

impl Record<'_> {
    /// The connection it is about, 0 while that is not known.
    pub fn conn(&self) -> u64 {
        match self {
            Record::Bytes(bytes) | Record::Plaintext(_, bytes) => bytes.conn,
            Record::Bind(_, conn) => *conn,
            Record::Open(conn) | Record::Close(conn) | Record::Owner(conn) | Record::Datagram(conn, ..) => conn.conn,
        }
    }
}

pub const LISTEN: u32 = 10;

pub const CONN_RECORD_BYTES: usize = HEAD + ENDS + 16;

impl<'a> Record<'a> {
    /// None for bytes that are no record.
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let kind = *bytes.first()?;
        match kind {
            1 => Some(Record::Bytes(stream(bytes)?)),
            2 => Some(Record::Open(conn(bytes)?)),
            3 => Some(Record::Close(conn(bytes)?)),
            4 => Some(Record::Owner(conn(bytes)?)),
            5 => Some(Record::Datagram(conn(bytes)?, direction(bytes)?, bytes.get(CONN_RECORD_BYTES..CONN_RECORD_BYTES + captured(bytes)?)?)),
            6 => Some(Record::Plaintext(session(bytes)?, plaintext(bytes)?)),
            7 => Some(Record::Bind(session(bytes)?, u64_at(bytes, 8)?)),
            _ => None,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn direction(bytes: &[u8]) -> Option<Direction> {
    Some(if *bytes.get(1)? == 0 { Direction::Ingress } else { Direction::Egress })
}

fn role(bytes: &[u8]) -> Option<Role> {
    Some(match *bytes.get(2)? {
        1 => Role::Client,
        2 => Role::Server,
        _ => Role::Unknown,
    })
}

fn captured(bytes: &[u8]) -> Option<usize> {
    Some(u32_at(bytes, 4)? as usize)
}

fn stream(bytes: &[u8]) -> Option<Bytes<'_>> {
    Some(Bytes {
        conn: u64_at(bytes, 8)?,
        direction: direction(bytes)?,
        role: role(bytes)?,
        ts_ns: u64_at(bytes, 16)?,
        sequence: u32_at(bytes, HEAD)?,
        length: u32_at(bytes, HEAD + 4)?,
        data: bytes.get(HEAD + 8..HEAD + 8 + captured(bytes)?)?,
    })
}

/// Of plaintext, `sequence` and `length` are followed by the session.
fn plaintext(bytes: &[u8]) -> Option<Bytes<'_>> {
    let (sequence, length) = (u32_at(bytes, HEAD)?, u32_at(bytes, HEAD + 4)?);
    let data = bytes.get(PLAINTEXT..PLAINTEXT + captured(bytes)?)?;
    Some(Bytes { conn: u64_at(bytes, 8)?, direction: direction(bytes)?, role: role(bytes)?, ts_ns: u64_at(bytes, 16)?, sequence, length, data })
}

fn session(bytes: &[u8]) -> Option<Session> {
    Some(Session { tgid: u32_at(bytes, HEAD + 8)?, address: u64_at(bytes, HEAD + 16)? })
}

fn address(family: u16, bytes: &[u8]) -> Option<IpAddr> {
    if family == 2 {
        return Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?)));
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?);
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

fn conn(bytes: &[u8]) -> Option<Conn> {
    let family = u16_at(bytes, HEAD + 36)?;
    let end = |at: usize, port: usize| Some(SocketAddr::new(address(family, bytes.get(at..at + 16)?)?, u16_at(bytes, port)?));
    Some(Conn {
        conn: u64_at(bytes, 8)?,
        role: role(bytes)?,
        ts_ns: u64_at(bytes, 16)?,
        local: end(HEAD, HEAD + 32)?,
        remote: end(HEAD + 16, HEAD + 34)?,
        udp: u16_at(bytes, HEAD + 38)? == 17,
        tgid: u32_at(bytes, HEAD + ENDS)?,
        state: u32_at(bytes, HEAD + ENDS + 4)?,
        namespace: u32_at(bytes, HEAD + ENDS + 8)?,
        parent: u32_at(bytes, HEAD + ENDS + 12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u8, direction: u8, role: u8, captured: u32) -> Vec<u8> {
        let mut bytes = vec![kind, direction, role, 0];
        bytes.extend(captured.to_ne_bytes());
        bytes.extend(7u64.to_ne_bytes());
        bytes.extend(9u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn bytes_are_read() {
        let mut record = head(1, 1, 2, 3);
        record.extend(100u32.to_ne_bytes());
        record.extend(5000u32.to_ne_bytes());
        record.extend(b"GET and what the ring rounds up");
        let Some(Record::Bytes(bytes)) = Record::parse(&record) else { panic!("not read") };
        assert_eq!((bytes.conn, bytes.ts_ns, bytes.sequence, bytes.length, bytes.data), (7, 9, 100, 5000, &b"GET"[..]));
        assert_eq!((bytes.direction, bytes.role), (Direction::Egress, Role::Server));
    }

    #[test]
    fn mapped_addresses_are_those_of_version_4() {
        let mut record = head(2, 0, 1, 0);
        record.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]);
        record.extend([0; 16]);
        for half in [80u16, 4000, 10, 6] {
            record.extend(half.to_ne_bytes());
        }
        record.extend(42u32.to_ne_bytes());
        record.extend(1u32.to_ne_bytes());
        record.extend([7, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(record.len(), CONN_RECORD_BYTES);
        let Some(Record::Open(conn)) = Record::parse(&record) else { panic!("not read") };
        assert_eq!((conn.local, conn.tgid, conn.role), ("127.0.0.1:80".parse().unwrap(), 42, Role::Client));
        assert_eq!((conn.namespace, conn.parent), (u32::from_ne_bytes([7, 0, 0, 0]), u32::from_ne_bytes([5, 0, 0, 0])));
    }

    #[test]
    fn no_cut_of_a_record_panics() {
        let mut record = head(5, 0, 1, 12);
        record.resize(140, 3);
        for kind in 0..8 {
            record[0] = kind;
            for end in 0..record.len() {
                Record::parse(&record[..end]);
            }
        }
    }
}
