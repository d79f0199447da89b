//! One direction of a TCP connection, put in order: pieces arrive with sequence numbers, some twice, some early, some never.

use std::collections::BTreeMap;

/// Bytes of early pieces that are kept until what is missing before them arrives; beyond it, the hole is a gap.
pub const EARLY_BYTES_MAX: usize = 64 << 10;

/// What a piece turns into, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Data(&'a [u8]),
    Gap(u64),
}

#[derive(Debug, Default)]
pub struct Flow {
    next: Option<u32>,
    /// Early pieces by their distance from the first sequence number seen, as (bytes sent, data).
    early: BTreeMap<u64, (u32, Vec<u8>)>,
    early_bytes: usize,
    /// Bytes from the first sequence number to `next`.
    position: u64,
}

impl Flow {
    /// `length` bytes were sent from `sequence` on, of which `data` is the beginning. `take` gets what is in order now.
    pub fn piece(&mut self, sequence: u32, length: u32, data: &[u8], mut take: impl FnMut(Event<'_>)) {
        let ahead = sequence.wrapping_sub(*self.next.get_or_insert(sequence)) as i32;
        if ahead > 0 {
            self.keep(ahead, length, data);
            if self.early_bytes > EARLY_BYTES_MAX {
                self.give_up(&mut take);
            }
            return;
        }
        self.deliver(ahead.unsigned_abs(), length, data, &mut take);
        self.catch_up(&mut take);
    }

    /// What is still missing is not awaited any more.
    pub fn give_up(&mut self, take: &mut impl FnMut(Event<'_>)) {
        while let Some((&at, _)) = self.early.first_key_value() {
            if at > self.position {
                take(Event::Gap(at - self.position));
                self.advance(at - self.position);
            }
            self.catch_up(take);
        }
    }

    pub fn waits(&self) -> bool {
        !self.early.is_empty()
    }

    pub fn held_bytes(&self) -> usize {
        self.early_bytes
    }

    fn keep(&mut self, ahead: i32, length: u32, data: &[u8]) {
        let at = self.position + ahead as u64;
        self.early_bytes += data.len() + 64;
        if let Some((_, old)) = self.early.insert(at, (length, data.to_vec())) {
            self.early_bytes -= old.len() + 64;
        }
    }

    fn catch_up(&mut self, take: &mut impl FnMut(Event<'_>)) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.position {
                return;
            }
            let (at, (length, data)) = entry.remove_entry();
            self.early_bytes -= data.len() + 64;
            self.deliver((self.position - at).min(u64::from(u32::MAX)) as u32, length, &data, take);
        }
    }

    /// A piece that begins `known` bytes before `next`.
    fn deliver(&mut self, known: u32, length: u32, data: &[u8], take: &mut impl FnMut(Event<'_>)) {
        if length <= known {
            return;
        }
        let fresh = u64::from(length - known);
        let data = data.get(known as usize..).unwrap_or_default();
        if !data.is_empty() {
            take(Event::Data(data));
        }
        let missing = fresh.saturating_sub(data.len() as u64);
        if missing > 0 {
            take(Event::Gap(missing));
        }
        self.advance(fresh);
    }

    fn advance(&mut self, bytes: u64) {
        self.position += bytes;
        self.next = self.next.map(|next| next.wrapping_add(bytes as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(events: &mut Vec<String>) -> impl FnMut(Event<'_>) + '_ {
        |event| {
            events.push(match event {
                Event::Data(data) => String::from_utf8(data.to_vec()).unwrap(),
                Event::Gap(bytes) => format!("<{bytes}>"),
            });
        }
    }

    fn run(pieces: &[(u32, u32, &str)]) -> String {
        let (mut flow, mut events) = (Flow::default(), Vec::new());
        for (sequence, length, data) in pieces {
            flow.piece(*sequence, *length, data.as_bytes(), text(&mut events));
        }
        flow.give_up(&mut text(&mut events));
        events.concat()
    }

    #[test]
    fn cases() {
        assert_eq!(run(&[(5, 3, "abc"), (8, 2, "de")]), "abcde");
        assert_eq!(run(&[(5, 3, "abc"), (5, 3, "abc"), (7, 3, "cde")]), "abcde");
        assert_eq!(run(&[(5, 3, "abc"), (10, 2, "fg"), (8, 2, "de")]), "abcdefg");
        assert_eq!(run(&[(5, 3, "abc"), (10, 2, "fg")]), "abc<2>fg");
        assert_eq!(run(&[(5, 9, "abc"), (14, 2, "fg")]), "abc<6>fg");
        assert_eq!(run(&[(u32::MAX, 3, "abc"), (2, 2, "de")]), "abcde");
        assert_eq!(run(&[(5, 3, "abc"), (8 + (1 << 31), 2, "xx"), (8, 2, "de")]), "abcde"); // half of the numbers away: behind as much as ahead
    }

    proptest! {
        #[test]
        fn any_order_gives_the_text(cuts in prop::collection::btree_set(1usize..200, 0..20), order in prop::collection::vec(any::<u16>(), 21), start in any::<u32>()) {
            let whole: Vec<u8> = (0..200).map(|i| b'a' + (i % 26) as u8).collect();
            let edges: Vec<usize> = [0].into_iter().chain(cuts).chain([200]).collect();
            let mut pieces: Vec<(usize, &[u8])> = edges.windows(2).map(|edge| (edge[0], &whole[edge[0]..edge[1]])).collect();
            pieces[1..].sort_by_key(|(at, _)| order[at % order.len()]);
            let (mut flow, mut got) = (Flow::default(), Vec::new());
            for (at, data) in pieces {
                flow.piece(start.wrapping_add(at as u32), data.len() as u32, data, |event| {
                    if let Event::Data(data) = event { got.extend_from_slice(data) } else { panic!("a gap") }
                });
            }
            prop_assert_eq!(got, whole);
        }
    }
}
