//! The one contract of sources: whatever saw the traffic, it tells the tracker these events, and the same traffic gives the same figures.

use pulka_l7::connection::Side;
use pulka_l7::transaction::Transaction;

use crate::red::End;
use crate::tracker::{Conn, Facts, Piece, Tracker};

#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A connection begins (`from_start`), or one that is older is told of.
    Open { conn: Conn, facts: Facts, from_start: bool, at_ns: i64 },
    /// More is known of a connection.
    Learn { conn: Conn, facts: Facts },
    Bytes { conn: Conn, client: Option<Side>, piece: Piece<'a> },
    /// One whole message between a socket and a peer.
    Datagram { conn: Conn, facts: Facts, from: Side, at_ns: i64, data: &'a [u8] },
    Close { conn: Conn, at_ns: i64 },
    /// What the system has decoded itself (HTTP.sys): of this end.
    Done { end: End, transaction: Box<Transaction> },
}

impl Tracker {
    pub fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Open { conn, facts, from_start, at_ns } => self.open(conn, facts, from_start, at_ns),
            Event::Learn { conn, facts } => self.learn(conn, facts),
            Event::Bytes { conn, client, piece } => self.piece(conn, client, &piece),
            Event::Datagram { conn, facts, from, at_ns, data } => self.datagram(conn, facts, from, at_ns, data),
            Event::Close { conn, at_ns } => self.close(conn, at_ns),
            Event::Done { end, transaction } => {
                self.counters.transactions += 1;
                self.red.add(end, *transaction);
            }
        }
    }
}

/// Blocks of a recording: a length of four bytes (little-endian) and so many bytes. Ends at the first block that is cut off or too long.
pub fn blocks(mut recording: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = recording.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= BLOCK_BYTES_MAX)?;
        let (block, rest) = rest.split_at_checked(length)?;
        recording = rest;
        Some(block)
    })
}

/// More than any packet or event has.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;

pub fn write_block(block: &[u8], out: &mut Vec<u8>) {
    out.extend((block.len() as u32).to_le_bytes());
    out.extend(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_where_the_recording_is_cut() {
        let mut recording = Vec::new();
        for block in [&b"one"[..], b"", b"three"] {
            write_block(block, &mut recording);
        }
        assert_eq!(blocks(&recording).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(blocks(&recording[..recording.len() - 1]).count(), 2);
        assert_eq!(blocks(&[0xff; 20]).count(), 0);
    }
}
