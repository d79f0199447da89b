//! Journal frames: one acknowledged batch with its length and checksum.
