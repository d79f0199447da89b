//! One direction of a TCP connection put in order: retransmissions dropped, early segments kept, losses told as gaps.

use std::collections::BTreeMap;

/// What is delivered, in order.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    Bytes { at_ns: i64, data: &'a [u8] },
    Gap { bytes: u64 },
}

struct Early {
    at_ns: i64,
    data: Vec<u8>,
    missing: u32,
}

#[derive(Default)]
pub struct Reassembly {
    /// The sequence number that comes next, and how many bytes came before it.
    next: Option<u32>,
    position: u64,
    early: BTreeMap<u64, Early>,
    early_bytes: usize,
    began: Option<u32>,
    fin: Option<u64>,
}

/// What is kept of segments that came early; more of them means that the one before was lost.
const EARLY_BYTES: usize = 262_144;
const EARLY_SEGMENTS: usize = 1024;

impl Reassembly {
    pub fn is_new(&self) -> bool {
        self.next.is_none()
    }

    pub fn held_bytes(&self) -> usize {
        self.early_bytes + self.early.len() * 64
    }

    /// A SYN: the stream begins after it.
    pub fn begin(&mut self, sequence: u32) {
        *self = Reassembly { next: Some(sequence.wrapping_add(1)), began: Some(sequence), ..Reassembly::default() };
    }

    pub fn began_with(&self, sequence: u32) -> bool {
        self.began == Some(sequence)
    }

    /// The sender's FIN at this sequence number.
    pub fn finish(&mut self, sequence: u32) {
        let next = *self.next.get_or_insert(sequence);
        self.fin = self.fin.or(self.offset(sequence, next));
    }

    pub fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.position >= fin)
    }

    pub fn segment(&mut self, sequence: u32, at_ns: i64, data: &[u8], missing: u32, deliver: &mut dyn FnMut(Piece<'_>)) {
        let next = *self.next.get_or_insert(sequence);
        let Some(offset) = self.offset(sequence, next) else {
            let old = next.wrapping_sub(sequence) as usize; // begins before what was delivered: the rest may be new
            if old < data.len() {
                self.segment(next, at_ns, &data[old..], missing, deliver);
            }
            return;
        };
        if offset > self.position {
            self.keep(offset, Early { at_ns, data: data.to_vec(), missing });
            while self.early_bytes > EARLY_BYTES || self.early.len() > EARLY_SEGMENTS {
                self.jump(deliver);
            }
            return;
        }
        self.deliver(at_ns, data, missing, deliver);
        self.drain(deliver);
    }

    /// The other side has received everything before `acknowledged`: what is missing there was not captured.
    pub fn acknowledged(&mut self, acknowledged: u32, deliver: &mut dyn FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        let Some(acknowledged) = self.offset(acknowledged, next) else { return };
        while self.early.first_key_value().is_some_and(|(offset, _)| *offset < acknowledged) {
            self.jump(deliver);
        }
    }

    /// Nothing more comes: delivers what is kept.
    pub fn flush(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) {
        while !self.early.is_empty() {
            self.jump(deliver);
        }
    }

    /// The position of a sequence number; None when it lies before the current one.
    fn offset(&self, sequence: u32, next: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(next);
        (distance < 1 << 31).then(|| self.position + u64::from(distance))
    }

    fn keep(&mut self, offset: u64, early: Early) {
        if self.early.get(&offset).is_some_and(|known| known.data.len() >= early.data.len()) {
            return;
        }
        self.early_bytes += early.data.len();
        if let Some(replaced) = self.early.insert(offset, early) {
            self.early_bytes -= replaced.data.len();
        }
    }

    /// Gives up the bytes before the first early segment.
    fn jump(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) {
        let Some(first) = self.early.first_key_value().map(|(offset, _)| *offset) else { return };
        self.pass(first.saturating_sub(self.position), deliver);
        self.drain(deliver);
    }

    fn drain(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) {
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.position) {
            let (offset, early) = entry.remove_entry();
            self.early_bytes -= early.data.len();
            let known = usize::try_from(self.position - offset).unwrap_or(usize::MAX);
            if let Some(rest) = early.data.get(known..) {
                self.deliver(early.at_ns, rest, early.missing, deliver);
            }
        }
    }

    fn deliver(&mut self, at_ns: i64, data: &[u8], missing: u32, deliver: &mut dyn FnMut(Piece<'_>)) {
        if !data.is_empty() {
            deliver(Piece::Bytes { at_ns, data });
        }
        self.advance(data.len() as u64);
        self.pass(u64::from(missing), deliver);
    }

    fn pass(&mut self, bytes: u64, deliver: &mut dyn FnMut(Piece<'_>)) {
        if bytes > 0 {
            deliver(Piece::Gap { bytes });
            self.advance(bytes);
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.position += bytes;
        self.next = self.next.map(|next| next.wrapping_add(bytes as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments as (sequence, data) in order of arrival; gaps show as `[n]`.
    fn check(start: u32, segments: &[(u32, &str)], acknowledged: Option<u32>, expected: &str) {
        let (mut stream, mut out) = (Reassembly::default(), String::new());
        let mut note = |piece: Piece<'_>| match piece {
            Piece::Bytes { data, .. } => out.push_str(&String::from_utf8_lossy(data)),
            Piece::Gap { bytes } => out.push_str(&format!("[{bytes}]")),
        };
        stream.begin(start.wrapping_sub(1));
        for (sequence, data) in segments {
            stream.segment(start.wrapping_add(*sequence), 0, data.as_bytes(), 0, &mut note);
        }
        if let Some(acknowledged) = acknowledged {
            stream.acknowledged(start.wrapping_add(acknowledged), &mut note);
        }
        assert_eq!(stream.early_bytes, stream.early.values().map(|early| early.data.len()).sum::<usize>());
        assert_eq!(out, expected);
    }

    #[test]
    fn order_retransmissions_and_overlaps() {
        for start in [0, 1000, u32::MAX - 3, u32::MAX] {
            check(start, &[(0, "ab"), (2, "cd"), (4, "ef")], None, "abcdef");
            check(start, &[(4, "ef"), (2, "cd"), (0, "ab")], None, "abcdef");
            check(start, &[(0, "ab"), (0, "ab"), (1, "bcd"), (3, "d")], None, "abcd");
            check(start, &[(0, "ab"), (4, "ef"), (4, "efgh"), (3, "de"), (2, "c")], None, "abcdefgh");
        }
    }

    #[test]
    fn losses_are_gaps_when_they_are_sure() {
        check(7, &[(0, "ab"), (4, "ef")], None, "ab");
        check(7, &[(0, "ab"), (4, "ef")], Some(2), "ab");
        check(7, &[(0, "ab"), (4, "ef")], Some(6), "ab[2]ef");
        check(7, &[(0, "ab"), (4, "ef"), (9, "z")], Some(6), "ab[2]ef");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut stream = Reassembly::default();
        stream.begin(0);
        let mut gaps = 0;
        for index in 0..4000u32 {
            stream.segment(100 + index * 2000, 0, &[0; 1000], 0, &mut |piece| gaps += usize::from(matches!(piece, Piece::Gap { .. })));
            assert!(stream.held_bytes() <= EARLY_BYTES + EARLY_SEGMENTS * 64 + 1064);
        }
        assert!(gaps > 3000);
    }

    #[test]
    fn a_fin_ends_it_when_all_before_is_there() {
        let mut stream = Reassembly::default();
        stream.begin(9);
        stream.finish(14);
        assert!(!stream.is_finished());
        stream.segment(10, 0, b"abcd", 0, &mut |_| {});
        assert!(stream.is_finished());
    }
}
