//! DELTA_BINARY_PACKED: integers as packed differences, blocks of which have their least difference in common.

use super::hybrid::{take, unpack, varint};

/// `count` integers at the front of `bytes`, which then begin behind them; None when the bytes end before or are none of this kind.
pub fn decode(bytes: &mut &[u8], count: usize) -> Option<Vec<i64>> {
    let (block, parts, total, first) = (varint(bytes)? as usize, varint(bytes)? as usize, varint(bytes)? as usize, zigzag(bytes)?);
    if total != count || parts == 0 || block / parts == 0 || block % parts != 0 {
        return None;
    }
    let (mut out, mut more) = (Vec::with_capacity(count), vec![0; (block / parts).min(count)]);
    let mut last = first;
    out.extend((count > 0).then_some(first));
    while out.len() < count {
        let least = zigzag(bytes)?;
        for bits in take(bytes, parts)? {
            if out.len() == count {
                break; // parts that hold nothing take no bytes
            }
            let bits = Some(*bits).filter(|bits| *bits <= 64)?;
            let packed = take(bytes, (block / parts).checked_mul(usize::from(bits))?.div_ceil(8))?;
            let held = (block / parts).min(count - out.len());
            unpack(packed, u32::from(bits), &mut more[..held], |number| number as i64);
            out.extend(more[..held].iter().map(|more| {
                last = last.wrapping_add(least).wrapping_add(*more);
                last
            }));
        }
    }
    Some(out)
}

fn zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let value = varint(bytes)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}
