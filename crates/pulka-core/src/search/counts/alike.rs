//! What makes two values of a column count as one: that they are equal, or something coarser.

/// Bits of a float that tell sign, power of two and its 1024th part.
const ABOUT_BITS: u32 = 52 - 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alike {
    Equal,
    /// Integers: the same whole number of these since 0.
    Every(i64),
    /// Floats: they differ by less than a part in a thousand.
    About,
}

/// The integers that are alike to one.
pub fn around(value: i64, alike: Alike) -> (i64, i64) {
    match alike {
        Alike::Every(width) if width > 0 => {
            let low = value.saturating_sub(value.rem_euclid(width));
            (low, low.saturating_add(width - 1))
        }
        _ => (value, value),
    }
}

pub fn integer_key(value: i64, alike: Alike) -> u64 {
    match alike {
        Alike::Every(width) if width > 0 => value.div_euclid(width) as u64,
        _ => value as u64,
    }
}

pub fn float_key(value: f64, alike: Alike) -> u64 {
    match alike {
        Alike::About if value.is_finite() => value.to_bits() >> ABOUT_BITS,
        _ => value.to_bits(),
    }
}

/// The one float that stands for all that are about the same.
pub fn about(value: f64) -> f64 {
    match value.is_finite() {
        true => f64::from_bits((value.to_bits() >> ABOUT_BITS << 1 | 1) << (ABOUT_BITS - 1)),
        false => value,
    }
}
