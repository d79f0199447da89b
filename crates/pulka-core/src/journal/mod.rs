//! Journal frames: one acknowledged batch with its length and checksum.
//!
//! A segment file is frames end to end. [`encode`] and [`decode`] handle one frame, [`scan`] walks a segment and
//! [`resync`] finds the next good frame behind a damaged one. Nothing here panics on bytes, whatever they are.

mod frame;
mod scan;

pub use frame::{Frame, FrameError, FrameRef, decode, encode};
pub use scan::{End, Entry, Scan, resync, scan};
