//! The Huffman code of HPACK (RFC 7541, appendix B), which is canonical: symbols by length and then by value.

/// (length in bits, symbols of that length in order). 256 is the end of string.
const CODE: &[(u32, &[u16])] = &[
    (5, &[48, 49, 50, 97, 99, 101, 105, 111, 115, 116]),
    (6, &[32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117]),
    (7, &[58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122]),
    (8, &[38, 42, 44, 59, 88, 90]),
    (10, &[33, 34, 40, 41, 63]),
    (11, &[39, 43, 124]),
    (12, &[35, 62]),
    (13, &[0, 36, 64, 91, 93, 126]),
    (14, &[94, 125]),
    (15, &[60, 96, 123]),
    (19, &[92, 195, 208]),
    (20, &[128, 130, 131, 162, 184, 194, 224, 226]),
    (21, &[153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]),
    (22, &[129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233]),
    (23, &[1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239]),
    (24, &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]),
    (25, &[199, 207, 234, 235]),
    (26, &[192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]),
    (27, &[203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]),
    (28, &[2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249]),
    (30, &[10, 13, 22, 256]),
];

/// Decodes `bytes`, appending at most `limit` symbols; None when they are no code.
pub fn decode(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity((bytes.len() * 8 / 5).min(limit));
    let (mut bits, mut count, mut next) = (0u64, 0u32, 0);
    loop {
        while count <= 32 && next < bytes.len() {
            bits = bits << 8 | u64::from(bytes[next]);
            (count, next) = (count + 8, next + 1);
        }
        let Some((symbol, length)) = symbol(bits, count) else { break };
        count -= length;
        bits &= (1 << count) - 1;
        if out.len() < limit {
            out.push(u8::try_from(symbol).ok()?);
        }
    }
    (count < 8 && bits == (1 << count) - 1).then_some(out) // padding: the beginning of the end of string, all ones
}

/// The first symbol of the `count` lowest bits.
fn symbol(bits: u64, count: u32) -> Option<(u16, u32)> {
    let (mut first, mut before) = (0u64, 0u32);
    for (length, symbols) in CODE {
        first <<= length - before;
        before = *length;
        let code = bits.checked_shr(count.checked_sub(*length)?).unwrap_or(0);
        if let Some(symbol) = code.checked_sub(first).and_then(|index| symbols.get(usize::try_from(index).ok()?)) {
            return Some((*symbol, *length));
        }
        first += symbols.len() as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        let share: u64 = CODE.iter().map(|(length, symbols)| (symbols.len() as u64) << (30 - length)).sum();
        assert_eq!(share, 1 << 30);
        let mut symbols: Vec<u16> = CODE.iter().flat_map(|(_, symbols)| symbols.iter().copied()).collect();
        symbols.sort_unstable();
        assert!(symbols.into_iter().eq(0..=256));
    }

    #[test]
    fn examples_of_the_standard() {
        let check = |bytes: &[u8], text: &str| assert_eq!(decode(bytes, 100).as_deref(), Some(text.as_bytes()));
        check(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com");
        check(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache");
        check(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value");
        check(&[0x64, 0x02], "302");
        check(&[], "");
    }

    #[test]
    fn broken_codes() {
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff], 100), None); // the end of string itself
        assert_eq!(decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf, 0xff], 100), None); // more than 7 bits of padding
        assert_eq!(decode(&[0b0000_0000], 100), None); // padding with zeros
    }
}
