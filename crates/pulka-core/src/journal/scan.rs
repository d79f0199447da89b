//! Walks a segment, tells a torn tail from damage, and finds the way behind damage.

use memchr::memmem;

use super::frame::{FrameError, Header, MAGIC, claimed_length};

/// Where a good frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub offset: usize,
    pub length: usize,
}

/// What ended a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last frame ends where the data ends.
    Complete,
    /// The rest is a frame cut short, or zeros: a write that never finished.
    Torn,
    /// The rest was something else once.
    Corrupt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub entries: Vec<Entry>,
    /// Offset after the last good frame.
    pub end: usize,
    pub reason: End,
}

/// Walk the frames of a segment from `offset` up to the first bad one.
pub fn scan(data: &[u8], offset: usize) -> Scan {
    let mut entries = Vec::new();
    let mut end = offset.min(data.len());
    let reason = loop {
        let rest = &data[end..];
        if rest.is_empty() {
            break End::Complete;
        }
        match Header::check(rest) {
            Ok(header) => {
                entries.push(Entry { sequence: header.sequence, offset: end, length: header.length });
                end += header.length;
            }
            Err(error) => break why(data, end, &error),
        }
    };
    Scan { entries, end, reason }
}

fn why(data: &[u8], offset: usize, error: &FrameError) -> End {
    let cut_short = matches!(error, FrameError::Short) && resync(data, offset) == data.len();
    if cut_short || data[offset..].iter().all(|&byte| byte == 0) { End::Torn } else { End::Corrupt }
}

/// Offset of the first good frame behind the bad one at `offset`; the length of the data when there is none.
///
/// The length a bad frame claims is tried first: what looks like a frame inside its payload is not one.
pub fn resync(data: &[u8], offset: usize) -> usize {
    let rest = data.get(offset..).unwrap_or_default();
    if let Some(next) =
        claimed_length(rest).filter(|&length| length > MAGIC.len()).and_then(|length| offset.checked_add(length))
        && (next == data.len() || is_frame(data, next))
    {
        return next;
    }
    memmem::find_iter(rest.get(1..).unwrap_or_default(), &MAGIC)
        .map(|found| offset + 1 + found)
        .find(|&at| is_frame(data, at))
        .unwrap_or(data.len())
}

fn is_frame(data: &[u8], offset: usize) -> bool {
    data.get(offset..).is_some_and(|rest| Header::check(rest).is_ok())
}
