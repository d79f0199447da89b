//! What a count asks of single columns. Other than the conditions of a search, these are the query's own, to the letter: what the engine
//! would say of the value is what they say.

pub use super::text_test::TextTest;

/// True of the values of a column; of null only where it says so.
pub enum Exact {
    Text(TextTest),
    /// Within one of the ranges, bounds included: in order and disjoint.
    Integers(Vec<(i64, i64)>),
    /// Within bounds that are included, by their places in IEEE 754's total order, in which the engine compares too.
    Floats(i64, i64),
    Null(bool),
}

#[derive(Clone, Copy)]
pub enum Compare {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

/// The place of a float in the total order.
fn place(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

impl Exact {
    pub fn float(compare: Compare, bound: f64) -> Exact {
        let bound = place(bound);
        match compare {
            Compare::Less if bound == i64::MIN => Exact::Floats(1, 0),
            Compare::Greater if bound == i64::MAX => Exact::Floats(1, 0),
            Compare::Less => Exact::Floats(i64::MIN, bound - 1),
            Compare::LessOrEqual => Exact::Floats(i64::MIN, bound),
            Compare::Equal => Exact::Floats(bound, bound),
            Compare::GreaterOrEqual => Exact::Floats(bound, i64::MAX),
            Compare::Greater => Exact::Floats(bound + 1, i64::MAX),
        }
    }

    /// Leave of `passing` what passes.
    pub fn integers(&self, values: &[i64], passing: &mut [bool]) {
        match self {
            Exact::Integers(ranges) if ranges.len() == 1 => {
                let (low, high) = ranges[0];
                values.iter().zip(passing).for_each(|(value, passes)| *passes &= (low <= *value) & (*value <= high));
            }
            Exact::Integers(ranges) => values.iter().zip(passing).for_each(|(value, passes)| {
                let next = ranges.partition_point(|(_, high)| high < value);
                *passes &= ranges.get(next).is_some_and(|(low, _)| low <= value);
            }),
            _ => self.any(passing),
        }
    }

    /// As `integers`.
    pub fn floats(&self, values: &[f64], passing: &mut [bool]) {
        match self {
            Exact::Floats(low, high) => values.iter().zip(passing).for_each(|(value, passes)| {
                let value = place(*value);
                *passes &= (*low <= value) & (value <= *high);
            }),
            _ => self.any(passing),
        }
    }

    pub fn text(&self, value: &[u8]) -> bool {
        match self {
            Exact::Text(test) => test.matches(value),
            _ => matches!(self, Exact::Null(false)),
        }
    }

    pub fn null(&self) -> bool {
        matches!(self, Exact::Null(true))
    }

    fn any(&self, passing: &mut [bool]) {
        if !matches!(self, Exact::Null(false)) {
            passing.fill(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_the_engine_does() {
        let integers = |test: &Exact, value| {
            let mut passing = [true];
            test.integers(&[value], &mut passing);
            passing[0]
        };
        let floats = |compare, bound, value| {
            let mut passing = [true];
            Exact::float(compare, bound).floats(&[value], &mut passing);
            passing[0]
        };
        let ranges = Exact::Integers(vec![(i64::MIN, -5), (3, 3), (7, 9)]);
        assert_eq!((-7..12).filter(|value| integers(&ranges, *value)).collect::<Vec<_>>(), [-7, -6, -5, 3, 7, 8, 9]);
        let floating = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN, -f64::NAN];
        for (value, bound) in floating.iter().flat_map(|value| floating.map(|bound| (*value, bound))) {
            let order = value.total_cmp(&bound);
            assert_eq!(floats(Compare::Less, bound, value), order.is_lt(), "{value} {bound}");
            assert_eq!(floats(Compare::LessOrEqual, bound, value), order.is_le());
            assert_eq!(floats(Compare::Equal, bound, value), order.is_eq());
            assert_eq!(floats(Compare::GreaterOrEqual, bound, value), order.is_ge());
            assert_eq!(floats(Compare::Greater, bound, value), order.is_gt());
        }
        assert!(integers(&Exact::Null(false), 1) && !Exact::Null(true).text(b"") && Exact::Null(true).null() && !Exact::Integers(vec![]).null());
    }
}
