//! Rows whose codes are the same in all columns, counted.

use std::collections::HashMap;

use ahash::RandomState;

use super::codes::Coded;
use super::pages::count;

/// Of pairs of codes that are no more than this, a table says what they have become.
const TABLE_MAX: u64 = 1 << 20;

/// Rows that are looked at together.
const PIECE: usize = 64;

/// Per group, a row of it and how many there are.
#[derive(Default)]
pub struct Groups {
    pub rows: Vec<usize>,
    pub counts: Vec<i64>,
}

/// The groups of the `wanted` rows.
pub fn groups(columns: &[Coded], wanted: &[bool]) -> Groups {
    let mut varying = columns.iter().filter(|column| !column.codes.is_empty());
    let Some(first) = varying.next() else { return one(wanted) };
    let Some(second) = varying.next() else { return counted(wanted, &first.codes, first.values.len() + 1) };
    let (mut codes, mut most) = paired(&first.codes, second, wanted);
    for column in varying {
        (codes, most) = paired(&codes, column, wanted);
    }
    counted(wanted, &codes, most)
}

fn one(wanted: &[bool]) -> Groups {
    match wanted.iter().position(|wanted| *wanted) {
        Some(row) => Groups { rows: vec![row], counts: vec![count(wanted) as i64] },
        None => Groups::default(),
    }
}

/// The groups of rows by codes below `most`. In what is sorted a code comes many times in a row.
fn counted(wanted: &[bool], codes: &[u32], most: usize) -> Groups {
    let (mut counts, mut firsts) = (vec![0_u32; most], vec![0_u32; most]);
    let (mut run, mut last) = (0_u32, 0_usize);
    each(wanted, |row| {
        let code = codes[row] as usize;
        if code != last || run == 0 {
            counts[last] += run;
            (run, last) = (0, code);
            if counts[code] == 0 {
                firsts[code] = row as u32;
            }
        }
        run = run.wrapping_add(1);
    });
    counts[last] += run;
    let met = || (0..most).filter(|code| counts[*code] > 0);
    Groups { rows: met().map(|code| firsts[code] as usize).collect(), counts: met().map(|code| i64::from(counts[code])).collect() }
}

/// Call `visit` with the `wanted` rows. Mostly none or all of many neighbours are wanted.
fn each(wanted: &[bool], mut visit: impl FnMut(usize)) {
    for (some, start) in wanted.chunks(PIECE).zip((0..).step_by(PIECE)) {
        if some.iter().fold(true, |all, one| all & one) {
            (start..start + some.len()).for_each(&mut visit);
        } else if some.iter().fold(false, |any, one| any | one) {
            (start..).zip(some).filter(|(_, wanted)| **wanted).for_each(|(row, _)| visit(row));
        }
    }
}

/// One code for each pair of codes that occurs, and how many there are.
fn paired(codes: &[u32], column: &Coded, wanted: &[bool]) -> (Vec<u32>, usize) {
    let width = column.values.len() as u64 + 1;
    let most = codes.iter().max().map_or(0, |most| u64::from(*most) + 1);
    let mut seen = Seen::new(most.saturating_mul(width));
    let (mut paired, mut last) = (vec![0; codes.len()], (u64::MAX, 0));
    each(wanted, |row| {
        let pair = u64::from(codes[row]).wrapping_mul(width).wrapping_add(u64::from(column.codes[row]));
        if pair != last.0 {
            last = (pair, seen.code(pair)); // in what is sorted the next pair is mostly the same
        }
        paired[row] = last.1;
    });
    (paired, seen.count as usize)
}

struct Seen {
    table: Vec<u32>,
    map: HashMap<u64, u32, RandomState>,
    count: u32,
}

impl Seen {
    fn new(pairs: u64) -> Seen {
        let table = if pairs <= TABLE_MAX { vec![u32::MAX; pairs as usize] } else { Vec::new() };
        Seen { table, map: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)), count: 0 }
    }

    fn code(&mut self, pair: u64) -> u32 {
        let next = self.count;
        let code = match self.table.get_mut(pair as usize) {
            Some(code) => {
                *code = if *code == u32::MAX { next } else { *code };
                *code
            }
            None => *self.map.entry(pair).or_insert(next),
        };
        self.count += u32::from(code == next);
        code
    }
}
