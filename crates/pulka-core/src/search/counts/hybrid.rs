//! Parquet's hybrid of runs and packed bits, which dictionary codes and definition levels are written in.

/// `count` numbers of `bits` bits each, as what `cast` makes of them; None when the bytes end before.
pub fn decode<T: Copy + Default>(mut bytes: &[u8], bits: u32, count: usize, cast: impl Fn(u64) -> T) -> Option<Vec<T>> {
    let (mut out, mut at) = (vec![T::default(); count], 0);
    while at < count {
        match next(&mut bytes, bits)? {
            Part::Run(value, length) => {
                let end = count.min(at.saturating_add(length));
                out[at..end].fill(cast(u64::from(value)));
                at = end;
            }
            Part::Packed(packed, length) => {
                let end = count.min(at.saturating_add(length));
                unpack(packed, bits, &mut out[at..end], &cast);
                at = end;
            }
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
    let header = match bytes {
        [first, rest @ ..] if *first < 0x80 => {
            let header = usize::from(*first); // nearly all are short
            *bytes = rest;
            header
        }
        _ => varint(bytes)? as usize,
    };
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

/// Fill `out` with numbers of `bits` bits, at most 64, which stand in `packed` without gaps; missing bytes are zeros.
pub fn unpack<T: Copy>(packed: &[u8], bits: u32, out: &mut [T], cast: impl Fn(u64) -> T) {
    let done = eights(packed, bits, out, &cast);
    let (bits, mask) = (bits as usize, if bits >= 64 { u64::MAX } else { (1 << bits) - 1 });
    for (number, value) in out.iter_mut().enumerate().skip(done) {
        let (byte, shift) = (number * bits / 8, number * bits % 8);
        let bytes = packed.get(byte..).unwrap_or_default().iter().take(9).rev();
        let word = bytes.fold(0_u128, |word, byte| word << 8 | u128::from(*byte)) >> shift;
        *value = cast(word as u64 & mask);
    }
}

/// As many eights of numbers as have eight bytes behind them; how many numbers that were. For each width there is code of its own.
fn eights<T: Copy>(packed: &[u8], bits: u32, out: &mut [T], cast: &impl Fn(u64) -> T) -> usize {
    macro_rules! widths {
        ($($width:literal)*) => { match bits { $($width => eights_of::<$width, T>(packed, out, cast),)* _ => 0 } };
    }
    widths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40)
}

fn eights_of<const BITS: usize, T: Copy>(packed: &[u8], out: &mut [T], cast: &impl Fn(u64) -> T) -> usize {
    let mut done = 0;
    for (eight, number) in out.as_chunks_mut::<8>().0.iter_mut().zip(0..) {
        let Some(bytes) = packed.get(number * BITS..number * BITS + BITS + 8) else { break };
        for (place, value) in eight.iter_mut().enumerate() {
            let word = bytes[place * BITS / 8..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
            *value = cast(word >> (place * BITS % 8) & ((1 << BITS) - 1));
        }
        done += 8;
    }
    done
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(numbers: &[u64], bits: u32) -> Vec<u8> {
        let mut packed = vec![0_u8; (numbers.len() * bits as usize).div_ceil(8)];
        for (place, number) in numbers.iter().enumerate() {
            for bit in (0..bits as usize).filter(|bit| number >> bit & 1 == 1) {
                packed[(place * bits as usize + bit) / 8] |= 1 << ((place * bits as usize + bit) % 8);
            }
        }
        packed
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(numbers in prop::collection::vec(any::<u64>(), 0..70), bits in 0..=64_u32) {
            let numbers: Vec<u64> = numbers.iter().map(|number| if bits == 64 { *number } else { number & ((1 << bits) - 1) }).collect();
            let mut found = vec![0; numbers.len()];
            unpack(&pack(&numbers, bits), bits, &mut found, |number| number);
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
            prop_assert_eq!(decode(&bytes, 7, wanted.len(), |number| number as u32), Some(wanted.clone()));
            prop_assert_eq!(decode(&bytes, 7, wanted.len() + 1, |number| number as u32), None);
        }

        #[test]
        fn broken_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), bits in 0..40_u32) {
            decode(&bytes, bits, 100, |number| number != 0);
            only(&bytes, bits, 100);
        }
    }
}
