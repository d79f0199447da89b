//! Capture files, pcap and pcapng, pushed in pieces: no more than one record is held.
//!
//! pcap: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>; pcapng: draft-ietf-opsawg-pcapng. Both in
//! either byte order, with times in any resolution.

use std::fmt;

/// A packet as it was captured.
pub struct Packet<'a> {
    /// LINKTYPE_ number.
    pub link: u32,
    /// Unix time in ns.
    pub at_ns: i64,
    pub data: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    NotACapture,
    Broken(&'static str),
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NotACapture => formatter.write_str("the file is neither pcap nor pcapng"),
            FileError::Broken(what) => write!(formatter, "the capture file is broken: {what}"),
        }
    }
}

impl std::error::Error for FileError {}

/// The largest record that is read; captures cut packets at 256 KiB.
const RECORD_BYTES: usize = 1 << 20;
const INTERFACES: usize = 4096;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

#[derive(Default)]
pub struct File {
    buffer: Vec<u8>,
    skip: usize,
    format: Format,
}

#[derive(Default)]
enum Format {
    #[default]
    Unknown,
    Pcap {
        big_endian: bool,
        nanoseconds: bool,
        link: u32,
    },
    Pcapng {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    /// Ticks per second.
    ticks: u64,
    snap_bytes: u32,
    offset_s: i64,
}

impl File {
    /// Calls `each` for every packet that is complete now.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Packet<'_>)) -> Result<(), FileError> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut start = 0;
        while let Some(length) = self.record(&buffer[start..], each)? {
            start += length;
            if start >= buffer.len() {
                self.skip += start - buffer.len();
                start = buffer.len();
                break;
            }
        }
        self.buffer = buffer;
        self.buffer.drain(..start);
        Ok(())
    }

    /// Bytes that are left at the end of the file belong to a packet that was not written completely.
    pub fn is_cut(&self) -> bool {
        !self.buffer.is_empty() || self.skip > 0
    }

