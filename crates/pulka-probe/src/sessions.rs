//! Plaintext whose connection is not known yet: what a library wrote to memory, until the thread sends it.

use std::collections::HashMap;

use crate::wire::{Bytes, Direction, Role, Session};

/// Of all sessions together; beyond it the pieces of the largest number of sessions are given up.
const WAITING_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Waiting {
    direction: Direction,
    ts_ns: u64,
    sequence: u32,
    length: u32,
    data: Vec<u8>,
}

impl Waiting {
    pub fn bytes(&self, conn: u64) -> Bytes<'_> {
        let Waiting { direction, ts_ns, sequence, length, ref data } = *self;
        Bytes { conn, direction, role: Role::Unknown, ts_ns, sequence, length, data }
    }
}

#[derive(Default)]
pub struct Sessions {
    waiting: HashMap<Session, Vec<Waiting>>,
    bytes: usize,
    pub given_up: u64,
}

impl Sessions {
    pub fn keep(&mut self, session: Session, bytes: &Bytes<'_>) {
        if self.bytes > WAITING_BYTES_MAX {
            self.given_up += self.waiting.values().map(Vec::len).sum::<usize>() as u64;
            self.waiting.clear();
            self.bytes = 0;
        }
        let Bytes { direction, ts_ns, sequence, length, data, .. } = *bytes;
        self.bytes += data.len() + size_of::<Waiting>();
        self.waiting.entry(session).or_default().push(Waiting { direction, ts_ns, sequence, length, data: data.to_vec() });
    }

    /// What waited for this session's connection, in order.
    pub fn bind(&mut self, session: Session) -> Vec<Waiting> {
        let waiting = self.waiting.remove(&session).unwrap_or_default();
        self.bytes -= waiting.iter().map(|piece| piece.data.len() + size_of::<Waiting>()).sum::<usize>();
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(data: &[u8]) -> Bytes<'_> {
        Bytes { conn: 0, direction: Direction::Egress, role: Role::Unknown, ts_ns: 1, sequence: 0, length: data.len() as u32, data }
    }

    #[test]
    fn pieces_wait_for_their_own_connection() {
        let (one, two) = (Session { tgid: 1, address: 8 }, Session { tgid: 2, address: 8 });
        let mut sessions = Sessions::default();
        sessions.keep(one, &piece(b"a"));
        sessions.keep(two, &piece(b"b"));
        sessions.keep(one, &piece(b"c"));
        let data = |waiting: Vec<Waiting>| waiting.iter().flat_map(|piece| piece.bytes(5).data.to_vec()).collect::<Vec<u8>>();
        assert_eq!(data(sessions.bind(one)), b"ac");
        assert_eq!(data(sessions.bind(one)), b"");
        assert_eq!(data(sessions.bind(two)), b"b");
        assert_eq!(sessions.bytes, 0);
    }

    #[test]
    fn what_is_never_sent_takes_bounded_memory() {
        let mut sessions = Sessions::default();
        for number in 0..10_000 {
            sessions.keep(Session { tgid: number, address: 0 }, &piece(&[0; 1000]));
            assert!(sessions.bytes <= WAITING_BYTES_MAX + 2000);
        }
        assert!(sessions.given_up > 0);
    }
}
