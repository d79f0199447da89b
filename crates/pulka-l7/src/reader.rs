//! Fields of binary messages, read from front to back; None where the message ends too early.

#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16_be(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn i16_be(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn u32_be(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32_be(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn u64_be(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn u16_le(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn i32_le(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn u64_le(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// UTF-16 (little-endian) up to its terminating zero, which is passed over.
    pub fn utf16_le(&mut self) -> Option<String> {
        let units: Vec<u16> = self.rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|unit| *unit != 0).collect();
        self.bytes((units.len() + 1) * 2)?;
        Some(String::from_utf16_lossy(&units))
    }

    /// Up to a NUL, which is passed over.
    pub fn cstring(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.rest)?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(text)
    }

    /// An integer in groups of seven bits, the lowest first (LEB128), of at most five bytes.
    pub fn varint(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn fields_and_ends() {
        let mut reader = Reader::new(b"\x01\x00\x02\x00\x00\x00\x03name\x00\x96\x01!");
        assert_eq!((reader.u8(), reader.u16_be(), reader.i32_be()), (Some(1), Some(2), Some(3)));
        assert_eq!((reader.cstring(), reader.varint(), reader.rest()), (Some(&b"name"[..]), Some(150), &b"!"[..]));
        assert_eq!((reader.u16_le(), reader.cstring(), reader.bytes(2)), (None, None, None));
        assert_eq!(reader.u8(), Some(b'!'));
        assert!(reader.is_empty());
    }

    #[test]
    fn texts_end_at_their_zero() {
        let mut reader = Reader::new(b"a\0b\0\0\0c\0");
        assert_eq!((reader.utf16_le().as_deref(), reader.utf16_le()), (Some("ab"), None));
        assert_eq!((Reader::new(&[1, 0, 0, 0, 0, 0, 0, 2]).u64_le(), Reader::new(&[0; 7]).u64_le()), (Some(1 + (2 << 56)), None));
    }

    #[test]
    fn varints_are_bounded() {
        assert_eq!(Reader::new(b"\xff\xff\xff\xff\x0f").varint(), Some(u32::MAX));
        assert_eq!(Reader::new(b"\xff\xff\xff\xff\x7f").varint(), None);
        assert_eq!(Reader::new(b"\x80\x80\x80\x80\x80\x01").varint(), None);
        assert_eq!(Reader::new(b"\x80").varint(), None);
    }
}