    /// The length of the record at the front of `bytes`, which may exceed them when it is passed over.
    fn record(&mut self, bytes: &[u8], each: &mut dyn FnMut(Packet<'_>)) -> Result<Option<usize>, FileError> {
        match &mut self.format {
            Format::Unknown => self.recognise(bytes),
            Format::Pcap { big_endian, nanoseconds, link } => pcap_record(bytes, *big_endian, *nanoseconds, *link, each),
            Format::Pcapng { big_endian, interfaces } => pcapng_block(bytes, big_endian, interfaces, each),
        }
    }

    fn recognise(&mut self, bytes: &[u8]) -> Result<Option<usize>, FileError> {
        let Some(magic) = bytes.first_chunk::<4>() else { return Ok(None) };
        let (big_endian, nanoseconds) = match u32::from_le_bytes(*magic) {
            0xa1b2_c3d4 => (false, false),
            0xd4c3_b2a1 => (true, false),
            0xa1b2_3c4d => (false, true),
            0x4d3c_b2a1 => (true, true),
            SECTION_HEADER => {
                self.format = Format::Pcapng { big_endian: false, interfaces: Vec::new() };
                return Ok(Some(0));
            }
            _ => return Err(FileError::NotACapture),
        };
        if bytes.len() < 24 {
            return Ok(None);
        }
        self.format = Format::Pcap { big_endian, nanoseconds, link: u32_at(bytes, 20, big_endian) & 0x0fff_ffff };
        Ok(Some(24))
    }
}

fn u32_at(bytes: &[u8], offset: usize, big_endian: bool) -> u32 {
    let value = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
    if big_endian { u32::from_be_bytes(value) } else { u32::from_le_bytes(value) }
}

fn u16_at(bytes: &[u8], offset: usize, big_endian: bool) -> u16 {
    let value = bytes.get(offset..).and_then(<[u8]>::first_chunk::<2>).copied().unwrap_or_default();
    if big_endian { u16::from_be_bytes(value) } else { u16::from_le_bytes(value) }
}

fn pcap_record(bytes: &[u8], big_endian: bool, nanoseconds: bool, link: u32, each: &mut dyn FnMut(Packet<'_>)) -> Result<Option<usize>, FileError> {
    if bytes.len() < 16 {
        return Ok(None);
    }
    let captured = u32_at(bytes, 8, big_endian) as usize;
    if captured > RECORD_BYTES {
        return Err(FileError::Broken("a packet of more than 1 MiB"));
    }
    let Some(data) = bytes.get(16..16 + captured) else { return Ok(None) };
    let fraction = i64::from(u32_at(bytes, 4, big_endian));
    let at_ns = i64::from(u32_at(bytes, 0, big_endian)) * 1_000_000_000 + if nanoseconds { fraction } else { fraction * 1000 };
    each(Packet { link, at_ns, data });
    Ok(Some(16 + captured))
}

fn pcapng_block(bytes: &[u8], big_endian: &mut bool, interfaces: &mut Vec<Interface>, each: &mut dyn FnMut(Packet<'_>)) -> Result<Option<usize>, FileError> {
    if bytes.len() < 12 {
        return Ok(None);
    }
    let kind = u32_at(bytes, 0, *big_endian);
    if kind == SECTION_HEADER {
        *big_endian = match u32_at(bytes, 8, false) {
            0x1a2b_3c4d => false,
            0x4d3c_2b1a => true,
            _ => return Err(FileError::Broken("a section without byte order")),
        };
        interfaces.clear();
    }
    let length = u32_at(bytes, 4, *big_endian) as usize;
    if length < 12 || !length.is_multiple_of(4) {
        return Err(FileError::Broken("a block of impossible length"));
    }
    if !matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
        return Ok(Some(length));
    }
    if length > RECORD_BYTES {
        return Err(FileError::Broken("a packet of more than 1 MiB"));
    }
    let Some(body) = bytes.get(8..length - 4).filter(|_| bytes.len() >= length) else { return Ok(None) };
    if kind == INTERFACE {
        if interfaces.len() == INTERFACES {
            return Err(FileError::Broken("too many interfaces"));
        }
        interfaces.push(interface(body, *big_endian));
    } else {
        block_packet(kind, body, *big_endian, interfaces, each);
    }
    Ok(Some(length))
}

fn interface(body: &[u8], big_endian: bool) -> Interface {
    let mut found = Interface { link: u32::from(u16_at(body, 0, big_endian)), ticks: 1_000_000, snap_bytes: u32_at(body, 4, big_endian), offset_s: 0 };
    let mut options = body.get(8..).unwrap_or_default();
    while options.len() >= 4 {
        let (code, length) = (u16_at(options, 0, big_endian), usize::from(u16_at(options, 2, big_endian)));
        let Some(value) = options.get(4..4 + length) else { break };
        match (code, value) {
            (0, _) => break,
            (9, [exponent]) => found.ticks = resolution(*exponent),
            (14, value) if value.len() == 8 => found.offset_s = if big_endian { i64::from(u32_at(value, 4, true)) } else { i64::from(u32_at(value, 0, false)) },
            _ => {}
        }
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Ticks per second of `if_tsresol`: a power of ten, or of two when the highest bit is set.
fn resolution(exponent: u8) -> u64 {
    let power = u32::from(exponent & 0x7f);
    if exponent & 0x80 == 0 { 10u64.saturating_pow(power.min(18)) } else { 1u64 << power.min(62) }
}

fn block_packet(kind: u32, body: &[u8], big_endian: bool, interfaces: &[Interface], each: &mut dyn FnMut(Packet<'_>)) {
    let word = |offset| u32_at(body, offset, big_endian);
    let (index, start, captured) = match kind {
        SIMPLE_PACKET => (0, 4, word(0)),
        OLD_PACKET => (u32::from(u16_at(body, 0, big_endian)), 20, word(12)),
        _ => (word(0), 20, word(12)),
    };
    let Some(interface) = interfaces.get(index as usize) else { return };
    let snap = if kind == SIMPLE_PACKET && interface.snap_bytes > 0 { captured.min(interface.snap_bytes) } else { captured };
    let Some(rest) = body.get(start..) else { return };
    let data = &rest[..rest.len().min(snap as usize)];
    let at_ns = if kind == SIMPLE_PACKET { 0 } else { time_ns(u64::from(word(4)) << 32 | u64::from(word(8)), interface) };
    each(Packet { link: interface.link, at_ns, data });
}

fn time_ns(ticks: u64, interface: &Interface) -> i64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(interface.ticks.max(1));
    i64::try_from(ns).unwrap_or(i64::MAX).saturating_add(interface.offset_s.saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(file: &[u8], piece: usize) -> Result<Vec<(u32, i64, Vec<u8>)>, FileError> {
        let (mut reader, mut out) = (File::default(), Vec::new());
        for piece in file.chunks(piece) {
            reader.push(piece, &mut |packet| out.push((packet.link, packet.at_ns, packet.data.to_vec())))?;
        }
        assert!(!reader.is_cut());
        Ok(out)
    }

    fn words(big_endian: bool, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }).collect()
    }

    #[test]
    fn pcap_in_both_byte_orders_and_resolutions() {
        for big_endian in [false, true] {
            for (magic, ns) in [(0xa1b2_c3d4, 7_000), (0xa1b2_3c4d, 7)] {
                let mut file = words(big_endian, &[magic, 0, 0, 0, 65535, 1, 5, 7, 3, 3]);
                file.extend(b"abc");
                for piece in [1, 7, 100] {
                    assert_eq!(packets(&file, piece), Ok(vec![(1, 5_000_000_000 + ns, b"abc".to_vec())]));
                }
            }
        }
    }

    #[test]
    fn pcapng_with_interfaces_and_blocks_to_pass_over() {
        for big_endian in [false, true] {
            let mut file = words(big_endian, &[SECTION_HEADER, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
            let link = if big_endian { 113 << 16 } else { 113 };
            let option = if big_endian { 9 << 16 | 1 } else { 1 << 16 | 9 };
            let exponent = if big_endian { 3 << 24 } else { 3 };
            file.extend(words(big_endian, &[INTERFACE, 28, link, 0, option, exponent, 28]));
            file.extend(words(big_endian, &[0xbad, 16, 1, 16]));
            file.extend(words(big_endian, &[ENHANCED_PACKET, 36, 0, 0, 1500, 2, 2]));
            file.extend(b"xy\0\0");
            file.extend(words(big_endian, &[36]));
            for piece in [1, 5, 1000] {
                assert_eq!(packets(&file, piece), Ok(vec![(113, 1_500_000_000, b"xy".to_vec())]));
            }
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert_eq!(packets(b"GET / HTTP/1.1", 3), Err(FileError::NotACapture));
        assert_eq!(packets(&words(false, &[0xa1b2_c3d4, 0, 0, 0, 0, 1, 0, 0, u32::MAX, 0]), 64), Err(FileError::Broken("a packet of more than 1 MiB")));
        assert_eq!(packets(&words(false, &[SECTION_HEADER, 2, 0x1a2b_3c4d]), 64), Err(FileError::Broken("a block of impossible length")));
    }
}
