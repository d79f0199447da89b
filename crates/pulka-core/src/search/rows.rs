//! Rows of one row group, as ranges in order.

use std::ops::Range;

use parquet::arrow::arrow_reader::RowSelection;

/// Sorted, disjoint, non-empty ranges of row numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows(Vec<Range<usize>>);

impl Rows {
    pub fn all(count: usize) -> Rows {
        Rows::of(std::iter::once(0..count))
    }

    /// Of ranges in order; those that touch become one.
    pub fn of(ranges: impl IntoIterator<Item = Range<usize>>) -> Rows {
        let mut found: Vec<Range<usize>> = Vec::new();
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match found.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => found.push(range),
            }
        }
        Rows(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.iter().cloned()
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().cloned().flatten()
    }

    pub fn contains(&self, row: usize) -> bool {
        self.overlap(&(row..row + 1))
    }

    /// Whether any row is within `range`.
    pub fn overlap(&self, range: &Range<usize>) -> bool {
        let next = self.0.partition_point(|one| one.end <= range.start);
        self.0.get(next).is_some_and(|one| one.start < range.end)
    }

    pub fn intersect(&self, other: &Rows) -> Rows {
        let (mut ours, mut theirs, mut found) = (0, 0, Vec::new());
        while let (Some(one), Some(two)) = (self.0.get(ours), other.0.get(theirs)) {
            found.push(one.start.max(two.start)..one.end.min(two.end));
            if one.end <= two.end { ours += 1 } else { theirs += 1 }
        }
        Rows::of(found)
    }

    /// For a reader of a row group of `total` rows.
    pub fn selection(&self, total: usize) -> RowSelection {
        RowSelection::from_consecutive_ranges(self.0.iter().cloned(), total)
    }
}

impl FromIterator<usize> for Rows {
    /// Of row numbers in order.
    fn from_iter<T: IntoIterator<Item = usize>>(rows: T) -> Rows {
        Rows::of(rows.into_iter().map(|row| row..row + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ranges: &[(usize, usize)]) -> Rows {
        Rows::of(ranges.iter().map(|(start, end)| *start..*end))
    }

    #[test]
    fn touching_ranges_are_one_and_empty_ones_none() {
        assert_eq!(rows(&[(0, 2), (2, 5), (7, 7), (8, 9)]), rows(&[(0, 5), (8, 9)]));
        assert_eq!([1, 2, 3, 7].into_iter().collect::<Rows>(), rows(&[(1, 4), (7, 8)]));
    }

    #[test]
    fn intersections_are_those_of_sets() {
        for seed in 0..500_usize {
            let bits = |salt: usize| (0..24).filter(move |bit| ((seed * 2_654_435_761 + salt * 40_503) >> bit) & 1 == 1);
            let (one, two): (Rows, Rows) = (bits(1).collect(), bits(2).collect());
            let wanted: Vec<usize> = bits(1).filter(|row| bits(2).any(|other| other == *row)).collect();
            let both = one.intersect(&two);
            assert_eq!(both.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(both.count(), wanted.len());
            assert!((0..24).all(|row| both.contains(row) == wanted.contains(&row)));
        }
    }
}
