//! Segments of version 5: three bytes with a length and a flag, a checksum of them, a payload, a checksum of it.

/// Of the header of an uncompressed segment.
pub const SEGMENT_BYTES: usize = 6;

pub struct Segment {
    pub payload_bytes: usize,
    /// It holds whole messages, and not a part of one.
    pub whole: bool,
}

/// None when the checksum does not fit.
pub fn segment(front: &[u8]) -> Option<Segment> {
    let [a, b, c, d, e, f] = *front.first_chunk()?;
    let value = u32::from_le_bytes([a, b, c, 0]);
    let checksum = u32::from_le_bytes([d, e, f, 0]);
    (crc24(value) == checksum && value >> 18 == 0).then_some(Segment { payload_bytes: (value & 0x1_ffff) as usize, whole: value & 0x2_0000 != 0 })
}

/// CRC-24 as native_protocol_v5.spec, section 2.2, has it: polynomial 0x1974f0b, of three bytes, the lowest first.
pub fn crc24(value: u32) -> u32 {
    let mut crc = 0x0087_5060;
    for byte in &value.to_le_bytes()[..3] {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0197_4f0b;
            }
        }
    }
    crc
}
