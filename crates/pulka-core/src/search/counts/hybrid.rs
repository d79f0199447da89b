//! Parquet's hybrid of runs and packed bits, which dictionary codes and definition levels are written in.

/// `count` numbers of `bits` bits each; None when the bytes end before.
pub fn decode(mut bytes: &[u8], bits: u32, count: usize) -> Option<Vec<u32>> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let left = count - out.len();
        match next(&mut bytes, bits)? {
            Part::Run(value, length) => out.resize(out.len() + length.min(left), value),
            Part::Packed(packed, length) => unpack(packed, bits, length.min(left), |number| out.push(number as u32)),
        }
    }
    Some(out)
}

/// The number that all `count` are, when they are written as one run.
pub fn only(mut bytes: &[u8], bits: u32, count: usize) -> Option<u32> {
    match next(&mut bytes, bits)? {
        Part::Run(value, length) if length >= count => Some(value),
        _ => None,
    }
}

enum Part<'a> {
    Run(u32, usize),
    Packed(&'a [u8], usize),
}

fn next<'a>(bytes: &mut &'a [u8], bits: u32) -> Option<Part<'a>> {
    let header = varint(bytes)? as usize;
    if header >> 1 == 0 || bits > 32 {
        return None;
    }
    if header & 1 == 1 {
        let length = (header >> 1).checked_mul(8)?;
        let packed = take(bytes, (header >> 1).checked_mul(bits as usize)?)?;
        return Some(Part::Packed(packed, length));
    }
    let value = take(bytes, bits.div_ceil(8) as usize)?;
    let value = value.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    Some(Part::Run(value, header >> 1))
}

pub fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Call `visit` with the first `count` numbers of `bits` bits, at most 64, which stand in `packed` without gaps; missing bytes are zeros.
#[inline]
pub fn unpack(packed: &[u8], bits: u32, count: usize, mut visit: impl FnMut(u64)) {
    let (bits, mask) = (bits as usize, if bits == 64 { u64::MAX } else { (1 << bits) - 1 });
    for number in 0..count {
        let (byte, shift) = (number * bits / 8, number * bits % 8);
        let value = match packed.get(byte..byte + 8).and_then(|eight| eight.first_chunk::<8>()) {
            Some(eight) => u64::from_le_bytes(*eight) >> shift,
            None => packed.get(byte..).unwrap_or_default().iter().take(8).rev().fold(0, |all, one| all << 8 | u64::from(*one)) >> shift,
        };
        let over = if shift + bits > 64 { u64::from(packed.get(byte + 8).copied().unwrap_or(0)) << (64 - shift) } else { 0 };
        visit((value | over) & mask);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(numbers: &[u64], bits: u32) -> Vec<u8> {
        let mut packed = vec![0_u8; (numbers.len() * bits as usize).div_ceil(8)];
        let set = |(place, number): (usize, &u64)| (0..bits as usize).filter(move |bit| number >> bit & 1 == 1).map(move |bit| place * bits as usize + bit);
        numbers.iter().enumerate().flat_map(set).for_each(|bit| packed[bit / 8] |= 1 << (bit % 8));
        packed
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(numbers in prop::collection::vec(any::<u64>(), 0..70), bits in 0..=64_u32) {
            let numbers: Vec<u64> = numbers.iter().map(|number| if bits == 64 { *number } else { number & ((1 << bits) - 1) }).collect();
            let mut found = Vec::new();
            unpack(&pack(&numbers, bits), bits, numbers.len(), |number| found.push(number));
            prop_assert_eq!(found, numbers);
        }

        #[test]
        fn runs_and_packed_numbers_take_turns(parts in prop::collection::vec((any::<bool>(), 0..128_u32, 1..40_usize), 1..6)) {
            let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
            for (packed, value, count) in parts {
                let count = if packed { count.div_ceil(8) * 8 } else { count };
                bytes.push(((if packed { count / 8 } else { count }) << 1) as u8 | u8::from(packed));
                let numbers: Vec<u64> = (0..count).map(|at| if packed { (u64::from(value) + at as u64) % 128 } else { u64::from(value) }).collect();
                bytes.extend(if packed { pack(&numbers, 7) } else { vec![value as u8] });
                wanted.extend(numbers.iter().map(|number| *number as u32));
            }
            prop_assert_eq!(decode(&bytes, 7, wanted.len()), Some(wanted.clone()));
            prop_assert_eq!(decode(&bytes, 7, wanted.len() + 1), None);
        }

        #[test]
        fn broken_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), bits in 0..40_u32) {
            decode(&bytes, bits, 100);
            only(&bytes, bits, 100);
        }
    }
}
