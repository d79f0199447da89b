//! Conversations as scripts, for the tests of every protocol.

use crate::connection::{Chunk, Connection, Side};
use crate::decoder::{Limits, Transport};
use crate::registry;
use crate::transaction::{Party, Transaction};

pub use Party::{Client, Server};

/// What was said, in order. The n-th line arrives at n * 1000 ns.
pub type Script<'a> = &'a [(Party, &'a [u8])];

fn side(party: Party) -> Side {
    if party == Client { Side::A } else { Side::B }
}

/// Transactions of a conversation that is seen from its first to its last byte; roles are known.
pub fn talk(script: Script<'_>) -> Vec<Transaction> {
    play(script, Some(Side::A), &[usize::MAX]).1
}

/// The protocol that is found, and the transactions, when lines are cut into pieces of these sizes in turn.
pub fn play(script: Script<'_>, client: Option<Side>, sizes: &[usize]) -> (Option<&'static str>, Vec<Transaction>) {
    let mut connection = Connection::new(Transport::Stream, client, true, Limits::DEFAULT);
    let (mut out, mut sizes) = (Vec::new(), sizes.iter().copied().cycle());
    for (index, (party, line)) in script.iter().enumerate() {
        let mut rest = *line;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            connection.chunk(&Chunk { side: side(*party), at_ns: index as i64 * 1000, tls: false, data: piece }, &mut out);
            rest = after;
        }
    }
    let end_ns = script.len() as i64 * 1000;
    let protocol = connection.protocol();
    for side in [Side::A, Side::B] {
        connection.end(side, end_ns, &mut out);
    }
    connection.close(end_ns, &mut out);
    (protocol, out)
}

/// However a conversation is cut, and whether roles are told or found, it gives the same transactions.
pub fn assert_any_cut(script: Script<'_>) {
    let expected = play(script, Some(Side::A), &[usize::MAX]);
    for sizes in [&[1][..], &[2], &[3], &[7], &[1, 5, 2], &[16, 1], &[61], &[1000, 3]] {
        assert_eq!(play(script, Some(Side::A), sizes).1, expected.1, "cut into {sizes:?}");
        assert_eq!(play(script, None, sizes).1, expected.1, "roles unknown, cut into {sizes:?}");
    }
}

/// One line per transaction, to compare at a glance: `GET /orders/* 200`, with `!class` when it failed.
pub fn lines(transactions: &[Transaction]) -> Vec<String> {
    let line = |transaction: &Transaction| {
        let error = transaction.error.as_ref().map(|error| format!("!{error}")).unwrap_or_default();
        let words = [&*transaction.operation, &*transaction.target, &*transaction.status, &*error];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    transactions.iter().map(line).collect()
}

/// What a connection may hold at most: both buffers with a piece each, the opening, the decoder, and transactions that wait.
pub const HELD_BYTES: usize = 4 * 65_536 + 4 * 16_384 + 2 * 262_144 + 262_144;

/// Feeds any bytes to a protocol's decoder: (control, length, data) again and again, where the control's bits tell the side,
/// and whether it is data, a gap or an end. Nothing panics, and what is held stays within bounds.
pub fn feed_anything(protocol: &str, transport: Transport, script: &[u8]) {
    let Some(protocol) = registry::named(protocol) else { return };
    feed(Connection::speaking(protocol, transport, Side::A, Limits::DEFAULT), script);
}

/// The same for a connection whose protocol is to be found.
pub fn feed_unknown(transport: Transport, from_start: bool, script: &[u8]) {
    feed(Connection::new(transport, None, from_start, Limits::DEFAULT), script);
}

fn feed(mut connection: Connection, mut script: &[u8]) {
    let (mut out, mut at_ns) = (Vec::new(), 0);
    while let Some(([control, low, high], rest)) = script.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (data, after) = rest.split_at(length.min(rest.len()));
        let side = if control & 1 == 0 { Side::A } else { Side::B };
        match (control >> 1) & 7 {
            6 => {
                connection.gap(side, length as u64, false, &mut out);
            }
            7 => connection.end(side, at_ns, &mut out),
            _ => connection.chunk(&Chunk { side, at_ns, tls: control & 16 != 0, data }, &mut out),
        }
        script = if (control >> 1) & 7 >= 6 { rest } else { after };
        at_ns += 1000;
        assert!(connection.held_bytes() <= 2 * HELD_BYTES, "{} bytes are held", connection.held_bytes());
    }
    connection.close(at_ns, &mut out);
    assert!(out.iter().all(|transaction| transaction.operation.len() <= 512 && transaction.target.len() <= 512 && transaction.end_ns >= transaction.start_ns));
}
